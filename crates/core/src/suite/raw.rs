//! A test file as it is written: its keys, their descriptions, and what may stand under them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::secret::Secret;
use crate::policy::declare::{choice, record};
use crate::policy::decode::{At, Cx, Decode, Named, OneOrMany, Text};
use crate::policy::raw::Port;
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
        /// The MQTT client identifier.
        optional clientid: Text,
        /// The user name (default: none, which is the empty text).
        optional username: Text,
        /// The address that the client connects from (default: 192.0.2.1, which is nobody's).
        optional peerhost: Text,
        /// The listener's port (default: 1883).
        optional sockport: Port,
        /// `mqtt`, `mqtt-sn`, `coap` and so on (default: mqtt).
        optional protocol: Text,
        /// The prefix that the broker puts before the client's topics (default: none).
        optional mountpoint: Text,
        /// The broker node (default: emqx@127.0.0.1).
        optional node: Text,
        /// The name of the broker's cluster (default: emqxcl; not told, where a broker of the policy does not tell it).
        optional cluster: Text,
        /// The port that the client connects from (default: 49152; not told, where a broker of the policy does not tell it).
        optional peerport: Port,
        /// The common name in the client's certificate (default: none, which is the empty text; not told, where a broker of
        /// the policy does not tell it).
        optional cn: Text,
        /// The subject of the client's certificate (default: none, which is the empty text; not told, where a broker of the
        /// policy does not tell it).
        optional dn: Text,
        /// The broker's superuser flag (default: false).
        optional is_superuser: bool,
        /// Whether the broker let the client in without a decision of its own (default: false).
        optional anonymous: bool,
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
        /// The MQTT client identifier.
        optional clientid: Text,
        /// The user name.
        optional username: Text,
        /// The address that the client connects from.
        optional peerhost: Text,
        /// The listener's port.
        optional sockport: Port,
        /// `mqtt`, `mqtt-sn`, `coap` and so on.
        optional protocol: Text,
        /// The prefix that the broker puts before the client's topics.
        optional mountpoint: Text,
        /// The broker node.
        optional node: Text,
        /// The name of the broker's cluster.
        optional cluster: Text,
        /// The port that the client connects from.
        optional peerport: Port,
        /// The common name in the client's certificate.
        optional cn: Text,
        /// The subject of the client's certificate.
        optional dn: Text,
        /// The broker's superuser flag.
        optional is_superuser: bool,
        /// Whether the broker let the client in without a decision of its own.
        optional anonymous: bool,
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

/// What is said of a client, in one place or in several.
macro_rules! fields {
    ($($field:ident: $type:ty,)*) => {
        /// What is said of a client.
        #[derive(Debug, Default, Clone, Copy)]
        pub(super) struct Fields<'r> {
            $(pub(super) $field: Option<&'r At<$type>>,)*
        }

        impl<'r> Fields<'r> {
            pub(super) fn of_client(client: &'r Client) -> Self {
                Fields { $($field: client.$field.as_ref(),)* }
            }

            pub(super) fn of_line(line: &'r Expectation) -> Self {
                Fields { $($field: line.$field.as_ref(),)* }
            }

            /// These, and the others where these say nothing.
            pub(super) fn or(self, others: Self) -> Self {
                Fields { $($field: self.$field.or(others.$field),)* }
            }
        }
    };
}

fields! {
    clientid: Text,
    username: Text,
    peerhost: Text,
    sockport: Port,
    protocol: Text,
    mountpoint: Text,
    node: Text,
    cluster: Text,
    peerport: Port,
    cn: Text,
    dn: Text,
    is_superuser: bool,
    anonymous: bool,
    at: Text,
}
