//! Why something was denied, as far as the rules say it. What became of a password, and of a login
//! that a limit refuses, the caller knows.

use super::Doubt;
use crate::decision::{DEFAULT, Decision, DenialReason, ERROR, INVALID_TOPIC};

/// The reason of a decision that denies. `doubt`: why a condition could not be told, as it comes
/// with the decision.
pub fn reason(decision: Decision<'_>, doubt: Option<Doubt>) -> DenialReason {
    // Only what ended the question counts: a condition that could not be told in a rule that was
    // passed over denied nothing. The bound of work is the question's, so it ends it in any case.
    match (decision.rule, doubt) {
        (_, Some(Doubt::Pattern)) => DenialReason::PatternTooDear,
        (ERROR, Some(Doubt::List)) => DenialReason::ListUnreadable,
        (ERROR, Some(Doubt::Field)) => DenialReason::FieldNotTold,
        (ERROR, None) => DenialReason::Internal,
        (INVALID_TOPIC, Some(Doubt::List | Doubt::Field) | None) => DenialReason::InvalidTopic,
        (DEFAULT, Some(Doubt::List | Doubt::Field) | None) => DenialReason::Default,
        (_, Some(Doubt::List | Doubt::Field) | None) => DenialReason::Rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::event::owned::OwnedClient;
    use crate::event::{Action, Client};
    use crate::policy::lists::Lists;
    use crate::policy::{Policy, parse};
    use std::path::Path;

    const POLICY: &str = "
version: 1
lists: { gone: { file: gone.txt } }
auth:
  rules:
    - { deny: { clientid: listed, username: { in: gone } } }
    - { deny: { clientid: certified, cn: x } }
    - { deny: { clientid: timed }, when: { hours: 08:00-09:00, zone: UTC } }
    - { deny: { clientid: ruled } }
    # Unknown here, and settled by the other condition.
    - { deny: { username: { in: gone }, clientid: { not: { glob: '*' } } } }
acl:
  rules:
    - { deny: { clientid: listed, username: { in: gone } }, topics: [a] }
    - { deny: everyone, topics: [b] }
    - { allow: everyone, topics: [{ regex: '.*a.{900}b' }, { regex: '.*a.{901}b' }] }
";

    fn policy() -> Policy {
        Policy::compile(parse(POLICY, "rules.yaml", Path::new("")).unwrap().model)
    }

    #[track_caller]
    fn login(clientid: &str, expected: DenialReason) {
        let (policy, client) = (policy(), OwnedClient::named(clientid));
        let crate::policy::Login::Decided(decision) = policy.authenticate(&client.as_client(), &Lists::default())
        else {
            panic!("no password is asked for")
        };
        let (_, doubt) = policy.authenticate_doubted(&client.as_client(), &Lists::default());
        assert_eq!((decision.verdict, reason(decision, doubt)), (Verdict::Deny, expected), "{clientid}");
    }

    #[track_caller]
    fn topic(clientid: &str, topic: &str, expected: DenialReason) {
        let (policy, client) = (policy(), OwnedClient::named(clientid));
        let client: Client<'_> = client.as_client();
        let (decision, doubt) = policy.check_acl_doubted(&client, Action::Publish, topic, &Lists::default());
        assert_eq!((decision.verdict, reason(decision, doubt)), (Verdict::Deny, expected), "{clientid}");
    }

    #[test]
    fn a_login_is_denied_for_what_ended_it() {
        login("listed", DenialReason::ListUnreadable);
        login("certified", DenialReason::FieldNotTold);
        login("timed", DenialReason::FieldNotTold);
        login("ruled", DenialReason::Rule);
        login("other", DenialReason::Default);
    }

    #[test]
    fn a_topic_is_denied_for_what_ended_it() {
        topic("listed", "a", DenialReason::ListUnreadable);
        topic("other", "a", DenialReason::Default);
        topic("other", "b", DenialReason::Rule);
        topic("other", "a/+", DenialReason::InvalidTopic);
        topic("other", &"a".repeat(60_000), DenialReason::PatternTooDear);
    }

    #[test]
    fn an_error_without_a_doubt_is_a_fault_of_the_program() {
        assert_eq!(reason(Decision::ERROR, None), DenialReason::Internal);
    }
}
