//! Checking passwords: from a login to whether its password is right.
//!
//! In the order in which a login meets them: [`Pool`] takes it on (`pool`, by way of `intake`), `state` knows where each
//! login is and `queue` whose turn it is, a `source` (`file` or `sqlite`) gives what is stored for the user, `cache`
//! knows what was right a short while ago, and [`StoredHash`] verifies. `entries` reads the entries of
//! password files, [`edit`] changes them, and [`check`] says what is wrong with sources.
//!
//! A password is never written anywhere, and nothing here knows the policy's rules: where a source does not
//! know a user, the login itself is asked where to go on.

mod cache;
mod check;
mod edit;
mod entries;
mod file;
mod hash;
mod intake;
mod login;
mod pool;
mod queue;
mod source;
mod sqlite;
mod state;
mod unreadable;

pub use check::check;
pub use edit::{Edit, check_username, edit};
pub use hash::{StoredHash, UnreadableHash};
pub use login::{Caller, Failure, OutcomesTold, PasswordLogin, PasswordOutcome};
pub use pool::Pool;
