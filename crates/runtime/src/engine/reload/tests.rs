use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::engine::{Engine, Setup};
use crate::log::Log;
use crate::process::Recorder;

const LONG: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A driver's policy, without the thread that looks at it.
struct Bench {
    dir: tempfile::TempDir,
    _engine: Engine,
    reload: PolicyReload,
    lines: Lines,
    log: Log,
}

fn policy(id: &str) -> String {
    format!("version: 1\nif_invalid: last-good\nauth: {{ rules: [{{ id: {id}, allow: everyone }}] }}\n")
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.yaml");
        fs::write(&file, policy("one")).unwrap();
        let lines = Lines::default();
        let log = Log::to(lines.clone());
        let setup = Setup {
            state: Folder::of(&file, Some(&dir.path().join("kept"))),
            ..Setup::new(&file, Recorder::of_this_process("python3"), Arc::new(|_| {}), log.clone())
        };
        let (engine, at_start) = Engine::begin(setup);
        let reload = PolicyReload::begin(&engine.shared, at_start);
        Bench { dir, _engine: engine, reload, lines, log }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn hash(&self) -> String {
        self.reload.shared.core.load().as_ref().unwrap().hash.clone()
    }

    /// The lines since the last time.
    fn logged(&self) -> Vec<String> {
        self.log.flush(LONG);
        let bytes = std::mem::take(&mut *self.lines.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_changed_file_is_put_in_force_once_it_was_left_alone() {
    let mut bench = Bench::new();
    let (begun, before) = (Instant::now(), bench.hash());
    fs::write(bench.path("rules.yaml"), policy("other")).unwrap();
    assert!(bench.reload.look(begun, false).is_none());
    assert!(bench.reload.look(begun + QUIET / 2, false).is_none());
    assert_eq!(bench.hash(), before);
    let retired = bench.reload.look(begun + QUIET, false).unwrap();
    assert_eq!(retired.hash, before);
    assert_eq!(bench.hash(), hash_of(policy("other").as_bytes()));
    assert_eq!(bench.reload.standing().reloads, Reloads { good: 1, bad: 0 });
    // What is wrong leaves it there.
    fs::write(bench.path("rules.yaml"), "no policy").unwrap();
    for later in [LONG, 2 * LONG] {
        assert!(bench.reload.look(begun + later, false).is_none());
    }
    assert_eq!(bench.hash(), hash_of(policy("other").as_bytes()));
    let PolicyStanding { fault, reloads, .. } = bench.reload.standing();
    assert_eq!((fault.is_some(), *reloads), (true, Reloads { good: 1, bad: 1 }));
}

/// Seen by what the log says where neither can be kept.
#[test]
fn the_mode_and_the_copy_are_kept_before_the_policy_is_in_force() {
    let mut bench = Bench::new();
    let begun = Instant::now();
    let _ = fs::remove_dir_all(bench.path("kept"));
    fs::write(bench.path("kept"), "no folder").unwrap();
    bench.logged();
    fs::write(bench.path("rules.yaml"), policy("other")).unwrap();
    bench.reload.look(begun, false);
    bench.reload.look(begun + QUIET, false).unwrap();
    let logged = bench.logged();
    let at = |text: &str| logged.iter().position(|line| line.contains(text)).unwrap();
    let order = ["the word on the mode in force in", "the copy of the last good policy in", "is in force anew"].map(at);
    assert!(order.is_sorted(), "{logged:?}");
}
