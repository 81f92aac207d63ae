//! How much of the broker's questions a policy answers itself, which tells what the broker's own settings must be.

use std::time::Duration;

use exhook_policy_core::decision::{Mode, Verdict};
use exhook_policy_core::policy::model::Model;

/// What the broker's own settings must fit to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decides {
    /// Whether it answers at all.
    pub mode: Mode,
    /// Every call is answered within it.
    pub deadline: Duration,
    /// Of the logins.
    pub logins: AnsweredShare,
    /// Of the publishes and subscriptions.
    pub topics: AnsweredShare,
}

/// How much of a kind of question the policy answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredShare {
    /// It has no such section.
    None,
    /// It leaves some to the broker, by `ignore`.
    Some,
    /// It answers every one.
    All,
}

impl Decides {
    /// What is assumed of a policy that is not known.
    pub const EVERYTHING: Decides = Decides {
        mode: Mode::Enforce,
        deadline: Duration::ZERO,
        logins: AnsweredShare::All,
        topics: AnsweredShare::All,
    };

    /// What this policy decides.
    pub fn of(model: &Model) -> Self {
        let logins = model.auth.as_ref().map(|auth| (auth.default, auth.rules.iter().any(|r| ignores(r.verdict))));
        let topics = model.acl.as_ref().map(|acl| (acl.default, acl.rules.iter().any(|r| ignores(r.verdict))));
        Decides {
            mode: model.mode,
            deadline: model.deadline,
            logins: AnsweredShare::of(logins),
            topics: AnsweredShare::of(topics),
        }
    }
}

fn ignores(verdict: Verdict) -> bool {
    verdict == Verdict::Ignore
}

impl AnsweredShare {
    fn of(section: Option<(Verdict, bool)>) -> Self {
        match section {
            None => AnsweredShare::None,
            Some((default, some_ignore)) if some_ignore || ignores(default) => AnsweredShare::Some,
            Some(_) => AnsweredShare::All,
        }
    }
}
