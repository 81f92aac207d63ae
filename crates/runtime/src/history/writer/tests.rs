//! Definitions that come while something is under way.

use std::io::{self, Write};
use std::sync::Mutex;

use super::*;
use crate::history::budget::LeftOut;
use crate::history::queue::Defined;
use crate::history::record::Owned;
use crate::limits::{Ban, LimitKey, Why};
use crate::process::Serves;
use exhook_policy_core::decision::Mode;
use exhook_policy_core::event::{Attempt, Event, Extra, Origin, Peerhost};
use exhook_policy_core::policy::model::{Record, Sync};

const CONNECTIONS: Record =
    Record { connections: true, denials: true, attempts: false, subscriptions: false, messages: false };
const DAY: Duration = Duration::from_secs(86_400);

fn def(dir: &tempfile::TempDir, keep: Option<Duration>) -> HistoryDef {
    HistoryDef { database: dir.path().join("one.db"), keep, sync: Sync::Normal, record: CONNECTIONS }
}

/// A writer that has its database open.
fn running(def: HistoryDef, log: Log) -> RunningWriter {
    running_as(Recorder::of_this_process("python3"), def, log)
}

fn running_as(me: Recorder, def: HistoryDef, log: Log) -> RunningWriter {
    let mut running = RunningWriter::new(HistoryWriter {
        queue: Arc::new(HistoryQueue::new(Duration::from_secs(1), matches!(me.serves, Serves::Callers))),
        def,
        me,
        deadline: Duration::from_secs(2),
        sink: Arc::new(|_| {}),
        log,
        bans: Exchange::new(Arc::default()),
        bans_read: Arc::default(),
    });
    running.open().unwrap();
    running
}

fn define(running: &mut RunningWriter, def: HistoryDef) {
    let deadline = running.with.deadline;
    running.with.queue.define(Defined { def, deadline }, Duration::from_secs(1));
    running.define();
}

/// Takes the steps of a sweep until there is no more to do at once.
#[track_caller]
fn sweeps_to_its_end(running: &mut RunningWriter) {
    for _ in 0..100 {
        if running.next_wake() > Instant::now() {
            return;
        }
        match running.stage {
            WriterStage::Closed { .. } | WriterStage::Standby { .. } => running.open().unwrap(),
            WriterStage::Recording(_) => running.write().unwrap(),
        }
    }
    panic!("there is always something to do at once");
}

#[test]
fn a_definition_that_comes_during_a_sweep_leaves_the_writer_in_peace() {
    let old = |dir: &tempfile::TempDir| def(dir, Some(DAY));
    for new in [
        |old: HistoryDef| HistoryDef { keep: None, ..old },
        |old| HistoryDef { keep: Some(2 * DAY), ..old },
        |old| HistoryDef { keep: None, sync: Sync::Full, ..old },
        |old| HistoryDef { keep: None, record: Record { attempts: true, ..CONNECTIONS }, ..old },
        |old| HistoryDef { sync: Sync::Full, record: Record { attempts: true, ..CONNECTIONS }, ..old },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut running = running(old(&dir), Log::stderr());
        running.write().unwrap();
        assert!(running.sweep.is_some());
        define(&mut running, new(old(&dir)));
        sweeps_to_its_end(&mut running);
    }
}

#[derive(Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_was_wrong_with_the_old_database_is_not_said_of_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let console = Console::default();
    let log = Log::to(console.clone());
    let mut running = running(def(&dir, None), log.clone());
    running.with.queue.add_lapses(2);
    running.complain_of_delay();
    define(&mut running, HistoryDef { database: dir.path().join("two.db"), ..def(&dir, None) });
    running.open().unwrap();
    running.complain_of_delay();
    running.with.queue.add_lapses(1);
    running.recovered();
    log.flush(Duration::from_secs(60));
    let said = String::from_utf8(console.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        said.replace(dir.path().to_str().unwrap(), "DIR"),
        "exhook-policy: history: DIR/one.db cannot be written: the disk is slow; events are answered before they are recorded\n\
         exhook-policy: history: DIR/one.db is left; 2 events were answered before they were recorded, 0 were not kept\n\
         exhook-policy: history: DIR/two.db is written; 1 events were answered before they were recorded, 0 were not kept\n"
    );
}

fn connect(clientid: &str) -> Owned {
    let attempt = Attempt {
        clientid,
        username: "u",
        peerhost: Peerhost::parse("10.0.0.1"),
        sockport: 1883,
        proto_name: "MQTT",
        proto_ver: 5,
        keepalive: 60,
        node: "n",
        extra: Extra::NONE,
    };
    Owned::of(&Event::Connect(attempt), Record { attempts: true, ..CONNECTIONS }, |_| Box::default()).unwrap()
}

