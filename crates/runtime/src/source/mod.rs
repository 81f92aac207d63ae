//! What the policy reads besides its own text: lists in files and databases.
//!
//! [`Sources`] reads each list on a thread of its own, over and over, and holds what was read last as
//! one [`Lists`], which is cheap to take for each event. Nothing here waits for a slow disk but the
//! thread that reads from it. [`check`] reads every source once and tells all that is wrong, and [`read`]
//! keeps what the lists hold. [`open_to_everyone`] tells what every user of the machine can read or write of it.

mod access;
mod check;
mod file;
mod refresh;
mod sqlite;
mod way;

pub use access::{open_to_everyone, open_to_everyone_within};
pub use check::{check, read};
pub use refresh::Sources;
pub use way::Way;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use exhook_policy_core::policy::lists::{BadEntries, BadEntry};

/// Says that nobody needs what is being read any more. Clones are the same.
#[derive(Debug, Clone, Default)]
struct ReadStop(Arc<AtomicBool>);

impl ReadStop {
    fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a source could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableSource {
    /// What is wrong, at least one problem and at most some 20 of them.
    pub problems: Vec<ReadProblem>,
    /// How many problems there are beyond those.
    pub more: usize,
}

/// One thing that is wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadProblem {
    /// The line of a file, from 1, where it is about one.
    pub line: Option<usize>,
    /// What is wrong, in a sentence without a full stop. It holds no line of a password file.
    pub message: String,
}

impl UnreadableSource {
    fn because(message: impl fmt::Display) -> Self {
        UnreadableSource { problems: vec![ReadProblem { line: None, message: message.to_string() }], more: 0 }
    }

    fn of_lines(bad: BadEntries) -> Self {
        let problem = |entry: BadEntry| ReadProblem { line: Some(entry.at), message: told(&entry) };
        UnreadableSource { problems: bad.first.into_iter().map(problem).collect(), more: bad.more }
    }

    fn of_rows(bad: BadEntries) -> Self {
        let problem =
            |entry: BadEntry| ReadProblem { line: None, message: format!("row {}: {}", entry.at, told(&entry)) };
        UnreadableSource { problems: bad.first.into_iter().map(problem).collect(), more: bad.more }
    }
}

fn told(entry: &BadEntry) -> String {
    format!("{:?} {}", entry.text, entry.message)
}

impl fmt::Display for UnreadableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TOLD: usize = 3;
        for (n, problem) in self.problems.iter().take(TOLD).enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            if let Some(line) = problem.line {
                write!(f, "line {line}: ")?;
            }
            f.write_str(&problem.message)?;
        }
        match self.problems.len().saturating_sub(TOLD) + self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
