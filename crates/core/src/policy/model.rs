//! A validated policy: every name resolved, every pattern parsed, nothing left that can be wrong.
//! It knows no YAML and no spans.

mod fields;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::brokers::Brokers;
use super::compiled::PolicySettings;
use super::when::When;
use crate::decision::{FLAPPING, LOCKOUT, Mode, Verdict};
use crate::hook::{Hook, Kind};
use crate::text::{Matcher, Template};
use crate::topic::Pattern;
pub(crate) use fields::FieldDescriptions;
pub use fields::{
    ClientField, EmptyText, FieldValue, FlagField, FlagFields, FlagTraits, HostField, HostFields, HostTraits,
    PortField, PortFields, PortTraits, TextField, TextFields, TextTraits,
};

/// Index into [`Model::lists`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListId(pub usize);

/// Index into [`Model::passwords`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PasswordId(pub usize);

/// What one policy file says.
#[derive(Debug, Clone)]
pub struct Model {
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// Which brokers it is for.
    pub brokers: Brokers,
    /// Every call is answered within it.
    pub deadline: Duration,
    /// What is in force at a start where the file does not load.
    pub if_invalid: IfInvalid,
    /// The named lists, addressed by [`ListId`].
    pub lists: Vec<ListDef>,
    /// The named password sources, addressed by [`PasswordId`].
    pub passwords: Vec<PasswordDef>,
    /// Who may log in; `None` leaves logins to the broker.
    pub auth: Option<Section<AuthRule>>,
    /// Who is kept out for a while, whatever the rules of `auth` say.
    pub limits: LimitDefs,
    /// Who may publish and subscribe; `None` leaves topics to the broker.
    pub acl: Option<Section<AclRule>>,
    /// Which lines go to stderr.
    pub log: LogLines,
    /// What is remembered; `None` keeps nothing.
    pub history: Option<HistoryDef>,
    /// Where events are written to be replayed; `None` writes nothing.
    pub capture: Option<CaptureDef>,
    /// Where counters and times are to be had; `None` keeps them to itself.
    pub metrics: Option<MetricsDef>,
}

/// What is in force at a start where the policy file does not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfInvalid {
    /// Nothing: everything is denied.
    #[default]
    Deny,
    /// The policy that was in force last.
    LastGood,
}

/// Rules, of which the first that matches decides.
#[derive(Debug, Clone)]
pub struct Section<R> {
    /// The verdict where no rule matches.
    pub default: Verdict,
    /// In the order of the file.
    pub rules: Vec<R>,
}

/// What keeps clients out for a while; `None` keeps nobody out.
#[derive(Debug, Clone, Default)]
pub struct LimitDefs {
    /// Clients whose logins fail too often.
    pub lockout: Option<LimitDef>,
    /// Clients that log in too often.
    pub flapping: Option<LimitDef>,
}

/// How much is too much, and what follows.
#[derive(Debug, Clone)]
pub struct LimitDef {
    /// By what clients are counted, each on its own; none twice.
    pub by: Vec<Counted>,
    /// So many are too many, at least 1.
    pub most: u16,
    /// Within this time.
    pub within: Duration,
    /// For so long they are refused then.
    pub ban: Duration,
    /// Who is neither counted nor refused.
    pub exempt: Option<Who>,
}

/// What is the same of clients that are counted together: a field, or a combination of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the broker's, described at `Client`")]
pub struct Counted {
    pub clientid: bool,
    pub username: bool,
    pub peerhost: bool,
}

impl Counted {
    /// The names of the fields, in the order in which they are shown.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let fields = [(self.clientid, "clientid"), (self.username, "username"), (self.peerhost, "peerhost")];
        fields.into_iter().filter_map(|(is_counted, name)| is_counted.then_some(name))
    }
}

impl LimitDefs {
    /// The ids of those that there are.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let lockout = self.lockout.as_ref().map(|_| LOCKOUT);
        lockout.into_iter().chain(self.flapping.as_ref().map(|_| FLAPPING))
    }

    /// Who is exempt.
    pub fn exempt(&self) -> impl Iterator<Item = &Who> {
        self.lockout.iter().chain(&self.flapping).filter_map(|limit| limit.exempt.as_ref())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lockout.is_none() && self.flapping.is_none()
    }
}

