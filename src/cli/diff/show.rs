//! The difference of two policies for people and for programs.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::analysis::diff::{Answer, Change, Diff, Direction, RuleName, Unknown, Version};
use crate::cli::check::github::{data, property};
use crate::decision::{DEFAULT, ERROR, INVALID_TOPIC, Verdict};

/// Where the policies stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) old: &'a Path,
    pub(super) new: &'a Path,
}

impl<'a> Files<'a> {
    fn of(self, version: Version) -> &'a Path {
        match version {
            Version::Old => self.old,
            Version::New => self.new,
        }
    }

    fn place(self, version: Version, rule: &RuleName) -> String {
        let file = self.of(version).display();
        rule.line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"))
    }
}

pub(super) fn human(files: Files<'_>, diff: &Diff, out: &mut impl Write) -> io::Result<()> {
    for change in &diff.changes {
        writeln!(out, "{}", title(change))?;
        for (version, answer) in [(Version::Old, &change.old), (Version::New, &change.new)] {
            writeln!(out, "  {}: {}", files.place(version, &answer.rule), said(answer))?;
        }
        writeln!(out, "  as in: {}\n", change.witness)?;
    }
    for unknown in &diff.unknown {
        writeln!(out, "{}\n", not_known(files, unknown))?;
    }
    for note in &diff.notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out, "{}", summary(diff))
}

fn title(change: &Change) -> String {
    let (old, new) = (word(change.old.verdict), word(change.new.verdict));
    format!("{}: {}: {old} -> {new}", change.direction.as_str(), change.question.as_str())
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
        Verdict::Ignore => "left to the broker",
    }
}

fn said(answer: &Answer) -> String {
    let RuleName { id, line: _, who } = &answer.rule;
    let by = match (id.as_str(), who) {
        (_, Some(who)) => format!("by `{id}` ({who})"),
        (DEFAULT, None) => "by default".to_owned(),
        (INVALID_TOPIC, None) => "because the topic is not valid".to_owned(),
        (ERROR, None) => "because a list cannot be read".to_owned(),
        (_, None) => format!("by `{id}`"),
    };
    format!("{} {by}", word(answer.verdict))
}

/// Rules that are named where it is not known what they change.
const NAMED: usize = 3;

fn not_known(files: Files<'_>, unknown: &Unknown) -> String {
    let named = unknown.rules.iter().take(NAMED);
    let mut rules: Vec<String> =
        named.map(|one| format!("`{}` ({})", one.rule.id, files.place(one.version, &one.rule))).collect();
    let more = unknown.rules.len().saturating_sub(NAMED);
    if more > 0 {
        rules.push(format!("{more} more"));
    }
    let more = format!("not known: {}: there may be more changes", unknown.question.as_str());
    match rules.split_last() {
        None => more,
        Some((only, [])) => format!("{more} by {only}"),
        Some((last, before)) => format!("{more} by {} and {last}", before.join(", ")),
    }
}

fn summary(diff: &Diff) -> String {
    let count = |direction| diff.changes.iter().filter(|change| change.direction == direction).count();
    let (widened, narrowed, unknown) = (count(Direction::Widened), count(Direction::Narrowed), diff.unknown.len());
    match (widened, narrowed, unknown) {
        (0, 0, 0) => "no decision differs".to_owned(),
        (_, _, 0) => format!("{widened} widened, {narrowed} narrowed"),
        (_, _, _) => format!("{widened} widened, {narrowed} narrowed, {unknown} not known"),
    }
}

pub(super) fn json(files: Files<'_>, diff: &Diff, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Object<'a> {
        old: String,
        new: String,
        changes: &'a [Change],
        unknown: &'a [Unknown],
        notes: &'a [String],
    }
    let Diff { changes, unknown, notes } = diff;
    let (old, new) = (files.old.display().to_string(), files.new.display().to_string());
    serde_json::to_writer_pretty(&mut *out, &Object { old, new, changes, unknown, notes })?;
    writeln!(out)
}

pub(super) fn github(files: Files<'_>, diff: &Diff, allow_narrowing: bool, out: &mut impl Write) -> io::Result<()> {
    for change in &diff.changes {
        let severity = if change.direction == Direction::Narrowed && allow_narrowing { "notice" } else { "error" };
        let (old, new) = (said(&change.old), said(&change.new));
        let place = files.place(Version::Old, &change.old.rule);
        let text = format!("{}\nnow {new}\nbefore {old} ({place})\nas in: {}", title(change), change.witness);
        command(out, files, severity, Some((Version::New, &change.new.rule)), &text)?;
    }
    for unknown in &diff.unknown {
        let rule = unknown.rules.first().map(|one| (one.version, &one.rule));
        command(out, files, "error", rule, &not_known(files, unknown))?;
    }
    for note in &diff.notes {
        command(out, files, "notice", None, note)?;
    }
    Ok(())
}

fn command(
    out: &mut impl Write,
    files: Files<'_>,
    severity: &str,
    rule: Option<(Version, &RuleName)>,
    text: &str,
) -> io::Result<()> {
    let version = rule.map_or(Version::New, |(version, _)| version);
    let line = rule.and_then(|(_, rule)| rule.line).map(|line| format!(",line={line}")).unwrap_or_default();
    writeln!(out, "::{severity} file={}{line}::{}", property(&files.of(version).display().to_string()), data(text))
}
