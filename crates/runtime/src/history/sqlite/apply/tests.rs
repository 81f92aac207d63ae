//! Scripts of events, and the rows that they leave.

use std::fmt::Write as _;

use proptest::prelude::*;
use rusqlite::StatementStatus;
use tempfile::TempDir;

use super::*;
use crate::history::record::{ClientPeer, Whose};
use crate::history::sqlite::retention::{self, Sweep};
use crate::history::sqlite::store::Store;
use exhook_policy_core::event::Peerhost;
use exhook_policy_core::event::owned::{OwnedExtra, OwnedPeerhost};
use exhook_policy_core::policy::model::Sync;

const MINUTE: i64 = 60_000;
const ALL: Record = Record { connections: true, denials: true, attempts: true, subscriptions: true, messages: true };

struct Book {
    store: Store,
    between: BetweenEvents,
    _dir: TempDir,
}

impl Book {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Book {
            store: Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap(),
            between: BetweenEvents::default(),
            _dir: dir,
        }
    }

    fn apply(&mut self, at: i64, record: &Owned) {
        self.apply_in("", at, record);
    }

    fn apply_in(&mut self, cluster: &str, at: i64, record: &Owned) {
        let transaction = self.store.begin().unwrap();
        Apply {
            db: &transaction,
            broker: 1,
            cluster,
            record: ALL,
            attempts: &Cell::new(ATTEMPTS),
            between: &self.between,
        }
        .apply(at, record)
        .unwrap();
        transaction.commit().unwrap();
    }

    /// Lines of a time and an event, with `in` and a cluster where it has a name; a line that is indented less than needed is still one.
    fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (at, event) = line.split_once(' ').unwrap();
            let (event, cluster) = event.trim().split_once(" in ").unwrap_or((event.trim(), ""));
            self.apply_in(cluster, at.parse().unwrap(), &event_of(event));
        }
    }

    fn rows(&self, sql: &str) -> String {
        let mut statement = self.store.db.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut text = String::new();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                let separator = if column == 0 { "" } else { " " };
                match row.get::<_, rusqlite::types::Value>(column).unwrap() {
                    rusqlite::types::Value::Null => write!(text, "{separator}-").unwrap(),
                    rusqlite::types::Value::Integer(number) => write!(text, "{separator}{number}").unwrap(),
                    rusqlite::types::Value::Text(value) => write!(text, "{separator}{value}").unwrap(),
                    other @ (rusqlite::types::Value::Real(_) | rusqlite::types::Value::Blob(_)) => panic!("{other:?}"),
                }
            }
            text.push('\n');
        }
        text
    }

    fn connections(&self) -> String {
        self.rows("SELECT connected_at, disconnected_at, closed_by, reason FROM connections ORDER BY id")
    }
}

fn client(clientid: &str) -> OwnedClient {
    OwnedClient {
        username: "alice".into(),
        peerhost: OwnedPeerhost::from(Peerhost::parse("127.0.0.1")),
        node: "emqx@127.0.0.1".into(),
        ..OwnedClient::named(clientid)
    }
}

fn attempt(clientid: &str, proto_ver: u8) -> OwnedAttempt {
    OwnedAttempt {
        clientid: clientid.into(),
        username: "alice".into(),
        peerhost: OwnedPeerhost::from(Peerhost::parse("127.0.0.1")),
        sockport: 1883,
        proto_name: "MQTT".into(),
        proto_ver,
        keepalive: 60,
        node: "emqx@127.0.0.1".into(),
        extra: OwnedExtra::default(),
    }
}

