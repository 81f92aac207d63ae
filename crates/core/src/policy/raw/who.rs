//! Whom a rule is about, as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, json};

use crate::policy::codes::Code;
use crate::policy::declare::choice;
use crate::policy::decode::{Cx, Decode, OneOrMany, Placed, Seen, Text};
use crate::policy::diag::{Diagnostic, quote};
use crate::policy::model::{ClientField, FieldDescriptions};
use crate::policy::span::Span;
use crate::policy::yaml::{Node, Yaml};

use super::fields::{FieldForms, FieldKeys};
use super::untold;

/// Whom a rule is about.
#[derive(Debug)]
pub(crate) enum Who {
    /// `everyone`, or the name of an entry of `clients`.
    Name(Text),
    Kind(Box<Kind>),
    Any(Span, Vec<Who>),
}

impl Decode for Who {
    const WHAT: &'static str = "`everyone`, a name of `clients`, conditions, or a list of these";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        match &yaml.node {
            Node::Map(entries) if entries.is_empty() => {
                let message = "a kind of client without conditions";
                cx.push(
                    Diagnostic::new(Code::NoConditions, yaml.span, message).help("for every client write `everyone`"),
                );
                None
            }
            Node::Map(_) => Kind::decode(yaml, cx).map(|kind| Who::Kind(Box::new(kind))),
            Node::Seq(_) => OneOrMany::decode(yaml, cx).map(|OneOrMany(any)| Who::Any(yaml.span, any)),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
                Text::decode(yaml, cx).map(Who::Name)
            }
        }
    }
}

impl JsonSchema for Who {
    fn schema_name() -> Cow<'static, str> {
        "Who".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let any = generator.subschema_for::<Who>();
        json_schema!({ "anyOf": [
            { "const": "everyone", "description": "Every client." },
            { "type": "string", "description": "The name of an entry of `clients`." },
            generator.subschema_for::<Kind>(),
            { "type": "array", "items": any, "minItems": 1, "description": "Any of these." },
        ] })
    }
}

/// Conditions on a client. All must hold.
#[derive(Debug)]
pub(crate) struct Kind {
    span: Span,
    pub(crate) fields: FieldKeys<Conditions>,
}

/// In a policy, conditions stand under the keys of fields.
#[derive(Debug)]
pub(crate) enum Conditions {}

impl FieldForms for Conditions {
    type Text = Condition<Text, TextOperator>;
    type Host = Condition<Text, PeerhostOperator>;
    type Port = Condition<Port, PortOperator>;
    type Flag = bool;

    fn description(all: &'static FieldDescriptions) -> &'static str {
        all.policy
    }
}

impl Placed for Kind {
    fn span(&self) -> Span {
        self.span
    }
}

impl Decode for Kind {
    const WHAT: &'static str = "a kind of client";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let names = ClientField::NAMES;
        let mut seen = Seen::default();
        let mut fields = FieldKeys::default();
        for (key, value) in cx.mapping(yaml, Self::WHAT)? {
            if let Some(name) = cx.key(key, names, &mut seen, untold::why) {
                fields.read(name, key, value, cx);
            }
        }
        cx.at_least_one(yaml, &seen, names, Self::WHAT, Code::NoConditions);
        Some(Kind { span: yaml.span, fields })
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = Map::new();
        FieldKeys::<Conditions>::describe(generator, &mut properties);
        let any: Vec<_> = ClientField::NAMES.iter().map(|name| json!({ "required": [name] })).collect();
        json_schema!({
            "description": "Conditions on a client. All must hold.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "anyOf": any,
        })
    }
}

/// A value, an operator in a mapping, or a list of which any may hold.
#[derive(Debug)]
pub(crate) enum Condition<V, O> {
    Is(V),
    Operator(O),
    Any(Vec<Condition<V, O>>),
}

impl<V: Decode, O: Decode> Decode for Condition<V, O> {
    const WHAT: &'static str = V::WHAT;

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        match yaml.node {
            Node::Map(_) => O::decode(yaml, cx).map(Condition::Operator),
            Node::Seq(_) => OneOrMany::decode(yaml, cx).map(|OneOrMany(any)| Condition::Any(any)),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
                V::decode(yaml, cx).map(Condition::Is)
            }
        }
    }
}

impl<V: JsonSchema, O: JsonSchema> JsonSchema for Condition<V, O> {
    fn schema_name() -> Cow<'static, str> {
        O::schema_name().replace("Operator", "Condition").into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let any = generator.subschema_for::<Self>();
        json_schema!({ "anyOf": [
            generator.subschema_for::<V>(),
            generator.subschema_for::<O>(),
            { "type": "array", "items": any, "minItems": 1, "description": "Any of these may hold." },
        ] })
    }
}

choice! {
    /// Another way to compare than byte for byte.
    TextOperator("a condition") {
        /// A glob over the whole value; nothing is a separator.
        Glob("glob"): Text,
        /// A regex that must match the whole value.
        Regex("regex"): Text,
        /// A member of this entry of `lists`.
        In("in"): Text,
        /// The condition does not hold.
        Not("not"): Box<Condition<Text, TextOperator>>,
    }
}

choice! {
    /// Another way to compare than with one address or network.
    PeerhostOperator("a condition") {
        /// A glob over the whole address as text.
        Glob("glob"): Text,
        /// A regex that must match the whole address as text.
        Regex("regex"): Text,
        /// Inside an address or network of this entry of `lists`.
        In("in"): Text,
        /// The condition does not hold.
        Not("not"): Box<Condition<Text, PeerhostOperator>>,
    }
}

choice! {
    /// Another way to compare than with one port.
    PortOperator("a condition on a port") {
        /// The condition does not hold.
        Not("not"): Box<Condition<Port, PortOperator>>,
    }
}

/// A port.
#[derive(Debug)]
pub(crate) struct Port(pub(crate) u16);

impl Decode for Port {
    const WHAT: &'static str = "a port";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let written = yaml.span.of(cx.text).trim_matches(['"', '\'']);
        if let Node::Int(number) = yaml.node
            && let Ok(port @ 1..) = u16::try_from(number)
        {
            return Some(Port(port));
        }
        let mut diagnostic = Diagnostic::new(Code::BadPort, yaml.span, format!("{} is no port", quote(written)));
        if matches!(yaml.node, Node::Text(_)) && written.parse::<u16>().is_ok_and(|port| port > 0) {
            diagnostic = diagnostic.help(format!("a port is a number: write {written} without quotes"));
        }
        cx.push(diagnostic);
        None
    }
}

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535 })
    }
}

impl Who {
    /// Where it stands.
    pub(crate) fn span(&self) -> Span {
        match self {
            Who::Name(name) => name.span,
            Who::Kind(kind) => kind.span(),
            Who::Any(span, _) => *span,
        }
    }
}
