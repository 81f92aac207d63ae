//! The fields of a client, one row each.
//!
//! Whatever is done with a field, from its key in the policy to the examples of the analysis, is done by its kind and by
//! what its row says. A field that the broker tells needs a row here, a place in [`Client`] or [`Extra`](crate::event::Extra)
//! with their owned and their JSON form, and the transports that read it.

mod build;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::emqx::Fact;
use crate::event::owned::OwnedClient;
use crate::event::{Client, Extra, Peerhost};
use crate::text::Placeholder;
use build::{by_kind, client_fields, field_kind, place};

client_fields! {
    Clientid: Text {
        name: clientid,
        told: always,
        policy: "The MQTT client identifier.",
        test: "The MQTT client identifier.",
        line: "The MQTT client identifier.",
        option: ("clientid", "CLIENTID", "The MQTT client identifier"),
        traits: TextTraits {
            placeholder: Some(Placeholder::Clientid),
            empty: EmptyText::Replaced,
            examples: &["someone", "other", "another"],
            stranger: "4ca7b3d1",
            ..PLAIN
        },
    }
    Username: Text {
        name: username,
        told: always,
        policy: "The user name; empty where the client gave none.",
        test: "The user name (default: none, which is the empty text).",
        line: "The user name.",
        option: ("username", "USERNAME", "The user name; empty where the client gives none"),
        traits: TextTraits {
            placeholder: Some(Placeholder::Username),
            empty: EmptyText::NoName,
            examples: &["user", "another-user", "third-user"],
            stranger: "u-4ca7b3d1",
            ..PLAIN
        },
    }
    Peerhost: Host {
        name: peerhost,
        told: always,
        policy: "Where the client connects from: an address or a network.",
        test: "The address that the client connects from (default: 192.0.2.1, which is nobody's).",
        line: "The address that the client connects from.",
        option: ("peerhost", "PEERHOST", "The address that the client connects from"),
        traits: HostTraits { usual: "192.0.2.1", before: "from", stranger: "203.0.113.77" },
    }
    Sockport: Port {
        name: sockport,
        told: always,
        policy: "The listener's port.",
        test: "The listener's port (default: 1883).",
        line: "The listener's port.",
        option: ("sockport", "SOCKPORT", "The listener's port"),
        traits: PortTraits { usual: 1883, before: "on port", examples: [1883, 8883], stranger: 49_151 },
    }
    Protocol: Text {
        name: protocol,
        told: always,
        policy: "`mqtt`, `mqtt-sn`, `coap` and so on.",
        test: "`mqtt`, `mqtt-sn`, `coap` and so on (default: mqtt).",
        line: "`mqtt`, `mqtt-sn`, `coap` and so on.",
        option: ("protocol", "PROTOCOL", "`mqtt`, `mqtt-sn`, `coap` and so on"),
        traits: TextTraits {
            usual: "mqtt",
            examples: &["mqtt", "other"],
            stranger: "mqtt",
            plain: Some("mqtt"),
            ..PLAIN
        },
    }
    Mountpoint: Text {
        name: mountpoint,
        told: always,
        policy: "The prefix that the broker puts before the client's topics; empty where there is none.",
        test: "The prefix that the broker puts before the client's topics (default: none).",
        line: "The prefix that the broker puts before the client's topics.",
        option: ("mountpoint", "MOUNTPOINT", "The prefix that the broker puts before the client's topics"),
        traits: TextTraits {
            empty: EmptyText::Nothing,
            examples: &["somewhere/"],
            stranger: "",
            plain: Some(""),
            ..PLAIN
        },
    }
    Node: Text {
        name: node,
        told: always,
        policy: "The broker node.",
        test: "The broker node (default: emqx@127.0.0.1).",
        line: "The broker node.",
        option: ("node", "NODE", "The broker node"),
        traits: TextTraits {
            usual: "emqx@127.0.0.1",
            examples: &["emqx@127.0.0.1", "other@127.0.0.1"],
            stranger: "emqx@203.0.113.1",
            ..PLAIN
        },
    }
    Cluster: Text {
        name: cluster,
        told: TellsCluster,
        policy: "The name of the broker's cluster. Brokers before 4.3.14 do not tell it.",
        test: "The name of the broker's cluster (default: emqxcl; not told, where a broker of the policy does not tell it).",
        line: "The name of the broker's cluster.",
        option: ("cluster", "CLUSTER", "The name of the broker's cluster"),
        traits: TextTraits {
            usual: "emqxcl",
            examples: &["emqxcl", "other-cluster"],
            stranger: "c-4ca7b3d1",
            ..PLAIN
        },
    }
    Peerport: Port {
        name: peerport,
        told: TellsPeerport,
        policy: "The port that the client connects from. Brokers before 5.4 do not tell it.",
        test: "The port that the client connects from (default: 49152; not told, where a broker of the policy does not tell \
               it).",
        line: "The port that the client connects from.",
        option: ("peerport", "PEERPORT", "The port that the client connects from"),
        traits: PortTraits { usual: 49_152, before: "from port", examples: [49_152, 49_153], stranger: 49_151 },
    }
    Cn: Text {
        name: cn,
        told: TellsCertificate,
        policy: "The common name in the client's TLS certificate; empty without one. Brokers before 4.3 do not tell it.",
        test: "The common name in the client's certificate (default: none, which is the empty text; not told, where a \
               broker of the policy does not tell it).",
        line: "The common name in the client's certificate.",
        option: ("cn", "CN", "The common name in the client's certificate; empty without one"),
        traits: TextTraits {
            empty: EmptyText::NoCertificate,
            examples: &["somebody", "somebody-else"],
            stranger: "cn-4ca7b3d1",
            plain: Some(""),
            ..PLAIN
        },
    }
    Dn: Text {
        name: dn,
        told: TellsCertificate,
        policy: "The subject of the client's TLS certificate; empty without one. Brokers before 4.3 do not tell it.",
        test: "The subject of the client's certificate (default: none, which is the empty text; not told, where a broker of \
               the policy does not tell it).",
        line: "The subject of the client's certificate.",
        option: ("dn", "DN", "The subject of the client's certificate; empty without one"),
        traits: TextTraits {
            empty: EmptyText::NoCertificate,
            examples: &["CN=somebody", "CN=somebody-else"],
            stranger: "CN=cn-4ca7b3d1",
            plain: Some(""),
            ..PLAIN
        },
    }
    IsSuperuser: Flag {
        name: is_superuser,
        told: always,
        policy: "The broker's superuser flag.",
        test: "The broker's superuser flag (default: false).",
        line: "The broker's superuser flag.",
        option: ("is-superuser", "BOOL", "The broker's superuser flag"),
        traits: FlagTraits { words: "a superuser", plain: Some(false) },
    }
    Anonymous: Flag {
        name: anonymous,
        told: always,
        policy: "Whether the broker let the client in without a decision of its own.",
        test: "Whether the broker let the client in without a decision of its own (default: false).",
        line: "Whether the broker let the client in without a decision of its own.",
        option: ("anonymous", "BOOL", "Whether the broker let the client in without a decision of its own"),
        traits: FlagTraits { words: "anonymous", plain: None },
    }
}