/// The clientid is `c` where the event does not name one with `as`; `nobody` sent an empty one. Where the broker tells
/// the client's port, it stands behind `from`.
fn event_of(text: &str) -> Owned {
    let (text, port) = match text.split_once(" from ") {
        Some((text, port)) => (text, Some(port.parse().unwrap())),
        None => (text, None),
    };
    let extra = OwnedExtra { peerport: port, ..OwnedExtra::default() };
    let (text, id) = text.split_once(" as ").unwrap_or((text, "c"));
    let id = if id == "nobody" { "" } else { id };
    let mut words = text.split(' ');
    let (event, rest) = (words.next().unwrap(), words.collect::<Vec<_>>());
    let clientid: Box<str> = id.into();
    let client = OwnedClient { extra: extra.clone(), ..client(id) };
    let attempt = |version: &str| OwnedAttempt { extra: extra.clone(), ..attempt(id, version.parse().unwrap()) };
    let whose = Whose::from(&client.as_client());
    match (event, rest.as_slice()) {
        ("connect", [version]) => Owned::Connect(attempt(version)),
        ("connack", [version, code]) => {
            Owned::Connack { attempt: attempt(version), code: (*code).into(), assigned: None }
        }
        ("connack", [version, code, assigned]) => {
            Owned::Connack { attempt: attempt(version), code: (*code).into(), assigned: Some((*assigned).into()) }
        }
        ("connected", []) => Owned::Connected(client, Box::default()),
        ("disconnected", [reason]) => Owned::Disconnected { whose, reason: (*reason).into() },
        ("discarded", []) => Owned::Discarded { whose },
        ("takeovered", []) => Owned::TakenOver { whose },
        ("heard", []) => Owned::Heard { whose },
        ("created", []) => Owned::SessionCreated { clientid },
        ("terminated", []) => Owned::SessionTerminated { clientid },
        ("subscribed", [topic, qos]) => {
            Owned::Subscribed { clientid, topic: (*topic).into(), qos: qos.parse().unwrap() }
        }
        ("unsubscribed", [topic]) => Owned::Unsubscribed { clientid, topic: (*topic).into() },
        other => panic!("{other:?}"),
    }
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).fold(String::new(), |all, line| all + line + "\n")
}

/// Expected are `connected_at disconnected_at closed_by reason`, `-` for NULL.
#[track_caller]
fn check(script: &str, expected: &str) {
    let mut book = Book::new();
    book.play(script);
    assert_eq!(book.connections(), trimmed(expected));
}

#[test]
fn a_connection_and_its_end() {
    check("10 connected", "10 - - -");
    check("10 connected \n 20 disconnected normal", "10 20 event normal");
    check(
        "10 connected \n 20 disconnected normal \n 30 connected \n 40 disconnected tcp_closed",
        "10 20 event normal \n 30 40 event tcp_closed",
    );
}

#[test]
fn clients_are_told_apart_by_their_clientid() {
    check("10 connected as a \n 20 connected as A \n 30 disconnected normal as a", "10 30 event normal \n 20 - - -");
}

#[test]
fn an_end_of_what_was_never_begun_changes_nothing() {
    check("10 disconnected normal", "");
    check("10 connected \n 20 disconnected normal \n 21 disconnected normal", "10 20 event normal");
    check("10 discarded \n 11 takeovered", "");
}

#[test]
fn a_clean_take_over() {
    check("10 connected \n 20 connected \n 21 discarded \n 21 created", "10 20 takeover discarded \n 20 - - -");
    check(
        "10 connected \n 20 connected \n 21 discarded \n 30 disconnected normal",
        "10 20 takeover discarded \n 20 30 event normal",
    );
}

#[test]
fn a_persistent_take_over() {
    check("10 connected \n 20 connected \n 21 takeovered", "10 20 takeover takeovered \n 20 - - -");
}

#[test]
fn a_take_over_of_which_nothing_is_said() {
    check("10 connected \n 20 connected", "10 20 superseded - \n 20 - - -");
    check("10 connected \n 20 connected \n 10021 disconnected normal", "10 20 superseded - \n 20 10021 event normal");
}

#[test]
fn the_end_of_the_old_connection_comes_after_the_new_one() {
    check("10 connected \n 20 connected \n 25 disconnected tcp_closed", "10 20 event tcp_closed \n 20 - - -");
    check(
        "10 connected \n 20 connected \n 25 disconnected tcp_closed \n 30 disconnected normal",
        "10 20 event tcp_closed \n 20 30 event normal",
    );
    // The session of the old connection, which had ended by itself, is taken over then.
    check(
        "10 connected \n 20 connected \n 25 disconnected tcp_closed \n 26 takeovered \n 30 disconnected normal",
        "10 20 event tcp_closed \n 20 30 event normal",
    );
    check("10 connected \n 20 connected \n 10020 disconnected normal", "10 20 event normal \n 20 - - -");
}

