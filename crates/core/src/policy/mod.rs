//! The policy: from the file to decisions.
mod accepts;
pub mod brokers;
mod candidates;
pub mod codes;
pub mod compiled;
mod costs;
pub mod decide;
pub(crate) mod declare;
pub(crate) mod decode;
pub mod diag;
mod duration;
mod format;
pub mod lists;
pub(crate) mod load;
pub mod model;
pub mod places;
pub mod problem;
pub(crate) mod raw;
pub mod reason;
pub mod show;
mod size;
pub mod span;
mod strings;
pub mod trace;
pub(crate) mod traps;
mod validate;
mod warn;
pub mod when;
pub mod who;
pub(crate) mod yaml;

pub use crate::decision::Found;
pub use crate::text::Doubt;
// Public for the program, which reads and writes times as policies do.
#[doc(hidden)]
pub use duration::{parse as parse_duration, show as show_duration};

pub use compiled::{Policy, PolicySettings};
pub use decide::{Login, PolicyRules, TopicRule};
pub use format::{Refused, format};
pub use load::{Loaded, parse, parse_bytes, schema, unreadable};
// Public for what reads files, which reads no more of them.
#[doc(hidden)]
pub use yaml::MAX_BYTES;
