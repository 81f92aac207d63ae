//! What happens: nodes, clients and recorders as they are, and the calls that this makes.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use super::delivery::{Delivery, Told};
use super::story::{After, BrokerFamily, BrokerStory, Deed, Fate, Route};
use crate::clock::now_ms;
use crate::history::origins::{BrokerNames, Origins};
use crate::history::sqlite::apply::BetweenEvents;
use crate::history::sqlite::registry::{Opened, Registry};
use crate::history::sqlite::store::Store;
use crate::process::{Process, Recorder, Serves};
use exhook_policy_core::policy::model::Sync;

pub(super) const CLIENTS: usize = 2;
pub(super) const NODES: usize = 2;
/// So long after the last call all is quiet: milliseconds.
const REST: i64 = 15_000;
/// How long calls of one take-over are apart.
const APART: i64 = 2;

/// A database, which many stories use one after the other.
pub(super) struct ModelWorld {
    pub(super) store: Store,
    pub(super) origins: Origins,
    _dir: tempfile::TempDir,
}

/// How a connection ended, as far as the recorder of its node is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It was told, or is about to be.
    Told,
    /// Nobody told it, or the call was lost, while a recorder was at work.
    Quiet,
    /// The recorder was away.
    Unheard,
    /// Its broker stopped.
    BrokerGone,
}

/// A connection as it is.
#[derive(Debug, Clone)]
pub(super) struct ModelConnection {
    pub(super) client: usize,
    pub(super) route: Route,
    pub(super) port: u16,
    pub(super) begin_heard: bool,
    pub(super) over: Option<Over>,
    /// How the row of it is closed where nothing goes wrong.
    pub(super) closed_by: &'static str,
    /// Where its broker is gone: from then on nobody can know that it was there, and since then it
    /// is not.
    pub(super) known_until: i64,
    pub(super) gone_at: i64,
}

/// What was heard of a client that counts for what can be known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeardOf {
    /// The newest connection whose beginning was recorded.
    pub(super) newest: Option<usize>,
    pub(super) begun_at: i64,
    /// It was not the first.
    pub(super) begun_before: bool,
    /// Since then, and since its last sign of life, an end was told that may be its own.
    pub(super) may_have_ended: bool,
    /// Its take-over was told at once, and taken for that of the one before.
    pub(super) taken_for_before: bool,
}

pub(super) struct ModelNode {
    is_up: bool,
    process: Process,
    /// It booted while its recorder was away, which does not know.
    booted_unheard: Option<i64>,
}

pub(super) struct ModelRecorder {
    pub(super) me: Recorder,
    pub(super) registry: Registry,
    pub(super) between: BetweenEvents,
    beaten_at: i64,
}

/// One story, under way.
pub(super) struct StoryRun<'a> {
    pub(super) world: &'a mut ModelWorld,
    pub(super) family: BrokerFamily,
    two_servers: bool,
    pub(super) now: i64,
    next_pid: i32,
    next_port: u16,
    dead: Arc<Mutex<HashSet<Process>>>,
    nodes: Vec<ModelNode>,
    pub(super) recorders: Vec<Option<ModelRecorder>>,
    /// When the last of each was at work.
    silent_since: Vec<i64>,
    pub(super) connections: Vec<ModelConnection>,
    pub(super) live: [Option<usize>; CLIENTS],
    asleep: [Option<usize>; CLIENTS],
    pub(super) heard_of: [HeardOf; CLIENTS],
    pub(super) pending: Vec<Delivery>,
    last_begin: [i64; CLIENTS],
    /// Something was lost, doubled, late or away.
    pub(super) is_calm: bool,
}

