//! What is written of an event: owned, and without a field for a password.

use crate::event::Event;
use crate::event::owned::{OwnedAttempt, OwnedClient};
use crate::policy::model::Record;

/// An event that is to be written.
#[derive(Debug, Clone)]
pub(super) enum Owned {
    Connect(OwnedAttempt),
    Connack {
        attempt: OwnedAttempt,
        code: Box<str>,
        assigned: Option<Box<str>>,
    },
    Connected(OwnedClient),
    Disconnected {
        clientid: Box<str>,
        reason: Box<str>,
    },
    Discarded {
        clientid: Box<str>,
    },
    TakenOver {
        clientid: Box<str>,
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
        clientid: Box<str>,
    },
}

impl Owned {
    /// `None` where nothing of the event is kept.
    pub(super) fn of(event: &Event<'_>, record: Record) -> Option<Self> {
        if !record.needs(event.hook()) {
            return None;
        }
        Some(match *event {
            Event::Connect(attempt) => Owned::Connect(OwnedAttempt::from(&attempt)),
            Event::Connack { attempt, code, assigned } => Owned::Connack {
                attempt: OwnedAttempt::from(&attempt),
                code: code.into(),
                assigned: assigned.map(Box::from),
            },
            Event::Connected(client) => Owned::Connected(OwnedClient::from(&client)),
            Event::Disconnected { client, reason } => {
                Owned::Disconnected { clientid: client.clientid.into(), reason: reason.into() }
            }
            Event::SessionDiscarded(client) => Owned::Discarded { clientid: client.clientid.into() },
            Event::SessionTakenOver(client) => Owned::TakenOver { clientid: client.clientid.into() },
            Event::SessionCreated(client) => Owned::SessionCreated { clientid: client.clientid.into() },
            Event::SessionTerminated { client, reason: _ } => {
                Owned::SessionTerminated { clientid: client.clientid.into() }
            }
            Event::SessionSubscribed { client, topic, qos } => {
                Owned::Subscribed { clientid: client.clientid.into(), topic: topic.into(), qos }
            }
            Event::SessionUnsubscribed { client, topic } => {
                Owned::Unsubscribed { clientid: client.clientid.into(), topic: topic.into() }
            }
            Event::MessagePublish(message) => Owned::Message {
                sent_at: message.timestamp,
                clientid: message.from.into(),
                topic: message.topic.into(),
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

    /// About how many bytes of memory the record takes.
    pub(super) fn size(&self) -> usize {
        let texts = match self {
            Owned::Connect(attempt) | Owned::Connack { attempt, .. } => attempt.clientid.len() + attempt.username.len(),
            Owned::Connected(client) => client.clientid.len() + client.username.len(),
            Owned::Disconnected { clientid, reason } => clientid.len() + reason.len(),
            Owned::Discarded { clientid }
            | Owned::TakenOver { clientid }
            | Owned::SessionCreated { clientid }
            | Owned::SessionTerminated { clientid }
            | Owned::Heard { clientid } => clientid.len(),
            Owned::Subscribed { clientid, topic, .. } | Owned::Unsubscribed { clientid, topic } => {
                clientid.len() + topic.len()
            }
            Owned::Message { clientid, topic, payload, .. } => clientid.len() + topic.len() + payload.len(),
        };
        // The record itself, and what the allocator adds for its short texts.
        texts + 256
    }

    /// The broker node, where the record tells it.
    pub(super) fn node(&self) -> Option<&str> {
        match self {
            Owned::Connect(attempt) | Owned::Connack { attempt, .. } => Some(&attempt.node),
            Owned::Connected(client) => Some(&client.node),
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

/// Whether the event comes from a connection that was there before it, and so shows that it still is.
/// The events of a login may be another connection's with the same clientid.
pub(super) fn shows_life(event: &Event<'_>) -> bool {
    match event {
        Event::CheckAcl { .. }
        | Event::Subscribe(_)
        | Event::Unsubscribe(_)
        | Event::SessionSubscribed { .. }
        | Event::SessionUnsubscribed { .. }
        | Event::MessagePublish(_) => true,
        Event::Connect(_)
        | Event::Connack { .. }
        | Event::Connected(_)
        | Event::Disconnected { .. }
        | Event::Authenticate { .. }
        | Event::SessionCreated(_)
        | Event::SessionResumed(_)
        | Event::SessionDiscarded(_)
        | Event::SessionTakenOver(_)
        | Event::SessionTerminated { .. } => false,
    }
}
