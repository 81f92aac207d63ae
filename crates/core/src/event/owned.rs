//! Events that outlive their call. None has room for a password or for a message's bytes.

use std::net::IpAddr;

use super::{Action, Attempt, Client, Event, Extra, Message, Password, Payload, Peerhost};
use crate::hook::Hook;

/// An [`Event`] of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnedEvent {
    /// [`Event::Connect`]
    Connect(OwnedAttempt),
    /// [`Event::Connack`]
    Connack {
        /// The connection attempt.
        attempt: OwnedAttempt,
        /// The broker's name of the CONNACK code.
        code: Box<str>,
        /// The clientid that the broker chose.
        assigned: Option<Box<str>>,
    },
    /// [`Event::Authenticate`]
    Authenticate {
        /// Who asks.
        client: OwnedClient,
        /// Whether a password that is not empty was given.
        password_given: bool,
    },
    /// [`Event::CheckAcl`]
    CheckAcl {
        /// Who asks.
        client: OwnedClient,
        /// Publish or subscribe.
        action: Action,
        /// The topic name or filter.
        topic: Box<str>,
    },
    /// An event that says nothing but whose it is.
    Plain(Plain, OwnedClient),
    /// [`Event::Disconnected`]
    Disconnected {
        /// The client whose connection ended.
        client: OwnedClient,
        /// The broker's word for it.
        reason: Box<str>,
    },
    /// [`Event::SessionSubscribed`]
    SessionSubscribed {
        /// Whose session.
        client: OwnedClient,
        /// The filter.
        topic: Box<str>,
        /// The granted quality of service.
        qos: u8,
    },
    /// [`Event::SessionUnsubscribed`]
    SessionUnsubscribed {
        /// Whose session.
        client: OwnedClient,
        /// The filter.
        topic: Box<str>,
    },
    /// [`Event::SessionTerminated`]
    SessionTerminated {
        /// Whose session.
        client: OwnedClient,
        /// The broker's word for it.
        reason: Box<str>,
    },
    /// [`Event::MessagePublish`]
    MessagePublish(OwnedMessage),
}

/// The events that say nothing but whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `Event`")]
pub enum Plain {
    Connected,
    Subscribe,
    Unsubscribe,
    SessionCreated,
    SessionResumed,
    SessionDiscarded,
    SessionTakenOver,
}

/// A [`Client`] of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Client`")]
pub struct OwnedClient {
    pub clientid: Box<str>,
    pub username: Box<str>,
    pub peerhost: OwnedPeerhost,
    pub sockport: u16,
    pub protocol: Box<str>,
    pub mountpoint: Box<str>,
    pub node: Box<str>,
    pub is_superuser: bool,
    pub anonymous: bool,
    pub extra: OwnedExtra,
}

/// An [`Extra`] of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of `Extra`")]
pub struct OwnedExtra {
    pub cluster: Option<Box<str>>,
    pub peerport: Option<u16>,
    pub cn: Option<Box<str>>,
    pub dn: Option<Box<str>>,
    pub at: Option<i64>,
}

/// An [`Attempt`] of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Attempt`")]
pub struct OwnedAttempt {
    pub clientid: Box<str>,
    pub username: Box<str>,
    pub peerhost: OwnedPeerhost,
    pub sockport: u16,
    pub proto_name: Box<str>,
    pub proto_ver: u8,
    pub keepalive: u16,
    pub node: Box<str>,
    pub extra: OwnedExtra,
}

/// A [`Message`] of its own, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Message`")]
pub struct OwnedMessage {
    pub from: Box<str>,
    pub topic: Box<str>,
    pub qos: u8,
    /// How many bytes it had.
    pub size: u64,
    pub timestamp: i64,
    pub node: Box<str>,
    pub cluster: Option<Box<str>>,
}

/// A [`Peerhost`] of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedPeerhost {
    /// An IP address.
    Addr(IpAddr),
    /// Whatever else the broker said.
    Other(Box<str>),
}

