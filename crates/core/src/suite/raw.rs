//! A test file as it is written: its keys, their descriptions, and what may stand under them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::secret::Secret;
use crate::policy::declare::{choice, record};
use crate::policy::decode::{At, Cx, Decode, Named, OneOrMany, Text};
use crate::policy::model::{FieldDescriptions, FlagFields, HostFields, PortFields, TextFields};
use crate::policy::raw::{FieldForms, FieldKeys, Port};
use crate::policy::yaml::{Node, Yaml};

record! {
    /// Tests of a policy: questions, and what it must answer.
    Suite("a test file") {
        /// The policy, relative to this file's folder (default: the policy beside it, `rules.yaml` for `rules.test.yaml`).
        optional policy: Text,
        /// Entries that stand in for those of the policy's lists, by the list's name.
        optional lists: Named<Vec<Text>>,
        /// Usernames and their passwords that stand in for the policy's password sources, by the source's name.
        optional passwords: Named<Named<Secret>>,
        /// When all tests ask that do not say it themselves.
        optional at: Text,
        /// Clients that tests call by their name.
        optional clients: Named<Client>,
        /// The tests.
        optional tests: Vec<Test>,
    }
}

record! {
    /// One thing that the policy must do.
    Test("a test") {
        /// What the policy must do, in a sentence. Reports call the test by it.
        required name: Text,
        /// Who asks: a client, the name of an entry of `clients`, or a list of these. Each of them asks all questions.
        optional client: OneOrMany<WhichClient>,
        /// The questions, each with the answer that must come.
        required expect: OneOrMany<Expectation>,
    }
}

record! {
    /// A client.
    Client("a client") {
        /// Its fields.
        client fields: FieldKeys<TestForms>,
        /// When the client asks, where a rule says when it matches: `2026-12-01T18:00+01:00`, `2026-12-01T17:00Z` or
        /// `2026-12-01T18:00[Europe/Berlin]` (default: the file's `at`).
        optional at: Text,
    }
}

record! {
    /// A question, and the verdict and the rule that must answer it. The keys of a client that stand here take the place
    /// of those that the test's client has.
    Expectation("an expectation") {
        /// The client logs in with this password; the empty text is no password. A list asks with each of them.
        optional authenticate: OneOrMany<Secret>,
        /// The client publishes to this topic name. A list asks for each of them.
        optional publish: OneOrMany<Text>,
        /// The client subscribes to this topic filter. A list asks for each of them.
        optional subscribe: OneOrMany<Text>,
        /// It is allowed, by the rule of this id, or by `default`.
        optional allow: Text,
        /// It is denied, by the rule of this id, or by `default`, `invalid-topic` or `error`.
        optional deny: Text,
        /// It is left to the broker, by the rule of this id, or by `default`.
        optional ignore: Text,
        /// What it would be with the rules in audit mode carried out.
        optional would: Would,
        /// Who asks, in the place of the test's client.
        optional client: OneOrMany<WhichClient>,
        /// The fields of the client that it has otherwise.
        client fields: FieldKeys<LineForms>,
        /// When the client asks.
        optional at: Text,
    }
    exactly one of authenticate, publish, subscribe: MissingKey
    exactly one of allow, deny, ignore: MissingKey
}

choice! {
    /// The verdict and the rule that would answer.
    Would("what would be") {
        /// It would be allowed, by the rule of this id, or by `default`.
        Allow("allow"): Text,
        /// It would be denied, by the rule of this id, or by `default`, `invalid-topic` or `error`.
        Deny("deny"): Text,
        /// It would be left to the broker, by the rule of this id, or by `default`.
        Ignore("ignore"): Text,
    }
}

/// A client, or the name of one.
#[derive(Debug)]
pub(super) enum WhichClient {
    Name(Text),
    Client(Box<Client>),
}

impl Decode for WhichClient {
    const WHAT: &'static str = "a client, or the name of one";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        match yaml.node {
            Node::Map(_) => Client::decode(yaml, cx).map(|client| WhichClient::Client(Box::new(client))),
            Node::Seq(_) => {
                cx.wrong_type(yaml, Self::WHAT);
                None
            }
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
                Text::decode(yaml, cx).map(WhichClient::Name)
            }
        }
    }
}

impl JsonSchema for WhichClient {
    fn schema_name() -> Cow<'static, str> {
        "WhichClient".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "description": "The name of an entry of `clients`." },
            generator.subschema_for::<Client>(),
        ] })
    }
}

/// What stands under the keys of a client's fields in a test file: their values.
macro_rules! value_forms {
    ($($(#[doc = $about:literal])+ $forms:ident: $description:ident;)*) => {$(
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(super) enum $forms {}

        impl FieldForms for $forms {
            type Text = Text;
            type Host = Text;
            type Port = Port;
            type Flag = bool;

            fn description(all: &'static FieldDescriptions) -> &'static str {
                all.$description
            }
        }
    )*};
}

value_forms! {
    /// Of a client.
    TestForms: test;
    /// Of an expectation.
    LineForms: line;
}

/// What is said of a client, in one place or in several.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct GivenFields<'r> {
    pub(super) texts: TextFields<Option<&'r At<Text>>>,
    pub(super) hosts: HostFields<Option<&'r At<Text>>>,
    pub(super) ports: PortFields<Option<&'r At<Port>>>,
    pub(super) flags: FlagFields<Option<&'r At<bool>>>,
    pub(super) at: Option<&'r At<Text>>,
}

impl<'r> GivenFields<'r> {
    pub(super) fn of_client(client: &'r Client) -> Self {
        GivenFields { at: client.at.as_ref(), ..GivenFields::of_keys(&client.fields) }
    }

    pub(super) fn of_line(line: &'r Expectation) -> Self {
        GivenFields { at: line.at.as_ref(), ..GivenFields::of_keys(&line.fields) }
    }

    fn of_keys<F: FieldForms<Text = Text, Host = Text, Port = Port, Flag = bool>>(keys: &'r FieldKeys<F>) -> Self {
        GivenFields {
            texts: TextFields::each(|field| keys.texts.get(field).as_ref()),
            hosts: HostFields::each(|field| keys.hosts.get(field).as_ref()),
            ports: PortFields::each(|field| keys.ports.get(field).as_ref()),
            flags: FlagFields::each(|field| keys.flags.get(field).as_ref()),
            at: None,
        }
    }

    /// These, and the others where these say nothing.
    pub(super) fn or(self, others: Self) -> Self {
        GivenFields {
            texts: TextFields::each(|field| self.texts.get(field).or(*others.texts.get(field))),
            hosts: HostFields::each(|field| self.hosts.get(field).or(*others.hosts.get(field))),
            ports: PortFields::each(|field| self.ports.get(field).or(*others.ports.get(field))),
            flags: FlagFields::each(|field| self.flags.get(field).or(*others.flags.get(field))),
            at: self.at.or(others.at),
        }
    }
}
