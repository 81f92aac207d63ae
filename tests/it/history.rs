//! The history as a driver uses it: events in, answers out, and rows that anyone can read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::answers::Answered;
use crate::support::events::client;
use crate::support::history::Kept;
use crate::support::lines::Lines;
use crate::support::wait::{PATIENCE, until, until_or};
use exhook_policy_core::decision::{DenialReason, Mode};
use exhook_policy_core::event::{
    Action, Attempt, BrokerLoaded, Client, Event, Extra, Message, Origin, Password, Payload, Peerhost,
};
use exhook_policy_core::policy::model::{HistoryDef, Record, Sync};
use exhook_policy_runtime::history::resync::{Form, List, Scope, resync};
use exhook_policy_runtime::history::{Asked, Denial, History};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::{Process, Recorder, Serves};
use rusqlite::Connection;

const CONNECTIONS: Record =
    Record { connections: true, denials: true, attempts: false, subscriptions: false, messages: false };
const EVERYTHING: Record =
    Record { connections: true, denials: true, attempts: true, subscriptions: true, messages: true };

/// A machine with brokers, and one database.
struct World {
    dir: tempfile::TempDir,
    dead: Arc<Mutex<HashSet<Process>>>,
    record: Record,
    keep: Option<Duration>,
}

/// A driver that was started.
struct Driver {
    history: History,
    answered: Answered,
    log: Lines,
    process: Process,
}

impl World {
    fn new(record: Record) -> Self {
        World { dir: tempfile::tempdir().unwrap(), dead: Arc::default(), record, keep: None }
    }

    fn recorder(&self, slot: &str, broker: i32, driver: i32) -> Recorder {
        let dead = Arc::clone(&self.dead);
        Recorder {
            serves: Serves::Parent { slot: slot.to_owned(), process: Process { pid: broker, started: 100 } },
            host: "host-1".to_owned(),
            boot_id: "boot-1".to_owned(),
            pid_ns: "pid:[1]".to_owned(),
            process: Process { pid: driver, started: 200 },
            alive: Arc::new(move |process| !dead.lock().unwrap().contains(&process)),
        }
    }

    fn start(&self, recorder: Recorder) -> Driver {
        let def =
            HistoryDef { database: self.database_file(), keep: self.keep, sync: Sync::Normal, record: self.record };
        let answered = Answered::default();
        let log = Lines::default();
        let process = recorder.process;
        let history = History::start(&def, recorder, Duration::from_secs(2), answered.sink(), &Log::to(log.clone()));
        Driver { history, answered, log, process }
    }

    /// A driver under the broker 10.
    fn driver(&self, pid: i32) -> Driver {
        let driver = self.start(self.recorder("python3", 10, pid));
        until(|| self.database_file().exists() && self.count("SELECT count(*) FROM drivers") > 0);
        driver
    }

    /// A server that brokers call.
    fn server(&self, pid: i32) -> Driver {
        let driver = self.start(Recorder { serves: Serves::Callers, ..self.recorder("", 0, pid) });
        let registered = format!("SELECT count(*) FROM servers WHERE pid = {pid}");
        until(|| self.database_file().exists() && self.count(&registered) > 0);
        driver
    }

    fn dies(&self, process: Process) {
        self.dead.lock().unwrap().insert(process);
    }

    fn broker_dies(&self, pid: i32) {
        self.dies(Process { pid, started: 100 });
    }

    fn count(&self, sql: &str) -> i64 {
        // The tables are not there yet.
        self.database().query_row(sql, [], |row| row.get(0)).unwrap_or(-1)
    }

    fn unsure(&self) -> Vec<String> {
        self.rows("SELECT clientid || ' ' || unsure FROM online ORDER BY clientid")
    }
}

impl Kept for World {
    fn database_file(&self) -> PathBuf {
        self.dir.path().join("data/history.db")
    }
}

impl Driver {
    /// Sends an event, and waits for its answer where one is promised.
    #[track_caller]
    fn tell(&self, event: &Event<'_>, token: u64) {
        assert!(self.history.record(event, token), "{event:?} is not waited for");
        self.wait_for(token);
    }

    #[track_caller]
    fn wait_for(&self, token: u64) {
        assert!(self.answered.comes(token, PATIENCE), "{token} is not answered; the log:\n{}", self.log());
    }

    fn log(&self) -> String {
        self.log.text()
    }

    #[track_caller]
    fn wait_for_line(&self, line: &str) {
        until_or(|| self.log().contains(line), || format!("{line:?} is not in the log:\n{}", self.log()));
    }
}

/// A client of alice's.
fn alice(clientid: &str) -> Client<'_> {
    client(clientid, "alice", "127.0.0.1")
}

fn attempt(clientid: &str) -> Attempt<'_> {
    Attempt {
        clientid,
        username: "alice",
        peerhost: Peerhost::parse("::ffff:10.0.0.1"),
        sockport: 1883,
        proto_name: "MQTT",
        proto_ver: 5,
        keepalive: 60,
        node: "emqx@127.0.0.1",
        extra: Extra::NONE,
    }
}

fn connected(clientid: &str) -> Event<'_> {
    Event::Connected(alice(clientid))
}

fn disconnected(clientid: &str) -> Event<'_> {
    Event::Disconnected { client: alice(clientid), reason: "normal" }
}

fn published(clientid: &str) -> Event<'_> {
    Event::CheckAcl { client: alice(clientid), action: Action::Publish, topic: "t" }
}

const STATES: &str = "SELECT clientid || ' ' || coalesce(closed_by, 'open') FROM connections ORDER BY id";