#[test]
fn a_take_over_that_is_told_of_the_connection_too() {
    // From 5.0.10 on, in the order in which the broker does it: the old connection, the new one, the old session.
    check(
        "10 connected \n 20 disconnected discarded \n 21 connected \n 22 discarded \n 30 disconnected normal",
        "10 20 takeover discarded \n 21 30 event normal",
    );
    check(
        "10 connected \n 20 disconnected takenover \n 21 connected \n 22 takeovered \n 30 disconnected normal",
        "10 20 takeover takeovered \n 21 30 event normal",
    );
    // The two that follow the first come in either order.
    check(
        "10 connected \n 20 disconnected takenover \n 21 takeovered \n 22 connected",
        "10 20 takeover takeovered \n 22 - - -",
    );
    // Calls that overtake each other.
    for (first, second) in [("disconnected takenover", "takeovered"), ("takeovered", "disconnected takenover")] {
        check(
            &format!("10 connected \n 20 connected \n 21 {first} \n 22 {second} \n 30 disconnected normal"),
            "10 20 takeover takeovered \n 20 30 event normal",
        );
    }
    check(
        "10 connected \n 20 takeovered \n 21 disconnected takenover \n 22 connected",
        "10 21 takeover takeovered \n 22 - - -",
    );
    check(
        "10 connected \n 20 takeovered \n 21 connected \n 22 disconnected takenover",
        "10 21 takeover takeovered \n 21 - - -",
    );
}

#[test]
fn a_take_over_is_told_twice_of_each_of_many_connections() {
    check(
        "10 connected \n 20 connected \n 21 discarded \n 22 disconnected discarded
         30 connected \n 31 discarded \n 32 disconnected discarded",
        "10 20 takeover discarded \n 20 30 takeover discarded \n 30 - - -",
    );
    check(
        "10 connected \n 20 connected \n 30 connected \n 31 disconnected discarded \n 32 disconnected discarded
         33 discarded \n 34 discarded \n 40 disconnected normal",
        "10 20 takeover discarded \n 20 30 takeover discarded \n 30 40 event normal",
    );
    // The old connection ended by itself, and then its session was taken over.
    check(
        "10 connected \n 20 connected \n 25 disconnected tcp_closed \n 26 disconnected takenover \n 27 takeovered
         30 disconnected normal",
        "10 20 event tcp_closed \n 20 30 event normal",
    );
}

#[test]
fn the_session_of_a_connection_is_taken_over_before_the_new_one_comes() {
    check(
        "10 connected \n 3000 takeovered \n 3001 connected \n 3002 disconnected normal",
        "10 3001 takeover takeovered \n 3001 3002 event normal",
    );
    check(
        "10 connected \n 20000 takeovered \n 20001 connected \n 20002 disconnected normal",
        "10 20001 takeover takeovered \n 20001 20002 event normal",
    );
    // What is about to come may fail.
    check("10 connected \n 20000 takeovered", "10 - - -");
    check("10 connected \n 20000 takeovered \n 20001 disconnected normal", "10 20001 event normal");
    check("10 connected \n 20000 takeovered \n 40000 connected", "10 40000 superseded - \n 40000 - - -");
}

#[test]
fn where_the_port_is_told_an_end_is_of_the_connection_that_comes_from_there() {
    check(
        "10 connected from 1 \n 20 connected from 2 \n 30 disconnected normal from 2 \n 31 disconnected tcp_closed from 1",
        "10 20 event tcp_closed \n 20 30 event normal",
    );
    // However late, and whatever else is expected.
    check(
        "10 connected from 1 \n 20 connected from 2 \n 90000 disconnected tcp_closed from 1",
        "10 20 superseded - \n 20 - - -",
    );
    check(
        "10 connected from 1 \n 20 connected from 2 \n 21 discarded from 1 \n 22 disconnected discarded from 1
         23 disconnected normal from 2",
        "10 20 takeover discarded \n 20 23 event normal",
    );
    check(
        "10 connected from 1 \n 20 disconnected takenover from 1 \n 21 connected from 2 \n 22 takeovered from 1",
        "10 20 takeover takeovered \n 21 - - -",
    );
    // An offline session, discarded a moment after the new connection came.
    check(
        "10 connected from 1 \n 20 disconnected normal from 1 \n 30 connected from 2
         31 disconnected discarded from 1 \n 32 discarded from 1",
        "10 20 event normal \n 30 - - -",
    );
    check("10 connected from 1 \n 20 disconnected normal from 2", "10 - - -");
    check("10 connected \n 20 disconnected normal from 2", "10 - - -");
    check(
        "10 connected from 1 \n 20 connected from 2 \n 30 connected from 3
         31 disconnected b from 2 \n 32 disconnected a from 1 \n 33 disconnected c from 3",
        "10 20 event a \n 20 30 event b \n 30 33 event c",
    );
    // The host counts as well.
    let mut book = Book::new();
    book.play("10 connected from 1");
    let host = OwnedPeerhost::from(Peerhost::parse("10.0.0.9"));
    let peer = Some(ClientPeer { host, port: Some(1), node: "emqx@127.0.0.1".into(), sockport: 0 });
    let whose = Whose { clientid: "c".into(), peer };
    book.apply(20, &Owned::Disconnected { whose, reason: "normal".into() });
    assert_eq!(book.connections(), "10 - - -\n");
}

