//! The commands that put the program to work, run as a person runs them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn exhook_policy(dir: &Path, args: &[&str]) -> Output {
    let output =
        Command::new(env!("CARGO_BIN_EXE_exhook-policy")).args(args).current_dir(dir).env("TMPDIR", dir).output();
    output.unwrap()
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
    assert!(connections.contains("topic_filter_invalid"), "{connections}");
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

/// As with `| head`, which closes its end of the pipe.
#[test]
fn output_that_is_not_read_to_its_end_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["demo"][..], &["completions", "bash"], &["man"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_exhook-policy"))
            .args(args)
            .env("TMPDIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
        assert!(output.status.success(), "{args:?}: {:?}", output.status);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the demo left something behind");
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