/// One rule of `auth`.
#[derive(Debug, Clone)]
pub struct AuthRule {
    /// Unique within the section.
    pub id: String,
    /// What the rule says where it matches.
    pub verdict: Verdict,
    /// Whom it is about.
    pub who: Who,
    /// Where the password is looked up; only on rules that allow and are carried out.
    pub password: Option<PasswordId>,
    /// Whether it is carried out, or only tried.
    pub mode: Mode,
    /// The line of the rule in the file, from 1.
    pub line: usize,
}

/// One rule of `acl`.
#[derive(Debug, Clone)]
pub struct AclRule {
    /// Unique within the section.
    pub id: String,
    /// What the rule says where it matches.
    pub verdict: Verdict,
    /// Whom it is about.
    pub who: Who,
    /// Patterns for publishes, those of `topics` included.
    pub publish: Vec<Pattern>,
    /// Patterns for subscriptions, those of `topics` included.
    pub subscribe: Vec<Pattern>,
    /// Whether it is carried out, or only tried.
    pub mode: Mode,
    /// The line of the rule in the file, from 1.
    pub line: usize,
}

/// A kind of client.
#[derive(Debug, Clone)]
pub enum Who {
    /// Every client.
    Everyone,
    /// Clients of a kind that has a name.
    Named(Arc<Named>),
    /// Clients of any of these kinds.
    Any(Vec<Who>),
    /// Clients of whom every condition holds.
    All(Vec<Condition>),
    /// These clients, at some time. It stands outermost, since a rule as a whole says when it matches.
    During(Arc<When>, Box<Who>),
}

/// An entry of `clients`, shared by the rules that name it.
#[derive(Debug)]
pub struct Named {
    /// Its key under `clients`.
    pub name: String,
    /// Which clients are of this kind.
    pub who: Who,
}

/// A condition on one field of the client.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the kinds are those of `ClientField`")]
pub enum Condition {
    Text(TextField, TextCondition),
    Host(HostField, HostCondition),
    Port(PortField, PortCondition),
    /// The flag is this.
    Flag(FlagField, bool),
}

impl Condition {
    /// The field that it is on.
    pub const fn field(&self) -> ClientField {
        match self {
            Condition::Text(field, _) => ClientField::Text(*field),
            Condition::Host(field, _) => ClientField::Host(*field),
            Condition::Port(field, _) => ClientField::Port(*field),
            Condition::Flag(field, _) => ClientField::Flag(*field),
        }
    }
}

/// A condition on a text.
#[derive(Debug, Clone)]
pub enum TextCondition {
    /// Equal to the text, placeholders filled in; does not hold where a placeholder's value is empty.
    Equals(Template),
    /// The whole text matches a glob or a regex.
    Matches(Matcher),
    /// A member of the list.
    In(ListId),
    /// The inner condition does not hold.
    Not(Box<TextCondition>),
    /// Any of these holds.
    Any(Vec<TextCondition>),
}

/// A condition on an address.
#[derive(Debug, Clone)]
pub enum HostCondition {
    /// This address.
    Address(IpAddr),
    /// Inside this network.
    Network(IpNet),
    /// The address's usual text matches a glob or a regex.
    Matches(Matcher),
    /// Inside one of the list's addresses and networks.
    In(ListId),
    /// The inner condition does not hold.
    Not(Box<HostCondition>),
    /// Any of these holds.
    Any(Vec<HostCondition>),
}

/// A condition on a port.
#[derive(Debug, Clone)]
pub enum PortCondition {
    /// This port.
    Is(u16),
    /// The inner condition does not hold.
    Not(Box<PortCondition>),
    /// Any of these holds.
    Any(Vec<PortCondition>),
}

/// A named list and what it is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDef {
    /// Its key under `lists`.
    pub name: String,
    /// Where its entries are.
    pub source: ListSource,
    /// Some condition on a text field uses it.
    pub used_as_text: bool,
    /// Some condition on `peerhost` uses it, so every entry must be an address or a network.
    pub used_as_networks: bool,
}

/// Where a list's entries are. Paths are resolved against the policy's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field names are the policy's")]
pub enum ListSource {
    /// In the policy itself.
    Inline(Vec<String>),
    /// One entry a line.
    File { path: PathBuf, refresh: Duration },
    /// The first column of a query's rows.
    Sqlite { path: PathBuf, query: String, refresh: Duration },
}