#[test]
fn an_event_is_answered_when_others_can_read_it() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    for token in 0..200 {
        let clientid = format!("c{token}");
        driver.tell(&connected(&clientid), token);
        let there = format!("SELECT count(*) FROM connections WHERE clientid = '{clientid}'");
        assert_eq!(world.count(&there), 1);
    }
    driver.tell(&disconnected("c7"), 1000);
    assert_eq!(world.count("SELECT count(*) FROM online"), 199);
    let before = Instant::now();
    driver.history.finish();
    assert!(before.elapsed() < Duration::from_secs(5), "nothing was queued");
    assert!(!driver.history.record(&connected("late"), 2000));
    assert_eq!(driver.log(), "");
}

#[test]
fn every_table_is_kept_where_it_is_asked_for() {
    let world = World::new(EVERYTHING);
    let driver = world.driver(1);
    let c = alice("c");
    driver.tell(&Event::Connect(attempt("c")), 1);
    driver.tell(&connected("c"), 2);
    driver.tell(&Event::SessionCreated(c), 3);
    driver.tell(&Event::Connack { attempt: attempt("c"), code: "success", assigned: None }, 4);
    driver.tell(&Event::SessionSubscribed { client: c, topic: "a/+", qos: 1 }, 5);
    let message = Message {
        from: "c",
        topic: "t",
        qos: 2,
        payload: Payload::new(b"\xff\0x"),
        timestamp: 1234,
        node: "n",
        cluster: None,
    };
    driver.tell(&Event::MessagePublish(message), 6);
    for asked_by_others in [
        Event::Authenticate { client: c, password: Password::new(b"s3cret-word") },
        published("c"),
        Event::Subscribe(c),
        Event::Unsubscribe(c),
        Event::SessionResumed(c),
    ] {
        assert!(!driver.history.record(&asked_by_others, 99), "{asked_by_others:?}");
    }
    assert_eq!(
        world.rows(
            "SELECT clientid || ' ' || username || ' ' || peerhost || ' ' || sockport || ' ' || protocol || ' ' ||
                    proto_ver || ' ' || node || ' ' || (connected_at BETWEEN 1700000000000 AND 9999999999999)
             FROM connections"
        ),
        ["c alice 127.0.0.1 1883 mqtt 5 emqx@127.0.0.1 1"]
    );
    assert_eq!(
        world.rows("SELECT clientid || ' ' || peerhost || ' ' || keepalive || ' ' || connack FROM attempts"),
        ["c 10.0.0.1 60 success"]
    );
    assert_eq!(world.rows("SELECT clientid || ' ' || topic || ' ' || qos FROM subscriptions"), ["c a/+ 1"]);
    assert_eq!(
        world.rows("SELECT at || ' ' || clientid || ' ' || topic || ' ' || qos || ' ' || hex(payload) FROM messages"),
        ["1234 c t 2 FF0078"]
    );
    // A password cannot get in.
    drop(driver);
    for file in std::fs::read_dir(world.database_file().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"s3cret"));
    }
}

#[test]
fn what_is_not_asked_for_is_not_kept() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    assert!(!driver.history.record(&Event::Connect(attempt("c")), 1));
    assert!(!driver.history.record(&Event::SessionCreated(alice("c")), 2));
    let nothing = World::new(Record {
        connections: false,
        denials: false,
        attempts: true,
        subscriptions: false,
        messages: false,
    });
    let driver = nothing.driver(1);
    assert!(!driver.history.record(&connected("c"), 1));
    driver.tell(&Event::Connect(attempt("c")), 2);
}

#[test]
fn a_lock_that_is_held_for_seven_seconds_disturbs_no_event() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    driver.tell(&connected("before"), 0);
    let other = world.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let (mut waits, mut at_once, mut token) = (Vec::new(), 0, 0);
    while begun.elapsed() < Duration::from_secs(7) {
        token += 1;
        let clientid = format!("c{token}");
        let sent = Instant::now();
        if driver.history.record(&connected(&clientid), token) {
            assert!(begun.elapsed() < Duration::from_secs(4), "a commit was overdue for long");
            waits.push(token);
        } else {
            at_once += 1;
        }
        assert!(sent.elapsed() < Duration::from_secs(1), "record() waited {:?}", sent.elapsed());
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!waits.is_empty() && at_once > 100, "{} waited, {at_once} did not", waits.len());
    driver.wait_for_line(&format!(
        "exhook-policy: history: {} cannot be written: another process holds its lock; events are answered before they are recorded\n",
        world.database_file().display()
    ));
    other.execute_batch("COMMIT").unwrap();
    for &waiting in &waits {
        driver.wait_for(waiting);
    }
    // Those that waited were answered by the transport at its deadline of two seconds.
    driver.wait_for_line(&format!(
        "exhook-policy: history: {} is written again; {} events were answered before they were recorded, 0 were not kept\n",
        world.database_file().display(),
        at_once + waits.len()
    ));
    let expected: Vec<String> = (1..=token).map(|n| format!("c{n}")).collect();
    assert_eq!(world.rows("SELECT clientid FROM connections WHERE clientid <> 'before' ORDER BY id"), expected);
    driver.tell(&connected("after"), token + 1);
}

#[test]
fn at_the_end_of_input_a_locked_database_is_tried_for_some_seconds() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    driver.tell(&connected("kept"), 0);
    let other = world.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    driver.history.record(&connected("lost"), 1);
    let begun = Instant::now();
    driver.history.finish();
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(20), "{took:?}");
    driver.wait_for_line(&format!(
        "exhook-policy: history: 1 events are lost: {} could not be written before the driver ended\n",
        world.database_file().display()
    ));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(world.rows(STATES), ["kept open"]);
}

