//! The keys `lockout` and `flapping` of `auth`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::codes::Code;
use super::super::declare::{record, words};
use super::super::decode::{Cx, Decode, OneOrMany};
use super::super::diag::{Diagnostic, quote};
use super::super::duration::Duration;
use super::super::span::Span;
use super::super::yaml::{Node, Yaml};
use super::Who;

record! {
    /// Who gives wrong passwords is refused for a while, before any password is looked at.
    Lockout("`lockout`") {
        /// By what failed logins are counted, each on its own. A list in the list is a combination.
        required by: OneOrMany<CountedBy>,
        /// So many failed logins are too many.
        required failures: Count,
        /// Within this time.
        required within: Duration,
        /// For so long every login is refused then.
        required ban: Duration,
        /// Who is neither counted nor refused.
        optional exempt: Who,
    }
}

record! {
    /// Who logs in too often is refused for a while.
    Flapping("`flapping`") {
        /// By what logins are counted, each on its own. A list in the list is a combination.
        required by: OneOrMany<CountedBy>,
        /// So many logins are too many.
        required logins: Count,
        /// Within this time.
        required within: Duration,
        /// For so long every login is refused then.
        required ban: Duration,
        /// Who is neither counted nor refused.
        optional exempt: Who,
    }
}

words! {
    /// What is the same of logins that are counted together.
    CountedField("a field to count by") {
        /// The MQTT client identifier.
        Clientid("clientid"),
        /// The user name. Clients without one are not counted by it.
        Username("username"),
        /// The address that the client connects from; of an IPv6 address the first 64 bits.
        Peerhost("peerhost"),
    }
}

/// A field, or a combination of fields.
#[derive(Debug)]
pub(crate) struct CountedBy {
    pub(crate) span: Span,
    pub(crate) fields: Vec<CountedField>,
}

impl Decode for CountedBy {
    const WHAT: &'static str = CountedField::WHAT;

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let fields = OneOrMany::<CountedField>::decode(yaml, cx)?.0;
        Some(CountedBy { span: yaml.span, fields })
    }
}

impl JsonSchema for CountedBy {
    fn schema_name() -> Cow<'static, str> {
        "CountedBy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<OneOrMany<CountedField>>()
    }
}

/// How many are too many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count(pub(crate) u16);

impl Count {
    const MOST: u16 = 1000;
}

impl Decode for Count {
    const WHAT: &'static str = "a number of logins";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        if let Node::Int(number) = yaml.node
            && let Ok(count @ 1..=Count::MOST) = u16::try_from(number)
        {
            return Some(Count(count));
        }
        let message = format!("{} is no number from 1 to {}", quote(yaml.span.of(cx.text)), Count::MOST);
        cx.push(Diagnostic::new(Code::BadNumber, yaml.span, message));
        None
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Count::MOST })
    }
}
