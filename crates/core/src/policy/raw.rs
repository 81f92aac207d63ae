//! The policy file as it is written: its keys, their descriptions, and what may stand under them.
//!
//! These types never leave the policy's reader: [`super::validate`] makes a
//! [`Model`](super::model::Model) of them, in which nothing can be wrong any more.

mod accept;
mod broker;
mod capture;
mod fields;
mod limit;
mod metrics;
mod untold;
mod when;
mod who;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::codes::Code;
use super::declare::{choice, record, words};
use super::decode::{Cx, Decode, Named, OneOrMany, Text, Whole};
use super::diag::{Diagnostic, quote};
use super::duration::Duration;
use super::yaml::{Node, Yaml};
pub(crate) use accept::{Accept, Accepted};
pub(crate) use broker::Broker;
pub(crate) use capture::{Capture, Events};
pub(crate) use fields::{FieldForms, FieldKeys};
pub(crate) use limit::{CountedBy, CountedField, Flapping, Lockout};
pub(crate) use metrics::Metrics;
pub(crate) use when::Window;
pub(crate) use who::{Condition, Kind, PeerhostOperator, Port, PortOperator, TextOperator, Who};

record! {
    /// The login and topic rules of an EMQX broker, and what is remembered of its clients.
    Policy("a policy") {
        /// The version of the policy language.
        required version: Version,
        /// The version of EMQX that it is for, or several. `check` then says what they do not tell or do.
        optional broker: OneOrMany<Broker>,
        /// Whether decisions are carried out (default: enforce).
        optional mode: Mode,
        /// Every call is answered within it (default: 2s). It must be shorter than the broker waits: its `call_timeout`, from 4.3
        /// on its `request_timeout`.
        optional deadline: Duration,
        /// What is in force at a start where this file does not load (default: deny).
        optional if_invalid: IfInvalid,
        /// Named sets of texts, addresses or networks.
        optional lists: Named<List>,
        /// Named kinds of client. All conditions of one must hold.
        optional clients: Named<Who>,
        /// Where password hashes are.
        optional passwords: Named<Passwords>,
        /// Who may connect. Without it logins are left to the broker.
        optional auth: Auth,
        /// Who may publish and subscribe to what. Without it topics are left to the broker.
        optional acl: Acl,
        /// Which lines go to stderr, the broker's console (default: denials).
        optional log: Vec<LogLine>,
        /// Online status and connection history in SQLite. Without it nothing is kept.
        optional history: History,
        /// Writes what the broker asks and tells to a file, to be replayed. Without it nothing is written.
        optional capture: Capture,
        /// Counters and times for Prometheus. Without it there are none.
        optional metrics: Metrics,
        /// Warnings of `check` that are meant and belong to no rule, each with the reason.
        optional accept: Accept,
    }
}

/// The version of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The only one yet.
    One,
    /// A number that this program does not know.
    Unknown,
}

impl Decode for Version {
    const WHAT: &'static str = "a version";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        match yaml.node {
            Node::Int(1) => Some(Version::One),
            Node::Int(_) | Node::Number(_) => Some(Version::Unknown),
            Node::Null | Node::Bool(_) | Node::Text(_) | Node::Seq(_) | Node::Map(_) => {
                let message = format!("expected the number 1, found {}", yaml.kind());
                cx.push(Diagnostic::new(Code::WrongType, yaml.span, message).help("write `version: 1`"));
                None
            }
        }
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}

words! {
    /// Whether decisions are carried out.
    Mode("a mode") {
        /// Decisions are answered.
        Enforce("enforce"),
        /// Decisions are recorded, and the broker is always told "no opinion".
        Audit("audit"),
    }
}

words! {
    /// What is in force at a start where the file does not load.
    IfInvalid("what to do") {
        /// Nothing: every login and topic is denied.
        Deny("deny"),
        /// The policy that was in force last, of which a copy is kept in the driver's state folder.
        LastGood("last-good"),
    }
}

words! {
    /// What happens where no rule matches.
    Verdict("a default") {
        /// The client is let through.
        Allow("allow"),
        /// The client is refused.
        Deny("deny"),
        /// It is left to the broker's next plugin.
        Ignore("ignore"),
    }
}

words! {
    /// Lines on stderr. Never a password.
    LogLine("a kind of line") {
        /// What was refused, or would have been.
        Denials("denials"),
        /// Every login and topic decision.
        Decisions("decisions"),
        /// Clients that come and go.
        Connections("connections"),
        /// Every event.
        Events("events"),
    }
}