#[test]
fn at_the_end_of_input_what_is_queued_is_written() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    for token in 0..5000 {
        driver.history.record(&connected(&format!("c{token}")), token);
    }
    driver.history.finish();
    assert_eq!(world.count("SELECT count(*) FROM online"), 5000);
}

#[test]
fn a_file_that_is_no_database_stops_no_event() {
    let world = World::new(CONNECTIONS);
    std::fs::create_dir_all(world.database_file().parent().unwrap()).unwrap();
    std::fs::write(world.database_file(), "this is no database, and long enough to show it\n".repeat(50)).unwrap();
    let driver = world.start(world.recorder("python3", 10, 1));
    driver.wait_for_line(&format!(
        "exhook-policy: history: {} cannot be written: file is not a database; events are answered before they are recorded\n",
        world.database_file().display()
    ));
    for token in 0..100 {
        if driver.history.record(&connected("c"), token) {
            driver.wait_for(token);
        }
    }
    assert!(!driver.history.record(&connected("c"), 1000));
    assert_eq!(driver.log().lines().count(), 1, "{}", driver.log());
    assert!(std::fs::read(world.database_file()).unwrap().starts_with(b"this is no database"));
}

#[test]
fn a_folder_that_cannot_be_made_is_tried_again() {
    let world = World::new(CONNECTIONS);
    let folder = world.database_file().parent().unwrap().to_owned();
    std::fs::write(&folder, "in the way").unwrap();
    let driver = world.start(world.recorder("python3", 10, 1));
    driver.wait_for_line("cannot make the folder");
    driver.history.record(&connected("early"), 1);
    std::fs::remove_file(&folder).unwrap();
    driver.wait_for_line("is written again");
    driver.tell(&connected("late"), 2);
    assert_eq!(world.rows(STATES), ["early open", "late open"]);
}

#[test]
fn a_file_that_is_removed_is_made_anew() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    driver.tell(&connected("before"), 1);
    std::fs::remove_dir_all(world.database_file().parent().unwrap()).unwrap();
    driver.wait_for_line("its file was removed or replaced");
    let mut tokens = 2..;
    until(|| {
        driver.history.record(&connected("after"), tokens.next().unwrap());
        thread::sleep(Duration::from_millis(50));
        Path::exists(&world.database_file())
            && world.count("SELECT count(*) FROM connections WHERE clientid = 'after'") > 0
    });
}

#[test]
fn two_drivers_of_a_pool_write_one_file() {
    let world = World::new(CONNECTIONS);
    let pool = [world.driver(1), world.driver(2)];
    thread::scope(|scope| {
        for (n, driver) in pool.iter().enumerate() {
            scope.spawn(move || {
                for token in 0..300 {
                    driver.tell(&connected(&format!("c{n}-{token}")), token);
                }
            });
        }
    });
    assert_eq!(world.count("SELECT count(*) FROM online WHERE unsure = 0"), 600);
    // A take-over whose events go to different drivers.
    pool[0].tell(&connected("x"), 1000);
    pool[1].tell(&connected("x"), 1000);
    pool[0].tell(&Event::SessionDiscarded(alice("x")), 1001);
    pool[1].tell(&disconnected("x"), 1001);
    assert_eq!(world.rows(&STATES.replace(" ORDER", " WHERE clientid = 'x' ORDER")), ["x takeover", "x event"]);
    assert_eq!(pool[0].log() + &pool[1].log(), "");
}

#[test]
fn a_new_broker_process_closes_the_rows_of_the_one_before() {
    let world = World::new(EVERYTHING);
    let driver = world.driver(1);
    driver.tell(&connected("a"), 1);
    driver.tell(&Event::SessionSubscribed { client: alice("a"), topic: "t", qos: 0 }, 2);
    world.broker_dies(10);
    world.dies(driver.process);
    drop(driver);
    let end = world.count("SELECT max(last_alive) FROM broker_processes");
    thread::sleep(Duration::from_millis(200));
    let driver = world.start(world.recorder("python3", 11, 2));
    driver.tell(&connected("b"), 1);
    assert_eq!(world.rows(STATES), ["a restart", "b open"]);
    assert_eq!(world.unsure(), ["b 0"]);
    assert_eq!(world.count("SELECT disconnected_at - connected_at >= 0 FROM connections WHERE clientid = 'a'"), 1);
    let closed = world.count("SELECT disconnected_at FROM connections WHERE clientid = 'a'");
    assert!(closed <= end, "closed at {closed}, last known alive at {end}");
    assert_eq!(world.count("SELECT count(*) FROM subscriptions"), 0);
}

#[test]
fn another_boot_and_a_container_started_anew_are_other_brokers() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    driver.tell(&connected("a"), 1);
    drop(driver);
    let booted = Recorder { boot_id: "boot-2".to_owned(), ..world.recorder("python3", 10, 1) };
    let driver = world.start(booted.clone());
    driver.tell(&connected("b"), 1);
    assert_eq!(world.rows(STATES), ["a restart", "b open"]);
    drop(driver);
    // The same node in another namespace, though the broker there may have the same process id.
    let container = Recorder { pid_ns: "pid:[2]".to_owned(), ..booted.clone() };
    let driver = world.start(container);
    driver.tell(&connected("c"), 1);
    assert_eq!(world.rows(STATES), ["a restart", "b restart", "c open"]);
    // Another node there is another broker, as long as it is heard of.
    let neighbour = Recorder { pid_ns: "pid:[3]".to_owned(), ..booted };
    let other = world.start(neighbour);
    let event = Event::Connected(Client { node: "emqx2@127.0.0.1", ..alice("d") });
    other.tell(&event, 1);
    assert_eq!(world.rows(STATES), ["a restart", "b restart", "c open", "d open"]);
    world.database().execute("UPDATE broker_processes SET last_alive = last_alive - 90000", []).unwrap();
    drop(driver);
    world.database().execute("UPDATE broker_processes SET last_alive = last_alive - 90000", []).unwrap();
    until(|| world.rows(STATES)[2] == "c restart");
    assert_eq!(world.rows(STATES)[3], "d open");
}

