//! A disk that is slow, full or not there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::super::Capture;
use super::*;
use exhook_policy_core::event::Event;
use exhook_policy_core::event::json::{self, Line};
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::policy::model::Captured;

const LONG: Duration = Duration::from_secs(30);

const FOLDER_IN_THE_WAY: &str = "capture: data/events.jsonl cannot be written, and is tried again: the folder cannot be \
     made: File exists (os error 17)";

#[derive(Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct World {
    folder: tempfile::TempDir,
    console: Console,
    log: Log,
}

impl World {
    fn new() -> Self {
        let console = Console::default();
        World { folder: tempfile::tempdir().unwrap(), log: Log::to(console.clone()), console }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/events.jsonl")
    }

    fn capture(&self) -> Capture {
        let events = Captured { logins: true, topics: true, connections: true, sessions: false, messages: true };
        Capture::start(&CaptureDef { file: self.path(), max_size: 1 << 30, max_files: 2, events }, &self.log)
    }

    /// What was logged, without the folder.
    fn logged(&self) -> Vec<String> {
        self.log.flush(LONG);
        let text = String::from_utf8(self.console.0.lock().unwrap().clone()).unwrap();
        let folder = format!("{}/", self.folder.path().display());
        text.lines().map(|line| line.replace("exhook-policy: ", "").replace(&folder, "")).collect()
    }
}

/// The clientids in a file, and how many lines it says are missing. A line that is being written
/// does not count.
fn told(path: &Path) -> (Vec<String>, u64) {
    let (mut found, mut missing) = (Vec::new(), 0);
    let text = fs::read_to_string(path).unwrap();
    for line in text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines() {
        match json::read_line(line).unwrap() {
            Line::Told(told) => found.push(told.event.as_event().clientid().to_owned()),
            Line::Dropped(count) => missing += count,
        }
    }
    (found, missing)
}

#[test]
fn everything_is_written_at_the_end() {
    let world = World::new();
    let capture = world.capture();
    for number in 0..1000 {
        let client = OwnedClient::named(&number.to_string());
        capture.told(&Event::Connected(client.as_client()));
        capture.told(&Event::SessionCreated(client.as_client()));
    }
    drop(capture);
    let expected = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(told(&world.path()), (expected, 0));
    assert_eq!(world.logged(), Vec::<String>::new());
}

#[test]
fn a_line_is_there_soon_after_its_event() {
    let world = World::new();
    let capture = world.capture();
    capture.told(&Event::Connected(OwnedClient::named("c").as_client()));
    let end = Instant::now() + LONG;
    while fs::metadata(world.path()).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(told(&world.path()).0, ["c"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_tried_again_and_gaps_are_counted() {
    let world = World::new();
    let in_the_way = world.folder.path().join("data");
    fs::write(&in_the_way, "").unwrap();
    let capture = world.capture();
    // Far more than may wait; the texts are long, so that few are needed.
    let client = OwnedClient::named(&"c".repeat(60_000));
    let sent = 500;
    for _ in 0..sent {
        capture.told(&Event::Connected(client.as_client()));
    }
    fs::remove_file(&in_the_way).unwrap();
    let end = Instant::now() + LONG;
    while !world.logged().iter().any(|line| line.ends_with("is written again")) {
        assert!(Instant::now() < end, "{:?}", world.logged());
        std::thread::sleep(Duration::from_millis(20));
    }
    // There is room for one more once those that waited are written.
    let waiting = || {
        let (written, missing) = told(&world.path());
        (written.len() as u64 + missing) < sent
    };
    while waiting() {
        assert!(Instant::now() < end, "{:?}", world.logged());
        std::thread::sleep(Duration::from_millis(20));
    }
    capture.told(&Event::Connected(OwnedClient::named("last").as_client()));
    drop(capture);
    let (written, missing) = told(&world.path());
    assert!(missing > 0 && written.len() > 100, "{} and {missing}", written.len());
    assert_eq!(written.len() as u64 - 1 + missing, sent);
    assert_eq!(written.last().map(String::as_str), Some("last"));
    let logged = world.logged();
    assert_eq!(logged[..2], [FOLDER_IN_THE_WAY, "capture: data/events.jsonl is written again",]);
    let of_missing: Vec<&String> = logged.iter().filter(|line| line.contains("missing")).collect();
    assert_eq!(of_missing, [&format!("capture: {missing} lines are missing in data/events.jsonl")]);
}

#[test]
fn at_the_end_what_cannot_be_written_is_given_up_and_counted() {
    let world = World::new();
    fs::write(world.folder.path().join("data"), "").unwrap();
    let capture = world.capture();
    for _ in 0..3 {
        capture.told(&Event::Connected(OwnedClient::named("c").as_client()));
    }
    let began = Instant::now();
    drop(capture);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(world.logged(), [FOLDER_IN_THE_WAY, "capture: 3 lines are missing in data/events.jsonl",]);
}
