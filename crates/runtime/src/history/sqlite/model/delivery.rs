//! Calls that arrive, and what they show of a client.

use std::cell::Cell;

use super::story::BrokerFamily;
use super::world::{ModelRecorder, NODE_NAMES, StoryRun};
use crate::history::origins::{BrokerNames, OriginId};
use crate::history::record::{Owned, Whose};
use crate::history::sqlite::apply::{ATTEMPTS, Apply};
use exhook_policy_core::event::{Client, Event, Extra, Origin, Peerhost};
use exhook_policy_core::policy::model::Record;

const KEPT: Record =
    Record { connections: true, denials: false, attempts: false, subscriptions: false, messages: false };
const CLIENTIDS: [&str; 2] = ["c0", "c1"];
const HOSTS: [&str; 2] = ["203.0.113.5", "198.51.100.9"];
const LISTENERS: [u16; 2] = [1883, 8883];
/// Of a take-over that is told of the connection it is told no later: milliseconds.
const AT_ONCE: i64 = 2_000;

/// What a call tells of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Begin,
    End(&'static str),
    SessionEnd { discarded: bool },
    Sign,
}

/// A call on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub(super) due: i64,
    pub(super) connection: usize,
    pub(super) told: Told,
}

impl StoryRun<'_> {
    pub(super) fn clientid(client: usize) -> &'static str {
        CLIENTIDS[client]
    }

    fn event(&self, connection: usize, told: Told) -> Owned {
        let connection = &self.connections[connection];
        let peerport = self.family.tells_ports().then_some(connection.port);
        let client = Client {
            clientid: CLIENTIDS[connection.client],
            username: "",
            peerhost: Peerhost::parse(HOSTS[connection.route.host]),
            sockport: LISTENERS[connection.route.listener],
            protocol: "mqtt",
            mountpoint: "",
            node: NODE_NAMES[connection.route.node],
            is_superuser: false,
            anonymous: false,
            extra: Extra { peerport, ..Extra::default() },
        };
        let event = match told {
            Told::Begin => Event::Connected(client),
            Told::End(reason) => Event::Disconnected { client, reason },
            Told::SessionEnd { discarded: true } => Event::SessionDiscarded(client),
            Told::SessionEnd { discarded: false } => Event::SessionTakenOver(client),
            Told::Sign => return Owned::Heard { whose: Whose::from(&client) },
        };
        Owned::of(&event, KEPT, |_| Box::default()).unwrap()
    }

    fn origin(&mut self, node: usize) -> (OriginId, BrokerNames) {
        let names = self.names(node);
        let id = if self.family == BrokerFamily::Driver {
            OriginId::PARENT
        } else {
            self.world.origins.id(Origin { cluster: Some(&names.cluster), node: &names.node }).unwrap()
        };
        (id, names)
    }

    pub(super) fn arrives(&mut self, Delivery { due: at, connection, told }: Delivery) {
        let node = self.connections[connection].route.node;
        let (origin, names) = self.origin(node);
        let event = self.event(connection, told);
        let place = self.recorder_of(node);
        let is_calm = self.is_calm;
        let db = &self.world.store.db;
        let Some(ModelRecorder { me, registry, between, .. }) = &mut self.recorders[place] else {
            if matches!(told, Told::End(_)) {
                self.connections[connection].over = Some(super::world::Over::Unheard);
            }
            return;
        };
        let broker = registry.broker(db, me, at, origin, &names).unwrap();
        let Some(broker) = broker else {
            assert!(!is_calm, "nobody else records this node");
            return;
        };
        let attempts = Cell::new(ATTEMPTS);
        let apply = Apply { db, broker, cluster: &names.cluster, record: KEPT, attempts: &attempts, between };
        apply.apply(at, &event).unwrap();
        self.notes(at, connection, told);
    }

    /// What can be known of the client since this arrived.
    fn notes(&mut self, at: i64, connection: usize, told: Told) {
        let client = self.connections[connection].client;
        let ports = self.family.tells_ports();
        let (route, port) = (self.connections[connection].route, self.connections[connection].port);
        let heard_of = &mut self.heard_of[client];
        let is_alike = heard_of.newest.is_some_and(|newest| {
            let newest = &self.connections[newest];
            newest.route == route && (!ports || newest.port == port)
        });
        match told {
            Told::Begin => {
                heard_of.begun_before = heard_of.newest.is_some();
                (heard_of.newest, heard_of.begun_at) = (Some(connection), at);
                // Its end was told before it: it is not known which of two that was.
                (heard_of.may_have_ended, heard_of.taken_for_before) = (false, false);
                self.connections[connection].begin_heard = true;
            }
            Told::End(reason) if is_alike => {
                let is_take_over = matches!(reason, "discarded" | "takenover");
                // A take-over that is told at once is that of the one before.
                let is_before = is_take_over && !ports && heard_of.begun_before && at - heard_of.begun_at <= AT_ONCE;
                heard_of.may_have_ended |= !is_before;
                heard_of.taken_for_before |= is_before;
            }
            // One that looks like it keeps its row alive.
            Told::Sign if is_alike => (heard_of.newest, heard_of.may_have_ended) = (Some(connection), false),
            Told::End(_) | Told::SessionEnd { .. } | Told::Sign => {}
        }
    }

    /// The node's broker loads the provider.
    pub(super) fn loads(&mut self, node: usize, booted_at: i64) {
        let (origin, names) = self.origin(node);
        let place = self.recorder_of(node);
        let Some(ModelRecorder { me, registry, .. }) = &mut self.recorders[place] else { return };
        registry.loaded(&self.world.store.db, me, self.now, (origin, &names), booted_at).unwrap();
    }

    /// The last connection of the node's broker is gone.
    pub(super) fn is_away(&mut self, node: usize) {
        let (origin, _) = self.origin(node);
        let place = self.recorder_of(node);
        let Some(ModelRecorder { registry, .. }) = &mut self.recorders[place] else { return };
        registry.away(&self.world.store.db, self.now, origin).unwrap();
    }
}
