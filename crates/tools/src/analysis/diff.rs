//! What another version of a policy opens and closes.
//!
//! Rules that both versions have in the same order, and that say the same, cannot be why an answer differs. So every
//! question whose answer differs is one that another rule is about, a *changed* one, or one that reaches the default of
//! a section where that changed. Each changed rule is a focus: clients of its own, treated differently by no rule that
//! can be about the same questions, and the questions that they can ask. Both policies are asked, and where the answers
//! differ that is a change, told once for each pair of rules that decided.

mod alike;
mod compare;
mod notes;

use serde::Serialize;

use super::witness::Witness;
use exhook_policy_core::decision::{Decision, Mode, Verdict};
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::show::Words;
use exhook_policy_core::topic::Budget;

/// What differs between two versions of a policy.
#[derive(Debug)]
pub struct Diff {
    /// One for each pair of rules that decide, kind of question and pair of answers, those that widen first.
    pub changes: Vec<Change>,
    /// What could not be settled within the budget: there may be more changes, to both sides. One for each kind of
    /// question at most.
    pub unknown: Vec<Unknown>,
    /// What differs and is no decision.
    pub notes: Vec<String>,
}

/// An answer that differs, and who is answered so.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
    /// A client and a question that show it; both policies were asked.
    pub witness: Witness,
}

/// Two answers to one question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Whether the new policy permits more.
    pub direction: Direction,
    /// What is asked.
    pub question: Question,
    /// What the old policy answers.
    pub old: Answer,
    /// What the new policy answers.
    pub new: Answer,
}

/// Which of two answers permits more. To leave a question to the broker is between the two others: it may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The new one.
    Widened,
    /// The old one.
    Narrowed,
}

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// May the client log in?
    Connect,
    /// May it publish?
    Publish,
    /// May it subscribe?
    Subscribe,
}

/// What one of the policies answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Answer {
    /// The answer, after the policy's mode; where both are in audit mode, what is recorded.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: RuleName,
}

/// A rule of one of the policies, in words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RuleName {
    /// Its line in the file, from 1, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its id, or `default` and what else decides without a rule.
    pub id: String,
    /// Whom it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

/// What is not known: whether there are more changes of the answers to one kind of question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The kind of question.
    pub question: Question,
    /// The rules that such changes would be about; none where any rule may be.
    pub rules: Vec<VersionRule>,
}

/// A rule of one of the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionRule {
    /// Which policy.
    pub version: Version,
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleName,
}

/// One of the two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// The one that is compared with.
    Old,
    /// The one that would take its place.
    New,
}

/// Compares two versions of a policy, as they decide from `now` on, Unix milliseconds.
pub fn diff(old: &Policy, new: &Policy, now: i64, budget: &mut Budget) -> Diff {
    let (changes, unknown) = compare::compare(old, new, now, budget);
    Diff { changes, unknown, notes: notes::notes(old, new) }
}

impl Question {
    /// All of them.
    pub const ALL: [Question; 3] = [Question::Connect, Question::Publish, Question::Subscribe];

    /// `connect`, `publish` or `subscribe`.
    pub fn as_str(self) -> &'static str {
        match self {
            Question::Connect => "connect",
            Question::Publish => "publish",
            Question::Subscribe => "subscribe",
        }
    }

    /// What is done with a topic, where it is about one.
    pub fn action(self) -> Option<Action> {
        match self {
            Question::Connect => None,
            Question::Publish => Some(Action::Publish),
            Question::Subscribe => Some(Action::Subscribe),
        }
    }

    /// What decides where no rule does; `None` without the section.
    fn default_of(self, policy: &Policy) -> Option<Verdict> {
        match self {
            Question::Connect => policy.auth_default(),
            Question::Publish | Question::Subscribe => policy.acl_default(),
        }
    }
}

impl Version {
    /// Its place, from 0.
    fn number(self) -> usize {
        match self {
            Version::Old => 0,
            Version::New => 1,
        }
    }
}

impl From<Action> for Question {
    fn from(action: Action) -> Self {
        match action {
            Action::Publish => Question::Publish,
            Action::Subscribe => Question::Subscribe,
        }
    }
}

impl Direction {
    /// `widened` or `narrowed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Widened => "widened",
            Direction::Narrowed => "narrowed",
        }
    }

    /// How an answer differs from another; `None` where it does not.
    fn between(old: Verdict, new: Verdict) -> Option<Self> {
        match permits(new).cmp(&permits(old)) {
            std::cmp::Ordering::Greater => Some(Direction::Widened),
            std::cmp::Ordering::Less => Some(Direction::Narrowed),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// How much an answer permits, beside others.
fn permits(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Deny => 0,
        Verdict::Ignore => 1,
        Verdict::Allow => 2,
    }
}

/// How the answers of both policies to a question differ; `None` where they do not.
pub fn differ(policies: [&Policy; 2], question: Question, decisions: [Decision<'_>; 2]) -> Option<Difference> {
    let [old, new] = verdicts(policies, decisions);
    let direction = Direction::between(old, new)?;
    let [old_policy, new_policy] = policies;
    let [old_decision, new_decision] = decisions;
    let answer = |policy, verdict, decision: Decision<'_>| Answer {
        verdict,
        rule: RuleName::of(policy, question, decision.rule),
    };
    let (old, new) = (answer(old_policy, old, old_decision), answer(new_policy, new, new_decision));
    Some(Difference { direction, question, old, new })
}

/// What the policies answer. Two in audit mode answer nothing, and differ in what they record.
fn verdicts(policies: [&Policy; 2], decisions: [Decision<'_>; 2]) -> [Verdict; 2] {
    let [old, new] = decisions.map(|decision| decision.verdict);
    match policies.map(Policy::mode) {
        [Mode::Audit, Mode::Enforce] => [Verdict::Ignore, new],
        [Mode::Enforce, Mode::Audit] => [old, Verdict::Ignore],
        [Mode::Enforce, Mode::Enforce] | [Mode::Audit, Mode::Audit] => [old, new],
    }
}

impl RuleName {
    /// The rule of this id that answers questions of the kind.
    fn of(policy: &Policy, question: Question, id: &str) -> Self {
        let (line, who) = match question {
            Question::Connect => {
                policy.auth_rules().iter().find(|rule| rule.id == id).map(|rule| (rule.line, &rule.who))
            }
            Question::Publish | Question::Subscribe => {
                policy.acl_rules().iter().find(|rule| rule.id == id).map(|rule| (rule.line, &rule.who))
            }
        }
        .unzip();
        RuleName { id: id.to_owned(), line, who: who.map(|who| Words::of(policy).who(who)) }
    }
}

#[cfg(test)]
mod tests;