#[test]
fn a_driver_started_anew_closes_nothing_and_is_not_sure() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    for (token, clientid) in (0..).zip(["a", "b", "c", "d"]) {
        driver.tell(&connected(clientid), token);
    }
    assert_eq!(world.unsure(), ["a 0", "b 0", "c 0", "d 0"]);
    world.dies(driver.process);
    let driver = world.start(world.recorder("python3", 10, 2));
    driver.tell(&connected("e"), 1);
    assert_eq!(world.unsure(), ["a 1", "b 1", "c 1", "d 1", "e 0"]);
    // A login in its name says nothing of the connection that is there.
    let login = Event::Authenticate { client: alice("a"), password: Password::new(b"") };
    assert!(!driver.history.record(&login, 2));
    assert!(!driver.history.record(&published("b"), 3));
    driver.history.heard(&alice("c"));
    driver.tell(&connected("d"), 4);
    until(|| world.unsure() == ["a 1", "b 0", "c 0", "d 0", "e 0"]);
    assert_eq!(world.rows(STATES), ["a open", "b open", "c open", "d superseded", "e open", "d open"]);
}

#[test]
fn a_driver_that_ended_in_order_was_away_too() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    driver.tell(&connected("a"), 1);
    drop(driver);
    let driver = world.start(world.recorder("python3", 10, 2));
    driver.tell(&connected("b"), 1);
    assert_eq!(world.unsure(), ["a 1", "b 0"]);
}

#[test]
fn joining_a_pool_makes_nothing_unsure_but_a_death_in_it_does() {
    let world = World::new(CONNECTIONS);
    let first = world.driver(1);
    first.tell(&connected("a"), 1);
    let second = world.start(world.recorder("python3", 10, 2));
    second.tell(&connected("b"), 1);
    assert_eq!(world.unsure(), ["a 0", "b 0"]);
    world.dies(second.process);
    let third = world.start(world.recorder("python3", 10, 3));
    third.tell(&connected("c"), 1);
    assert_eq!(world.unsure(), ["a 1", "b 1", "c 0"]);
    // The driver that was there all along comes to know, and listens for them.
    until(|| {
        first.history.record(&published("a"), 2);
        world.unsure()[0] == "a 0"
    });
}

#[test]
fn of_two_slots_under_one_broker_the_second_records_nothing() {
    let world = World::new(CONNECTIONS);
    let python = world.driver(1);
    python.tell(&connected("a"), 1);
    let java = world.start(world.recorder("java", 10, 2));
    java.history.record(&connected("a"), 1);
    let line = "exhook-policy: history: the driver python3 of this broker records; this one, java, records nothing\n";
    java.wait_for_line(line);
    assert!(!java.history.record(&connected("b"), 2));
    assert_eq!(world.rows(STATES), ["a open"]);
    // The first is away, but may come back in a moment.
    world.dies(python.process);
    drop(java);
    let java = world.start(world.recorder("java", 10, 3));
    java.wait_for_line(line);
    let python = world.start(world.recorder("python3", 10, 4));
    python.tell(&connected("b"), 1);
    assert_eq!(world.rows(STATES), ["a open", "b open"]);
    // It does not.
    world.dies(python.process);
    world.dies(Process { pid: 1, started: 200 });
    until(|| {
        world.database().execute("UPDATE broker_processes SET last_alive = last_alive - 60000", []).unwrap();
        java.log().contains("history: this driver, java, records now\n")
    });
    java.tell(&connected("c"), 1);
    assert_eq!(world.rows(STATES), ["a open", "b open", "c open"]);
    assert_eq!(world.unsure(), ["a 1", "b 1", "c 0"]);
}

#[test]
fn a_slot_whose_plugin_was_unloaded_makes_room_at_once() {
    let world = World::new(CONNECTIONS);
    drop(world.driver(1));
    let java = world.start(world.recorder("java", 10, 2));
    java.tell(&connected("a"), 1);
    assert_eq!(world.rows(STATES), ["a open"]);
    assert_eq!(java.log(), "");
}

fn refusal<'a>(clientid: &'a str, asked: Asked<'a>, mode: Mode) -> Denial<'a> {
    Denial {
        client: alice(clientid),
        asked,
        rule: "default",
        reason: DenialReason::Default,
        policy: "3f2a9c1b22aa".into(),
        mode,
    }
}

fn refusal_from<'a>(clientid: &'a str, username: &'a str, peerhost: &'a str) -> Denial<'a> {
    let client = client(clientid, username, peerhost);
    Denial {
        client,
        asked: Asked::Connect,
        rule: "default",
        reason: DenialReason::Default,
        policy: "3f2a9c1b22aa".into(),
        mode: Mode::Enforce,
    }
}

const DENIALS: &str = "SELECT clientid || ' ' || username || ' ' || peerhost || ' ' || action || ' ' || topic || ' ' ||
    rule || ' ' || mode || ' ' || count FROM denials ORDER BY id";

