//! What is written of an event: owned, and without a field for a password.

use exhook_policy_core::event::owned::{OwnedAttempt, OwnedClient, OwnedExtra, OwnedPeerhost};
use exhook_policy_core::event::short::{short, short_topic};
use exhook_policy_core::event::{Attempt, Client, Event, Extra, Peerhost};
use exhook_policy_core::policy::model::Record;

/// What is on its way to the database.
#[derive(Debug, Clone)]
pub(super) enum HistoryEntry {
    /// An event that is to be written.
    Event(Owned),
    /// The broker said that it is there, and when it booted, Unix milliseconds.
    Loaded { booted_at: i64 },
    /// The broker has stopped, or is out of reach.
    Away,
}

/// An event that is to be written.
#[derive(Debug, Clone)]
pub(super) enum Owned {
    Connect(OwnedAttempt),
    Connack {
        attempt: OwnedAttempt,
        code: Box<str>,
        assigned: Option<Box<str>>,
    },
    /// With the rule that let the client in; empty if that is not known.
    Connected(OwnedClient, Box<str>),
    Disconnected {
        whose: Whose,
        reason: Box<str>,
    },
    Discarded {
        whose: Whose,
    },
    TakenOver {
        whose: Whose,
    },
    SessionCreated {
        clientid: Box<str>,
    },
    SessionTerminated {
        clientid: Box<str>,
    },
    Subscribed {
        clientid: Box<str>,
        topic: Box<str>,
        qos: u8,
    },
    Unsubscribed {
        clientid: Box<str>,
        topic: Box<str>,
    },
    Message {
        sent_at: i64,
        clientid: Box<str>,
        topic: Box<str>,
        qos: u8,
        payload: Box<[u8]>,
    },
    /// Something was heard of a client whose connection was unsure.
    Heard {
        whose: Whose,
    },
}

/// Which connection something was told of, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) clientid: Box<str>,
    /// Where it comes from and leads to. Not told with messages.
    pub(super) peer: Option<ClientPeer>,
}

/// Where a connection comes from and leads to: what tells it from others of the same clientid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientPeer {
    pub(super) host: OwnedPeerhost,
    /// Where the broker tells it.
    pub(super) port: Option<u16>,
    /// The broker's node and the port of its listener.
    pub(super) node: Box<str>,
    pub(super) sockport: u16,
}

impl From<&Client<'_>> for Whose {
    fn from(client: &Client<'_>) -> Self {
        Whose::from(Sign::of(client))
    }
}

impl From<Sign<'_>> for Whose {
    fn from(sign: Sign<'_>) -> Self {
        let peer = sign.peer.map(|SignPeer { host: from, port, node, sockport }| ClientPeer {
            host: host(from),
            port,
            node: name(node),
            sockport,
        });
        Whose { clientid: name(sign.clientid), peer }
    }
}

/// A name as it stands in every row, by which one row's client is found in another. Nothing longer
/// gets past here.
fn name(text: &str) -> Box<str> {
    short(text).into()
}

fn host(from: Peerhost<'_>) -> OwnedPeerhost {
    match from {
        Peerhost::Addr(addr) => OwnedPeerhost::Addr(addr),
        Peerhost::Other(text) => OwnedPeerhost::Other(name(text)),
    }
}

/// No row has the other columns that a broker may tell.
fn without_names(extra: Extra<'_>) -> OwnedExtra {
    OwnedExtra { peerport: extra.peerport, ..OwnedExtra::default() }
}

fn owned_attempt(attempt: &Attempt<'_>) -> OwnedAttempt {
    OwnedAttempt {
        clientid: name(attempt.clientid),
        username: name(attempt.username),
        peerhost: host(attempt.peerhost),
        sockport: attempt.sockport,
        proto_name: name(attempt.proto_name),
        proto_ver: attempt.proto_ver,
        keepalive: attempt.keepalive,
        node: name(attempt.node),
        extra: without_names(attempt.extra),
    }
}

fn owned_client(client: &Client<'_>) -> OwnedClient {
    OwnedClient {
        clientid: name(client.clientid),
        username: name(client.username),
        peerhost: host(client.peerhost),
        sockport: client.sockport,
        protocol: name(client.protocol),
        mountpoint: Box::default(),
        node: name(client.node),
        is_superuser: client.is_superuser,
        anonymous: client.anonymous,
        extra: without_names(client.extra),
    }
}

