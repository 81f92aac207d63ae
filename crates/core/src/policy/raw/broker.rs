//! The versions of the broker that a policy is for, as they are written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::emqx::Version;
use crate::policy::codes::Code;
use crate::policy::decode::{Cx, Decode};
use crate::policy::diag::Diagnostic;
use crate::policy::span::Span;
use crate::policy::traps::in_quotes;
use crate::policy::yaml::{Node, Yaml};

/// A version of the broker, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broker {
    pub(crate) version: Version,
    pub(crate) span: Span,
}

impl Decode for Broker {
    const WHAT: &'static str = "a version of EMQX";

    /// To YAML `5.8` is a number, and `5.10` the same one as `5.1`: what counts is how it is written.
    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let written = yaml.span.of(cx.text);
        let (text, is_number) = match &yaml.node {
            Node::Text(text) => (&**text, false),
            Node::Int(_) | Node::Number(_) => (written, true),
            Node::Null | Node::Bool(_) | Node::Seq(_) | Node::Map(_) => {
                cx.wrong_type(yaml, Self::WHAT);
                return None;
            }
        };
        match text.parse() {
            Ok(version) => Some(Broker { version, span: yaml.span }),
            Err(error) => {
                let diagnostic = Diagnostic::new(Code::BadBroker, yaml.span, error.to_string());
                // An alias, say, or a number in another form.
                let hidden = is_number && !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                cx.push(if hidden {
                    let message = format!("YAML reads {written} as a number, and a version of EMQX is needed");
                    Diagnostic::new(Code::BadBroker, yaml.span, message)
                        .help(format!("write the version in quotes: {}", in_quotes("5.8")))
                } else {
                    diagnostic
                });
                None
            }
        }
    }
}

impl JsonSchema for Broker {
    fn schema_name() -> Cow<'static, str> {
        "Broker".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let known: Vec<String> = Version::known().map(|version| version.to_string()).collect();
        let lines: Vec<String> = known.iter().map(|version| version.replace('.', "\\.")).collect();
        // To JSON, too, 5.10 is the same as 5.1.
        let mut numbers: Vec<f64> = Vec::new();
        for number in known.iter().filter_map(|version| version.parse().ok()) {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        let patch = "0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]";
        json_schema!({
            "description": "A version of EMQX, `5.8`, or `5.8.3` where the patch release matters.",
            "anyOf": [
                { "enum": known },
                { "type": "string", "pattern": format!("^({})\\.({patch})$", lines.join("|")) },
                { "enum": numbers },
            ],
        })
    }
}