impl ModelWorld {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        store.db.pragma_update(None, "synchronous", "OFF").unwrap();
        ModelWorld { store, origins: Origins::default(), _dir: dir }
    }

    pub(super) fn play(&mut self, story: &BrokerStory) -> ControlFlow<String> {
        self.store
            .db
            .execute_batch(
                "BEGIN; DELETE FROM connections; DELETE FROM unsure; DELETE FROM handovers; DELETE FROM drivers;
                 DELETE FROM servers; DELETE FROM broker_processes",
            )
            .unwrap();
        let mut run = StoryRun::begin(self, story);
        for After(after, deed) in &story.deeds {
            let to = run.now + after;
            run.advance(to);
            // Of connections that come within moments of each other nobody can tell which one it
            // was that is over.
            run.is_calm &= *after >= 50;
            run.happens(*deed);
        }
        let to = run.now.max(run.pending.iter().map(|delivery| delivery.due).max().unwrap_or(0)) + REST;
        run.advance(to);
        let checked = run.check_at_rest();
        run.world.store.db.execute_batch("COMMIT").unwrap();
        checked?;
        run.check_after_resync()
    }
}

impl<'a> StoryRun<'a> {
    fn begin(world: &'a mut ModelWorld, story: &BrokerStory) -> Self {
        let BrokerStory { family, two_servers, .. } = *story;
        let recorders = if family == BrokerFamily::Driver || two_servers { NODES } else { 1 };
        let mut run = StoryRun {
            world,
            family,
            two_servers,
            // Ahead of the clock of the day, so that nothing that goes by that one says how old it
            // is.
            now: now_ms() + 1_000_000,
            next_pid: 100,
            next_port: 30_000,
            dead: Arc::default(),
            nodes: Vec::new(),
            recorders: (0..recorders).map(|_| None).collect(),
            silent_since: vec![0; recorders],
            connections: Vec::new(),
            live: [None; CLIENTS],
            asleep: [None; CLIENTS],
            heard_of: [HeardOf::default(); CLIENTS],
            pending: Vec::new(),
            last_begin: [0; CLIENTS],
            is_calm: true,
        };
        for node in 0..NODES {
            let process = run.process();
            run.nodes.push(ModelNode { is_up: true, process, booted_unheard: None });
            run.resume(node);
            run.loads(node, run.now - 500);
        }
        run
    }

    fn process(&mut self) -> Process {
        self.next_pid += 1;
        Process { pid: self.next_pid, started: 100 }
    }

    /// The place of the recorder of a node.
    pub(super) fn recorder_of(&self, node: usize) -> usize {
        if self.family == BrokerFamily::Driver || self.two_servers { node } else { 0 }
    }

    pub(super) fn is_recorded(&self, node: usize) -> bool {
        self.recorders[self.recorder_of(node)].is_some()
    }

    pub(super) fn names(&self, node: usize) -> BrokerNames {
        let cluster = match self.family {
            BrokerFamily::Driver | BrokerFamily::Session => "",
            BrokerFamily::Both | BrokerFamily::Ports => "eu",
        };
        let node = if self.family == BrokerFamily::Driver { "" } else { NODE_NAMES[node] };
        BrokerNames { cluster: cluster.into(), node: node.into() }
    }

    fn happens(&mut self, deed: Deed) {
        match deed {
            Deed::Connect { client, route, clean, swapped, begin, ends, late } => {
                let late = if self.family.tells_ports() { late } else { 0 };
                self.connect(client, route, (clean, swapped), (begin, ends), late);
            }
            Deed::Overlap { client, route, late } => self.overlap(client, route, late),
            Deed::Storm { client, route, count, winner } if self.family == BrokerFamily::Driver => {
                self.storm(client, route, count, winner);
            }
            Deed::Storm { client, route, .. } => {
                self.connect(client, route, (true, false), (Fate::Told, Fate::Told), 0);
            }
            Deed::End { client, kicked, keeps, fate, late } => {
                let Some(ended) = self.live[client].take() else { return };
                self.asleep[client] = keeps.then_some(ended);
                self.connections[ended].closed_by = "event";
                let late = if self.family.tells_ports() { late } else { 0 };
                let reason = if kicked { "kicked" } else { "normal" };
                self.end(ended, reason, fate, late);
            }
            Deed::Act { client } => {
                if let Some(live) = self.live[client] {
                    self.tell(live, 0, Told::Sign);
                    self.advance(self.now);
                }
            }
            Deed::Stop { node, at_once } => self.stop(node, at_once),
            Deed::Start { node } => self.start(node),
            Deed::Silence { node, at_once } => {
                if self.nodes[node].is_up || self.family != BrokerFamily::Driver {
                    self.is_calm = false;
                    self.silence(self.recorder_of(node), at_once);
                }
            }
            Deed::Resume { node } => self.resume(node),
        }
    }

