//! What `exhook-policy history` prints of a database with names as strangers choose them, word by
//! word.
//!
//! The file holds commands and their output. `UPDATE_GOLDEN=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Output;

use rusqlite::Connection;
use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;

use crate::support::golden::check_golden;
use crate::support::program::program;

const SCHEMA: [&str; 5] = [
    include_str!("../../schema/0001_history.sql"),
    include_str!("../../schema/0002_history.sql"),
    include_str!("../../schema/0003_history.sql"),
    include_str!("../../schema/0004_history.sql"),
    include_str!("../../schema/0005_history.sql"),
];

/// A folder with a database of so many migrations.
fn place(migrations: usize, rows: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let db = Connection::open(dir.path().join("history.db")).unwrap();
    for file in &SCHEMA[..migrations] {
        db.execute_batch(file).unwrap();
    }
    db.execute_batch(rows).unwrap();
    db.pragma_update(None, "user_version", i64::try_from(migrations).unwrap()).unwrap();
    dir
}

fn history(folder: &Path, arguments: &str) -> Output {
    let mut command = program();
    command.arg("history").args(arguments.split(' ')).args(["--database", "history.db"]);
    command.current_dir(folder).env("TZ", "Europe/Berlin").output().unwrap()
}

/// The commands of a golden file, each with its output as it is now.
fn renewed(golden: &str, folder: &Path) -> String {
    let mut text = String::new();
    for arguments in golden.lines().filter_map(|line| line.strip_prefix("$ exhook-policy history ")) {
        let Output { status, stdout, stderr } = history(folder, arguments);
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        write!(text, "$ exhook-policy history {arguments}\n{said}").unwrap();
        if !status.success() {
            writeln!(text, "[exit code {}]", status.code().unwrap()).unwrap();
        }
        text.push('\n');
    }
    text
}

fn golden(name: &str, folder: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history").join(name);
    let text = renewed(&fs::read_to_string(&path).unwrap(), folder);
    check_golden(&path, &text);
    text
}

#[test]
fn tables_of_hostile_names_fit_a_terminal() {
    let place = place(5, include_str!("../history/hostile.sql"));
    let text = golden("hostile.txt", place.path());
    let outputs: Vec<&str> = text.split("$ exhook-policy history ").skip(1).collect();
    assert!(outputs.len() >= 15, "{} commands", outputs.len());
    for output in outputs {
        let (command, lines) = output.split_once('\n').unwrap();
        let is_table = !["--wide", "--format"].iter().any(|option| command.contains(option));
        let is_shown = |line: &&str| !line.starts_with("exhook-policy: ");
        for line in lines.lines().filter(is_shown).filter(|_| is_table) {
            assert!(line.width() <= 80, "{command}: {} columns: {line}", line.width());
        }
        assert!(!output.chars().any(|c| c.is_control() && c != '\n'), "{command}");
    }
}

#[test]
fn why_a_client_was_refused() {
    let place = place(5, include_str!("../history/night.sql"));
    golden("why.txt", place.path());
}

#[test]
fn rows_are_counted() {
    let place = place(5, include_str!("../history/night.sql"));
    golden("counts.txt", place.path());
}

/// They have neither reasons nor rules of logins.
#[test]
fn databases_of_earlier_versions_are_shown_and_counted() {
    let rows = "INSERT INTO connections (id, clientid, username, peerhost, sockport, protocol, node, connected_at,
                                         disconnected_at, reason, closed_by, broker)
                VALUES (1, 'a', 'u', '::1', 1883, 'mqtt', 'n', 1714564800000, 1714564900000, 'kicked', 'event', 1);
                INSERT INTO denials (id, at, clientid, username, peerhost, action, topic, rule, mode, count)
                VALUES (1, 1714564850000, 'a', 'u', '::1', 'publish', 't', 'r', 'enforce', 3);";
    let golden_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history/earlier.txt");
    let commands = fs::read_to_string(&golden_file).unwrap();
    let of_version = |version| renewed(&commands, place(version, rows).path());
    let text = of_version(4);
    for version in 1..4 {
        assert_eq!(of_version(version), text, "version {version}");
    }
    check_golden(&golden_file, &text);
}

/// Denials of so many hours, one each, and three of one moment.
fn hours(count: i64) -> String {
    let one = |id: i64, at: i64, topic: &str| {
        format!(
            "INSERT INTO denials (id, at, clientid, username, peerhost, action, topic, rule, mode, count)
             VALUES ({id}, {at}, 'c{id}', '', '10.0.0.1', 'publish', '{topic}', 'r', 'enforce', 1);\n"
        )
    };
    let begin = 1_700_000_000_000;
    let mut rows: String = (0..count).map(|hour| one(hour, begin + hour * 3_600_000, "t")).collect();
    for (id, topic) in [(count, "first"), (count + 1, "second"), (count + 2, "third")] {
        rows += &one(id, begin + count * 3_600_000, topic);
    }
    rows + "UPDATE denials SET clientid = 'late' WHERE topic <> 't';\n"
}

#[test]
fn of_more_hours_than_are_shown_the_last_are() {
    let place = place(5, &hours(1200));
    let Output { stdout, stderr, .. } = history(place.path(), "denials --by hour --utc --format csv");
    let lines: Vec<String> = String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 1001, "with the names of the columns");
    assert!(lines.last().unwrap().contains(",3,") || lines.last().unwrap().ends_with(",3"), "{:?}", lines.last());
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(stderr, "exhook-policy: only the last 1000 are shown; --limit 0 shows all\n");
    let top = history(place.path(), "denials --by clientid --top 1100 --format csv").stdout;
    assert_eq!(String::from_utf8(top).unwrap().lines().count(), 1101);
}

#[test]
fn what_was_refused_in_one_moment_stands_in_its_order() {
    let place = place(5, &hours(1));
    let Output { stdout, .. } = history(place.path(), "why late --utc");
    let text = String::from_utf8(stdout).unwrap();
    let places = ["first", "second", "third"].map(|topic| text.find(topic).unwrap());
    assert!(places.is_sorted(), "{text}");
}

/// A row may be of a broker of which no server that records is known.
#[test]
fn what_nobody_records_is_unsure() {
    let rows = "INSERT INTO broker_processes (id, node, last_alive) VALUES (7, 'n', 1700000000000);
                INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
                VALUES ('c', '', '10.0.0.1', 1883, 'mqtt', 'n', 1700000000000, 7);";
    let place = place(5, rows);
    let Output { stdout, .. } = history(place.path(), "online --format json --utc");
    let text = String::from_utf8(stdout).unwrap();
    assert!(text.contains("\"unsure\": 1"), "{text}");
}
