//! A driver captures the recorded traffic of two broker versions, and its capture is decided again as it was.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::program::{PROGRAM, program};
use crate::support::recordings::{PARTS, for_each_frame, recorded, recording};
use crate::support::terms::framed;
use exhook_policy::replay::{Entry, Events};
use exhook_policy_core::event::Event;
use exhook_policy_core::event::owned::OwnedEvent;
use exhook_policy_runtime::port::call::Incoming;
use tempfile::TempDir;

const POLICY: &str = r#"
version: 1
deadline: 30s
passwords: { people: { file: people.passwd } }
auth:
  rules:
    - { id: one, deny: { clientid: cid-02 } }
    - { id: people, allow: everyone, password: people }
    - { id: guests, allow: { username: "" } }
acl:
  rules:
    - { id: secret, deny: everyone, topics: ["x/#"] }
    - { id: known, allow: everyone, topics: ["t/#", { glob: "w/*" }] }
log: [events]
"#;

const CAPTURE: &str = "capture: { file: data/events.jsonl, max_size: 1GiB }\n";

/// A folder with the driver and its policy.
struct Place(TempDir);

impl Place {
    fn new(capture: &str) -> Self {
        let place = Place(TempDir::new().unwrap());
        symlink(PROGRAM, place.path("python3")).unwrap();
        fs::write(place.path("allhooks.yaml"), format!("{POLICY}{capture}")).unwrap();
        fs::copy(recorded("people.passwd"), place.path("people.passwd")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The driver, as a broker starts it; a shell that sets limits may stand before it.
    fn driver(&self, shell: Option<&str>) -> Command {
        let program = self.path("python3");
        let mut command = match shell {
            Some(limits) => {
                let mut command = Command::new("bash");
                command.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(["-u", "-m", "erlport.cli", "--packet=4", "--use_stdio"]).env("PYTHONPATH", self.0.path());
        command
    }
}

/// Both parts of a recording.
fn whole(version: &str) -> Vec<u8> {
    PARTS.map(|part| recording(version, part)).concat()
}

/// Makes every recorded call, each once the one before it is answered; the answers, and what was said on stderr.
fn play(mut driver: Command, recording: &[u8]) -> (Vec<Vec<u8>>, String) {
    let mut child = driver.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let Child { stdin, stdout, stderr, .. } = &mut child;
    let (mut stdin, mut stdout, mut stderr) = (stdin.take().unwrap(), stdout.take().unwrap(), stderr.take().unwrap());
    let console = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut answers = Vec::new();
    for_each_frame(recording, |frame| {
        stdin.write_all(&framed(frame)).unwrap();
        let mut length = [0; 4];
        stdout.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stdout.read_exact(&mut answer).unwrap();
        answers.push(answer);
    });
    drop(stdin);
    assert!(child.wait().unwrap().success());
    (answers, console.join().unwrap())
}

fn events(file: &Path) -> Vec<OwnedEvent> {
    let input = BufReader::new(File::open(file).unwrap());
    let mut found = Vec::new();
    for item in Events::new("f", input).unwrap() {
        match item.unwrap().entry {
            Entry::Told(told) => found.push(told.event),
            Entry::Other => {}
            entry @ (Entry::Dropped(_) | Entry::Unreadable(_)) => panic!("{entry:?}"),
        }
    }
    found
}

fn passwords(recording: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for_each_frame(recording, |frame| {
        let Ok(Incoming::Call(call)) = Incoming::read(frame) else { return };
        let event = call.hook().map(|hook| call.event(hook).unwrap());
        if let Some(Event::Authenticate { password, .. }) = event
            // A single letter stands in every text.
            && password.expose().len() > 1
        {
            found.push(password.expose().to_vec());
        }
    });
    found
}

fn replay(policy: &Path, file: &Path, more: &[&str]) -> Output {
    program().arg("replay").args([policy, file]).args(["--format", "json"]).args(more).output().unwrap()
}

#[track_caller]
fn check_captured(version: &str) {
    let recording = whole(version);
    let place = Place::new(CAPTURE);
    let (answers, console) = play(place.driver(None), &recording);
    let captured = place.path("data/events.jsonl");
    assert!(!console.contains("capture: "), "{console}");

    // Every event is in it, in its order.
    fs::write(place.path("recording.bin"), &recording).unwrap();
    let (told, recorded) = (events(&captured), events(&place.path("recording.bin")));
    assert_eq!((told.len(), answers.len()), (867, 869));
    assert_eq!(told, recorded);

    let output = replay(&place.path("allhooks.yaml"), &captured, &["--expect-same"]);
    assert!(output.status.success(), "{output:?}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["compared"], 354);
    for none in ["other_rule", "assumed_passwords", "dropped"] {
        assert_eq!(found[none], 0, "{none}");
    }
    let decided: Vec<String> = found["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["rule"].as_str().unwrap(), row["verdict"].as_str().unwrap_or("-")))
        .collect();
    let expected = [
        "one deny",
        "people allow",
        "people deny",
        "guests allow",
        "default deny",
        "secret deny",
        "known allow",
        "default deny",
    ];
    assert_eq!(decided, expected);

    // Without what the sources said, it would look otherwise.
    let forgotten = place.path("forgotten.jsonl");
    let text = fs::read_to_string(&captured).unwrap();
    fs::write(&forgotten, text.replace(r#","passwords":{"people":"unknown"}"#, "")).unwrap();
    let output = replay(&place.path("allhooks.yaml"), &forgotten, &["--expect-same"]);
    assert_eq!(output.status.code(), Some(1));

    let passwords = passwords(&recording);
    assert!(passwords.len() > 2 && passwords.contains(&b"s3cret".to_vec()), "{}", passwords.len());
    for password in passwords {
        let text = String::from_utf8_lossy(&password);
        assert!(!contains(&fs::read(&captured).unwrap(), &password), "{text}");
        assert!(!console.contains(&*text), "{text}");
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn what_a_driver_of_4_1_captures_is_decided_again_as_it_was() {
    check_captured("4.1.5");
}

#[test]
fn what_a_driver_of_4_2_captures_is_decided_again_as_it_was() {
    check_captured("4.2.14");
}

/// Plays to a driver that cannot write its capture, and to one that captures nothing: they answer alike.
#[track_caller]
fn check_trouble(prepare: impl FnOnce(&Place), shell: Option<&str>, said: &str) -> Place {
    let recording = whole("4.2.14");
    let (expected, _) = play(Place::new("").driver(None), &recording);
    let place = Place::new(CAPTURE);
    prepare(&place);
    let (answers, console) = play(place.driver(shell), &recording);
    assert_eq!(answers.len(), expected.len());
    assert!(answers == expected, "the answers differ");
    let folder = format!("{}/", place.0.path().display());
    assert!(console.replace(&folder, "").contains(said), "{console}");
    place
}

#[test]
fn a_folder_that_cannot_be_made_disturbs_no_answer() {
    let said =
        "exhook-policy: capture: data/events.jsonl cannot be written, and is tried again: the folder cannot be made";
    let place = check_trouble(|place| fs::write(place.path("data"), "").unwrap(), None, said);
    assert_eq!(fs::read(place.path("data")).unwrap(), b"");
}

#[test]
fn a_disk_that_takes_no_more_disturbs_no_answer_and_leaves_whole_lines() {
    // Files may have 64 KiB, and who writes more gets an error.
    let limits = "trap '' XFSZ; ulimit -f 64";
    let said = "exhook-policy: capture: data/events.jsonl cannot be written, and is tried again: File too large";
    let place = check_trouble(|_| {}, Some(limits), said);
    let file = place.path("data/events.jsonl");
    assert!(fs::metadata(&file).unwrap().len() <= 64 << 10);
    let told = events(&file);
    assert!(told.len() > 20 && told.len() < 800, "{}", told.len());
}
