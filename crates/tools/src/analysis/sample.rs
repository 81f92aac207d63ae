//! A concrete client that stands for all that are treated alike.

use std::fmt;
use std::sync::Arc;

use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::event::{Client, Shown};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{ClientField, EmptyText, FlagField, HostField, PortField, TextField};
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
    Host(HostField),
    Port(PortField),
    Flag(FlagField),
    /// When the client asks.
    At,
}

impl From<ClientField> for Field {
    fn from(field: ClientField) -> Self {
        match field {
            ClientField::Text(field) => Field::Text(field),
            ClientField::Host(field) => Field::Host(field),
            ClientField::Port(field) => Field::Port(field),
            ClientField::Flag(field) => Field::Flag(field),
        }
    }
}

impl Field {
    fn bit(self) -> u32 {
        let place = match self {
            Field::Text(field) => ClientField::Text(field).place(),
            Field::Host(field) => ClientField::Host(field).place(),
            Field::Port(field) => ClientField::Port(field).place(),
            Field::Flag(field) => ClientField::Flag(field).place(),
            Field::At => ClientField::ALL.len(),
        };
        1 << place
    }
}

/// Some fields of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fields(u32);

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
        for field in TextField::ALL.iter().copied().filter(|field| self.fields.contains(Field::Text(*field))) {
            match (field.traits().empty, field.of(&client).unwrap_or_default()) {
                (EmptyText::Replaced | EmptyText::NoName | EmptyText::NoCertificate | EmptyText::Nothing, "") => {
                    write!(f, "{before}no {}", field.name())?;
                }
                (_, text) => write!(f, "{before}{} {}", field.name(), Shown(text))?,
            }
            self.fmt_members(f, Field::Text(field))?;
            before = ", ";
        }
        for field in HostField::ALL.iter().copied().filter(|field| self.fields.contains(Field::Host(*field))) {
            if let Some(host) = field.of(&client) {
                write!(f, "{before}{} {host}", field.traits().before)?;
                self.fmt_members(f, Field::Host(field))?;
                before = ", ";
            }
        }
        for field in PortField::ALL.iter().copied().filter(|field| self.fields.contains(Field::Port(*field))) {
            if let Some(port) = field.of(&client) {
                write!(f, "{before}{} {port}", field.traits().before)?;
                before = ", ";
            }
        }
        for field in FlagField::ALL.iter().copied().filter(|field| self.fields.contains(Field::Flag(*field))) {
            if let Some(is) = field.of(&client) {
                write!(f, "{before}{}{}", if is { "" } else { "not " }, field.traits().words)?;
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
