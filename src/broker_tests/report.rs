//! What came of the cases, and what it says of the broker as a whole.

use std::fmt;

use crate::mqtt::MqttVersion;
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::suite::{Case, Question, Test};

/// A case that was tried on the broker, or was not.
#[derive(Debug)]
pub struct TriedCase<'s> {
    /// The test that it belongs to.
    pub test: &'s Test,
    /// The case.
    pub case: &'s Case,
    /// The version of MQTT.
    pub version: MqttVersion,
    /// What came of it.
    pub outcome: BrokerOutcome,
}

/// What came of a case. The rule that decided cannot be seen, only the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerOutcome {
    /// The broker does what the policy says.
    Passed,
    /// It allows what the policy denies.
    LetThrough,
    /// It refuses what the policy allows; in its words.
    Refused(String),
    /// It was silent, or sent what is no MQTT.
    Broken(String),
    /// A broker cannot show it from here, or not in this way; why.
    Skipped(String),
}

impl BrokerOutcome {
    /// Whether the broker does not do what the policy says.
    pub fn is_failure(&self) -> bool {
        match self {
            BrokerOutcome::LetThrough | BrokerOutcome::Refused(_) | BrokerOutcome::Broken(_) => true,
            BrokerOutcome::Passed | BrokerOutcome::Skipped(_) => false,
        }
    }
}

/// What happened, in a sentence without a full stop; empty where the case passed.
impl fmt::Display for BrokerOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerOutcome::Passed => Ok(()),
            BrokerOutcome::LetThrough => f.write_str("the broker allows it"),
            BrokerOutcome::Refused(why) => write!(f, "the broker refuses it: {why}"),
            BrokerOutcome::Broken(why) | BrokerOutcome::Skipped(why) => f.write_str(why),
        }
    }
}

/// How many cases of a run came out how.
#[derive(Debug, Default)]
pub struct BrokerSummary {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that could not be tried.
    pub skipped: usize,
    logins: Denials,
    topics: Denials,
}

/// Of the cases that must be denied, those that a broker answered.
#[derive(Debug, Default)]
struct Denials {
    tried: usize,
    let_through: usize,
}

impl Denials {
    fn add(&mut self, outcome: &BrokerOutcome) {
        match outcome {
            BrokerOutcome::Passed => self.tried = self.tried.saturating_add(1),
            BrokerOutcome::LetThrough => {
                self.tried = self.tried.saturating_add(1);
                self.let_through = self.let_through.saturating_add(1);
            }
            BrokerOutcome::Refused(_) | BrokerOutcome::Broken(_) | BrokerOutcome::Skipped(_) => {}
        }
    }

    fn denies_nothing(&self) -> bool {
        self.tried > 0 && self.tried == self.let_through
    }
}

impl BrokerSummary {
    /// Counts a case.
    pub fn add(&mut self, case: &Case, outcome: &BrokerOutcome) {
        let count = match outcome {
            BrokerOutcome::Passed => &mut self.passed,
            BrokerOutcome::LetThrough | BrokerOutcome::Refused(_) | BrokerOutcome::Broken(_) => &mut self.failed,
            BrokerOutcome::Skipped(_) => &mut self.skipped,
        };
        *count = count.saturating_add(1);
        if case.expected.verdict == Verdict::Deny {
            match &case.question {
                Question::Authenticate(_) => self.logins.add(outcome),
                Question::Acl(..) => self.topics.add(outcome),
            }
        }
    }

    /// Whether the broker was asked for anything that must be denied.
    pub fn has_tried_denials(&self) -> bool {
        self.logins.tried > 0 || self.topics.tried > 0
    }

    /// What must be said first: that the broker does not enforce the policy, or a half of it.
    pub fn headline(&self) -> Option<String> {
        let logins = counted(self.logins.tried, "login", "logins");
        let topics = counted(self.topics.tried, "publish or subscription", "publishes and subscriptions");
        let what = match (self.logins.denies_nothing(), self.topics.denies_nothing()) {
            (false, false) => return None,
            (true, true) => format!("THE POLICY IS NOT ENFORCED: of {logins} and {topics}"),
            (true, false) => format!("LOGINS ARE NOT ENFORCED: of {logins}"),
            (false, true) => format!("TOPICS ARE NOT ENFORCED: of {topics}"),
        };
        Some(format!(
            "{what} that must be denied, the broker denied none.\n\
             Is the plugin loaded? `emqx_ctl plugins list` and the broker's log tell, `exhook-policy doctor` looks further."
        ))
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
