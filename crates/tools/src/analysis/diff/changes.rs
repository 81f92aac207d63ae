//! The answers in which two versions of a policy differ, as they are told.

use serde::Serialize;

use crate::analysis::witness::Witness;
use exhook_policy_core::decision::{Decision, Mode, Verdict};
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::show::Words;

/// An answer that differs, and who is answered so.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyChange {
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
    pub direction: ChangeDirection,
    /// What is asked.
    pub question: QuestionKind,
    /// What the old policy answers.
    pub old: PolicyAnswer,
    /// What the new policy answers.
    pub new: PolicyAnswer,
}

/// Which of two answers permits more. To leave a question to the broker is between the two others:
/// it may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeDirection {
    /// The new one.
    Widened,
    /// The old one.
    Narrowed,
}

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionKind {
    /// May the client log in?
    Connect,
    /// May it publish?
    Publish,
    /// May it subscribe?
    Subscribe,
}

/// What one of the policies answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PolicyAnswer {
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
    /// The clients that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

/// What is not known: whether there are more changes of the answers to one kind of question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnsettledChanges {
    /// The kind of question.
    pub question: QuestionKind,
    /// The rules that such changes would be about; none where any rule may be.
    pub rules: Vec<VersionRule>,
}

/// A rule of one of the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionRule {
    /// Which policy.
    pub version: PolicyVersion,
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleName,
}

/// One of the two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyVersion {
    /// The one that is compared with.
    Old,
    /// The one that would take its place.
    New,
}

impl QuestionKind {
    /// All of them.
    pub const ALL: [QuestionKind; 3] = [QuestionKind::Connect, QuestionKind::Publish, QuestionKind::Subscribe];

    /// `connect`, `publish` or `subscribe`.
    pub fn as_str(self) -> &'static str {
        match self {
            QuestionKind::Connect => "connect",
            QuestionKind::Publish => "publish",
            QuestionKind::Subscribe => "subscribe",
        }
    }

    /// What is done with a topic, where it is about one.
    pub fn action(self) -> Option<Action> {
        match self {
            QuestionKind::Connect => None,
            QuestionKind::Publish => Some(Action::Publish),
            QuestionKind::Subscribe => Some(Action::Subscribe),
        }
    }

    /// What decides where no rule does; `None` without the section.
    pub(super) fn default_of(self, policy: &Policy) -> Option<Verdict> {
        match self {
            QuestionKind::Connect => policy.auth_default(),
            QuestionKind::Publish | QuestionKind::Subscribe => policy.acl_default(),
        }
    }
}

impl PolicyVersion {
    /// Its place, from 0.
    pub(super) fn number(self) -> usize {
        match self {
            PolicyVersion::Old => 0,
            PolicyVersion::New => 1,
        }
    }
}

impl From<Action> for QuestionKind {
    fn from(action: Action) -> Self {
        match action {
            Action::Publish => QuestionKind::Publish,
            Action::Subscribe => QuestionKind::Subscribe,
        }
    }
}

impl ChangeDirection {
    /// `widened` or `narrowed`.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeDirection::Widened => "widened",
            ChangeDirection::Narrowed => "narrowed",
        }
    }

    /// How an answer differs from another; `None` where it does not.
    fn between(old: Verdict, new: Verdict) -> Option<Self> {
        match permits(new).cmp(&permits(old)) {
            std::cmp::Ordering::Greater => Some(ChangeDirection::Widened),
            std::cmp::Ordering::Less => Some(ChangeDirection::Narrowed),
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
pub fn differ(policies: [&Policy; 2], question: QuestionKind, decisions: [Decision<'_>; 2]) -> Option<Difference> {
    let [old, new] = verdicts(policies, decisions);
    let direction = ChangeDirection::between(old, new)?;
    let [old_policy, new_policy] = policies;
    let [old_decision, new_decision] = decisions;
    let answer = |policy, verdict, decision: Decision<'_>| PolicyAnswer {
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
    pub(super) fn of(policy: &Policy, question: QuestionKind, id: &str) -> Self {
        let (line, who) = match question {
            QuestionKind::Connect => {
                policy.auth_rules().iter().find(|rule| rule.id == id).map(|rule| (rule.line, &rule.who))
            }
            QuestionKind::Publish | QuestionKind::Subscribe => {
                policy.acl_rules().iter().find(|rule| rule.id == id).map(|rule| (rule.line, &rule.who))
            }
        }
        .unzip();
        RuleName { id: id.to_owned(), line, who: who.map(|who| Words::of(policy).who(who)) }
    }
}
