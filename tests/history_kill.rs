//! What was acknowledged survives `kill -9`.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, thread};

use exhook_policy::decision::Answer;
use exhook_policy::event::{BrokerLoaded, Client, Event, Extra, Origin, Peerhost};
use exhook_policy::history::{History, Recorder};
use exhook_policy::log::Log;
use exhook_policy::policy::model::{HistoryDef, Record, Sync};
use rusqlite::Connection;

/// Names the database, in the process that is to be killed.
const DATABASE: &str = "EXHOOK_POLICY_TEST_DATABASE";
/// Set, the process is a server and no driver.
const IS_SERVER: &str = "EXHOOK_POLICY_TEST_SERVER";
const ROUNDS: usize = 5;

#[test]
fn no_acknowledged_connection_is_lost() {
    check(false);
}

#[test]
fn no_acknowledged_connection_is_lost_by_servers() {
    check(true);
}

#[track_caller]
fn check(are_servers: bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        // Two drivers at once, as in a pool; or two servers, each of brokers of its own.
        let mut drivers: Vec<_> = (0..2)
            .map(|_| {
                Command::new(env::current_exe().unwrap())
                    .args(["--exact", "a_driver_under_load", "--nocapture"])
                    .env(DATABASE, &path)
                    .envs(are_servers.then_some((IS_SERVER, "1")))
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let readers: Vec<_> = drivers
            .iter_mut()
            .map(|driver| {
                let mut out = BufReader::new(driver.stdout.take().unwrap());
                thread::spawn(move || {
                    let (mut lines, mut line) = (Vec::new(), String::new());
                    while out.read_line(&mut line).unwrap() > 0 {
                        // The last line may be cut.
                        if let Some(clientid) = line.strip_prefix("ack ").and_then(|rest| rest.strip_suffix('\n')) {
                            lines.push(clientid.to_owned());
                        }
                        line.clear();
                    }
                    lines
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(700 + 130 * round as u64));
        for driver in &mut drivers {
            // SIGKILL.
            driver.kill().unwrap();
            driver.wait().unwrap();
        }
        for reader in readers {
            acknowledged.extend(reader.join().unwrap());
        }
    }
    assert!(acknowledged.len() > 100 * ROUNDS, "only {} were acknowledged", acknowledged.len());
    let db = Connection::open(&path).unwrap();
    let mut there = db.prepare("SELECT count(*) FROM connections WHERE clientid = ?1").unwrap();
    db.execute_batch("CREATE INDEX by_clientid ON connections (clientid)").unwrap();
    for clientid in acknowledged {
        let rows: i64 = there.query_row([&clientid], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1, "{clientid} was acknowledged");
    }
    let health: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(health, "ok");
}

/// Does nothing, unless the test above started it.
#[test]
fn a_driver_under_load() {
    let Some(database) = env::var_os(DATABASE) else { return };
    let keep_all = Record { connections: true, denials: true, attempts: false, subscriptions: false, messages: false };
    let def = HistoryDef { database: database.into(), keep: None, sync: Sync::Normal, record: keep_all };
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    let me = std::process::id();
    let sink = move |answers: &[(u64, Answer)]| {
        let mut lines = Vec::new();
        for (token, _) in answers {
            let _ = writeln!(lines, "ack {me}-{token}");
        }
        // Straight to the pipe: what is written before the end is read.
        let _ = std::io::stdout().lock().write_all(&lines);
        let _ = std::io::stdout().lock().flush();
        count.fetch_add(answers.len() as u64, Ordering::Relaxed);
    };
    let is_server = env::var_os(IS_SERVER).is_some();
    let recorder = if is_server { Recorder::server() } else { Recorder::of_this_process("python3") };
    let history = History::start(&def, recorder, Duration::from_secs(2), Arc::new(sink), &Log::stderr());
    let (mut token, mut waits) = (0, 0);
    let node = if is_server { format!("emqx-{me}@127.0.0.1") } else { "emqx@127.0.0.1".to_owned() };
    loop {
        token += 1;
        let cluster = is_server.then_some(if token % 2 == 0 { "eu" } else { "us" });
        if token % 100 == 0 {
            history.broker_loaded(&BrokerLoaded { origin: Origin { cluster, node: &node }, booted_at: 0 });
        }
        let clientid = format!("{me}-{token}");
        let client = Client {
            clientid: &clientid,
            username: "",
            peerhost: Peerhost::parse("127.0.0.1"),
            sockport: 1883,
            protocol: "mqtt",
            mountpoint: "",
            node: &node,
            is_superuser: false,
            anonymous: false,
            extra: Extra { cluster, ..Extra::NONE },
        };
        waits += u64::from(history.record(&Event::Connected(client), token));
        while waits > answered.load(Ordering::Relaxed) + 500 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
