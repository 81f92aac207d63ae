//! Servers that share a database, with clocks and processes that a test sets.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::history::origins::Origins;
use crate::history::sqlite::store::Store;
use crate::process::Serves;
use exhook_policy_core::event::Origin;
use exhook_policy_core::policy::model::Sync;

struct World {
    store: Store,
    origins: Origins,
    dead: Arc<Mutex<HashSet<Process>>>,
    _dir: tempfile::TempDir,
}

struct Server {
    me: Recorder,
    callers: Callers,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        World { store, origins: Origins::default(), dead: Arc::default(), _dir: dir }
    }

    fn recorder(&self, pid: i32) -> Recorder {
        let dead = Arc::clone(&self.dead);
        Recorder {
            serves: Serves::Callers,
            host: "host".to_owned(),
            boot_id: "boot".to_owned(),
            pid_ns: "pid:[1]".to_owned(),
            process: Process { pid, started: 100 },
            alive: Arc::new(move |process| !dead.lock().unwrap().contains(&process)),
        }
    }

    fn start(&self, me: Recorder) -> Server {
        let callers = Callers::open(&self.store.db, &me, None, now_ms()).unwrap();
        Server { me, callers }
    }

    fn server(&self, pid: i32) -> Server {
        self.start(self.recorder(pid))
    }

    /// Whether the server records an event of that time of this node.
    fn hears(&mut self, server: &mut Server, at: i64, node: &str) -> bool {
        let origin = self.origins.id(Origin { cluster: None, node }).unwrap();
        let named = BrokerNames { cluster: "".into(), node: node.into() };
        let broker = server.callers.broker(&self.store.db, &server.me, at, origin, &named).unwrap();
        assert_eq!(server.callers.stands_by(origin), broker.is_none());
        broker.is_some()
    }

    fn beats(&self, server: &mut Server) {
        server.callers.beat(&self.store.db, &server.me, now_ms()).unwrap();
    }

    fn query(&self, sql: &str) -> i64 {
        self.store.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Adds a connection to the broker.
    fn connect(&self, node: &str) {
        self.store
            .db
            .execute(
                "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
                 SELECT 'c-' || node, '', '', 1883, 'mqtt', node, 1, id FROM broker_processes WHERE node = ?1",
                [node],
            )
            .unwrap();
    }
}

#[test]
fn a_server_that_is_called_no_more_makes_room() {
    let mut world = World::new();
    let (mut first, mut second) = (world.server(1), world.server(2));
    assert!(world.hears(&mut first, 1_000, "n"));
    world.connect("n");
    // A broker that calls both, now and then.
    for at in [2_000, 100_000, 200_000] {
        assert!(world.hears(&mut first, at, "n"));
        world.beats(&mut first);
        assert!(!world.hears(&mut second, at + 1, "n"));
    }
    // The broker calls the second one alone.
    assert!(!world.hears(&mut second, 300_000, "n"));
    assert!(!world.hears(&mut second, 320_000, "n"));
    assert_eq!(world.query("SELECT count(*) FROM unsure"), 0);
    assert!(world.hears(&mut second, 331_000, "n"));
    assert_eq!(world.query("SELECT count(*) FROM unsure"), 1);
    assert_eq!(
        second.callers.take_lines(),
        [
            "another server records the events of \"n\"; this one keeps none of them",
            "this server records the events of \"n\" now"
        ]
    );
    // The first one comes to know that with its next beat.
    world.beats(&mut second);
    world.beats(&mut first);
    assert!(!world.hears(&mut first, 332_000, "n"));
    assert!(world.hears(&mut second, 332_000, "n"));
}

#[test]
fn what_was_rolled_back_is_looked_up_again() {
    let mut world = World::new();
    let mut server = world.server(1);
    world.store.db.execute_batch("BEGIN").unwrap();
    assert!(world.hears(&mut server, 1_000, "n"));
    world.store.db.execute_batch("ROLLBACK").unwrap();
    server.callers.undone();
    assert!(world.hears(&mut server, 1_000, "n"));
    assert_eq!(world.query("SELECT count(*) FROM broker_processes"), 1);
    assert!(!server.callers.take_changed());
}