/// A proxy may tell the same port of all clients.
#[test]
fn of_two_connections_from_the_same_port_the_older_ends_first() {
    check(
        "10 connected from 443 \n 20 connected from 443 \n 21 disconnected tcp_closed from 443",
        "10 20 event tcp_closed \n 20 - - -",
    );
    check(
        "10 connected from 443 \n 20 connected from 443 \n 21 disconnected takenover from 443
         22 takeovered from 443 \n 30 disconnected normal from 443",
        "10 20 takeover takeovered \n 20 30 event normal",
    );
}

/// Whether that was before this connection or after it nobody can know.
#[test]
fn what_another_connection_does_leaves_an_unsure_one_unsure() {
    let mut book = Book::new();
    book.play("10 connected from 1");
    book.store.db.execute("INSERT INTO unsure SELECT id FROM connections", []).unwrap();
    book.play("20 heard from 2 \n 30 disconnected normal from 2 \n 90000 disconnected normal from 3");
    assert_eq!(book.rows("SELECT connected_at, unsure FROM online"), "10 1\n");
    book.play("100000 connected from 3 \n 100001 heard from 3");
    assert_eq!(book.rows("SELECT connected_at, unsure, peerport FROM online"), "100000 0 3\n");
}

#[test]
fn clusters_have_clientids_of_their_own() {
    let mut book = Book::new();
    book.play(
        "10 connected in eu \n 20 connected in us \n 25 connected \n 30 disconnected normal in eu
         40 connect 5 in us \n 41 connect 4 in eu \n 42 connack 4 success in eu \n 43 connack 5 success in us
         50 subscribed t 0 in eu \n 51 subscribed t 1 in us \n 52 terminated in eu",
    );
    let rows = "SELECT cluster, connected_at, disconnected_at, proto_ver FROM connections ORDER BY id";
    assert_eq!(book.rows(rows), "eu 10 30 -\nus 20 - 5\n 25 - -\n");
    assert_eq!(book.rows("SELECT cluster, connack FROM attempts ORDER BY id"), "us success\neu success\n");
    assert_eq!(book.rows("SELECT cluster, qos FROM subscriptions"), "us 1\n");
    assert_eq!(
        book.rows("SELECT cluster, online, connections, last_reason FROM clients ORDER BY cluster"),
        " 1 1 -\neu 0 1 normal\nus 1 1 -\n"
    );
    book.play("60 connected in us \n 61 disconnected tcp_closed in us");
    assert_eq!(book.rows(rows), "eu 10 30 -\nus 20 60 5\n 25 - -\nus 60 - -\n");
    book.store.db.execute("INSERT OR IGNORE INTO unsure SELECT id FROM online", []).unwrap();
    book.play("70 heard in us");
    assert_eq!(book.rows("SELECT cluster, unsure FROM online ORDER BY id"), " 1\nus 0\n");
}

#[test]
fn discarding_an_offline_session_closes_nothing() {
    check(
        "10 connected \n 20 disconnected normal \n 30 connected \n 31 discarded \n 31 created",
        "10 20 event normal \n 30 - - -",
    );
    check("10 connected \n 11 takeovered \n 12 discarded", "10 - - -");
    // Long after a take-over, too.
    check("10 connected \n 20 connected \n 20000 discarded", "10 20 superseded - \n 20 - - -");
}