    fn new_connection(&mut self, client: usize, route: Route) -> usize {
        self.next_port += 1;
        self.connections.push(ModelConnection {
            client,
            route,
            port: self.next_port,
            begin_heard: false,
            over: None,
            closed_by: "takeover",
            known_until: 0,
            gone_at: 0,
        });
        self.connections.len() - 1
    }

    /// A call, so much later. The beginnings of a client's connections stay in their order.
    fn tell(&mut self, connection: usize, after: i64, told: Told) {
        let mut due = self.now + after;
        let ModelConnection { client, route, .. } = self.connections[connection];
        if !self.is_recorded(route.node) {
            // A call to a recorder that is away fails, and is not made again.
            if matches!(told, Told::End(_)) {
                self.connections[connection].over = Some(Over::Unheard);
            }
            return;
        }
        if told == Told::Begin {
            due = due.max(self.last_begin[client] + 1);
            self.last_begin[client] = due;
        } else if !self.family.tells_ports() && matches!(told, Told::End("normal" | "kicked")) {
            // The broker waits for the answer to the one before it makes the other.
            due = due.max(self.last_begin[client] + 1);
        }
        self.pending.push(Delivery { due, connection, told });
    }

    fn tell_by_fate(&mut self, connection: usize, after: i64, told: Told, fate: Fate) {
        match fate {
            Fate::Told => self.tell(connection, after, told),
            Fate::Lost => self.is_calm = false,
            Fate::Twice => {
                self.is_calm = false;
                self.tell(connection, after, told);
                self.tell(connection, after, told);
            }
        }
    }

    /// The connection is over, which the broker tells.
    fn end(&mut self, connection: usize, reason: &'static str, fate: Fate, late: i64) {
        self.is_calm &= late == 0;
        let is_recorded = self.is_recorded(self.connections[connection].route.node);
        self.connections[connection].over = Some(match fate {
            Fate::Told | Fate::Twice => Over::Told,
            Fate::Lost if is_recorded => Over::Quiet,
            Fate::Lost => Over::Unheard,
        });
        self.tell_by_fate(connection, late, Told::End(reason), fate);
    }

    /// The connection is over, and what is told of it is told of its session.
    fn ends_untold(&mut self, connection: usize) {
        let is_recorded = self.is_recorded(self.connections[connection].route.node);
        self.connections[connection].over = Some(if is_recorded { Over::Quiet } else { Over::Unheard });
    }

    /// What came late of the client is told before another connection of it comes.
    fn catch_up(&mut self, client: usize) {
        if self.family.tells_ports() {
            return;
        }
        let due = self.pending.iter().filter(|told| self.connections[told.connection].client == client);
        if let Some(due) = due.map(|told| told.due).max() {
            self.advance(due + 1);
        }
    }

