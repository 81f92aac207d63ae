//! What the commands that put questions to a policy print, word by word.
//!
//! The files hold commands and their output as a person would see them. `UPDATE_GOLDEN=1` writes them anew.

use crate::support::golden::is_updating;
use crate::support::program::program;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const PROMPT: &str = "$ exhook-policy ";

/// What the command prints, and its exit code where that is not 0.
fn run(arguments: &str) -> String {
    let mut command = program();
    let words = shlex(arguments);
    let output = command.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        writeln!(text, "[exit code {}]", output.status.code().unwrap()).unwrap();
    }
    text
}

/// The words of a command; quotes keep one together.
fn shlex(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    words
}

/// The text with every command's output as it is now. A command's output ends at the next command, or where its block
/// ends.
fn renewed(text: &str) -> (String, usize) {
    let mut new = String::new();
    let mut commands = 0;
    let mut skipping = false;
    for line in text.lines() {
        if let Some(arguments) = line.strip_prefix(PROMPT) {
            let gap = if skipping { "\n" } else { "" };
            write!(new, "{gap}{line}\n{}", run(arguments)).unwrap();
            commands += 1;
            skipping = true;
        } else if line == "```" {
            new.push_str("```\n");
            skipping = false;
        } else if !skipping {
            writeln!(new, "{line}").unwrap();
        }
    }
    (new, commands)
}

#[track_caller]
fn check(name: &str, at_least: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = fs::read_to_string(&path).unwrap();
    let (new, commands) = renewed(&text);
    if is_updating() {
        fs::write(&path, &new).unwrap();
    }
    assert_eq!(new, text, "{name}");
    assert!(commands >= at_least, "{name} has {commands} commands");
}

#[test]
fn questions_are_answered_as_before() {
    check("tests/ask/transcript.txt", 35);
}

#[test]
fn what_hangs_on_the_time_is_told_with_it() {
    check("tests/ask/times.txt", 13);
}

#[test]
fn what_happened_is_explained_beside_what_would_happen_now() {
    check("tests/ask/happened.txt", 11);
}

#[test]
fn what_is_only_tried_is_told_beside_what_is_carried_out() {
    check("tests/ask/tried.txt", 7);
}

#[test]
fn recorded_events_are_decided_as_before() {
    check("tests/replay.txt", 12);
}

#[test]
fn differences_are_told_as_before() {
    check("tests/diff.txt", 10);
}

#[test]
fn the_pages_show_what_is_printed() {
    check("docs/explain.md", 5);
    check("docs/events.md", 2);
    check("docs/diff.md", 1);
}