#[test]
fn equal_refusals_of_a_minute_are_one_row() {
    let world = World::new(CONNECTIONS);
    let pool = [world.driver(1), world.driver(2)];
    for driver in &pool {
        for _ in 0..50 {
            driver.history.denied(&refusal("a", Asked::Connect, Mode::Enforce));
            driver.history.denied(&refusal("a", Asked::Topic(Action::Publish, "x/y"), Mode::Enforce));
            driver.history.denied(&refusal("a", Asked::Topic(Action::Subscribe, "x/y"), Mode::Audit));
        }
        until(|| world.count("SELECT sum(count) FROM denials") % 150 == 0);
    }
    until(|| world.count("SELECT sum(count) FROM denials") == 300);
    assert_eq!(
        world.rows(DENIALS),
        [
            "a alice 127.0.0.1 connect  default enforce 100",
            "a alice 127.0.0.1 publish x/y default enforce 100",
            "a alice 127.0.0.1 subscribe x/y default audit 100"
        ]
    );
    // After a minute it is another row.
    world.database().execute("UPDATE denials SET at = at - 60000", []).unwrap();
    drop(pool);
    let driver = world.driver(3);
    driver.history.denied(&refusal("a", Asked::Connect, Mode::Enforce));
    until(|| world.count("SELECT count(*) FROM denials") == 4);
}

#[test]
fn more_than_a_thousand_refusals_a_minute_share_a_row() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    let refused =
        |n: usize| driver.history.denied(&refusal_from(&format!("c{n}"), "alice", &format!("10.0.0.{}", n % 10)));
    for n in 0..3000 {
        refused(n);
    }
    refused(0);
    driver.history.finish();
    assert_eq!(world.count("SELECT count(*) FROM denials"), 1001);
    assert_eq!(world.rows(DENIALS)[0], "c0 alice 10.0.0.0 connect  default enforce 2");
    assert_eq!(world.rows(DENIALS)[1000], "... ... ... ... ... ... enforce 2000");
}

/// A flood of names from one address and its neighbours hides no guess from elsewhere.
#[test]
fn what_one_peer_is_refused_leaves_room_for_the_others() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    let name = |n: usize| format!("{n:08}{}", "x".repeat(560));
    for n in 0..620 {
        driver.history.denied(&refusal_from(&name(n), &"u".repeat(560), "10.9.9.9"));
    }
    // By rows, and all of an IPv6 network.
    for n in 0..500 {
        driver.history.denied(&refusal_from(&format!("c{n}"), "u", &format!("2001:db8::{n:x}")));
    }
    for n in 0..50 {
        driver.history.denied(&refusal_from("victim", "operator", &format!("203.0.113.{n}")));
    }
    driver.history.finish();
    assert_eq!(world.count("SELECT count(*) FROM denials WHERE username = 'operator'"), 50);
    let rows = world.count("SELECT count(*) FROM denials WHERE peerhost = '10.9.9.9' AND action = 'connect'");
    assert!((120..180).contains(&rows), "{rows} rows");
    assert_eq!(
        world.count("SELECT count(*) FROM denials WHERE peerhost LIKE '2001:db8::%' AND action = 'connect'"),
        250
    );
    assert_eq!(
        world.rows("SELECT peerhost || ' ' || username || ' ' || count FROM denials WHERE action = '...' ORDER BY id"),
        [format!("10.9.9.9 ... {}", 620 - rows), "2001:db8::/64 ... 250".to_owned()]
    );
    assert_eq!(driver.history.left_out().denials.cast_signed(), 620 - rows + 250);
}

/// Clients that are not let in choose names too. A topic of a broker over gRPC may have some MiB.
#[test]
fn refusals_of_long_names_are_cut_and_bounded_in_bytes() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    let topic = "t".repeat(2 << 20);
    let refused = |n: usize, width: usize| {
        let (clientid, username) = (format!("{n:0width$}"), "u".repeat(width));
        let peerhost = format!("10.0.0.{}", n % 10);
        let client = client(&clientid, &username, &peerhost);
        let asked = Asked::Topic(Action::Publish, if n == 0 { &topic } else { &username });
        driver.history.denied(&Denial {
            client,
            asked,
            rule: "default",
            reason: DenialReason::Default,
            policy: "3f2a9c1b22aa".into(),
            mode: Mode::Enforce,
        });
    };
    refused(0, 65_535);
    refused(0, 65_535);
    for n in 1..1000 {
        refused(n, 2_000);
    }
    driver.history.finish();
    let left_out = driver.history.left_out();
    assert_eq!(world.count("SELECT sum(count) FROM denials"), 1001);
    let rows = world.count("SELECT count(*) FROM denials WHERE action <> '...'");
    assert!((400..600).contains(&rows), "{rows} rows");
    let rest = world.count("SELECT count FROM denials WHERE action = '...'");
    assert_eq!((rest, left_out.attempts, left_out.bans), (left_out.denials.cast_signed(), 0, 0));
    assert_eq!(rows + rest, 1000);
    let bytes = world.count("SELECT sum(2 * length(clientid) + length(username) + length(topic)) FROM denials");
    assert!(bytes < 1 << 20, "{bytes} bytes");
    assert_eq!(world.count("SELECT max(length(clientid)) / 600 FROM denials"), 0);
    assert_eq!(world.count("SELECT count FROM denials ORDER BY id LIMIT 1"), 2);
    // Names that begin alike stay apart.
    assert_eq!(world.count("SELECT count(DISTINCT clientid) FROM denials WHERE action <> '...'"), rows);
    assert_eq!(
        world.rows("SELECT replace(topic, 't', '') FROM denials ORDER BY id LIMIT 1"),
        ["...(2097152 byes, 77b0d267fe4c3e8b7c7f450cea59c3ca)"]
    );
    let line = "exhook-policy: history: more kinds of denials than there is room for in a minute (1,000, and 1 MiB of names; \
                for one address a quarter): the rest of this minute's are counted in rows whose names are `...`; `status` and \
                the metrics count them\n";
    assert_eq!(driver.log(), line);
}

