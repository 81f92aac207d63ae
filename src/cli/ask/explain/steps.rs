//! The steps of an explanation: what a password was taken for, and what came of a rule.

use serde_json::{Value, json};

use exhook_policy_core::policy::Found;
use exhook_policy_core::policy::trace::{Mismatch, Outcome, Tried};

/// What the password was taken for, in words.
pub(super) fn taken_for(source: &str, found: Found) -> String {
    match found {
        Found::Right => format!("it is taken for the one in `{source}`"),
        Found::Wrong => format!("it is taken for another than the one in `{source}`"),
        Found::Unknown => format!("`{source}` is taken not to have the username"),
        Found::Unreadable => format!("`{source}` cannot be read"),
    }
}

/// What a source said of the password when the client asked.
pub(super) fn recorded(source: &str, found: Found) -> String {
    match found {
        Found::Right => format!("As the event tells, the password was the one in `{source}`."),
        Found::Wrong => format!("As the event tells, the password was not the one in `{source}`."),
        Found::Unknown => format!("As the event tells, `{source}` did not have the username."),
        Found::Unreadable => format!("As the event tells, `{source}` could not be read, or did not answer in time."),
    }
}

/// What the password was taken for, as JSON.
pub(super) fn password(source: &str, found: Found) -> Value {
    let found = match found {
        Found::Right => "right",
        Found::Wrong => "wrong",
        Found::Unknown => "unknown",
        Found::Unreadable => "unreadable",
    };
    json!({ "source": source, "taken_for": found })
}

/// A rule that was tried, as JSON.
pub(super) fn tried_json(tried: &Tried<'_>) -> Value {
    let mismatch = |one: &Mismatch<'_>| json!({ "kind": one.kind, "field": one.field, "value": one.value, "wanted": one.wanted, "said": one.said });
    let (outcome, more) = match &tried.outcome {
        Outcome::OtherAction(_) => ("other-action", json!({})),
        Outcome::NotWho(each) => ("not-who", json!({ "mismatches": each.iter().map(mismatch).collect::<Vec<_>>() })),
        Outcome::NotCovered { topic, .. } => ("not-covered", json!({ "topic": topic })),
        Outcome::NotTouched { .. } => ("not-touched", json!({})),
        Outcome::Part { topic } => ("part", json!({ "topic": topic })),
        Outcome::Limited { by } => ("limited", json!({ "by": by })),
        Outcome::CannotTell { lists, fields } => ("cannot-tell", json!({ "lists": lists, "fields": fields })),
        Outcome::UnknownUser(source) => ("unknown-user", json!({ "source": source })),
        Outcome::UnreadablePasswords(source) => ("unreadable-passwords", json!({ "source": source })),
        Outcome::WrongPassword(source) => ("wrong-password", json!({ "source": source })),
        Outcome::Decided { topic } => ("decided", json!({ "topic": topic })),
    };
    let mut value = json!({
        "rule": tried.id,
        "line": tried.line,
        "verdict": tried.verdict.as_str(),
        "outcome": outcome,
        "said": tried.outcome.to_string(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}
