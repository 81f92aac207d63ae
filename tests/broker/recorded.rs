//! The recorded traffic of two broker versions, byte for byte.

use std::fs;

use super::vm::{Place, Played};
use crate::support::history::Kept as _;
use crate::support::passwords::mosquitto_hash;
use crate::support::recordings::{PARTS, recorded};

/// A policy under which the recorded situations come out differently from each other.
pub(crate) const RULES: &str = r#"version: 1
deadline: 30s
log: [denials, decisions, connections, events]
clients:
  people: { username: [alice, bob] }
passwords:
  people: { file: people.passwd }
auth:
  rules:
    - { id: named-false, deny: { username: "false" } }
    - { id: people, allow: people, password: people }
    - { id: binary, allow: { clientid: "cid-é中" }, password: people }
    - { id: nameless, allow: { clientid: cid-02, username: "" } }
acl:
  rules:
    - { id: no-x, deny: everyone, topics: ["x/#"] }
    - id: people
      allow: people
      publish: ["p/+"]
      subscribe: ["t/+", "w/#", "ok/${clientid}", "ok/1", "s/t", "v5/a", "v5/21"]
    - { id: some-long, allow: everyone, subscribe: [{ glob: "f[01]??/x*" }] }
history:
  database: data/history.db
  record: [connections, denials, attempts, subscriptions]
"#;

#[test]
fn the_recording_of_4_1_5_is_decided_call_by_call() {
    paced("4.1.5");
}

#[test]
fn the_recording_of_4_2_14_is_decided_call_by_call() {
    paced("4.2.14");
}

#[test]
fn all_calls_of_a_recording_at_once_are_decided_the_same() {
    let (place, version) = (place(), "4.2.14");
    let played = play(&place, "burst", version);
    assert_eq!(decisions(version, &played), GOLDEN);
}

/// The decisions, reviewed by hand: situation, what is asked, of whom, the topic and the answer.
const GOLDEN: &str = include_str!("recorded.txt");

fn paced(version: &str) {
    let place = place();
    let played = play(&place, "recording", version);
    assert_eq!(decisions(version, &played), GOLDEN);
    in_the_database(&place);
}

pub(crate) fn place() -> Place {
    let place = Place::new(RULES, 0);
    let passwords = format!(
        "alice:{}\nbob:{}\nüser:{}\n",
        mosquitto_hash(b"s3cret"),
        mosquitto_hash(b"builder"),
        mosquitto_hash(&[255, 0, 1, b'b', b'i', b'n'])
    );
    fs::write(place.path("policy/people.passwd"), passwords).unwrap();
    // The recorded calls name another module.
    fs::rename(place.path("policy/rules.yaml"), place.path("policy/allhooks.yaml")).unwrap();
    place
}

#[track_caller]
pub(crate) fn play(place: &Place, scenario: &str, version: &str) -> Played {
    let files = PARTS.map(|part| recorded(version).join(part));
    let files = files.each_ref().map(|file| file.as_os_str());
    place.play(scenario, &files)
}

/// The report with offsets turned into situations and long names cut; lines that are then the same are
/// counted.
fn decisions(version: &str, played: &Played) -> String {
    let sections = sections(version);
    let mut rows: Vec<(usize, String)> = Vec::new();
    for line in played.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [offset, action, clientid, topic, answer] = fields[..] else { panic!("{line:?}") };
        let offset: usize = offset.parse().unwrap();
        let section = &sections.iter().rev().find(|(start, _)| *start <= offset).unwrap().1;
        let what = if topic.is_empty() { short(clientid) } else { format!("{} {}", short(clientid), short(topic)) };
        rows.push((offset, format!("{section:<4}{action} {what} {answer}")));
    }
    rows.sort();
    let mut text = String::new();
    let mut rows = rows.into_iter().map(|(_, row)| row).peekable();
    while let Some(row) = rows.next() {
        let mut count = 1;
        while rows.next_if_eq(&row).is_some() {
            count += 1;
        }
        let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
        text.extend([row.as_str(), times.as_str(), "\n"]);
    }
    text
}

fn short(name: &str) -> String {
    let first = if name.contains('/') { &name[..1] } else { "" };
    match name.len() {
        0..40 => name.to_owned(),
        length if first.is_empty() => format!("[{length} bytes]"),
        length => format!("{first}...[{length} bytes]"),
    }
}

fn sections(version: &str) -> Vec<(usize, String)> {
    let text = fs::read_to_string(recorded(version).join("sections.txt")).unwrap();
    let mut sections = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        sections.push((words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned()));
    }
    sections
}

#[track_caller]
fn in_the_database(place: &Place) {
    // As recorded, every client that connected is gone at the end, 4 of them by a take-over.
    assert_eq!(place.rows("SELECT count(*) FROM online"), ["0"]);
    assert_eq!(
        place.rows("SELECT closed_by, count(*) FROM connections GROUP BY closed_by"),
        ["event 24", "takeover 4"],
    );
    assert_eq!(
        place.rows("SELECT clientid, closed_by, reason FROM connections WHERE clientid = 'cid-16' ORDER BY id"),
        ["cid-16 takeover takeovered", "cid-16 event normal", "cid-16 event normal", "cid-16 event normal"],
    );
    assert_eq!(place.rows("SELECT proto_ver, count(*) FROM connections GROUP BY proto_ver"), ["3 1", "4 22", "5 5"],);
    assert_eq!(
        place.rows("SELECT rule, sum(count) FROM denials WHERE action = 'connect' GROUP BY rule"),
        ["default 2", "named-false 2", "people 1"],
    );
    assert_eq!(
        place.rows("SELECT topic, sum(count) FROM denials WHERE rule = 'no-x' GROUP BY topic ORDER BY topic"),
        ["# 1", "+/+ 1", "x/false 3"],
    );
    assert_eq!(place.rows("SELECT count(*) FROM attempts"), ["33"]);
    assert_eq!(place.rows("SELECT count(*) FROM subscriptions"), ["0"]);
}