/// Of a client that was let in, each row is found by the same cut name.
#[test]
fn a_client_with_a_long_name_is_found_again_by_its_end() {
    let world = World::new(EVERYTHING);
    let driver = world.driver(1);
    let names = ["a", "b"].map(|end| "x".repeat(60_000) + end);
    for (n, name) in (0..).zip(&names) {
        driver.tell(&Event::Connect(attempt(name)), 10 * n + 1);
        driver.tell(&connected(name), 10 * n + 2);
        driver.tell(&Event::Connack { attempt: attempt(name), code: "success", assigned: None }, 10 * n + 3);
        driver.tell(&Event::SessionSubscribed { client: alice(name), topic: &"t".repeat(60_000), qos: 1 }, 10 * n + 4);
    }
    assert_eq!(world.count("SELECT count(*) FROM online"), 2);
    assert_eq!(world.count("SELECT count(*) FROM attempts WHERE connack = 'success'"), 2);
    assert_eq!(world.count("SELECT count(*) FROM connections WHERE proto_ver = 5"), 2);
    driver.tell(&Event::SessionUnsubscribed { client: alice(&names[0]), topic: &"t".repeat(60_000) }, 30);
    driver.tell(&disconnected(&names[0]), 31);
    assert_eq!(world.count("SELECT count(*) FROM online WHERE clientid LIKE 'xx%...(60001 bytes, %)'"), 1);
    assert_eq!(world.count("SELECT length(topic) FROM subscriptions"), 60_000);
    // The end of the other may have been missed, until something is heard of it.
    drop(driver);
    let driver = world.driver(2);
    driver.tell(&connected("c"), 40);
    assert_eq!(world.count("SELECT sum(unsure) FROM online"), 1);
    driver.history.record(&published(&names[1]), 41);
    until(|| world.count("SELECT sum(unsure) FROM online") == 0);
}

/// Version 0.5.0 kept long names whole. Its file, as it left it: of the schema of that version.
#[test]
fn a_client_that_an_older_version_kept_whole_is_found_again() {
    let world = World::new(EVERYTHING);
    let names = ["a", "b", "c"].map(|end| "x".repeat(600) + end);
    std::fs::create_dir_all(world.database_file().parent().unwrap()).unwrap();
    let old = Connection::open(world.database_file()).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for version in 1..=4 {
        old.execute_batch(&std::fs::read_to_string(schema.join(format!("000{version}_history.sql"))).unwrap()).unwrap();
    }
    old.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA user_version = 4;
         INSERT INTO broker_processes (id, boot_id, pid_ns, pid, started, node, slot, last_alive)
         VALUES (1, 'boot-1', 'pid:[1]', 10, 100, 'emqx@127.0.0.1', 'python3', 1000);
         INSERT INTO drivers (broker, pid, started, registered_at, ended) VALUES (1, 99, 200, 1, 1);",
    )
    .unwrap();
    for name in &names {
        old.execute(
            "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
             VALUES (?1, 'alice', '127.0.0.1', 1883, 'mqtt', 'emqx@127.0.0.1', 500, 1)",
            [name],
        )
        .unwrap();
        old.execute(
            "INSERT INTO subscriptions (clientid, topic, qos, subscribed_at, broker) VALUES (?1, 't', 0, 500, 1)",
            [name],
        )
        .unwrap();
    }
    let unanswered =
        "INSERT INTO attempts (at, clientid, username, peerhost, sockport, proto_name, proto_ver, keepalive, node)
                      VALUES (500, ?1, 'alice', '10.0.0.1', 1883, 'MQTT', 5, 60, 'emqx@127.0.0.1')";
    old.execute(unanswered, [&names[0]]).unwrap();
    drop(old);

    let driver = world.driver(1);
    driver.tell(&Event::Connack { attempt: attempt(&names[0]), code: "success", assigned: None }, 1);
    assert_eq!(world.rows("SELECT connack FROM attempts"), ["success"]);
    assert_eq!(world.count("SELECT count(*) FROM connections WHERE proto_ver = 5"), 1);
    driver.tell(&disconnected(&names[0]), 2);
    driver.tell(&Event::SessionUnsubscribed { client: alice(&names[0]), topic: "t" }, 3);
    assert_eq!(world.rows("SELECT closed_by FROM connections WHERE disconnected_at IS NOT NULL"), ["event"]);
    assert_eq!(world.count("SELECT count(*) FROM subscriptions"), 2);
    // A sign of life of one, and the list of the broker for the other: it has its name whole.
    assert_eq!(world.count("SELECT sum(unsure) FROM online"), 2);
    until(|| {
        driver.history.record(&published(&names[1]), 4);
        world.count("SELECT sum(unsure) FROM online") == 1
    });
    let list = List::parse(names[1..].join("\n").as_bytes(), Some(Form::Plain)).unwrap();
    let settled = resync(&mut world.database(), &list, &Scope::default(), now() + 60_000, true).unwrap();
    assert_eq!((settled.there, settled.gone, settled.unknown), (1, 0, 0));
    assert_eq!(world.count("SELECT count(*) FROM online WHERE NOT unsure AND clientid LIKE '%...(601 bytes, %)'"), 2);
}

#[test]
fn old_rows_are_removed_and_open_ones_are_not() {
    let mut world = World::new(EVERYTHING);
    world.keep = Some(Duration::from_secs(3600));
    let driver = world.driver(1);
    driver.tell(&connected("open"), 1);
    driver.tell(&connected("recent"), 2);
    driver.tell(&disconnected("recent"), 3);
    drop(driver);
    world
        .database()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at,
                                      disconnected_at, closed_by, broker)
             SELECT 'old' || i, '', '', 1883, 'mqtt', 'n', i, i + 1, 'event', 1 FROM n;
             UPDATE connections SET connected_at = 5 WHERE clientid = 'open';
             INSERT INTO denials (at, clientid, username, peerhost, action, topic, rule, mode)
             VALUES (1, 'a', '', '', 'connect', '', 'r', 'enforce');
             INSERT INTO messages (at, clientid, topic, qos, payload) VALUES (1, 'a', 't', 0, x'');",
        )
        .unwrap();
    let _driver = world.driver(2);
    until(|| world.rows(STATES) == ["open open", "recent event"]);
    until(|| world.count("SELECT (SELECT count(*) FROM denials) + (SELECT count(*) FROM messages)") == 0);
}