impl OwnedPeerhost {
    /// Lends it.
    pub fn as_peerhost(&self) -> Peerhost<'_> {
        match self {
            OwnedPeerhost::Addr(addr) => Peerhost::Addr(*addr),
            OwnedPeerhost::Other(text) => Peerhost::Other(text),
        }
    }
}

impl From<Peerhost<'_>> for OwnedPeerhost {
    fn from(peerhost: Peerhost<'_>) -> Self {
        match peerhost {
            Peerhost::Addr(addr) => OwnedPeerhost::Addr(addr),
            Peerhost::Other(text) => OwnedPeerhost::Other(text.into()),
        }
    }
}

impl OwnedExtra {
    /// Lends it.
    pub fn as_extra(&self) -> Extra<'_> {
        Extra {
            cluster: self.cluster.as_deref(),
            peerport: self.peerport,
            cn: self.cn.as_deref(),
            dn: self.dn.as_deref(),
            at: self.at,
        }
    }
}

impl From<Extra<'_>> for OwnedExtra {
    fn from(extra: Extra<'_>) -> Self {
        OwnedExtra {
            cluster: extra.cluster.map(Box::from),
            peerport: extra.peerport,
            cn: extra.cn.map(Box::from),
            dn: extra.dn.map(Box::from),
            at: extra.at,
        }
    }
}

impl OwnedClient {
    /// A client of which only the clientid is known: no username, no address, MQTT on port 1883.
    pub fn named(clientid: &str) -> Self {
        OwnedClient {
            clientid: clientid.into(),
            username: "".into(),
            peerhost: OwnedPeerhost::Other("".into()),
            sockport: 1883,
            protocol: "mqtt".into(),
            mountpoint: "".into(),
            node: "".into(),
            is_superuser: false,
            anonymous: false,
            extra: OwnedExtra::default(),
        }
    }

    /// Lends it.
    pub fn as_client(&self) -> Client<'_> {
        Client {
            clientid: &self.clientid,
            username: &self.username,
            peerhost: self.peerhost.as_peerhost(),
            sockport: self.sockport,
            protocol: &self.protocol,
            mountpoint: &self.mountpoint,
            node: &self.node,
            is_superuser: self.is_superuser,
            anonymous: self.anonymous,
            extra: self.extra.as_extra(),
        }
    }
}

impl From<&Client<'_>> for OwnedClient {
    fn from(client: &Client<'_>) -> Self {
        OwnedClient {
            clientid: client.clientid.into(),
            username: client.username.into(),
            peerhost: client.peerhost.into(),
            sockport: client.sockport,
            protocol: client.protocol.into(),
            mountpoint: client.mountpoint.into(),
            node: client.node.into(),
            is_superuser: client.is_superuser,
            anonymous: client.anonymous,
            extra: client.extra.into(),
        }
    }
}

/// A [`Client`] of its own that is made quickly: all its texts are in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedClient {
    /// The clientid, the username, the protocol, the mountpoint and the node.
    texts: Box<str>,
    /// Where each of them ends.
    ends: [usize; 5],
    peerhost: OwnedPeerhost,
    sockport: u16,
    is_superuser: bool,
    anonymous: bool,
    /// `None` where the broker told nothing of it.
    extra: Option<Box<OwnedExtra>>,
}

impl PackedClient {
    /// Lends it.
    pub fn as_client(&self) -> Client<'_> {
        let [clientid, username, protocol, mountpoint, node] = self.ends;
        Client {
            clientid: self.text(0, clientid),
            username: self.text(clientid, username),
            peerhost: self.peerhost.as_peerhost(),
            sockport: self.sockport,
            protocol: self.text(username, protocol),
            mountpoint: self.text(protocol, mountpoint),
            node: self.text(mountpoint, node),
            is_superuser: self.is_superuser,
            anonymous: self.anonymous,
            extra: self.extra.as_deref().map(OwnedExtra::as_extra).unwrap_or_default(),
        }
    }

    /// The user name; empty where the client gave none.
    pub fn username(&self) -> &str {
        let [clientid, username, ..] = self.ends;
        self.text(clientid, username)
    }

    fn text(&self, from: usize, to: usize) -> &str {
        self.texts.get(from..to).unwrap_or_default()
    }
}