#[test]
fn a_server_that_another_took_to_be_gone_registers_anew() {
    let mut world = World::new();
    let mut server = world.server(1);
    assert!(world.hears(&mut server, 1_000, "n"));
    let mut neighbour =
        world.start(Recorder { pid_ns: "pid:[2]".to_owned(), host: "other".to_owned(), ..world.recorder(1) });
    assert!(!world.hears(&mut neighbour, 1_001, "n"));
    world.store.db.execute("UPDATE servers SET last_alive = last_alive - 90000 WHERE host = 'host'", []).unwrap();
    neighbour.callers.check(&world.store.db, &neighbour.me, now_ms()).unwrap();
    assert_eq!(world.query("SELECT count(*) FROM servers"), 1);
    world.beats(&mut server);
    assert_eq!(world.query("SELECT count(*) FROM servers"), 2);
    assert!(world.hears(&mut server, 2_000, "n"));
    assert!(!world.hears(&mut neighbour, 2_001, "n"));
}

#[test]
fn a_container_that_was_started_anew_takes_the_place_of_the_one_before() {
    let mut world = World::new();
    let mut first = world.server(1);
    assert!(world.hears(&mut first, 1_000, "n"));
    world.connect("n");
    let mut anew = world.start(Recorder { pid_ns: "pid:[2]".to_owned(), ..world.recorder(1) });
    assert_eq!(world.query("SELECT count(*) FROM unsure"), 1);
    assert!(world.hears(&mut anew, 2_000, "n"));
    // Another machine of the name is seen to be one by what it does later.
    anew.callers.registered_at -= 10_000;
    world.beats(&mut first);
    assert!(world.hears(&mut first, 3_000, "m"));
    assert!(!world.hears(&mut anew, 3_001, "m"));
    assert!(world.hears(&mut anew, 3_002, "n"));
    assert!(!world.hears(&mut first, 3_002, "n"));
    // After another boot nothing of before is there.
    world.start(Recorder { boot_id: "later".to_owned(), ..world.recorder(1) });
    assert_eq!(world.query("SELECT count(*) FROM broker_processes WHERE server IS NULL"), 2);
    assert_eq!(world.query("SELECT count(*) FROM servers"), 1);
}

#[test]
fn what_was_not_kept_makes_all_brokers_of_the_server_unsure() {
    let mut world = World::new();
    let (mut first, mut second) = (world.server(1), world.server(2));
    assert!(world.hears(&mut first, 1_000, "a") && world.hears(&mut first, 1_000, "b"));
    assert!(world.hears(&mut second, 1_000, "c"));
    for node in ["a", "b", "c"] {
        world.connect(node);
    }
    first.callers.missed(&world.store.db, 2_000).unwrap();
    assert!(first.callers.take_changed());
    let unsure = Callers::unsure(&world.store.db).unwrap();
    assert_eq!(unsure, Unsure::from([("".into(), HashSet::from(["c-a".into(), "c-b".into()]))]));
}

/// When the broker booted as it is told, after it was told before and was heard of later.
#[track_caller]
fn check_boot(told_before: Option<i64>, heard_at: Option<i64>, booted_at: i64, expected: &str) {
    let mut world = World::new();
    let mut server = world.server(1);
    let origin = world.origins.id(Origin { cluster: None, node: "n" }).unwrap();
    let named = BrokerNames { cluster: "".into(), node: "n".into() };
    let loaded = |world: &World, server: &mut Server, at, booted_at| {
        server.callers.loaded(&world.store.db, &server.me, at, (origin, &named), booted_at).unwrap();
    };
    if let Some(booted_at) = told_before {
        loaded(&world, &mut server, booted_at + 1_000, booted_at);
    }
    let mut at = told_before.unwrap_or(0) + 1_000;
    if let Some(heard_at) = heard_at {
        assert!(world.hears(&mut server, heard_at, "n"));
        at = heard_at;
    }
    world.connect("n");
    loaded(&world, &mut server, at.max(booted_at) + 500, booted_at);
    let state = "SELECT coalesce(closed_by || ' ' || disconnected_at, iif(id IN unsure, 'unsure', 'open'))
                 FROM connections";
    let state: String = world.store.db.query_row(state, [], |row| row.get(0)).unwrap();
    assert_eq!(state, expected, "{told_before:?} {heard_at:?} {booted_at}");
    // It is told again.
    if expected.starts_with("restart") {
        world.store.db.execute("UPDATE connections SET disconnected_at = NULL, closed_by = NULL", []).unwrap();
        loaded(&world, &mut server, at.max(booted_at) + 9_000, booted_at + 900);
        assert_eq!(world.query("SELECT count(*) FROM unsure"), 1);
    }
}

