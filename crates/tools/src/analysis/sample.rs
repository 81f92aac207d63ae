//! A concrete client that stands for all that are treated alike.

use std::fmt;
use std::sync::Arc;

use super::fields::{FieldSet, SampleField};
use super::lists::ListMember;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::event::{Client, Shown};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{EmptyText, FlagField, HostField, PortField, TextField};
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
    pub(super) members: Vec<ListMember>,
    /// The contents of each policy's lists, in the order of the policies.
    pub(super) lists: Arc<[Lists]>,
    /// The fields that the kinds of client in question ask about.
    pub(super) fields: FieldSet,
    /// The zone in which the time is shown, where they ask about it.
    pub(super) zone: Option<Zone>,
}

impl Sample {
    /// The same where the question is decided without any rule, so that neither the client nor the
    /// time matters.
    pub(super) fn whoever(&self) -> Self {
        Sample { members: Vec::new(), fields: FieldSet::default(), zone: None, ..self.clone() }
    }

    /// The client. Fields that nothing asks about have plain values.
    pub fn client(&self) -> Client<'_> {
        self.client.as_client()
    }

    /// The contents of the lists of a policy, by its place among those of the
    /// [`AnalysisContext`](super::AnalysisContext): inline lists as they are written, and of the
    /// others those members only that the sample assumes.
    pub fn lists(&self, policy: usize) -> &Lists {
        const NONE: &Lists = &Lists::none();
        self.lists.get(policy).unwrap_or(NONE)
    }

    /// What is assumed of lists that are read from elsewhere: the list's name, the value, and
    /// whether it is in the list.
    pub fn assumed(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.members.iter().map(|member| (&*member.name, &*member.text, member.holds))
    }

    fn fmt_members(&self, f: &mut fmt::Formatter<'_>, field: SampleField) -> fmt::Result {
        for (count, member) in self.members.iter().filter(|member| member.field == field).enumerate() {
            let (before, not) = (if count == 0 { " (" } else { ", " }, if member.holds { "" } else { "not " });
            write!(f, "{before}{not}in list `{}`", member.name)?;
        }
        if self.members.iter().any(|member| member.field == field) { f.write_str(")") } else { Ok(()) }
    }
}

/// The client in words, on one line, by the fields that matter: `clientid "a" (in list `fleet`),
/// from 10.0.0.1`.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client();
        let mut before = "";
        for field in TextField::ALL.iter().copied().filter(|field| self.fields.contains(SampleField::Text(*field))) {
            match (field.traits().empty, field.of(&client).unwrap_or_default()) {
                (EmptyText::Replaced | EmptyText::NoName | EmptyText::NoCertificate | EmptyText::Nothing, "") => {
                    write!(f, "{before}no {}", field.name())?;
                }
                (_, text) => write!(f, "{before}{} {}", field.name(), Shown(text))?,
            }
            self.fmt_members(f, SampleField::Text(field))?;
            before = ", ";
        }
        for field in HostField::ALL.iter().copied().filter(|field| self.fields.contains(SampleField::Host(*field))) {
            if let Some(host) = field.of(&client) {
                write!(f, "{before}{} {host}", field.traits().before)?;
                self.fmt_members(f, SampleField::Host(field))?;
                before = ", ";
            }
        }
        for field in PortField::ALL.iter().copied().filter(|field| self.fields.contains(SampleField::Port(*field))) {
            if let Some(port) = field.of(&client) {
                write!(f, "{before}{} {port}", field.traits().before)?;
                before = ", ";
            }
        }
        for field in FlagField::ALL.iter().copied().filter(|field| self.fields.contains(SampleField::Flag(*field))) {
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