impl From<&Client<'_>> for PackedClient {
    fn from(client: &Client<'_>) -> Self {
        let parts = [client.clientid, client.username, client.protocol, client.mountpoint, client.node];
        let mut texts = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        let ends = parts.map(|part| {
            texts.push_str(part);
            texts.len()
        });
        PackedClient {
            texts: texts.into(),
            ends,
            peerhost: client.peerhost.into(),
            sockport: client.sockport,
            is_superuser: client.is_superuser,
            anonymous: client.anonymous,
            extra: (client.extra != Extra::default()).then(|| Box::new(client.extra.into())),
        }
    }
}

impl OwnedAttempt {
    /// Lends it.
    pub fn as_attempt(&self) -> Attempt<'_> {
        Attempt {
            clientid: &self.clientid,
            username: &self.username,
            peerhost: self.peerhost.as_peerhost(),
            sockport: self.sockport,
            proto_name: &self.proto_name,
            proto_ver: self.proto_ver,
            keepalive: self.keepalive,
            node: &self.node,
            extra: self.extra.as_extra(),
        }
    }
}

impl From<&Attempt<'_>> for OwnedAttempt {
    fn from(attempt: &Attempt<'_>) -> Self {
        OwnedAttempt {
            clientid: attempt.clientid.into(),
            username: attempt.username.into(),
            peerhost: attempt.peerhost.into(),
            sockport: attempt.sockport,
            proto_name: attempt.proto_name.into(),
            proto_ver: attempt.proto_ver,
            keepalive: attempt.keepalive,
            node: attempt.node.into(),
            extra: attempt.extra.into(),
        }
    }
}

impl OwnedMessage {
    /// Lends it, with its payload left out.
    pub fn as_message(&self) -> Message<'_> {
        Message {
            from: &self.from,
            topic: &self.topic,
            qos: self.qos,
            payload: Payload::left_out(self.size),
            timestamp: self.timestamp,
            node: &self.node,
            cluster: self.cluster.as_deref(),
        }
    }
}

impl From<&Message<'_>> for OwnedMessage {
    fn from(message: &Message<'_>) -> Self {
        OwnedMessage {
            from: message.from.into(),
            topic: message.topic.into(),
            qos: message.qos,
            size: message.payload.size(),
            timestamp: message.timestamp,
            node: message.node.into(),
            cluster: message.cluster.map(Box::from),
        }
    }
}