#[test]
fn a_client_that_reconnects_again_and_again() {
    check(
        "10 connected \n 20 connected \n 30 connected \n 31 discarded \n 32 discarded",
        "10 20 takeover discarded \n 20 30 takeover discarded \n 30 - - -",
    );
    check(
        "10 connected \n 20 connected \n 21 takeovered \n 30 connected \n 31 disconnected tcp_closed \n 40 disconnected normal",
        "10 20 takeover takeovered \n 20 30 event tcp_closed \n 30 40 event normal",
    );
    check(
        "10 connected \n 20 connected \n 30 connected \n 40 disconnected a \n 41 disconnected b \n 42 disconnected d",
        "10 20 event a \n 20 30 event b \n 30 42 event d",
    );
}

#[test]
fn a_kicked_client() {
    check("10 connected \n 20 disconnected kicked \n 20 terminated", "10 20 event kicked");
}

#[test]
fn no_connection_ends_before_it_began() {
    check("1000 connected \n 10 disconnected normal", "1000 1000 event normal");
    check("1000 connected \n 10 connected", "1000 1000 superseded - \n 10 - - -");
}

#[test]
fn after_the_clock_was_set_back_an_old_expectation_does_not_count() {
    check(
        "9000000 connected \n 9000010 connected \n 5000 disconnected normal",
        "9000000 9000010 superseded - \n 9000010 9000010 event normal",
    );
}

#[test]
fn recorded_scenarios() {
    // Take-over, persistent on both sides, then a resumed session, then a discarded one.
    check(
        "10 connected \n 11 created \n 12 subscribed t 1
         20 connected \n 21 takeovered \n 30 disconnected normal
         40 connected \n 41 takeovered \n 50 disconnected normal
         60 connected \n 61 discarded \n 62 created \n 70 disconnected normal \n 71 terminated",
        "10 20 takeover takeovered
         20 30 event normal
         40 50 event normal
         60 70 event normal",
    );
}

#[test]
fn attempts_and_the_protocol_version() {
    let mut book = Book::new();
    book.play(
        "1 connect 4 \n 2 connected \n 3 connack 4 success
         4 connect 5 as bad \n 5 connack 5 not_authorized as bad
         6 connect 4 as nobody \n 7 connected as gen1 \n 8 connack 4 success gen1 as nobody
         9 connack 3 server_busy as late
         10 connect 5 as open",
    );
    assert_eq!(
        book.rows("SELECT at, clientid, proto_ver, connack FROM attempts ORDER BY id"),
        trimmed("1 c 4 success \n 4 bad 5 not_authorized \n 6  4 success \n 9 late 3 server_busy \n 10 open 5 -")
    );
    assert_eq!(book.rows("SELECT clientid, proto_ver FROM connections ORDER BY id"), "c 4\ngen1 4\n");
}

#[test]
fn the_version_is_the_newest_connections() {
    let mut book = Book::new();
    book.play("1 connected \n 2 connack 4 success \n 3 connected \n 4 connack 5 success \n 5 discarded");
    assert_eq!(book.rows("SELECT proto_ver, closed_by FROM connections ORDER BY id"), "4 takeover\n5 -\n");
}

#[test]
fn subscriptions_as_they_stand() {
    let mut book = Book::new();
    book.play(
        "1 subscribed a/# 0 \n 2 subscribed b 1 \n 3 subscribed a/# 2 \n 4 subscribed x 0 as other
         5 unsubscribed b \n 6 unsubscribed never",
    );
    let sql = "SELECT clientid, topic, qos, subscribed_at FROM subscriptions ORDER BY clientid, topic";
    assert_eq!(book.rows(sql), "c a/# 2 1\nother x 0 4\n");
    book.play("7 terminated");
    assert_eq!(book.rows(sql), "other x 0 4\n");
    book.play("8 created as other");
    assert_eq!(book.rows(sql), "");
}

#[test]
fn the_views() {
    let mut book = Book::new();
    book.play(
        "10 connected as a \n 20 disconnected first as a \n 30 connected as a \n 40 disconnected second as a
         50 connected as a \n 60 connected as b",
    );
    book.store.db.execute("INSERT INTO unsure SELECT id FROM connections WHERE clientid = 'b'", []).unwrap();
    assert_eq!(book.rows("SELECT clientid, connected_at, unsure FROM online ORDER BY id"), "a 50 0\nb 60 1\n");
    assert_eq!(
        book.rows(
            "SELECT clientid, online, connections, first_connected_at, last_connected_at, last_disconnected_at,
                    last_reason FROM clients ORDER BY clientid"
        ),
        "a 1 3 10 50 40 second\nb 1 1 60 60 - -\n"
    );
    book.play("70 heard as b");
    assert_eq!(book.rows("SELECT clientid, unsure FROM online ORDER BY id"), "a 0\nb 0\n");
}

