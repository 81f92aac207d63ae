//! A concrete client that stands for all that are treated alike.

use std::fmt;
use std::sync::Arc;

use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::event::{Client, Shown};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{Condition, TextField};
use exhook_policy_core::policy::when::Zone;

/// Clients of which every real one of the focus is treated as one of them is.
#[derive(Debug, Clone)]
pub struct Samples {
    /// The clients, each of the focus.
    pub samples: Vec<Sample>,
    /// They stand for all. Where it is false, there may be clients that none of them is like.
    pub complete: bool,
}

/// A client, with what is assumed of lists that are read from elsewhere.
#[derive(Debug, Clone)]
pub struct Sample {
    pub(super) client: OwnedClient,
    pub(super) members: Vec<Member>,
    /// The contents of each policy's lists, in the order of the policies.
    pub(super) lists: Arc<[Lists]>,
    /// The fields that the kinds of client in question ask about.
    pub(super) fields: Fields,
    /// The zone in which the time is shown, where they ask about it.
    pub(super) zone: Option<Zone>,
}

/// Whether a list from a file or a database holds what a field of the client has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Member {
    /// Its place among the lists of [`Space`](super::Space).
    pub(super) list: usize,
    pub(super) name: Arc<str>,
    pub(super) field: Field,
    pub(super) text: Box<str>,
    pub(super) holds: bool,
}

/// A field of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Text(TextField),
    Peerhost,
    Sockport,
    Peerport,
    IsSuperuser,
    Anonymous,
    /// When the client asks.
    At,
}

impl Field {
    pub(super) const TEXTS: [TextField; 8] = [
        TextField::Clientid,
        TextField::Username,
        TextField::Protocol,
        TextField::Mountpoint,
        TextField::Node,
        TextField::Cluster,
        TextField::Cn,
        TextField::Dn,
    ];

    /// The field that the condition is on.
    pub(super) fn of(condition: &Condition) -> Self {
        match condition {
            Condition::Text(field, _) => Field::Text(*field),
            Condition::Peerhost(_) => Field::Peerhost,
            Condition::Sockport(_) => Field::Sockport,
            Condition::Peerport(_) => Field::Peerport,
            Condition::IsSuperuser(_) => Field::IsSuperuser,
            Condition::Anonymous(_) => Field::Anonymous,
        }
    }

    fn bit(self) -> u16 {
        match self {
            Field::Text(TextField::Clientid) => 1,
            Field::Text(TextField::Username) => 1 << 1,
            Field::Text(TextField::Protocol) => 1 << 2,
            Field::Text(TextField::Mountpoint) => 1 << 3,
            Field::Text(TextField::Node) => 1 << 4,
            Field::Peerhost => 1 << 5,
            Field::Sockport => 1 << 6,
            Field::IsSuperuser => 1 << 7,
            Field::Anonymous => 1 << 8,
            Field::Text(TextField::Cluster) => 1 << 9,
            Field::Text(TextField::Cn) => 1 << 10,
            Field::Text(TextField::Dn) => 1 << 11,
            Field::Peerport => 1 << 12,
            Field::At => 1 << 13,
        }
    }
}

/// Some fields of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fields(u16);

impl Fields {
    pub(super) fn insert(&mut self, field: Field) {
        self.0 |= field.bit();
    }

    pub(super) fn contains(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }

    pub(super) fn without(self, field: Field) -> Self {
        Fields(self.0 & !field.bit())
    }

    /// Whether both the clientid and the username are among them.
    pub(super) fn has_identity(self) -> bool {
        self.contains(Field::Text(TextField::Clientid)) && self.contains(Field::Text(TextField::Username))
    }
}

impl Sample {
    /// The same where the question is decided without any rule, so that neither the client nor the time matters.
    pub(super) fn whoever(&self) -> Self {
        Sample { members: Vec::new(), fields: Fields::default(), zone: None, ..self.clone() }
    }

    /// The client. Fields that nothing asks about have plain values.
    pub fn client(&self) -> Client<'_> {
        self.client.as_client()
    }

    /// The contents of the lists of a policy, by its place among those of the [`Space`](super::Space): inline lists as
    /// they are written, and of the others those members only that the sample assumes.
    pub fn lists(&self, policy: usize) -> &Lists {
        const NONE: &Lists = &Lists::none();
        self.lists.get(policy).unwrap_or(NONE)
    }

    /// What is assumed of lists that are read from elsewhere: the list's name, the value, and whether it is in the list.
    pub fn assumed(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.members.iter().map(|member| (&*member.name, &*member.text, member.holds))
    }

    fn fmt_members(&self, f: &mut fmt::Formatter<'_>, field: Field) -> fmt::Result {
        for (count, member) in self.members.iter().filter(|member| member.field == field).enumerate() {
            let (before, not) = (if count == 0 { " (" } else { ", " }, if member.holds { "" } else { "not " });
            write!(f, "{before}{not}in list `{}`", member.name)?;
        }
        if self.members.iter().any(|member| member.field == field) { f.write_str(")") } else { Ok(()) }
    }
}

/// The client in words, on one line, by the fields that matter: `clientid "a" (in list `fleet`), from 10.0.0.1`.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client();
        let mut before = "";
        for field in Field::TEXTS.into_iter().filter(|field| self.fields.contains(Field::Text(*field))) {
            match (field, field.of(&client).unwrap_or_default()) {
                (
                    TextField::Clientid | TextField::Username | TextField::Mountpoint | TextField::Cn | TextField::Dn,
                    "",
                ) => write!(f, "{before}no {}", field.name())?,
                (_, text) => write!(f, "{before}{} {}", field.name(), Shown(text))?,
            }
            self.fmt_members(f, Field::Text(field))?;
            before = ", ";
        }
        if self.fields.contains(Field::Peerhost) {
            write!(f, "{before}from {}", client.peerhost)?;
            self.fmt_members(f, Field::Peerhost)?;
            before = ", ";
        }
        if self.fields.contains(Field::Sockport) {
            write!(f, "{before}on port {}", client.sockport)?;
            before = ", ";
        }
        if let Some(port) = client.extra.peerport.filter(|_| self.fields.contains(Field::Peerport)) {
            write!(f, "{before}from port {port}")?;
            before = ", ";
        }
        for (field, is, word) in [
            (Field::IsSuperuser, client.is_superuser, "a superuser"),
            (Field::Anonymous, client.anonymous, "anonymous"),
        ] {
            if self.fields.contains(field) {
                write!(f, "{before}{}{word}", if is { "" } else { "not " })?;
                before = ", ";
            }
        }
        if before.is_empty() {
            f.write_str("any client")?;
            before = ", ";
        }
        match (client.extra.at, &self.zone) {
            (Some(at), Some(zone)) => write!(f, "{before}at {}", zone.told(at)),
            (Some(_) | None, _) => Ok(()),
        }
    }
}