    fn connect(&mut self, client: usize, route: Route, how: (bool, bool), fates: (Fate, Fate), late: i64) {
        self.catch_up(client);
        if !self.nodes[route.node].is_up {
            return;
        }
        let ((clean, swapped), (begin, ends)) = (how, fates);
        self.is_calm &= late == 0;
        let new = self.new_connection(client, route);
        let live = self.live[client].replace(new);
        let old = live.or(self.asleep[client]);
        self.asleep[client] = None;
        let is_first = match self.family {
            // The new connection, then what became of the old one.
            BrokerFamily::Driver => true,
            BrokerFamily::Session | BrokerFamily::Both | BrokerFamily::Ports => clean == swapped,
        };
        let (of_begin, of_old) = if is_first { (0, APART) } else { (2 * APART, 0) };
        if let Some(old) = old {
            let reason = if clean { "discarded" } else { "takenover" };
            if live.is_some() && self.family.tells_both() {
                // A call that ends a connection and comes twice cannot be told from two where there
                // is no port.
                let ends = if ends == Fate::Twice && !self.family.tells_ports() { Fate::Told } else { ends };
                // Nor can that of a connection that was never heard of.
                let unheard = !self.connections[old].begin_heard && !self.family.tells_ports();
                let ends = if unheard { Fate::Lost } else { ends };
                self.end(old, reason, ends, of_old + late);
            } else if live.is_some() {
                self.ends_untold(old);
            }
            let told = Told::SessionEnd { discarded: clean };
            // Calls for the same end follow each other.
            self.tell_by_fate(old, of_old + 1 + late.min(900), told, ends);
        }
        self.tell_by_fate(new, of_begin + late.min(9_000), Told::Begin, begin);
    }

    fn overlap(&mut self, client: usize, route: Route, late: i64) {
        self.catch_up(client);
        let old = self.live[client];
        let Some(old) = old.filter(|&old| self.connections[old].begin_heard || self.family.tells_ports()) else {
            return self.connect(client, route, (true, false), (Fate::Told, Fate::Told), 0);
        };
        if !self.nodes[route.node].is_up {
            return;
        }
        // It is not known for sure that the older one is there: then its end has to come soon.
        let late = if self.family.tells_ports() || self.connections[old].route != route {
            late
        } else if self.is_sure_of(client) {
            late.min(9_000)
        } else {
            late.min(900)
        };
        self.is_calm = false;
        let new = self.new_connection(client, route);
        self.live[client] = Some(new);
        self.tell(new, 0, Told::Begin);
        self.end(old, "tcp_closed", Fate::Told, late + 1);
    }

    fn storm(&mut self, client: usize, route: Route, count: usize, winner: usize) {
        self.catch_up(client);
        if !self.nodes[route.node].is_up {
            return;
        }
        self.is_calm = false;
        let (old_live, old) = (self.live[client], self.live[client].or(self.asleep[client]));
        self.asleep[client] = None;
        for number in 0..count {
            let new = self.new_connection(client, route);
            self.tell(new, 0, Told::Begin);
            if number == winner {
                self.live[client] = Some(new);
            } else {
                self.ends_untold(new);
            }
        }
        if let Some(old) = old {
            if old_live.is_some() {
                self.ends_untold(old);
            }
            self.tell(old, APART + i64::try_from(count).unwrap(), Told::SessionEnd { discarded: true });
        }
    }

    fn stop(&mut self, node: usize, at_once: bool) {
        if !std::mem::replace(&mut self.nodes[node].is_up, false) {
            return;
        }
        self.is_calm = false;
        self.lose_pending(|connection| connection.route.node == node, Over::BrokerGone);
        let recorder = self.recorder_of(node);
        let known_until = if self.is_recorded(node) { self.now } else { self.silent_since[recorder] };
        for client in 0..CLIENTS {
            let is_there = |connection: &usize| self.connections[*connection].route.node == node;
            self.asleep[client] = self.asleep[client].filter(|asleep| !is_there(asleep));
            if let Some(ended) = self.live[client].filter(is_there) {
                self.live[client] = None;
                let connection = &mut self.connections[ended];
                (connection.over, connection.known_until) = (Some(Over::BrokerGone), known_until);
                connection.gone_at = self.now;
            }
        }
        if self.family == BrokerFamily::Driver {
            self.silence(recorder, at_once);
            self.dead.lock().unwrap().insert(self.nodes[node].process);
        } else if self.is_recorded(node) {
            self.is_away(node);
        }
    }