/// A field of a client, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the kinds are described at their types")]
pub enum ClientField {
    Text(TextField),
    Host(HostField),
    Port(PortField),
    Flag(FlagField),
}

/// The fields by the names of their kinds, for the rows of the table.
mod of_kind {
    pub(super) use super::{FlagField as Flag, HostField as Host, PortField as Port, TextField as Text};
}

/// The value of a field. It is shown as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kinds are those of the fields")]
pub enum FieldValue<'a> {
    Text(&'a str),
    Host(Peerhost<'a>),
    Port(u16),
    Flag(bool),
}

/// What is to know of a field that is text.
#[derive(Debug)]
pub struct TextTraits {
    /// The placeholder that stands for it.
    pub placeholder: Option<Placeholder>,
    /// What it means where it is the empty text.
    pub empty: EmptyText,
    /// The value of a client of which nothing is said.
    pub usual: &'static str,
    /// Values for examples, at least one.
    pub examples: &'static [&'static str],
    /// A value that no policy names.
    pub stranger: &'static str,
    /// What it is of a client that connects by plain MQTT, without a certificate; `None` where it may be anything.
    pub plain: Option<&'static str>,
}

/// What it means that a field is the empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyText {
    /// The client gave none, and the broker puts one of its own there.
    Replaced,
    /// The client has no name.
    NoName,
    /// The client has no certificate.
    NoCertificate,
    /// There is none, as usual.
    Nothing,
    /// It is a value as any other.
    Value,
}

/// What is to know of a field that is an address.
#[derive(Debug)]
pub struct HostTraits {
    /// The value of a client of which nothing is said.
    pub usual: &'static str,
    /// What stands before the value where a client is told in words.
    pub before: &'static str,
    /// A value that no policy names.
    pub stranger: &'static str,
}

/// What is to know of a field that is a port.
#[derive(Debug)]
pub struct PortTraits {
    /// The value of a client of which nothing is said.
    pub usual: u16,
    /// What stands before the value where a client is told in words.
    pub before: &'static str,
    /// Values for examples.
    pub examples: [u16; 2],
    /// A value that no policy names.
    pub stranger: u16,
}

/// What is to know of a field that is true or false. It is false for a client of which nothing is said.
#[derive(Debug)]
pub struct FlagTraits {
    /// What a client is of which it is true.
    pub words: &'static str,
    /// What it is of a client that connects by plain MQTT, without a certificate; `None` where it may be either.
    pub plain: Option<bool>,
}