/// To prepare a statement costs many times what it takes to run it.
#[test]
fn what_most_events_run_is_prepared_once() {
    let mut book = Book::new();
    for at in 0..20 {
        book.apply(10 * at, &event_of(&format!("connected as {}", at % 3)));
        book.apply(10 * at + 1, &event_of(&format!("disconnected r{at} as {}", at % 2)));
    }
    for at in 0..20 {
        book.play(&format!("{} connected as p from {at}", 1000 + 2 * at));
        book.play(&format!("{} disconnected normal as p from {at}", 1001 + 2 * at));
    }
    for sql in [BEGIN, END, ends::HANDOVERS] {
        let statement = book.store.db.prepare_cached(sql).unwrap();
        assert!(statement.get_status(StatementStatus::Run) >= 10, "{sql}");
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
}

/// The set of words in a CHECK is made anew for each row that is written.
#[test]
fn what_most_events_run_builds_no_table_of_its_own() {
    let book = Book::new();
    for sql in [BEGIN, END, ends::HANDOVERS] {
        let mut explained = book.store.db.prepare(&format!("EXPLAIN {sql}")).unwrap();
        let mut steps = explained.raw_query();
        while let Some(step) = steps.next().unwrap() {
            let does: String = step.get("opcode").unwrap();
            assert!(!["OpenEphemeral", "OpenAutoindex", "SorterOpen"].contains(&does.as_str()), "{does}: {sql}");
        }
    }
}

#[test]
fn the_last_reason_is_of_what_ended_last() {
    let mut book = Book::new();
    // The first ends when the second does, and a superseded one has no reason.
    book.play(
        "10 connected as a \n 20 connected as a \n 30 disconnected late as a \n 40 disconnected normal as a
         10 connected as b \n 20 disconnected tcp_closed as b \n 30 connected as b \n 40 connected as b
         10 connected as c \n 20 disconnected first as c \n 20 connected as c \n 20 disconnected second as c",
    );
    assert_eq!(
        book.rows("SELECT clientid, online, connections, last_disconnected_at, last_reason FROM clients ORDER BY 1"),
        "a 0 2 40 normal\nb 1 3 40 -\nc 0 2 20 second\n"
    );
}

#[test]
fn old_rows_go_and_open_ones_stay() {
    let mut book = Book::new();
    for n in 0..2500 {
        book.apply(n, &event_of(&format!("connected as old{n}")));
        if n != 7 {
            book.apply(n + 1, &event_of(&format!("disconnected normal as old{n}")));
        }
    }
    book.play("5000 connected as new \n 5001 disconnected normal as new \n 1 connect 4 \n 5000 connect 4");
    let mut sweep = Sweep::default();
    let mut steps = 0;
    loop {
        let transaction = book.store.begin().unwrap();
        let more = sweep.step(&transaction, 2400).unwrap();
        transaction.commit().unwrap();
        steps += 1;
        if !more {
            break;
        }
    }
    // 2,399 ended before that; one of them is open.
    assert_eq!(book.rows("SELECT count(*), min(id) FROM connections"), "103 8\n");
    assert_eq!(book.rows("SELECT at FROM attempts"), "5000\n");
    assert!(steps >= 3, "in chunks: {steps}");
    retention::tidy(&book.store.db, 1_000_000).unwrap();
}

/// What one connection of the real broker does after the one before.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// The client ends its connection, and connects again.
    Reconnect,
    /// A newer connection discards the session.
    Discard,
    /// A newer connection takes the session over.
    TakeOver,
    /// A newer connection comes, and the old one ends by itself.
    EndsLate,
    /// A newer connection comes; the old one ends by itself, and then its session is taken over.
    EndsLateThenTakenOver,
    /// The old session was an offline one.
    ReconnectDiscard,
    /// The end of the old connection is told, then the newer one comes, then the session is taken over.
    TakeOverToldFirst,
    /// A newer connection comes; the take-over is told of the session, and then of the connection.
    TakeOverToldTwice,
    /// A newer connection comes; the old one ends by itself, and then its take-over is told of it and of the session.
    EndsLateThenToldTwice,
}

