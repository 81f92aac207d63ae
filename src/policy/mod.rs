//! The policy: from the file to decisions.
mod accepts;
mod candidates;
pub mod codes;
pub mod decide;
mod declare;
mod decode;
pub mod diag;
mod duration;
mod format;
pub mod lists;
mod load;
pub mod model;
pub mod places;
pub mod problem;
mod raw;
pub mod show;
pub mod span;
mod strings;
pub mod trace;
mod traps;
mod validate;
mod warn;
pub mod who;
mod yaml;

pub use decide::{Found, Login, Policy, TopicRule};
pub use format::{Refused, format};
pub use load::{Loaded, load, parse, parse_bytes, schema, unreadable};
