//! Answers as the broker takes them.

use super::dialect::Dialect;
use super::proto::{self, valued::Value};
use exhook_policy_core::decision::Answer;
use exhook_policy_core::hook::Kind;

/// Answer with the value, and ask nobody else: the same number in every version.
const STOP_AND_RETURN: u32 = 2;

/// The answer to a call that asks or tells. To those that tell, an empty one is none.
pub(super) fn of(answer: Answer, kind: Kind, dialect: Dialect) -> proto::Valued {
    let decided = |allowed| proto::Valued { r#type: STOP_AND_RETURN, value: Some(Value::BoolResult(allowed)) };
    match (kind, answer) {
        (Kind::Tells, _) => proto::Valued::default(),
        (Kind::Asks, Answer::Allow) => decided(true),
        (Kind::Asks, Answer::Deny) => decided(false),
        (Kind::Asks, Answer::NoOpinion) => no_opinion(dialect),
    }
}

/// The answer that leaves the broker's own result.
fn no_opinion(dialect: Dialect) -> proto::Valued {
    proto::Valued { r#type: dialect.no_opinion(), value: None }
}

/// The answer that lets a published message go on as it is.
///
/// This is the place for what would change a message, or refuse it by its header `allow_publish`.
pub(super) fn message(message: Option<proto::Message>, dialect: Dialect) -> proto::Valued {
    match (dialect.go_on(), message) {
        (Some(go_on), Some(message)) => proto::Valued { r#type: go_on, value: Some(Value::Message(message)) },
        (Some(_), None) | (None, _) => no_opinion(dialect),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    const OLD: Dialect = Dialect::Old { tells_certificates: false };
    const OLDEST: Dialect = Dialect::Oldest { tells_certificates: true };

    #[track_caller]
    fn check(answer: Answer, dialect: Dialect, expected: &[u8]) {
        assert_eq!(of(answer, Kind::Asks, dialect).encode_to_vec(), expected);
        assert_eq!(of(answer, Kind::Tells, dialect).encode_to_vec(), b"");
    }

    #[test]
    fn the_bytes_of_answers() {
        for dialect in [OLDEST, OLD, Dialect::V1, Dialect::V2] {
            check(Answer::Allow, dialect, &[0x08, 2, 0x18, 1]);
            // A false that is chosen is written, though it is the value of what is not there.
            check(Answer::Deny, dialect, &[0x08, 2, 0x18, 0]);
        }
        check(Answer::NoOpinion, OLDEST, &[]);
        check(Answer::NoOpinion, OLD, &[0x08, 1]);
        check(Answer::NoOpinion, Dialect::V1, &[0x08, 1]);
        check(Answer::NoOpinion, Dialect::V2, &[0x08, 1]);
    }

    #[track_caller]
    fn check_message(dialect: Dialect, expected: u32, comes_back: bool) {
        let published = proto::Message { topic: "t".to_owned(), qos: 1, ..proto::Message::default() };
        let answer = message(Some(published.clone()), dialect);
        assert_eq!(answer.r#type, expected);
        assert_eq!(answer.value, comes_back.then_some(Value::Message(published)));
    }

    #[test]
    fn messages_go_on_as_they_are() {
        check_message(OLDEST, 1, true);
        check_message(OLD, 1, true);
        check_message(Dialect::V1, 0, true);
        check_message(Dialect::V2, 1, false);
        assert_eq!(message(None, Dialect::V1), proto::Valued { r#type: 1, value: None });
    }
}