const EU: Origin<'_> = Origin { cluster: Some("eu"), node: "emqx@10.0.0.1" };
const EU_2: Origin<'_> = Origin { cluster: Some("eu"), node: "emqx@10.0.0.2" };
const US: Origin<'_> = Origin { cluster: Some("us"), node: "emqx@10.0.0.1" };

/// A client of this broker, from this port.
fn at<'a>(origin: Origin<'a>, clientid: &'a str, port: u16) -> Client<'a> {
    let extra = Extra { cluster: origin.cluster, peerport: Some(port), cn: Some("a name"), ..Extra::NONE };
    Client { node: origin.node, extra, ..alice(clientid) }
}

fn ends<'a>(client: Client<'a>, reason: &'a str) -> Event<'a> {
    Event::Disconnected { client, reason }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

impl Driver {
    fn loaded(&self, origin: Origin<'_>, booted_at: i64) {
        self.history.broker_loaded(&BrokerLoaded { origin, booted_at });
    }
}

impl World {
    /// The rows as `cluster clientid node state`.
    fn states(&self) -> Vec<String> {
        self.rows(
            "SELECT cluster || ' ' || clientid || ' ' || substr(node, -1) || ' ' ||
                    coalesce(closed_by, iif(id IN (SELECT id FROM online WHERE unsure), 'unsure', 'open'))
             FROM connections ORDER BY id",
        )
    }
}

#[test]
fn a_server_keeps_clusters_apart() {
    let world = World::new(EVERYTHING);
    let server = world.server(1);
    server.tell(&Event::Connected(at(EU, "c", 1)), 1);
    server.tell(&Event::Connected(at(US, "c", 1)), 2);
    server.tell(&Event::SessionSubscribed { client: at(EU, "c", 1), topic: "t", qos: 0 }, 3);
    server.tell(&Event::SessionSubscribed { client: at(US, "c", 1), topic: "t", qos: 1 }, 4);
    server.history.denied(&Denial {
        client: at(EU, "c", 1),
        asked: Asked::Connect,
        rule: "r",
        reason: DenialReason::Rule,
        policy: "3f2a9c1b22aa".into(),
        mode: Mode::Enforce,
    });
    server.history.denied(&Denial {
        client: at(US, "c", 1),
        asked: Asked::Connect,
        rule: "r",
        reason: DenialReason::Rule,
        policy: "3f2a9c1b22aa".into(),
        mode: Mode::Enforce,
    });
    server.tell(&ends(at(EU, "c", 1), "normal"), 5);
    // Within a cluster, from one node to another.
    server.tell(&Event::Connected(at(EU, "d", 1)), 6);
    server.tell(&Event::SessionSubscribed { client: at(EU, "d", 1), topic: "t", qos: 0 }, 7);
    server.tell(&ends(at(EU, "d", 1), "takenover"), 8);
    server.tell(&Event::Connected(at(EU_2, "d", 2)), 9);
    server.tell(&Event::SessionTakenOver(at(EU, "d", 1)), 10);
    server.history.finish();
    assert_eq!(world.states(), ["eu c 1 event", "us c 1 open", "eu d 1 takeover", "eu d 2 open"]);
    assert_eq!(world.rows("SELECT cluster || ' ' || count FROM denials ORDER BY cluster"), ["eu 1", "us 1"]);
    assert_eq!(
        world.rows(
            "SELECT subscriptions.cluster || ' ' || clientid || ' ' || qos || ' ' || node FROM subscriptions
             JOIN broker_processes ON id = broker ORDER BY 1"
        ),
        ["eu c 0 emqx@10.0.0.1", "eu d 0 emqx@10.0.0.2", "us c 1 emqx@10.0.0.1"]
    );
    assert_eq!(server.log(), "");
}

#[test]
fn a_broker_that_booted_anew_is_seen_by_its_time_of_boot() {
    let world = World::new(EVERYTHING);
    let server = world.server(1);
    let booted = now() - 60_000;
    server.loaded(EU, booted);
    server.tell(&Event::Connected(at(EU, "a", 1)), 1);
    server.tell(&Event::SessionSubscribed { client: at(EU, "a", 1), topic: "t", qos: 0 }, 2);
    server.tell(&Event::Connected(at(EU_2, "b", 1)), 3);
    server.tell(&Event::Connected(at(US, "c", 1)), 4);
    // It was restarted, and its first client is another.
    server.loaded(EU, now() + 3_000);
    server.tell(&Event::Connected(at(EU, "d", 1)), 5);
    assert_eq!(world.states(), ["eu a 1 restart", "eu b 2 open", "us c 1 open", "eu d 1 open"]);
    assert_eq!(world.count("SELECT count(*) FROM subscriptions"), 0);
    let lasted = "SELECT disconnected_at - connected_at BETWEEN 0 AND 2000 FROM connections WHERE clientid = 'a'";
    assert_eq!(world.count(lasted), 1);
    assert_eq!(world.count("SELECT count(*) FROM broker_processes"), 3);
}

#[test]
fn a_broker_that_comes_again_without_a_boot_missed_something() {
    let world = World::new(CONNECTIONS);
    let server = world.server(1);
    let booted = now() - 60_000;
    server.loaded(EU, booted);
    server.tell(&Event::Connected(at(EU, "a", 1)), 1);
    server.tell(&Event::Connected(at(EU, "b", 2)), 2);
    server.tell(&Event::Connected(at(US, "a", 1)), 3);
    server.tell(&Event::Connected(at(EU_2, "e", 1)), 4);
    // The time is told to a second or so.
    server.loaded(EU, booted + 1_500);
    // Of this one it was never told.
    server.loaded(EU_2, booted);
    server.tell(&Event::Connected(at(EU, "c", 3)), 5);
    until(|| world.states() == ["eu a 1 unsure", "eu b 1 unsure", "us a 1 open", "eu e 2 unsure", "eu c 1 open"]);
    // Another client of the name, and the same at another connection, say nothing of it.
    let published = |client| Event::CheckAcl { client, action: Action::Publish, topic: "t" };
    until(|| {
        // The clients are listened for a moment after the rows say so.
        server.history.record(&published(at(US, "a", 1)), 6);
        server.history.record(&published(at(EU, "b", 9)), 7);
        server.history.record(&published(at(EU, "a", 1)), 8);
        world.states() == ["eu a 1 open", "eu b 1 unsure", "us a 1 open", "eu e 2 unsure", "eu c 1 open"]
    });
    server.tell(&ends(at(EU, "b", 2), "normal"), 9);
    assert_eq!(world.states()[1], "eu b 1 event");
}

#[test]
fn after_a_restart_of_the_server_what_is_open_is_unsure() {
    let world = World::new(CONNECTIONS);
    let server = world.server(1);
    server.tell(&Event::Connected(at(EU, "a", 1)), 1);
    server.tell(&Event::Connected(at(US, "b", 1)), 2);
    drop(server);
    let server = world.server(2);
    assert_eq!(world.states(), ["eu a 1 unsure", "us b 1 unsure"]);
    server.tell(&Event::Connected(at(EU, "c", 1)), 1);
    server.history.record(&Event::Subscribe(at(EU, "a", 1)), 2);
    until(|| world.states() == ["eu a 1 open", "us b 1 unsure", "eu c 1 open"]);
    // The broker of one was started anew meanwhile.
    server.loaded(US, now() + 3_000);
    server.tell(&Event::Connected(at(US, "d", 1)), 3);
    assert_eq!(world.states(), ["eu a 1 open", "us b 1 restart", "eu c 1 open", "us d 1 open"]);
}

#[test]
fn of_two_servers_each_broker_is_recorded_by_one() {
    let world = World::new(CONNECTIONS);
    let first = world.server(1);
    first.tell(&Event::Connected(at(EU, "a", 1)), 1);
    let second = world.server(2);
    second.tell(&Event::Connected(at(US, "b", 1)), 1);
    assert_eq!(world.states(), ["eu a 1 open", "us b 1 open"]);
    // A broker that calls both.
    first.tell(&Event::Connected(at(EU, "c", 1)), 2);
    second.tell(&Event::Connected(at(EU, "c", 1)), 2);
    second.loaded(EU, now() + 3_000);
    second.history.denied(&Denial {
        client: at(EU, "c", 1),
        asked: Asked::Connect,
        rule: "r",
        reason: DenialReason::Rule,
        policy: "3f2a9c1b22aa".into(),
        mode: Mode::Enforce,
    });
    second.history.denied(&Denial {
        client: at(US, "b", 1),
        asked: Asked::Connect,
        rule: "r",
        reason: DenialReason::Rule,
        policy: "3f2a9c1b22aa".into(),
        mode: Mode::Enforce,
    });
    until(|| world.count("SELECT count(*) FROM denials") > 0);
    assert_eq!(world.rows("SELECT cluster FROM denials"), ["us"]);
    assert_eq!(world.states(), ["eu a 1 open", "us b 1 open", "eu c 1 open"]);
    assert_eq!(
        second.log(),
        "exhook-policy: history: another server records the events of \"emqx@10.0.0.1\" of cluster \"eu\"; \
         this one keeps none of them\n"
    );
    // The first dies, and the second records what comes to it.
    world.dies(first.process);
    second.tell(&Event::Connected(at(EU, "d", 1)), 3);
    assert_eq!(world.states(), ["eu a 1 unsure", "us b 1 open", "eu c 1 unsure", "eu d 1 open"]);
    second.wait_for_line("history: this server records the events of \"emqx@10.0.0.1\" of cluster \"eu\" now\n");
    until(|| {
        second.history.record(&Event::Subscribe(at(EU, "a", 1)), 4);
        world.states()[0] == "eu a 1 open"
    });
}

#[test]
fn a_driver_and_a_server_leave_each_others_brokers_alone() {
    let world = World::new(CONNECTIONS);
    let driver = world.driver(1);
    driver.tell(&connected("a"), 1);
    let server = world.server(2);
    server.tell(&Event::Connected(at(EU, "b", 1)), 1);
    drop(driver);
    let driver = world.driver(3);
    driver.tell(&connected("c"), 1);
    assert_eq!(world.states(), [" a 1 unsure", "eu b 1 open", " c 1 open"]);
    drop(server);
    let server = world.server(4);
    driver.tell(&connected("d"), 2);
    assert_eq!(world.states()[1..], ["eu b 1 unsure", " c 1 open", " d 1 open"]);
    world.broker_dies(10);
    let other = world.start(world.recorder("python3", 11, 5));
    other.tell(&connected("e"), 1);
    assert_eq!(world.states(), [" a 1 restart", "eu b 1 unsure", " c 1 restart", " d 1 restart", " e 1 open"]);
    drop(server);
}