#[test]
fn attempts_that_are_rolled_back_give_their_room_back() {
    for one_by_one in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut running = running(def(&dir, None), Log::to(Console::default()));
        running.attempts = Cell::new(RowBudget::of(2, 1 << 20));
        for clientid in ["a", "b", "c", "d"] {
            let origin = Origin { cluster: None, node: "n" };
            running.with.queue.push(now_ms(), origin, connect(clientid), None);
        }
        running.with.queue.take(&mut running.batch, BATCH, &mut running.origins);
        running.one_by_one = one_by_one;
        let run = |running: &mut RunningWriter, sql: &str| {
            let WriterStage::Recording(Recording { store, .. }) = &mut running.stage else {
                panic!("it does not record")
            };
            store.db.execute_batch(sql).unwrap();
        };
        run(
            &mut running,
            "CREATE TEMP TRIGGER refused AFTER INSERT ON attempts WHEN NEW.clientid = 'b'
             BEGIN SELECT raise(ABORT, 'no'); END",
        );
        // Alone, the others are written; together, none is.
        assert_eq!(running.write_batch().is_ok(), one_by_one);
        run(&mut running, "DROP TRIGGER refused");
        running.write_batch().unwrap();
        let WriterStage::Recording(Recording { store, .. }) = &running.stage else { panic!("it does not record") };
        let rows: rusqlite::Result<String> =
            store.db.query_row("SELECT group_concat(clientid, ' ') FROM attempts", [], |row| row.get(0));
        assert_eq!(rows.unwrap(), if one_by_one { "a c" } else { "a b" });
        let left_out = if one_by_one { 1 } else { 2 };
        assert_eq!(running.with.queue.left_out(), LeftOut { attempts: left_out, ..LeftOut::default() });
    }
}

/// The nodes of the brokers, after the first record of one was rolled back and others were written.
fn nodes_after_a_rollback(me: Recorder, one_by_one: bool) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut running = running_as(me, def(&dir, None), Log::to(Console::default()));
    for clientid in ["a", "b"] {
        let origin = Origin { cluster: None, node: "n" };
        running.with.queue.push(now_ms(), origin, connect(clientid), None);
    }
    running.with.queue.take(&mut running.batch, BATCH, &mut running.origins);
    running.one_by_one = one_by_one;
    let run = |running: &mut RunningWriter, sql: &str| {
        let WriterStage::Recording(Recording { store, .. }) = &mut running.stage else { panic!("it does not record") };
        store.db.execute_batch(sql).unwrap();
    };
    run(
        &mut running,
        "CREATE TEMP TRIGGER refused AFTER INSERT ON attempts WHEN NEW.clientid = 'a'
         BEGIN SELECT raise(ABORT, 'no'); END",
    );
    if one_by_one {
        running.write_batch().unwrap();
    } else {
        running.write_batch().unwrap_err();
        running.failed(&StoreFault::Busy);
        run(&mut running, "DROP TRIGGER refused");
        running.write_batch().unwrap();
    }
    let WriterStage::Recording(Recording { store, .. }) = &running.stage else { panic!("it does not record") };
    let mut rows = store.db.prepare("SELECT coalesce(node, '-') FROM broker_processes").unwrap();
    let rows = rows.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn what_a_rollback_took_back_is_registered_again() {
    let driver = Recorder::of_this_process("python3");
    assert_eq!(nodes_after_a_rollback(driver, false), ["n"]);
    assert_eq!(nodes_after_a_rollback(Recorder::server(), false), ["n"]);
    assert_eq!(nodes_after_a_rollback(Recorder::server(), true), ["n"]);
}

#[test]
fn bans_that_wait_or_are_dropped_are_worth_one_line_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let console = Console::default();
    let log = Log::to(console.clone());
    let mut running = running(def(&dir, None), log.clone());
    let ban = |n: usize| Ban {
        why: Why::Lockout,
        mode: Mode::Enforce,
        key: LimitKey { clientid: None, username: Some(format!("{n:02000}").into()), peerhost: None },
        since: now_ms(),
        until: now_ms() + 60_000,
    };
    // A minute has room for a thousand of these; so many may wait.
    for round in 0..10 {
        running.with.queue.push_bans((0..1_500).map(|n| ban(1_500 * round + n)));
        running.share_bans().unwrap();
    }
    log.flush(Duration::from_secs(60));
    let said = String::from_utf8(console.0.lock().unwrap().clone()).unwrap();
    let lines = [
        "exhook-policy: history: more bans than may wait to be written: the others hold until this process ends, and cannot be \
         shown or lifted; `status` and the metrics count them\n",
        "exhook-policy: history: more bans than there is room for in a minute (4 MiB of names): the others hold, and are written \
         in the minutes that follow\n",
    ];
    assert_eq!(said, lines.concat());
    assert!(running.with.queue.left_out().bans > 1_000);
}