    fn start(&mut self, node: usize) {
        if std::mem::replace(&mut self.nodes[node].is_up, true) {
            return;
        }
        self.nodes[node].process = self.process();
        if self.family == BrokerFamily::Driver {
            self.resume(node);
        } else if self.is_recorded(node) {
            self.loads(node, self.now - 300);
        } else {
            self.nodes[node].booted_unheard = Some(self.now - 300);
        }
    }

    fn silence(&mut self, recorder: usize, at_once: bool) {
        let Some(ModelRecorder { me, mut registry, .. }) = self.recorders[recorder].take() else { return };
        if !at_once {
            registry.end(&self.world.store.db, self.now).unwrap();
        }
        self.dead.lock().unwrap().insert(me.process);
        self.silent_since[recorder] = self.now;
        let nodes: Vec<usize> = (0..NODES).filter(|&node| self.recorder_of(node) == recorder).collect();
        self.lose_pending(|connection| nodes.contains(&connection.route.node), Over::Unheard);
    }

    /// Calls that are under way do not arrive.
    fn lose_pending(&mut self, is_of: impl Fn(&ModelConnection) -> bool, over: Over) {
        for delivery in std::mem::take(&mut self.pending) {
            let connection = &mut self.connections[delivery.connection];
            if !is_of(connection) {
                self.pending.push(delivery);
            } else if matches!(delivery.told, Told::End(_)) && connection.over == Some(Over::Told) {
                connection.over = Some(over);
                // That it had ended by then nobody knows.
                (connection.known_until, connection.gone_at) = (0, self.now);
            }
        }
    }

    fn resume(&mut self, node: usize) {
        let place = self.recorder_of(node);
        if self.recorders[place].is_some() || (self.family == BrokerFamily::Driver && !self.nodes[node].is_up) {
            return;
        }
        let serves = match self.family {
            BrokerFamily::Driver => Serves::Parent { slot: "python3".to_owned(), process: self.nodes[node].process },
            BrokerFamily::Session | BrokerFamily::Both | BrokerFamily::Ports => Serves::Callers,
        };
        let dead = Arc::clone(&self.dead);
        let me = Recorder {
            serves,
            host: "host".to_owned(),
            boot_id: "boot".to_owned(),
            pid_ns: "pid:[1]".to_owned(),
            process: self.process(),
            alive: Arc::new(move |process| !dead.lock().unwrap().contains(&process)),
        };
        let Opened::Recording(registry) = Registry::open(&self.world.store.db, &me, None, self.now).unwrap() else {
            panic!("no other driver is there")
        };
        self.recorders[place] =
            Some(ModelRecorder { me, registry, between: BetweenEvents::default(), beaten_at: self.now });
        for node in 0..self.nodes.len() {
            if self.recorder_of(node) == place
                && self.nodes[node].is_up
                && let Some(booted_at) = self.nodes[node].booted_unheard.take()
            {
                self.loads(node, booted_at);
            }
        }
    }

    /// Goes on to that time: what is due by then arrives, and the recorders show that they are
    /// alive.
    pub(super) fn advance(&mut self, to: i64) {
        loop {
            let next = self.pending.iter().enumerate().min_by_key(|(place, delivery)| (delivery.due, *place));
            let Some(place) = next.filter(|(_, delivery)| delivery.due <= to).map(|(place, _)| place) else { break };
            let delivery = self.pending.remove(place);
            self.beat(delivery.due);
            self.now = self.now.max(delivery.due);
            self.arrives(delivery);
        }
        self.beat(to);
        self.now = self.now.max(to);
    }

    fn beat(&mut self, until: i64) {
        for ModelRecorder { me, registry, beaten_at, .. } in self.recorders.iter_mut().flatten() {
            if until - *beaten_at >= 3_000 {
                *beaten_at = until - 500;
                registry.beat(&self.world.store.db, me, *beaten_at).unwrap();
                registry.check(&self.world.store.db, me, *beaten_at).unwrap();
            }
        }
    }
}

pub(super) const NODE_NAMES: [&str; NODES] = ["emqx@10.0.0.1", "emqx@10.0.0.2"];