/// Where a list's entries are.
#[derive(Debug)]
pub(crate) enum List {
    Inline(Vec<Text>),
    File(FileList),
    Sqlite(SqliteList),
}

record! {
    /// A file with one entry a line. `#` begins a comment only as the first character of a line.
    FileList("a list in a file") {
        /// The path, relative to this policy's folder.
        required file: Text,
        /// How often the file is looked at (default: 60s).
        optional refresh: Duration,
    }
}

record! {
    /// The first column of a query's rows.
    SqliteList("a list in a database") {
        /// The path of the SQLite database, relative to this policy's folder.
        required sqlite: Text,
        /// The query.
        required query: Text,
        /// How often the query is run (default: 60s).
        optional refresh: Duration,
    }
}

/// Where password hashes are.
#[derive(Debug)]
pub(crate) enum Passwords {
    File(FilePasswords),
    Sqlite(SqlitePasswords),
}

record! {
    /// A file with `username:hash` a line.
    FilePasswords("a password source") {
        /// The path, relative to this policy's folder.
        required file: Text,
    }
}

record! {
    /// A query for the hash of one user.
    SqlitePasswords("a password source") {
        /// The path of the SQLite database, relative to this policy's folder.
        required sqlite: Text,
        /// The query. It has the parameter `:username` and gives the hash.
        required query: Text,
    }
}

/// Reads a mapping that is told by the key `file` or `sqlite`.
fn source<F: Decode, S: Decode, T>(
    yaml: &Yaml,
    cx: &mut Cx<'_>,
    what: &str,
    file: impl FnOnce(F) -> T,
    sqlite: impl FnOnce(S) -> T,
) -> Option<T> {
    match (yaml.key("file"), yaml.key("sqlite")) {
        (Some(first), Some(second)) => {
            let message = "`file` and `sqlite` exclude each other";
            cx.push(Diagnostic::new(Code::ConflictingKeys, second, message).related(first, "the other one"));
            None
        }
        (None, Some(_)) => S::decode(yaml, cx).map(sqlite),
        (Some(_), None) => F::decode(yaml, cx).map(file),
        (None, None) => {
            let entries = cx.mapping(yaml, what)?;
            let keys = ["file", "sqlite", "query", "refresh"];
            let unknown =
                entries.iter().find(|(key, _)| !matches!(&key.node, Node::Text(name) if keys.contains(&&**name)));
            if let Some((key, _)) = unknown {
                let name = key.span.of(cx.text);
                let diagnostic = Diagnostic::new(Code::UnknownKey, key.span, format!("unknown key {}", quote(name)));
                cx.push_near(diagnostic, name, ["file", "sqlite"], || Some(format!("{what} has `file` or `sqlite`")));
            } else {
                let message = format!("{what} needs `file` or `sqlite`");
                cx.push(Diagnostic::new(Code::MissingKey, yaml.span, message));
            }
            None
        }
    }
}

impl Decode for List {
    const WHAT: &'static str = "a list of texts, a file or a query";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        match yaml.node {
            Node::Seq(_) => Vec::decode(yaml, cx).map(List::Inline),
            Node::Map(_) => source(yaml, cx, "a list", List::File, List::Sqlite),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
                cx.wrong_type(yaml, Self::WHAT);
                None
            }
        }
    }
}

impl JsonSchema for List {
    fn schema_name() -> Cow<'static, str> {
        "List".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            generator.subschema_for::<Vec<Text>>(),
            generator.subschema_for::<FileList>(),
            generator.subschema_for::<SqliteList>(),
        ] })
    }
}

impl Decode for Passwords {
    const WHAT: &'static str = "where password hashes are";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        source(yaml, cx, "a password source", Passwords::File, Passwords::Sqlite)
    }
}

impl JsonSchema for Passwords {
    fn schema_name() -> Cow<'static, str> {
        "Passwords".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            generator.subschema_for::<FilePasswords>(),
            generator.subschema_for::<SqlitePasswords>(),
        ] })
    }
}

record! {
    /// Who may connect. The first rule that matches decides.
    Auth("the section `auth`") {
        /// What happens where no rule matches (default: deny).
        optional default: Verdict,
        /// Keeps out for a while who gives wrong passwords. This comes before the rules.
        optional lockout: Lockout,
        /// Keeps out for a while who logs in too often. This comes before the rules.
        optional flapping: Flapping,
        /// The rules, in order.
        optional rules: Vec<Whole<AuthRule>>,
    }
}

