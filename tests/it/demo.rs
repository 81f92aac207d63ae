//! The commands that put the program to work, run as a person runs them.

use crate::support::program::program;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn exhook_policy(dir: &Path, args: &[&str]) -> Output {
    program().args(args).current_dir(dir).env("TMPDIR", dir).output().unwrap()
}

#[test]
fn the_demo_shows_decisions_with_their_rules_and_who_is_online() {
    let dir = tempfile::tempdir().unwrap();
    let output = exhook_policy(dir.path(), &["demo"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (decisions, history) = text.split_once("\n$ exhook-policy history online\n").unwrap();
    let expected = include_str!("demo.txt");
    assert_eq!(decisions, expected);

    let (online, rest) = history.split_once("\n$ exhook-policy history connections --limit 8\n").unwrap();
    let clients = |table: &str| -> Vec<String> {
        table.lines().skip(1).filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    assert_eq!(clients(online), ["cid-18", "cid-16", "cid-08"]);
    let (connections, end) = rest.split_once("\n\n").unwrap();
    assert_eq!(clients(connections).len(), 8);
    assert!(connections.contains("topic_filter_in"), "{connections}");
    assert!(end.ends_with("Every call was answered once, and as the driver's log says.\n"), "{end}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the demo left something behind");
}

#[test]
fn the_demo_keeps_its_folder_where_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let output = exhook_policy(dir.path(), &["demo", "--keep"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let folder = text.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap();
    assert!(Path::new(folder).starts_with(dir.path()), "{text}");
    assert!(Path::new(folder).join("policy/data/history.db").exists());
}

/// Commands that print, and their exit codes.
const PRINTS: &[(&[&str], i32)] = &[
    (&["demo"], 0),
    (&["completions", "bash"], 0),
    (&["man"], 0),
    (&["schema"], 0),
    (&["schema", "--tests"], 0),
    (&["check", "old.yaml"], 0),
    (&["check", "bad.yaml"], 1),
    (&["check", "--format", "json", "bad.yaml"], 1),
    (&["test", "right.test.yaml"], 0),
    (&["test", "wrong.test.yaml"], 1),
    (&["test", "--format", "json", "wrong.test.yaml"], 1),
    (&["diff", "old.yaml", "old.yaml"], 0),
    (&["diff", "old.yaml", "new.yaml"], 1),
    (&["explain", "old.yaml", "publish", "t/a", "--clientid", "c"], 0),
    (&["who-can", "old.yaml", "publish", "t/a"], 0),
    (&["what-can", "old.yaml", "--clientid", "c"], 0),
    (&["replay", "old.yaml", "events.jsonl"], 0),
    (&["replay", "--expect-same", "old.yaml", "events.jsonl"], 1),
    (&["convert", "acl-conf", "acl.conf"], 0),
    (&["install", "--emqx", "5.8"], 0),
    (&["install", "bin"], 0),
    (&["doctor", "--launchers", "bin"], 0),
    (&["doctor", "--launchers", "nowhere"], 1),
    (&["status", "--policy", "old.yaml", "--state", "state"], 1),
    (&["history", "online", "--database", "kept/policy/data/history.db"], 0),
    (&["history", "online", "--database", "kept/policy/data/history.db", "--format", "csv"], 0),
    (&["history", "online", "--database", "kept/policy/data/history.db", "--format", "json"], 0),
];

/// Runs a command of which nobody reads what it prints.
fn unread(dir: &Path, args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    // Before it starts: what it prints first finds no reader.
    drop(reader);
    let mut command = program();
    command.args(args).current_dir(dir).env("TMPDIR", dir).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

/// As with `| head`, which closes its end of the pipe.
#[test]
fn output_that_is_not_read_to_its_end_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let old = "version: 1\nacl: { rules: [{ id: a, allow: everyone, publish: [t/a] }] }\n";
    fs::write(dir.path().join("old.yaml"), old).unwrap();
    fs::write(dir.path().join("new.yaml"), old.replace("t/a", "t/#")).unwrap();
    fs::write(dir.path().join("bad.yaml"), "version: 1\nauht: {}\n").unwrap();
    fs::write(dir.path().join("acl.conf"), "{allow, all}.\n").unwrap();
    let tests = "policy: old.yaml\nclients: { device: { clientid: c } }\n\
                 tests: [{ name: one, client: device, expect: [{ publish: t/a, ANSWER: a }] }]\n";
    fs::write(dir.path().join("right.test.yaml"), tests.replace("ANSWER", "allow")).unwrap();
    fs::write(dir.path().join("wrong.test.yaml"), tests.replace("ANSWER", "deny")).unwrap();
    let event = r#"{"hook":"client.check_acl","client":{"clientid":"c","username":"","peerhost":"10.0.0.7","sockport":1883,
        "protocol":"mqtt","mountpoint":"","node":"n","is_superuser":false,"anonymous":false},"action":"publish","topic":"t/a",
        "decision":{"verdict":"deny","rule":"b"}}"#;
    fs::write(dir.path().join("events.jsonl"), event.replace('\n', "")).unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    let kept = exhook_policy(dir.path(), &["demo", "--keep"]);
    let kept = String::from_utf8(kept.stdout).unwrap();
    let kept = Path::new(kept.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap());
    fs::rename(kept, dir.path().join("kept")).unwrap();
    for (args, code) in PRINTS {
        let read = exhook_policy(dir.path(), args);
        assert_eq!(read.status.code(), Some(*code), "{args:?}: {read:?}");
        assert!(!read.stdout.is_empty(), "{args:?}");
        let output = unread(dir.path(), args);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), String::from_utf8(read.stderr).unwrap(), "{args:?}");
    }
    let mut names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let is_left = names.any(|name| name.to_str().unwrap().starts_with("exhook-policy-demo"));
    assert!(!is_left, "the demo left something behind");
}

#[test]
fn what_install_makes_starts_as_the_broker_expects() {
    let dir = tempfile::tempdir().unwrap();
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gateway-fleet/rules.yaml");
    for more in [&[][..], &["--copy"]] {
        let args = [&["install", "bin", "--policy", policy.to_str().unwrap()], more].concat();
        let output = exhook_policy(dir.path(), &args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let folder = policy.parent().unwrap().canonicalize().unwrap();
        assert!(text.contains(&format!("exhook.drivers.python3.path = {}\n", folder.display())), "{text}");
        assert!(text.contains("allow_anonymous = false"), "{text}");

        let version = Command::new(dir.path().join("bin/python3")).arg("-V").output().unwrap();
        assert!(String::from_utf8(version.stdout).unwrap().starts_with("Python 3."));
    }
}

#[test]
fn install_puts_nothing_there_for_a_policy_with_errors() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yaml"), "version: 1\nauht: {}\n").unwrap();
    let output = exhook_policy(dir.path(), &["install", "bin", "--policy", "rules.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!dir.path().join("bin").exists());
    let output = exhook_policy(dir.path(), &["install", "bin", "--policy", "missing.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