impl From<&Event<'_>> for OwnedEvent {
    fn from(event: &Event<'_>) -> Self {
        let plain = |which, client: &Client<'_>| OwnedEvent::Plain(which, client.into());
        match event {
            Event::Connect(attempt) => OwnedEvent::Connect(attempt.into()),
            Event::Connack { attempt, code, assigned } => {
                OwnedEvent::Connack { attempt: attempt.into(), code: (*code).into(), assigned: assigned.map(Box::from) }
            }
            Event::Authenticate { client, password } => {
                OwnedEvent::Authenticate { client: client.into(), password_given: password.is_given() }
            }
            Event::CheckAcl { client, action, topic } => {
                OwnedEvent::CheckAcl { client: client.into(), action: *action, topic: (*topic).into() }
            }
            Event::Connected(client) => plain(Plain::Connected, client),
            Event::Subscribe(client) => plain(Plain::Subscribe, client),
            Event::Unsubscribe(client) => plain(Plain::Unsubscribe, client),
            Event::SessionCreated(client) => plain(Plain::SessionCreated, client),
            Event::SessionResumed(client) => plain(Plain::SessionResumed, client),
            Event::SessionDiscarded(client) => plain(Plain::SessionDiscarded, client),
            Event::SessionTakenOver(client) => plain(Plain::SessionTakenOver, client),
            Event::Disconnected { client, reason } => {
                OwnedEvent::Disconnected { client: client.into(), reason: (*reason).into() }
            }
            Event::SessionSubscribed { client, topic, qos } => {
                OwnedEvent::SessionSubscribed { client: client.into(), topic: (*topic).into(), qos: *qos }
            }
            Event::SessionUnsubscribed { client, topic } => {
                OwnedEvent::SessionUnsubscribed { client: client.into(), topic: (*topic).into() }
            }
            Event::SessionTerminated { client, reason } => {
                OwnedEvent::SessionTerminated { client: client.into(), reason: (*reason).into() }
            }
            Event::MessagePublish(message) => OwnedEvent::MessagePublish(message.into()),
        }
    }
}

impl OwnedEvent {
    /// Lends it. A password or payload is left out: what is known of it is whether there was one, and its size.
    pub fn as_event(&self) -> Event<'_> {
        match self {
            OwnedEvent::Connect(attempt) => Event::Connect(attempt.as_attempt()),
            OwnedEvent::Connack { attempt, code, assigned } => {
                Event::Connack { attempt: attempt.as_attempt(), code, assigned: assigned.as_deref() }
            }
            OwnedEvent::Authenticate { client, password_given } => {
                Event::Authenticate { client: client.as_client(), password: Password::left_out(*password_given) }
            }
            OwnedEvent::CheckAcl { client, action, topic } => {
                Event::CheckAcl { client: client.as_client(), action: *action, topic }
            }
            OwnedEvent::Plain(which, client) => which.of(client.as_client()),
            OwnedEvent::Disconnected { client, reason } => Event::Disconnected { client: client.as_client(), reason },
            OwnedEvent::SessionSubscribed { client, topic, qos } => {
                Event::SessionSubscribed { client: client.as_client(), topic, qos: *qos }
            }
            OwnedEvent::SessionUnsubscribed { client, topic } => {
                Event::SessionUnsubscribed { client: client.as_client(), topic }
            }
            OwnedEvent::SessionTerminated { client, reason } => {
                Event::SessionTerminated { client: client.as_client(), reason }
            }
            OwnedEvent::MessagePublish(message) => Event::MessagePublish(message.as_message()),
        }
    }

    /// The hook that this is a call of.
    pub fn hook(&self) -> Hook {
        self.as_event().hook()
    }
}

impl Plain {
    /// The event of this client.
    fn of(self, client: Client<'_>) -> Event<'_> {
        match self {
            Plain::Connected => Event::Connected(client),
            Plain::Subscribe => Event::Subscribe(client),
            Plain::Unsubscribe => Event::Unsubscribe(client),
            Plain::SessionCreated => Event::SessionCreated(client),
            Plain::SessionResumed => Event::SessionResumed(client),
            Plain::SessionDiscarded => Event::SessionDiscarded(client),
            Plain::SessionTakenOver => Event::SessionTakenOver(client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_client_is_the_client_that_it_was_made_of() {
        let client = OwnedClient {
            clientid: "c".into(),
            username: "üser".into(),
            peerhost: OwnedPeerhost::Other("elsewhere".into()),
            protocol: "mqtt-sn".into(),
            mountpoint: "".into(),
            node: "emqx@127.0.0.1".into(),
            is_superuser: true,
            ..OwnedClient::named("c")
        };
        for client in [client.as_client(), OwnedClient::named("").as_client()] {
            let packed = PackedClient::from(&client);
            assert_eq!(packed.as_client(), client);
            assert_eq!(packed.username(), client.username);
        }
    }
}
