//! How a history succeeds the one before it.

use std::path::Path;

use super::*;
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::model::Sync;

const DEADLINE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(60);

struct World {
    dir: tempfile::TempDir,
    recorder: Recorder,
    limits: Arc<Limits>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        World { dir, recorder: Recorder::of_this_process("python3"), limits: Arc::default() }
    }

    fn def(&self, name: &str) -> HistoryDef {
        let record =
            Record { connections: true, denials: true, attempts: false, subscriptions: false, messages: false };
        HistoryDef { database: self.dir.path().join(name), keep: None, sync: Sync::Normal, record }
    }

    fn succeed(&self, before: Option<&Arc<History>>, def: Option<&HistoryDef>) -> Option<Arc<History>> {
        let sink: Sink = Arc::new(|_| {});
        History::succeed(before, def, &self.recorder, DEADLINE, &sink, &Log::to(std::io::sink()), &self.limits)
    }
}

#[test]
fn a_history_that_runs_goes_on_in_another_database() {
    let world = World::new();
    assert!(world.succeed(None, None).is_none());
    let first = world.succeed(None, Some(&world.def("a.db"))).unwrap();
    assert!(first.wait_for_bans(LONG));
    let same = world.succeed(Some(&first), Some(&world.def("a.db"))).unwrap();
    assert!(Arc::ptr_eq(&first, &same) && first.queue.take_defined().is_none());
    let elsewhere = world.succeed(Some(&first), Some(&world.def("b.db"))).unwrap();
    assert!(Arc::ptr_eq(&first, &elsewhere));
    let end = Instant::now() + LONG;
    while read::HistoryReader::open(&world.dir.path().join("b.db")).is_err() {
        assert!(Instant::now() < end, "the other database is not made");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(world.succeed(Some(&first), None).is_none());
}

#[test]
fn the_bans_are_read_again_only_where_the_limits_begin_to_be_used() {
    let world = World::new();
    let def = world.def("a.db");
    let first = world.succeed(None, Some(&def)).unwrap();
    assert!(first.wait_for_bans(LONG));
    let reads_bans = || first.terms.lock().unwrap().reads_bans;
    assert!(!reads_bans());
    let text = "version: 1\nauth: { lockout: { by: username, failures: 2, within: 60s, ban: 15m } }\n";
    let loaded = exhook_policy_core::policy::parse(text, "rules.yaml", Path::new("")).unwrap();
    world.limits.take(Policy::compile(loaded.model).limits());
    world.succeed(Some(&first), Some(&def)).unwrap();
    assert!(reads_bans());
    assert!(first.wait_for_bans(LONG));
    world.succeed(Some(&first), Some(&def)).unwrap();
    assert!(first.wait_for_bans(Duration::ZERO), "nothing is read anew");
}
