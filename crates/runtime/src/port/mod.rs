//! The transport of EMQX 4.1 and 4.2: frames of Erlang terms on a pair of pipes, as `erlport` speaks them.
//!
//! - [`pipes`]: the descriptors, moved out of everybody else's way.
//! - [`frame`]: bytes to frames; [`term`]: frames to terms; [`call`]: terms to events.
//! - [`reply`]: answers to frames.
//! - [`driver`]: the loop that reads, asks and answers; `waiting` holds the calls that it still owes an answer.

pub mod call;
pub mod driver;
pub mod frame;
mod inbox;
mod output;
pub mod pipes;
pub mod reply;
pub mod term;
mod waiting;