#[test]
fn when_a_broker_booted_anew() {
    const T: i64 = 1_000_000;
    // As it was told before, but for the seconds.
    check_boot(Some(T), Some(T + 500_000), T, "unsure");
    check_boot(Some(T), Some(T + 500_000), T + 3_000, "unsure");
    check_boot(Some(T), None, T - 3_000, "unsure");
    // After it was heard of last.
    check_boot(Some(T), Some(T + 500_000), T + 510_000, "restart 1500000");
    check_boot(Some(T), Some(T + 500_000), T + 499_000, "restart 1500000");
    check_boot(Some(T), None, T + 20_000, "restart 1001000");
    check_boot(None, Some(T), T + 20_000, "restart 1000000");
    // Never told before, and heard of after its boot.
    check_boot(None, Some(T), T - 600_000, "unsure");
    check_boot(None, Some(T), T - 10_000, "unsure");
    // The clock was set, forward or back.
    check_boot(Some(T), Some(T + 500_000), T + 100_000, "unsure");
    check_boot(Some(T), Some(T + 500_000), T - 100_000, "unsure");
}

#[test]
fn what_an_upgraded_broker_had_open_before_has_ended() {
    let mut world = World::new();
    let mut server = world.server(1);
    // One that told no cluster, and one that started a driver.
    assert!(world.hears(&mut server, 1_000, "n"));
    world.beats(&mut server);
    let driven = Process { pid: 7, started: 7 };
    world
        .store
        .db
        .execute(
            "INSERT INTO broker_processes (boot_id, pid_ns, pid, started, node, slot, last_alive)
             VALUES ('boot', 'pid:[1]', 7, 7, 'm', 'python3', 2000)",
            [],
        )
        .unwrap();
    world.connect("n");
    world.connect("m");
    let ended = "SELECT count(*) FROM connections WHERE closed_by = 'restart' AND disconnected_at = ";
    let check = |world: &World, server: &mut Server| server.callers.check(&world.store.db, &server.me, 3_000).unwrap();
    check(&world, &mut server);
    assert_eq!(world.query(&format!("{ended} 2000")), 0);
    world.dead.lock().unwrap().insert(driven);
    check(&world, &mut server);
    assert_eq!(world.query(&format!("{ended} 2000")), 1);

    let named = BrokerNames { cluster: "k".into(), node: "n".into() };
    let origin = world.origins.id(Origin { cluster: Some("k"), node: "n" }).unwrap();
    let broker = server.callers.broker(&world.store.db, &server.me, 4_000, origin, &named).unwrap();
    assert!(broker.is_some());
    // The server held a connection of the one before until then.
    assert_eq!(world.query(&format!("{ended} 4000")), 1);
}

/// A broker that comes and goes is doubted once, but again where somebody settled meanwhile what was unsure.
#[test]
fn what_was_settled_from_outside_is_doubted_anew() {
    let mut world = World::new();
    let mut server = world.server(1);
    assert!(world.hears(&mut server, 1_000, "emqx@1"));
    let insert =
        "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
                  VALUES ('a', '', '::1', 1883, 'mqtt', 'emqx@1', 1000, (SELECT id FROM broker_processes))";
    world.store.db.execute_batch(insert).unwrap();
    let origin = world.origins.id(Origin { cluster: None, node: "emqx@1" }).unwrap();
    let unsure = |world: &World| -> i64 {
        world.store.db.query_row("SELECT count(*) FROM unsure", [], |row| row.get(0)).unwrap()
    };
    server.callers.away(&world.store.db, 2_000, origin).unwrap();
    assert_eq!(unsure(&world), 1);
    server.callers.beat(&world.store.db, &server.me, 2_500).unwrap();
    assert!(server.callers.take_changed());
    world.store.db.execute_batch("DELETE FROM unsure").unwrap();
    server.callers.away(&world.store.db, 3_000, origin).unwrap();
    assert_eq!(unsure(&world), 0, "it was doubted once");
    world.store.db.execute_batch("UPDATE broker_processes SET gaps = gaps + 1").unwrap();
    server.callers.beat(&world.store.db, &server.me, 3_500).unwrap();
    assert!(server.callers.take_changed());
    server.callers.away(&world.store.db, 4_000, origin).unwrap();
    assert_eq!(unsure(&world), 1, "and again");
}