record! {
    /// A rule about logins.
    AuthRule("a rule") {
        /// By this name records and policy tests call the rule. Unique in the section.
        optional id: Text,
        /// Who is let in.
        optional allow: Who,
        /// Who is refused.
        optional deny: Who,
        /// Who is left to the broker's next plugin.
        optional ignore: Who,
        /// The entry of `passwords` that the client's password is checked against. Only with `allow`.
        optional password: Text,
        /// When it matches (default: always). A list matches where any of them does.
        optional when: OneOrMany<Window>,
        /// Whether it is carried out, or only tried (default: enforce).
        optional mode: Mode,
        /// Warnings of `check` about this rule that are meant, each with the reason.
        optional accept: Accept,
    }
    exactly one of allow, deny, ignore: NoEffect
}

record! {
    /// Who may publish and subscribe to what. The first rule that matches decides.
    Acl("the section `acl`") {
        /// What happens where no rule matches (default: deny).
        optional default: Verdict,
        /// The rules, in order.
        optional rules: Vec<Whole<AclRule>>,
    }
}

record! {
    /// A rule about topics.
    AclRule("a rule") {
        /// By this name records and policy tests call the rule. Unique in the section.
        optional id: Text,
        /// Who is allowed.
        optional allow: Who,
        /// Who is denied.
        optional deny: Who,
        /// Who is left to the broker's next plugin.
        optional ignore: Who,
        /// Topics that the rule is about in both directions.
        optional topics: OneOrMany<Pattern>,
        /// Topics to publish to.
        optional publish: OneOrMany<Pattern>,
        /// Topics to subscribe to.
        optional subscribe: OneOrMany<Pattern>,
        /// When it matches (default: always). A list matches where any of them does.
        optional when: OneOrMany<Window>,
        /// Whether it is carried out, or only tried (default: enforce).
        optional mode: Mode,
        /// Warnings of `check` about this rule that are meant, each with the reason.
        optional accept: Accept,
    }
    exactly one of allow, deny, ignore: NoEffect
    at least one of topics, publish, subscribe: NoTopics
    no key of: untold::why
}

/// Topics.
#[derive(Debug)]
pub(crate) enum Pattern {
    Filter(Text),
    Operator(PatternOperator),
}

choice! {
    /// Topics by another syntax than MQTT's.
    PatternOperator("a topic pattern") {
        /// A glob: `*` within a level, `**` as a whole level across levels.
        Glob("glob"): Text,
        /// A regex that must match the whole topic.
        Regex("regex"): Text,
    }
}

impl Decode for Pattern {
    const WHAT: &'static str = "a topic pattern";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        match yaml.node {
            Node::Map(_) => PatternOperator::decode(yaml, cx).map(Pattern::Operator),
            Node::Seq(_) => {
                cx.wrong_type(yaml, Self::WHAT);
                None
            }
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
                Text::decode(yaml, cx).map(Pattern::Filter)
            }
        }
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "description": "An MQTT topic filter. `${clientid}` and `${username}` stand for this client's value." },
            generator.subschema_for::<PatternOperator>(),
        ] })
    }
}

record! {
    /// Online status and connection history in SQLite.
    History("the section `history`") {
        /// The path of the database, relative to this policy's folder. Its folder is made if it is missing.
        required database: Text,
        /// Rows older than this go (default: they are kept for ever).
        optional keep: Duration,
        /// How much a commit survives (default: normal).
        optional sync: Sync,
        /// What is recorded (default: connections, denials).
        optional record: OneOrMany<Record>,
    }
}

words! {
    /// How much a commit survives.
    Sync("a kind of commit") {
        /// The death of the process; the last commits may go with the power.
        Normal("normal"),
        /// The loss of power.
        Full("full"),
    }
}

words! {
    /// What is recorded.
    Record("a record") {
        /// One row a connection.
        Connections("connections"),
        /// What the policy refused, or would have.
        Denials("denials"),
        /// Every connect and its connack code.
        Attempts("attempts"),
        /// The subscriptions as they stand.
        Subscriptions("subscriptions"),
        /// The messages, where the broker sends message hooks: from 4.3 on, and before in the Enterprise edition.
        Messages("messages"),
    }
}