impl Turn {
    /// Whether a broker does so that tells a take-over of the session alone, or one that tells it of the connection
    /// too.
    fn is_of(self, tells_both: bool) -> bool {
        match self {
            Turn::Reconnect | Turn::ReconnectDiscard => true,
            Turn::Discard | Turn::TakeOver | Turn::EndsLate | Turn::EndsLateThenTakenOver => !tells_both,
            Turn::TakeOverToldFirst | Turn::TakeOverToldTwice | Turn::EndsLateThenToldTwice => tells_both,
        }
    }

    fn ends_by_itself(self) -> bool {
        matches!(self, Turn::EndsLate | Turn::EndsLateThenTakenOver | Turn::EndsLateThenToldTwice)
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    use Turn::{
        Discard, EndsLate, EndsLateThenTakenOver, EndsLateThenToldTwice, Reconnect, ReconnectDiscard, TakeOver,
        TakeOverToldFirst, TakeOverToldTwice,
    };
    let turn = prop_oneof![
        Just(Reconnect),
        Just(Discard),
        Just(TakeOver),
        Just(EndsLate),
        Just(EndsLateThenTakenOver),
        Just(ReconnectDiscard),
        Just(TakeOverToldFirst),
        Just(TakeOverToldTwice),
        Just(EndsLateThenToldTwice)
    ];
    prop::collection::vec(turn, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the take-overs, each connection gets its own end, and the client is online throughout.
    #[test]
    fn each_connection_gets_its_own_end(
        turns in turns(), ends in any::<bool>(), pace in 1_i64..500,
        are_ports_told in any::<bool>(), tells_both in any::<bool>()
    ) {
        let mut book = Book::new();
        let mut at = 1_000;
        let mut expected = String::new();
        let mut tick = || { at += pace; at };
        let from = |port: usize| if are_ports_told { format!(" from {port}") } else { String::new() };
        let mut begun = tick();
        book.play(&format!("{begun} connected{}", from(0)));
        // Where ports are told it is all the same.
        let turns: Vec<Turn> = turns.into_iter().filter(|turn| are_ports_told || turn.is_of(tells_both)).collect();
        let count = turns.len();
        for (port, turn) in turns.into_iter().enumerate() {
            let (old, new) = (from(port), from(port + 1));
            let (mut next, mut end, mut closed) = (0, 0, "event gone");
            if matches!(turn, Turn::Reconnect | Turn::ReconnectDiscard | Turn::TakeOverToldFirst) {
                end = tick();
                let reason = if matches!(turn, Turn::TakeOverToldFirst) { "takenover" } else { "gone" };
                book.play(&format!("{end} disconnected {reason}{old}"));
                next = tick();
                book.play(&format!("{next} connected{new}"));
            }
            if matches!(turn, Turn::Discard | Turn::TakeOver | Turn::TakeOverToldTwice) || turn.ends_by_itself() {
                next = tick();
                end = next;
                book.play(&format!("{next} connected{new}"));
                prop_assert_eq!(book.rows("SELECT count(*) FROM online"), "1\n");
            }
            if turn.ends_by_itself() {
                let late = tick();
                book.play(&format!("{late} disconnected gone{old}"));
            }
            if matches!(turn, Turn::EndsLateThenToldTwice) {
                book.play(&format!("{} disconnected takenover{old}", tick()));
            }
            let event = match turn {
                Turn::Discard => { closed = "takeover discarded"; Some("discarded") }
                Turn::TakeOver | Turn::TakeOverToldFirst | Turn::TakeOverToldTwice => {
                    closed = "takeover takeovered";
                    Some("takeovered")
                }
                Turn::EndsLateThenTakenOver | Turn::EndsLateThenToldTwice => Some("takeovered"),
                Turn::ReconnectDiscard => Some("discarded"),
                Turn::Reconnect | Turn::EndsLate => None,
            };
            if let Some(event) = event {
                book.play(&format!("{} {event}{old}", tick()));
            }
            if matches!(turn, Turn::TakeOverToldTwice) {
                book.play(&format!("{} disconnected takenover{old}", tick()));
            }
            prop_assert_eq!(book.rows("SELECT connected_at FROM online"), format!("{next}\n"));
            writeln!(expected, "{begun} {end} {closed}").unwrap();
            begun = next;
        }
        if ends {
            let end = tick();
            book.play(&format!("{end} disconnected last{}", from(count)));
            writeln!(expected, "{begun} {end} event last").unwrap();
        } else {
            writeln!(expected, "{begun} - - -").unwrap();
        }
        prop_assert_eq!(book.connections(), expected);
    }

    /// Any order of any events writes, leaves a clientid one open row at most, and no time runs backwards.
    #[test]
    fn any_order_leaves_one_open_row(
        events in prop::collection::vec((0..7_usize, 0..3_usize, 0_i64..40_000, 0..4_u16), 0..60)
    ) {
        const EVENTS: [&str; 7] = [
            "connected", "connected", "disconnected x", "discarded", "takeovered", "connack 4 success",
            "disconnected takenover"
        ];
        let mut book = Book::new();
        let mut connected = 0;
        for (event, client, at, port) in events {
            let from = if port == 0 { String::new() } else { format!(" from {port}") };
            book.play(&format!("{at} {} as {client}{from}", EVENTS[event]));
            connected += i64::from(event < 2);
        }
        prop_assert_eq!(book.rows("SELECT clientid FROM online GROUP BY clientid HAVING count(*) > 1"), "");
        prop_assert_eq!(book.rows("SELECT id FROM connections WHERE disconnected_at < connected_at"), "");
        prop_assert_eq!(
            book.rows("SELECT id FROM connections WHERE (disconnected_at IS NULL) <> (closed_by IS NULL)"), "");
        prop_assert_eq!(book.rows("SELECT count(*) FROM connections"), format!("{connected}\n"));
    }
}

#[test]
fn attempts_beyond_the_bound_of_a_minute_have_no_row() {
    let book = Book::new();
    let attempts = Cell::new(RowBudget::of(2, 1 << 20));
    let apply = Apply {
        db: &book.store.db,
        broker: 1,
        cluster: "",
        record: ALL,
        attempts: &attempts,
        between: &BetweenEvents::default(),
    };
    let at = 60_000;
    for (n, name) in (0..).zip(["a", "b", "c"]) {
        let OwnedClient { clientid, username, node, peerhost, sockport, extra, .. } = OwnedClient::named(name);
        let attempt = OwnedAttempt {
            clientid,
            username,
            peerhost,
            sockport,
            proto_name: "MQTT".into(),
            proto_ver: 5,
            keepalive: 60,
            node,
            extra,
        };
        apply.apply(at + n, &Owned::Connect(attempt.clone())).unwrap();
        apply.apply(at + n, &Owned::Connected(OwnedClient::named(name), Box::default())).unwrap();
        apply.apply(at + n, &Owned::Connack { attempt, code: "success".into(), assigned: None }).unwrap();
    }
    assert_eq!(book.rows("SELECT clientid, connack FROM attempts"), "a success\nb success\n");
    assert_eq!(attempts.get().rest().map(|rest| rest.count), Some(1));
    // What else is known of the client is kept.
    assert_eq!(book.rows("SELECT clientid, proto_ver FROM online"), "a 5\nb 5\nc 5\n");
}

/// With names that are as long as they get, and with such as devices have: the rows of a minute.
#[test]
fn attempts_of_a_minute_take_no_more_than_their_budget() {
    for (length, expected) in [(512, 10_394), (20, 121_574)] {
        let mut book = Book::new();
        let attempts = Cell::new(ATTEMPTS);
        let transaction = book.store.begin().unwrap();
        let apply = Apply {
            db: &transaction,
            broker: 1,
            cluster: "",
            record: ALL,
            attempts: &attempts,
            between: &BetweenEvents::default(),
        };
        let long = OwnedAttempt { username: "u".repeat(length).into(), ..attempt("", 5) };
        // Those with short names are only counted.
        let written = if length > 20 { usize::MAX } else { 0 };
        for n in 0..expected + 100 {
            let attempt = OwnedAttempt { clientid: format!("{n:0length$}").into(), ..long.clone() };
            if n < written {
                apply.apply(MINUTE, &Owned::Connect(attempt)).unwrap();
            } else {
                apply.has_room(MINUTE, &attempt, None);
            }
        }
        transaction.commit().unwrap();
        assert_eq!(attempts.get().rest().map(|rest| rest.count), Some(100), "{length}");
        if written > 0 {
            assert_eq!(book.rows("SELECT count(*) FROM attempts"), format!("{expected}\n"));
            let bytes: u64 = book.rows("SELECT page_count * 4096 FROM pragma_page_count").trim().parse().unwrap();
            assert!(bytes < 30 << 20, "{bytes} bytes");
        }
    }
}
