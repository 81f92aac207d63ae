//! Rules of other brokers as a policy to start from.
//!
//! Each reader makes a [`PolicyDraft`], which is written as YAML with comments. Nothing is carried over
//! in silence: where a rule means something else here, a comment above it says how. Where a file
//! cannot be read to the end there is no draft, only what is wrong with it, by line.

mod acl_conf;
mod draft;
mod erlang;
mod mosquitto;

pub use acl_conf::acl_conf;
pub use draft::PolicyDraft;
pub use erlang::{ErlangValue, Term, consult};
pub use mosquitto::mosquitto;

/// A line of the other broker's file that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversionProblem {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl ConversionProblem {
    fn new(line: usize, message: impl Into<String>) -> Self {
        ConversionProblem { line, message: message.into() }
    }
}

#[cfg(test)]
mod tests;
