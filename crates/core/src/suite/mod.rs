//! Tests of a policy: a file of questions with the answers that must come, and what stands in for the policy's sources.
//!
//! [`parse`] reads a test file and the policy that it is about into a [`Suite`]. Its [`Case`]s are single questions of a
//! single client, whatever tables they stand in. [`Suite::decide`] asks the policy itself, with [`Contents`] in the
//! place of its lists and password sources, so that running a suite reads nothing more.
//!
//! The passwords of a test file are plain. [`Secret`] cannot be printed, and reports show the file with them covered.

mod load;
mod raw;
mod resolve;
mod run;
mod secret;
mod stand_ins;

pub use load::{SuiteFiles, is_test_file, parse, schema, tests_beside};
pub use run::{Coverage, Rule, Section, Wanting, wanting};
pub use secret::Secret;
pub use stand_ins::{Contents, StandIns};

use std::fmt;
use std::path::PathBuf;

use crate::decision::{Decision, Verdict};
use crate::event::Action;
use crate::event::owned::OwnedClient;
use crate::policy::Policy;

/// A test file with the policy that it is about.
#[derive(Debug)]
pub struct Suite {
    /// The test file, as it was named by the caller.
    pub file: PathBuf,
    /// The policy's file.
    pub policy_file: PathBuf,
    /// The policy.
    pub policy: Policy,
    /// What its lists and password sources hold.
    pub contents: Contents,
    /// The tests, in the order of the file.
    pub tests: Vec<Test>,
}

/// One thing that the policy must do.
#[derive(Debug)]
pub struct Test {
    /// What the policy must do, in a sentence.
    pub name: String,
    /// Where it begins in the file, from 1.
    pub line: usize,
    /// Its cases, at least one.
    pub cases: Vec<Case>,
}

/// One question of one client.
#[derive(Debug)]
pub struct Case {
    /// Where the question stands in the file, from 1.
    pub line: usize,
    /// The name by which the file calls the client.
    pub called: Option<String>,
    /// Who asks.
    pub client: OwnedClient,
    /// What is asked.
    pub question: Question,
    /// What the policy must answer.
    pub expected: Expected,
    /// It is about what would be answered with the rules in audit mode carried out.
    pub would: bool,
}

/// What a case asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// May the client log in with this password?
    Authenticate(Secret),
    /// May it publish to this topic name, or subscribe to this topic filter?
    Acl(Action, String),
}

/// What the policy must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The verdict, before the policy's mode is applied.
    pub verdict: Verdict,
    /// The id of the rule that must decide, or one of those that stand for none.
    pub rule: String,
}

impl Expected {
    /// Whether the decision is this one.
    pub fn is(&self, decision: Decision<'_>) -> bool {
        self.verdict == decision.verdict && self.rule == decision.rule
    }
}

/// `authenticate with a password`, `subscribe dev/+/up`. It never tells the password.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Authenticate(password) if password.is_empty() => f.write_str("authenticate without a password"),
            Question::Authenticate(_) => f.write_str("authenticate with a password"),
            Question::Acl(action, topic) => write!(f, "{} {}", action.as_str(), crate::event::Shown(topic)),
        }
    }
}