impl ListSource {
    /// Whether both are read from one place in one way, however often.
    pub fn is_same_place(&self, other: &ListSource) -> bool {
        match (self, other) {
            (ListSource::Inline(own), ListSource::Inline(other)) => own == other,
            (ListSource::File { path: own, .. }, ListSource::File { path: other, .. }) => own == other,
            (
                ListSource::Sqlite { path: own, query: own_query, .. },
                ListSource::Sqlite { path: other, query: other_query, .. },
            ) => own == other && own_query == other_query,
            (ListSource::Inline(_) | ListSource::File { .. } | ListSource::Sqlite { .. }, _) => false,
        }
    }
}

/// A named source of password hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordDef {
    /// Its key under `passwords`.
    pub name: String,
    /// Where the hashes are.
    pub source: PasswordSource,
}

/// Where password hashes are. Paths are resolved against the policy's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field names are the policy's")]
pub enum PasswordSource {
    /// `username:hash` a line.
    File { path: PathBuf },
    /// A query with the parameter `:username` that gives the hash.
    Sqlite { path: PathBuf, query: String },
}

/// Which lines go to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches")]
pub struct LogLines {
    /// What was refused, or would have been.
    pub denials: bool,
    /// Every login and topic decision.
    pub decisions: bool,
    /// Clients that come and go.
    pub connections: bool,
    /// Every event.
    pub events: bool,
}

/// What is remembered, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryDef {
    /// The SQLite file, resolved against the policy's folder.
    pub database: PathBuf,
    /// Rows older than this go; `None` keeps them for ever.
    pub keep: Option<Duration>,
    /// How much a commit survives.
    pub sync: Sync,
    /// Which tables are kept.
    pub record: Record,
}

/// How much a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// The death of the process; the last commits may go with the power.
    #[default]
    Normal,
    /// The loss of power.
    Full,
}

/// Which tables are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent switches")]
#[expect(missing_docs, reason = "the names are the tables'")]
pub struct Record {
    pub connections: bool,
    pub denials: bool,
    pub attempts: bool,
    pub subscriptions: bool,
    pub messages: bool,
}

/// What of a [`Model`] decides.
#[derive(Debug, Clone)]
pub(super) struct ModelRules {
    pub(super) lists: Vec<ListDef>,
    pub(super) passwords: Vec<PasswordDef>,
    pub(super) auth: Option<Section<AuthRule>>,
    pub(super) limits: LimitDefs,
    pub(super) acl: Option<Section<AclRule>>,
}

impl Model {
    /// What decides, and all else.
    pub(super) fn split(self) -> (ModelRules, PolicySettings) {
        let Model {
            mode,
            brokers,
            deadline,
            if_invalid,
            lists,
            passwords,
            auth,
            limits,
            acl,
            log,
            history,
            capture,
            metrics,
        } = self;
        let settings = PolicySettings { mode, brokers, deadline, if_invalid, log, history, capture, metrics };
        (ModelRules { lists, passwords, auth, limits, acl }, settings)
    }
}

impl ModelRules {
    /// Whether some rule is only tried.
    pub(super) fn tries(&self) -> bool {
        let auth = self.auth.iter().flat_map(|auth| &auth.rules).map(|rule| rule.mode);
        let acl = self.acl.iter().flat_map(|acl| &acl.rules).map(|rule| rule.mode);
        auth.chain(acl).any(|mode| mode == Mode::Audit)
    }

    /// The rules that are carried out, and no others.
    #[must_use]
    pub(super) fn enforced(mut self) -> Self {
        self.auth.iter_mut().for_each(|auth| auth.rules.retain(|rule| rule.mode == Mode::Enforce));
        self.acl.iter_mut().for_each(|acl| acl.rules.retain(|rule| rule.mode == Mode::Enforce));
        self
    }
}

impl Record {
    /// The tables as the bits of a number.
    pub fn bits(self) -> u8 {
        let Record { connections, denials, attempts, subscriptions, messages } = self;
        let bits = [connections, denials, attempts, subscriptions, messages];
        bits.into_iter().rev().fold(0, |number, bit| number << 1 | u8::from(bit))
    }