impl Owned {
    /// `None` where nothing of the event is kept. `let_in` is asked for the rule that let a client
    /// in that is connected now.
    pub(super) fn of(event: &Event<'_>, record: Record, let_in: impl FnOnce(&Client<'_>) -> Box<str>) -> Option<Self> {
        if !record.needs(event.hook()) {
            return None;
        }
        Some(match *event {
            Event::Connect(attempt) => Owned::Connect(owned_attempt(&attempt)),
            Event::Connack { attempt, code, assigned } => {
                Owned::Connack { attempt: owned_attempt(&attempt), code: name(code), assigned: assigned.map(name) }
            }
            Event::Connected(client) => Owned::Connected(owned_client(&client), let_in(&client)),
            Event::Disconnected { client, reason } => {
                Owned::Disconnected { whose: Whose::from(&client), reason: name(reason) }
            }
            Event::SessionDiscarded(client) => Owned::Discarded { whose: Whose::from(&client) },
            Event::SessionTakenOver(client) => Owned::TakenOver { whose: Whose::from(&client) },
            Event::SessionCreated(client) => Owned::SessionCreated { clientid: name(client.clientid) },
            Event::SessionTerminated { client, reason: _ } => {
                Owned::SessionTerminated { clientid: name(client.clientid) }
            }
            Event::SessionSubscribed { client, topic, qos } => {
                Owned::Subscribed { clientid: name(client.clientid), topic: short_topic(topic).into(), qos }
            }
            Event::SessionUnsubscribed { client, topic } => {
                Owned::Unsubscribed { clientid: name(client.clientid), topic: short_topic(topic).into() }
            }
            Event::MessagePublish(message) => Owned::Message {
                sent_at: message.timestamp,
                clientid: name(message.from),
                topic: short_topic(message.topic).into(),
                qos: message.qos,
                payload: message.payload.bytes().into(),
            },
            Event::Authenticate { .. }
            | Event::CheckAcl { .. }
            | Event::Subscribe(_)
            | Event::Unsubscribe(_)
            | Event::SessionResumed(_) => return None,
        })
    }

    /// About how many bytes of memory its texts take.
    fn texts(&self) -> usize {
        match self {
            Owned::Connect(attempt) | Owned::Connack { attempt, .. } => attempt.clientid.len() + attempt.username.len(),
            Owned::Connected(client, rule) => client.clientid.len() + client.username.len() + rule.len(),
            Owned::Disconnected { whose, reason } => whose.clientid.len() + reason.len(),
            Owned::Discarded { whose } | Owned::TakenOver { whose } | Owned::Heard { whose } => whose.clientid.len(),
            Owned::SessionCreated { clientid } | Owned::SessionTerminated { clientid } => clientid.len(),
            Owned::Subscribed { clientid, topic, .. } | Owned::Unsubscribed { clientid, topic } => {
                clientid.len() + topic.len()
            }
            Owned::Message { clientid, topic, payload, .. } => clientid.len() + topic.len() + payload.len(),
        }
    }

    /// The broker node, where the record tells it.
    fn node(&self) -> Option<&str> {
        match self {
            Owned::Connect(attempt) | Owned::Connack { attempt, .. } => Some(&attempt.node),
            Owned::Connected(client, _) => Some(&client.node),
            Owned::Disconnected { .. }
            | Owned::Discarded { .. }
            | Owned::TakenOver { .. }
            | Owned::SessionCreated { .. }
            | Owned::SessionTerminated { .. }
            | Owned::Subscribed { .. }
            | Owned::Unsubscribed { .. }
            | Owned::Message { .. }
            | Owned::Heard { .. } => None,
        }
    }
}

impl HistoryEntry {
    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        let texts = match self {
            HistoryEntry::Event(owned) => owned.texts(),
            HistoryEntry::Loaded { .. } | HistoryEntry::Away => 0,
        };
        // The entry itself, and what the allocator adds for its short texts.
        texts + 256
    }

    /// The broker node, where the entry tells it.
    pub(super) fn node(&self) -> Option<&str> {
        match self {
            HistoryEntry::Event(owned) => owned.node(),
            HistoryEntry::Loaded { .. } | HistoryEntry::Away => None,
        }
    }
}

/// Something that a connection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sign<'a> {
    pub(super) clientid: &'a str,
    /// Where the connection comes from and leads to, where that is told.
    pub(super) peer: Option<SignPeer<'a>>,
}

/// A [`ClientPeer`] as an event lends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignPeer<'a> {
    host: Peerhost<'a>,
    port: Option<u16>,
    node: &'a str,
    sockport: u16,
}

impl<'a> Sign<'a> {
    pub(super) fn of(client: &Client<'a>) -> Self {
        let Client { peerhost: host, sockport, node, .. } = *client;
        let peer = SignPeer { host, port: client.extra.peerport, node, sockport };
        Sign { clientid: client.clientid, peer: Some(peer) }
    }

    /// `None` where the event does not show that a connection is there that was before it. The events of a login may
    /// be another connection's with the same clientid.
    pub(super) fn in_event(event: &Event<'a>) -> Option<Self> {
        match event {
            Event::CheckAcl { client, .. }
            | Event::Subscribe(client)
            | Event::Unsubscribe(client)
            | Event::SessionSubscribed { client, .. }
            | Event::SessionUnsubscribed { client, .. } => Some(Sign::of(client)),
            Event::MessagePublish(message) => Some(Sign { clientid: message.from, peer: None }),
            Event::Connect(_)
            | Event::Connack { .. }
            | Event::Connected(_)
            | Event::Disconnected { .. }
            | Event::Authenticate { .. }
            | Event::SessionCreated(_)
            | Event::SessionResumed(_)
            | Event::SessionDiscarded(_)
            | Event::SessionTakenOver(_)
            | Event::SessionTerminated { .. } => None,
        }
    }
}
