//! Why a question was denied: what the rules say, and what became of a password.

use crate::limits::Why;
use crate::password::{Failure, PasswordOutcome};
use exhook_policy_core::decision::{DEFAULT, Decision, DenialReason, Verdict};
use exhook_policy_core::policy::{Doubt, reason};

/// What a decision rests on, as far as its rule does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The rules decided. Why they could not tell whether a condition holds, if they could not.
    Rules(Option<Doubt>),
    /// This, whatever the rules say.
    Known(DenialReason),
}

impl Cause {
    /// What the rules say of a login whose user no source knows that was asked.
    pub(super) fn of_unknown_user(decision: Decision<'_>, doubt: Option<Doubt>) -> Self {
        // Where no rule matches either, the client was refused because it is unknown.
        if decision.rule == DEFAULT { Cause::Known(DenialReason::UnknownUser) } else { Cause::Rules(doubt) }
    }

    /// What became of a password. `given`: the client gave one.
    pub(super) fn of_password(outcome: &PasswordOutcome, given: bool) -> Self {
        match outcome {
            PasswordOutcome::Right(_) => Cause::Rules(None),
            PasswordOutcome::Wrong(_) if given => Cause::Known(DenialReason::WrongPassword),
            PasswordOutcome::Wrong(_) => Cause::Known(DenialReason::NoPassword),
            PasswordOutcome::Unknown => Cause::Known(DenialReason::UnknownUser),
            PasswordOutcome::Failed(failure) | PasswordOutcome::KnownWrong(failure) => {
                Cause::Known(of_failure(failure))
            }
        }
    }

    /// The reason; `None` if the decision does not deny.
    pub(super) fn reason(self, decision: Decision<'_>) -> Option<DenialReason> {
        match (decision.verdict, self) {
            (Verdict::Deny, Cause::Rules(doubt)) => Some(reason::reason(decision, doubt)),
            (Verdict::Deny, Cause::Known(reason)) => Some(reason),
            (Verdict::Allow | Verdict::Ignore, _) => None,
        }
    }
}

impl From<Why> for Cause {
    fn from(why: Why) -> Self {
        Cause::Known(match why {
            Why::Lockout => DenialReason::Lockout,
            Why::Flapping => DenialReason::Flapping,
        })
    }
}

fn of_failure(failure: &Failure) -> DenialReason {
    match failure {
        Failure::Source { .. } => DenialReason::SourceUnreadable,
        Failure::Hash { .. } | Failure::NoText { .. } | Failure::Several { .. } => DenialReason::UnreadableHash,
        Failure::NoUser { .. } => DenialReason::NoUsername,
        Failure::TooLate => DenialReason::Deadline,
        Failure::Share => DenialReason::TooMany,
        Failure::Stopped => DenialReason::Stopping,
        Failure::Internal => DenialReason::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exhook_policy_core::decision::Verdict::{Allow, Deny, Ignore};
    use exhook_policy_core::policy::model::PasswordId;

    #[track_caller]
    fn check(outcome: &PasswordOutcome, given: bool, expected: DenialReason) {
        let decision = Decision { verdict: Deny, rule: "staff" };
        assert_eq!(Cause::of_password(outcome, given).reason(decision), Some(expected), "{outcome:?}");
    }

    #[test]
    fn a_password_that_is_refused_has_a_reason_of_its_own() {
        let failed = |failure| PasswordOutcome::Failed(failure);
        let source = || "staff".into();
        check(&PasswordOutcome::Wrong(PasswordId(0)), true, DenialReason::WrongPassword);
        check(&PasswordOutcome::Wrong(PasswordId(0)), false, DenialReason::NoPassword);
        check(&PasswordOutcome::Right(PasswordId(0)), true, DenialReason::Rule);
        check(&failed(Failure::Source { source: source(), reason: source() }), true, DenialReason::SourceUnreadable);
        check(&failed(Failure::NoText { source: source() }), true, DenialReason::UnreadableHash);
        check(&failed(Failure::Several { source: source() }), true, DenialReason::UnreadableHash);
        check(&failed(Failure::NoUser { source: source() }), true, DenialReason::NoUsername);
        check(&failed(Failure::TooLate), true, DenialReason::Deadline);
        check(&PasswordOutcome::KnownWrong(Failure::Share), true, DenialReason::TooMany);
        check(&failed(Failure::Stopped), true, DenialReason::Stopping);
        check(&failed(Failure::Internal), true, DenialReason::Internal);
    }

    #[test]
    fn an_unknown_user_is_one_where_no_rule_matches() {
        let of = |verdict, rule| {
            let decision = Decision { verdict, rule };
            Cause::of_unknown_user(decision, None).reason(decision)
        };
        assert_eq!(of(Deny, DEFAULT), Some(DenialReason::UnknownUser));
        assert_eq!(of(Deny, "strangers"), Some(DenialReason::Rule));
        assert_eq!((of(Allow, DEFAULT), of(Ignore, DEFAULT)), (None, None));
    }

    #[test]
    fn a_limit_is_its_own_reason() {
        assert_eq!(Cause::from(Why::Lockout), Cause::Known(DenialReason::Lockout));
        assert_eq!(Cause::from(Why::Flapping), Cause::Known(DenialReason::Flapping));
    }
}
