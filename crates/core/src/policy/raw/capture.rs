//! The section `capture`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::codes::Code;
use super::super::declare::{record, words};
use super::super::decode::{Cx, Decode, OneOrMany, Text};
use super::super::diag::{Diagnostic, quote};
use super::super::size::Size;
use super::super::yaml::{Node, Yaml};

record! {
    /// Writes what the broker asks and tells as JSON lines, without passwords and payloads, to be replayed.
    Capture("the section `capture`") {
        /// The path of the file, relative to this policy's folder. Its folder is made if it is missing.
        required file: Text,
        /// A file that would grow beyond it is put aside (default: 64MiB).
        optional max_size: Size,
        /// How many files there are at most, with the one that is written (default: 5).
        optional max_files: Files,
        /// Which events are written (default: all that the policy is told of).
        optional events: OneOrMany<Events>,
    }
}

words! {
    /// Events of one kind.
    Events("a kind of event") {
        /// `client.authenticate`: logins, with what was decided.
        Logins("logins"),
        /// `client.check_acl`: publishes and subscriptions, with what was decided.
        Topics("topics"),
        /// `client.connect`, `client.connack`, `client.connected` and `client.disconnected`.
        Connections("connections"),
        /// `session.created` to `session.terminated`, `client.subscribe` and `client.unsubscribe`.
        Sessions("sessions"),
        /// `message.publish`, without the payload.
        Messages("messages"),
    }
}

/// A number of files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files(pub(crate) u16);

impl Files {
    const MOST: u16 = 1000;
}

impl Decode for Files {
    const WHAT: &'static str = "a number of files";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        if let Node::Int(number) = yaml.node
            && let Ok(files @ 1..=Files::MOST) = u16::try_from(number)
        {
            return Some(Files(files));
        }
        let message = format!("{} is no number from 1 to {}", quote(yaml.span.of(cx.text)), Files::MOST);
        cx.push(Diagnostic::new(Code::BadNumber, yaml.span, message));
        None
    }
}

impl JsonSchema for Files {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Files".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Files::MOST })
    }
}
