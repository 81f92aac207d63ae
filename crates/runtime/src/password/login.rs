//! One login's way through the pool: what it asks, and what came of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use super::hash::UnreadableHash;
use exhook_policy_core::event::places;
use exhook_policy_core::policy::model::PasswordId;

/// A login that needs its password checked.
pub struct PasswordLogin {
    /// Who wants to know.
    pub caller: Arc<dyn Caller>,
    /// What the client gave. It is wiped as soon as it is no longer needed.
    pub password: Zeroizing<Vec<u8>>,
    /// Where the client connects from, for that peer's share.
    pub peerhost: Option<IpAddr>,
    /// When the broker asked; the deadline counts from here.
    pub arrived: Instant,
    /// The source to ask first.
    pub source: PasswordId,
}

/// Whose login it is. Nothing here may wait.
pub trait Caller: Send + Sync {
    /// By whom the sources are asked; may be empty.
    fn username(&self) -> &str;

    /// How many bytes are kept of the client as long as this is.
    fn bytes(&self) -> usize;

    /// Called where a source does not know the user, on the source's thread: gives the next source to ask, or
    /// `None` where no further rule needs one.
    fn unknown(&self) -> Option<PasswordId>;

    /// Whether guesses at its password are counted. If so, and it is turned away unchecked, it is
    /// not denied before its deadline: it might be known to be wrong by then.
    fn is_counted(&self) -> bool;

    /// Called once, on any thread, with what came of it. Outcomes come some at a time, and after the last of
    /// these the pool calls its [`OutcomesTold`].
    fn done(&self, outcome: PasswordOutcome);
}

/// Called on any thread after [`Caller::done`] was called some times, so that answers can go out together. It must
/// not wait.
pub type OutcomesTold = Box<dyn Fn() + Send + Sync>;

impl PasswordLogin {
    /// How many places it takes among those that wait. The pool has a copy of the username.
    pub(super) fn places(&self) -> usize {
        places(self.caller.bytes() + self.caller.username().len() + self.password.len())
    }
}

impl fmt::Debug for PasswordLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.caller.username())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What came of a login. Everything but [`PasswordOutcome::Right`] and [`PasswordOutcome::Unknown`] denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordOutcome {
    /// This source knows the user, and the password is right.
    Right(PasswordId),
    /// This source knows the user, and the password is wrong or empty.
    Wrong(PasswordId),
    /// None of the sources that were asked knows the user.
    Unknown,
    /// It cannot be told.
    Failed(Failure),
    /// It was not checked, for this reason. But it is wrong: another password of this user is known
    /// to be right.
    KnownWrong(Failure),
}

/// Why a password could not be checked. Its text names the source, and shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The source cannot be read.
    Source {
        /// Its name in the policy.
        source: Arc<str>,
        /// Why not.
        reason: Arc<str>,
    },
    /// What the source holds for the user is no hash that can be read.
    Hash {
        /// The source's name in the policy.
        source: Arc<str>,
        /// Why not.
        reason: UnreadableHash,
    },
    /// The source holds something other than text for the user.
    NoText {
        /// The source's name in the policy.
        source: Arc<str>,
    },
    /// The source holds more than one entry of the user.
    Several {
        /// The source's name in the policy.
        source: Arc<str>,
    },
    /// The source holds an entry without a username, and the client gave none.
    NoUser {
        /// The source's name in the policy.
        source: Arc<str>,
    },
    /// The deadline passed first.
    TooLate,
    /// Too many logins wait, of all peers or of the user.
    Share,
    /// The pool was stopped.
    Stopped,
    /// A fault in this program.
    Internal,
}

impl Failure {
    /// Whether the fault is in what the source holds for this user, so that it is the rule that denies.
    /// Otherwise no rule came to decide.
    pub fn is_of_the_hash(&self) -> bool {
        match self {
            Failure::Hash { .. } | Failure::NoText { .. } | Failure::Several { .. } | Failure::NoUser { .. } => true,
            Failure::Source { .. } | Failure::TooLate | Failure::Share | Failure::Stopped | Failure::Internal => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Source { source, reason } => write!(f, "password source `{source}` cannot be read: {reason}"),
            Failure::Hash { source, reason } => {
                write!(f, "the user's hash in password source `{source}` cannot be read: {reason}")
            }
            Failure::NoText { source } => write!(f, "the user's hash in password source `{source}` is not text"),
            Failure::Several { source } => write!(f, "password source `{source}` has more than one entry of the user"),
            Failure::NoUser { source } => write!(
                f,
                "the client gave no username, and password source `{source}` has an entry without one, which lets no one in"
            ),
            Failure::TooLate => f.write_str("the password could not be checked within the deadline"),
            Failure::Share => f.write_str("too many logins wait for their passwords to be checked"),
            Failure::Stopped => f.write_str("the driver is stopping"),
            Failure::Internal => f.write_str("the password check failed, which is a fault in this program"),
        }
    }
}