    /// The tables of such a number.
    pub fn of_bits(number: u8) -> Self {
        let bit = |place: u8| number >> place & 1 == 1;
        Record { connections: bit(0), denials: bit(1), attempts: bit(2), subscriptions: bit(3), messages: bit(4) }
    }

    /// Whether these tables are kept from calls of the hook.
    pub fn needs(self, hook: Hook) -> bool {
        match hook {
            Hook::ClientConnect | Hook::ClientConnack => self.attempts,
            Hook::ClientConnected | Hook::ClientDisconnected | Hook::SessionDiscarded | Hook::SessionTakenOver => {
                self.connections
            }
            Hook::SessionCreated | Hook::SessionSubscribed | Hook::SessionUnsubscribed | Hook::SessionTerminated => {
                self.subscriptions
            }
            Hook::MessagePublish => self.messages,
            Hook::ClientAuthenticate
            | Hook::ClientCheckAcl
            | Hook::ClientSubscribe
            | Hook::ClientUnsubscribe
            | Hook::SessionResumed => false,
        }
    }
}

/// Where events are written, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureDef {
    /// The file, resolved against the policy's folder.
    pub file: PathBuf,
    /// A file that would grow beyond so many bytes is put aside.
    pub max_size: u64,
    /// How many files there are at most, at least 1.
    pub max_files: u16,
    /// Which events are written.
    pub events: Captured,
}

/// Which events are captured, where the policy is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent switches")]
#[expect(missing_docs, reason = "the names are the policy's")]
pub struct Captured {
    pub logins: bool,
    pub topics: bool,
    pub connections: bool,
    pub sessions: bool,
    pub messages: bool,
}

impl Captured {
    /// Whether calls of the hook are captured.
    pub fn takes(self, hook: Hook) -> bool {
        match hook {
            Hook::ClientAuthenticate => self.logins,
            Hook::ClientCheckAcl => self.topics,
            Hook::ClientConnect | Hook::ClientConnack | Hook::ClientConnected | Hook::ClientDisconnected => {
                self.connections
            }
            Hook::ClientSubscribe
            | Hook::ClientUnsubscribe
            | Hook::SessionCreated
            | Hook::SessionResumed
            | Hook::SessionDiscarded
            | Hook::SessionTakenOver
            | Hook::SessionSubscribed
            | Hook::SessionUnsubscribed
            | Hook::SessionTerminated => self.sessions,
            Hook::MessagePublish => self.messages,
        }
    }
}

/// Where counters and times are to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsDef {
    /// A file that is replaced now and then.
    File {
        /// The file, resolved against the policy's folder.
        path: PathBuf,
        /// How often.
        every: Duration,
    },
    /// A port of this machine, by HTTP.
    Listen(SocketAddr),
}

/// What a policy wants to be told of.
#[derive(Debug, Clone, Copy)]
pub struct Interest {
    /// It decides logins.
    pub auth: bool,
    /// It decides topics.
    pub acl: bool,
    /// Which lines it logs.
    pub log: LogLines,
    /// What it remembers.
    pub record: Option<Record>,
}

impl Interest {
    /// Whether the policy needs calls of the hook. Every hook holds up its client; and a hook that asks is never taken
    /// for the sake of a log line or of a capture, since a section that is left out must not be able to refuse anyone.
    pub fn needs(self, hook: Hook) -> bool {
        let decided = match hook {
            Hook::ClientAuthenticate => self.auth,
            Hook::ClientCheckAcl => self.acl,
            Hook::ClientConnected | Hook::ClientDisconnected => self.log.connections,
            Hook::ClientConnect
            | Hook::ClientConnack
            | Hook::ClientSubscribe
            | Hook::ClientUnsubscribe
            | Hook::SessionCreated
            | Hook::SessionResumed
            | Hook::SessionDiscarded
            | Hook::SessionTakenOver
            | Hook::SessionSubscribed
            | Hook::SessionUnsubscribed
            | Hook::SessionTerminated
            | Hook::MessagePublish => false,
        };
        // A message is nobody's coming or going, and would be a line for each publish.
        let logged = self.log.events && hook.kind() == Kind::Tells && hook != Hook::MessagePublish;
        decided || logged || self.record.is_some_and(|record| record.needs(hook))
    }
}