/// How a field is described in the schemas.
#[derive(Debug)]
pub(crate) struct FieldDescriptions {
    /// In a policy.
    pub(crate) policy: &'static str,
    /// Of a client in a test file.
    pub(crate) test: &'static str,
    /// In an expectation of a test file.
    pub(crate) line: &'static str,
}

/// A text of which nothing is special.
const PLAIN: TextTraits =
    TextTraits { placeholder: None, empty: EmptyText::Value, usual: "", examples: &[], stranger: "", plain: None };

impl ClientField {
    /// The field of this name.
    pub fn named(name: &str) -> Option<Self> {
        ClientField::ALL.iter().copied().find(|field| field.name() == name)
    }

    /// All fields in the order of events: first those that every broker tells.
    pub fn in_events() -> impl Iterator<Item = Self> {
        let told =
            |by_all: bool| ClientField::ALL.iter().copied().filter(move |field| field.told_by().is_none() == by_all);
        told(true).chain(told(false))
    }

    /// Its name, as the policy spells it.
    pub const fn name(self) -> &'static str {
        match self {
            ClientField::Text(field) => field.name(),
            ClientField::Host(field) => field.name(),
            ClientField::Port(field) => field.name(),
            ClientField::Flag(field) => field.name(),
        }
    }

    /// What a broker must do to tell it; `None` where every broker does.
    pub const fn told_by(self) -> Option<Fact> {
        match self {
            ClientField::Text(field) => field.told_by(),
            ClientField::Host(field) => field.told_by(),
            ClientField::Port(field) => field.told_by(),
            ClientField::Flag(field) => field.told_by(),
        }
    }

    /// Its value; `None` where the broker does not tell it.
    pub fn of<'a>(self, client: &Client<'a>) -> Option<FieldValue<'a>> {
        match self {
            ClientField::Text(field) => field.of(client).map(FieldValue::Text),
            ClientField::Host(field) => field.of(client).map(FieldValue::Host),
            ClientField::Port(field) => field.of(client).map(FieldValue::Port),
            ClientField::Flag(field) => field.of(client).map(FieldValue::Flag),
        }
    }

    /// Takes the value away, as where the broker does not tell it. What every broker tells stays.
    pub fn unset(self, client: &mut OwnedClient) {
        match self {
            ClientField::Text(field) => field.unset(client),
            ClientField::Host(field) => field.unset(client),
            ClientField::Port(field) => field.unset(client),
            ClientField::Flag(field) => field.unset(client),
        }
    }

    /// Gives it a value that no policy names; a flag is false.
    pub fn make_strange(self, client: &mut OwnedClient) {
        match self {
            ClientField::Text(field) => field.set(client, field.traits().stranger),
            ClientField::Host(field) => field.set(client, Peerhost::parse(field.traits().stranger)),
            ClientField::Port(field) => field.set(client, field.traits().stranger),
            ClientField::Flag(field) => field.set(client, false),
        }
    }

    /// Gives it, among what only some brokers tell, the value of a client of which nothing is said, or none.
    fn set_usual(self, extra: &mut Extra<'static>, is_told: bool) {
        match self {
            ClientField::Text(field) => field.set_extra(extra, is_told.then_some(field.traits().usual)),
            ClientField::Host(field) => {
                field.set_extra(extra, is_told.then(|| Peerhost::parse(field.traits().usual)));
            }
            ClientField::Port(field) => field.set_extra(extra, is_told.then_some(field.traits().usual)),
            ClientField::Flag(field) => field.set_extra(extra, is_told.then_some(false)),
        }
    }
}

impl Extra<'_> {
    /// What is told of a client of which nothing is said, of the fields that brokers tell that do these things.
    pub fn usual(is_told: impl Fn(Fact) -> bool) -> Extra<'static> {
        let mut extra = Extra::NONE;
        for field in ClientField::ALL {
            field.set_usual(&mut extra, field.told_by().is_some_and(&is_told));
        }
        extra
    }

    /// Without the fields that are not to be kept. The time stays.
    #[must_use]
    pub fn only(mut self, keeps: impl Fn(ClientField) -> bool) -> Self {
        for field in ClientField::ALL.iter().filter(|field| !keeps(**field)) {
            match field {
                ClientField::Text(field) => field.set_extra(&mut self, None),
                ClientField::Host(field) => field.set_extra(&mut self, None),
                ClientField::Port(field) => field.set_extra(&mut self, None),
                ClientField::Flag(field) => field.set_extra(&mut self, None),
            }
        }
        self
    }
}

impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::Text(text) => f.write_str(text),
            FieldValue::Host(host) => host.fmt(f),
            FieldValue::Port(port) => port.fmt(f),
            FieldValue::Flag(flag) => flag.fmt(f),
        }
    }
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FieldValue::Text(text) => serializer.serialize_str(text),
            FieldValue::Host(host) => serializer.collect_str(host),
            FieldValue::Port(port) => serializer.serialize_u16(*port),
            FieldValue::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}
