//! The policy file as it is written: its keys, their descriptions, and what may stand under them.
//!
//! These types never leave the policy's reader: [`super::validate`] makes a
//! [`Model`](super::model::Model) of them, in which nothing can be wrong any more.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::codes::Code;
use super::decode::{Cx, Decode, Named, OneOrMany, Placed, Text, choice, record, words};
use super::diag::{Diagnostic, quote};
use super::duration::Duration;
use super::span::Span;
use super::yaml::{Node, Yaml};

record! {
    /// The login and topic rules of an EMQX broker, and what is remembered of its clients.
    Policy("a policy") {
        /// The version of the policy language.
        required version: Version,
        /// Whether decisions are carried out (default: enforce).
        optional mode: Mode,
        /// Every call is answered within it (default: 2s). It must be shorter than the broker's `call_timeout`.
        optional deadline: Duration,
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
    match (yaml.get("file"), yaml.get("sqlite")) {
        (Some(first), Some(second)) => {
            let message = "`file` and `sqlite` exclude each other";
            cx.push(Diagnostic::new(Code::ConflictingKeys, second.span, message).related(first.span, "the other one"));
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
    const WHAT: &'static str = "a list of texts, or where it is";

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
        /// The rules, in order.
        optional rules: Vec<AuthRule>,
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
    }
    exactly one of allow, deny, ignore: NoEffect
}

record! {
    /// Who may publish and subscribe to what. The first rule that matches decides.
    Acl("the section `acl`") {
        /// What happens where no rule matches (default: deny).
        optional default: Verdict,
        /// The rules, in order.
        optional rules: Vec<AclRule>,
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
    }
    exactly one of allow, deny, ignore: NoEffect
    at least one of topics, publish, subscribe: NoTopics
}

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

record! {
    /// Conditions on a client. All must hold.
    Kind("a kind of client") {
        /// The MQTT client identifier.
        optional clientid: Condition<Text, TextOperator>,
        /// The user name; empty where the client gave none.
        optional username: Condition<Text, TextOperator>,
        /// Where the client connects from: an address or a network.
        optional peerhost: Condition<Text, PeerhostOperator>,
        /// The listener's port.
        optional sockport: Condition<Port, PortOperator>,
        /// `mqtt`, `mqtt-sn`, `coap` and so on.
        optional protocol: Condition<Text, TextOperator>,
        /// The prefix that the broker puts before the client's topics; empty where there is none.
        optional mountpoint: Condition<Text, TextOperator>,
        /// The broker node.
        optional node: Condition<Text, TextOperator>,
        /// The broker's superuser flag.
        optional is_superuser: bool,
        /// Whether the broker let the client in without a decision of its own.
        optional anonymous: bool,
    }
    at least one of clientid, username, peerhost, sockport, protocol, mountpoint, node, is_superuser, anonymous: NoConditions
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
        /// The messages, where the broker sends message hooks: the Enterprise edition does.
        Messages("messages"),
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
