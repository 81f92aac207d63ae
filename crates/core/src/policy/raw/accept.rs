//! Warnings that are meant, as they are written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::policy::codes::{Code, Severity};
use crate::policy::decode::{Cx, Decode, Text};
use crate::policy::diag::{Diagnostic, quote};
use crate::policy::span::Span;
use crate::policy::yaml::Yaml;

/// Codes of warnings, each with the reason why it is meant.
#[derive(Debug)]
pub(crate) struct Accept(pub(crate) Vec<Accepted>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) code: Code,
    /// Where the code stands.
    pub(crate) key: Span,
    pub(crate) reason: String,
}

/// The codes that can be accepted.
fn warnings() -> impl Iterator<Item = Code> {
    Code::ALL.iter().copied().filter(|code| is_acceptable(*code))
}

fn is_acceptable(code: Code) -> bool {
    code.severity() == Severity::Warning && code != Code::UnusedAccept
}

impl Decode for Accept {
    const WHAT: &'static str = "codes of warnings with the reasons why they are meant";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let mut accepted: Vec<Accepted> = Vec::new();
        for (key, value) in cx.mapping(yaml, Self::WHAT)? {
            let name = cx.value::<Text>(key, None);
            let reason = cx.value::<Text>(value, Some(key.span));
            if let Some(reason) = &reason
                && reason.value.trim().is_empty()
            {
                let message = "an accepted warning needs a reason";
                let help = "say why it is meant, for whoever reads the policy next";
                cx.push(Diagnostic::new(Code::NoReason, reason.span, message).help(help));
            }
            let Some(code) = name.and_then(|name| code(&name, cx)) else { continue };
            if let Some(first) = accepted.iter().find(|first| first.code == code) {
                cx.duplicate(key.span, first.key, code.name());
                continue;
            }
            accepted.extend(reason.map(|reason| Accepted { code, key: key.span, reason: reason.value }));
        }
        Some(Accept(accepted))
    }
}

/// The warning of this name.
fn code(name: &Text, cx: &mut Cx<'_>) -> Option<Code> {
    match Code::of_name(&name.value) {
        Some(code) if is_acceptable(code) => Some(code),
        Some(code) => {
            let (why, help) = match code.severity() {
                Severity::Error => ("is an error, and only warnings can be accepted", "mend what it is about"),
                Severity::Warning => ("is about `accept` itself", "take away what it is about"),
            };
            let message = format!("{} {why}", quote(&name.value));
            cx.push(Diagnostic::new(Code::NotAcceptable, name.span, message).help(help));
            None
        }
        None => {
            let message = format!("no warning has the code {}", quote(&name.value));
            let diagnostic = Diagnostic::new(Code::UnknownCode, name.span, message);
            let otherwise = || Some("`exhook-policy check --explain all` prints every code".to_owned());
            cx.push_near(diagnostic, &name.value, warnings().map(Code::name), otherwise);
            None
        }
    }
}

impl JsonSchema for Accept {
    fn schema_name() -> Cow<'static, str> {
        "Accept".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let property = |code: Code| {
            let property = serde_json::json!({ "type": "string", "pattern": "\\S", "description": code.title() });
            (code.name().to_owned(), property)
        };
        json_schema!({
            "description": "Codes of warnings, each with the reason why it is meant.",
            "type": "object",
            "properties": warnings().map(property).collect::<serde_json::Map<_, _>>(),
            "additionalProperties": false,
        })
    }
}
