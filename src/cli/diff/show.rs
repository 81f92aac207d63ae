//! The difference of two policies for people and for programs.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::events;
use crate::cli::check::github::{data, property};
use crate::cli::replay::{counted, placed, question};
use exhook_policy_core::decision::{DEFAULT, ERROR, INVALID_TOPIC, Verdict};
use exhook_policy_tools::analysis::diff::{
    ChangeDirection, Difference, PolicyAnswer, PolicyDiff, PolicyVersion, RuleName, UnsettledChanges,
};

/// What is shown.
#[derive(Debug)]
pub(super) struct DiffReport<'a> {
    pub(super) old: &'a Path,
    pub(super) new: &'a Path,
    changes: Vec<ShownChange<'a>>,
    unknown: &'a [UnsettledChanges],
    notes: Vec<String>,
    /// The recorded questions that were asked; `None` where all were.
    questions: Option<u64>,
}

#[derive(Debug)]
struct ShownChange<'a> {
    difference: &'a Difference,
    example: String,
    /// How many recorded questions are answered so.
    count: Option<u64>,
    /// The example, for programs.
    object: Map<String, Value>,
}

impl<'a> DiffReport<'a> {
    /// Of all clients and topics.
    pub(super) fn of_all(old: &'a Path, new: &'a Path, diff: &'a PolicyDiff) -> Self {
        let change = |change: &'a exhook_policy_tools::analysis::diff::PolicyChange| ShownChange {
            difference: &change.difference,
            example: change.witness.to_string(),
            count: None,
            object: Map::from_iter([("witness".to_owned(), json!(change.witness))]),
        };
        let changes = diff.changes.iter().map(change).collect();
        DiffReport { old, new, changes, unknown: &diff.unknown, notes: diff.notes.clone(), questions: None }
    }

    /// Of recorded events.
    pub(super) fn of_events(old: &'a Path, new: &'a Path, found: &'a events::EventDifferences) -> Self {
        let change = |(difference, group): (&'a Difference, &'a events::DifferenceGroup)| ShownChange {
            difference,
            example: format!("{}: {}", group.place, question(&group.event)),
            count: Some(group.count),
            object: Map::from_iter([
                ("count".to_owned(), json!(group.count)),
                ("first".to_owned(), Value::Object(placed(&group.place, &group.event))),
            ]),
        };
        let changes = found.groups.iter().map(change).collect();
        let events = &found.events;
        let mut notes = Vec::new();
        if events.assumed > 0 {
            notes.push(format!("{} on a password that is only assumed", hang(events.assumed)));
        }
        if events.dropped > 0 {
            notes.push(format!("{} dropped when it was captured", were(events.dropped)));
        }
        for (place, why) in events.unreadable.first.iter().take(SHOWN) {
            notes.push(format!("{place} cannot be read: {why}"));
        }
        if let Some(more) = events.unreadable.count.checked_sub(SHOWN as u64).filter(|more| *more > 0) {
            notes.push(format!("{more} more cannot be read"));
        }
        DiffReport { old, new, changes, unknown: &[], notes, questions: Some(events.questions) }
    }

    /// Whether anything is wider, narrower without leave, or not known: what is not known may be wider.
    pub(super) fn is_alarming(&self, allow_narrowing: bool) -> bool {
        let is = |direction| self.changes.iter().any(|change| change.difference.direction == direction);
        !self.unknown.is_empty() || is(ChangeDirection::Widened) || (!allow_narrowing && is(ChangeDirection::Narrowed))
    }

    fn file(&self, version: PolicyVersion) -> &'a Path {
        match version {
            PolicyVersion::Old => self.old,
            PolicyVersion::New => self.new,
        }
    }

    fn place(&self, version: PolicyVersion, rule: &RuleName) -> String {
        let file = self.file(version).display();
        rule.line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"))
    }

    pub(super) fn human(&self, out: &mut impl Write) -> io::Result<()> {
        for ShownChange { difference, example, count, object: _ } in &self.changes {
            let count = count.map(|count| format!(", {}", counted(count, "event"))).unwrap_or_default();
            writeln!(out, "{}{count}", title(difference))?;
            for (version, answer) in [(PolicyVersion::Old, &difference.old), (PolicyVersion::New, &difference.new)] {
                writeln!(out, "  {}: {}", self.place(version, &answer.rule), said(answer))?;
            }
            writeln!(out, "  as in: {example}\n")?;
        }
        for unknown in self.unknown {
            writeln!(out, "{}\n", self.not_known(unknown))?;
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        writeln!(out, "{}", self.summary())
    }

    fn not_known(&self, unknown: &UnsettledChanges) -> String {
        let named = unknown.rules.iter().take(NAMED);
        let mut rules: Vec<String> =
            named.map(|one| format!("`{}` ({})", one.rule.id, self.place(one.version, &one.rule))).collect();
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

    fn summary(&self) -> String {
        let count = |direction| self.changes.iter().filter(|change| change.difference.direction == direction).count();
        let (widened, narrowed, unknown) =
            (count(ChangeDirection::Widened), count(ChangeDirection::Narrowed), self.unknown.len());
        let changes = match (widened, narrowed, unknown) {
            (0, 0, 0) => "no decision differs".to_owned(),
            (_, _, 0) => format!("{widened} widened, {narrowed} narrowed"),
            (_, _, _) => format!("{widened} widened, {narrowed} narrowed, {unknown} not known"),
        };
        match self.questions {
            None => changes,
            Some(questions) => format!("{}: {changes}", counted(questions, "question")),
        }
    }

    pub(super) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let change = |change: &ShownChange<'_>| {
            let mut object = change.object.clone();
            if let Value::Object(difference) = json!(change.difference) {
                object.extend(difference);
            }
            Value::Object(object)
        };
        let mut document = json!({
            "old": self.old.display().to_string(),
            "new": self.new.display().to_string(),
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
            "unknown": self.unknown,
            "notes": self.notes,
        });
        if let (Some(questions), Some(object)) = (self.questions, document.as_object_mut()) {
            object.insert("questions".to_owned(), questions.into());
        }
        writeln!(out, "{document:#}")
    }

    pub(super) fn github(&self, allow_narrowing: bool, out: &mut impl Write) -> io::Result<()> {
        for ShownChange { difference, example, .. } in &self.changes {
            let Difference { direction, old, new, .. } = difference;
            let severity = if *direction == ChangeDirection::Narrowed && allow_narrowing { "notice" } else { "error" };
            let place = self.place(PolicyVersion::Old, &old.rule);
            let (was, is) = (said(old), said(new));
            let text = format!("{}\nnow {is}\nbefore {was} ({place})\nas in: {example}", title(difference));
            self.command(out, severity, Some((PolicyVersion::New, &new.rule)), &text)?;
        }
        for unknown in self.unknown {
            let rule = unknown.rules.first().map(|one| (one.version, &one.rule));
            self.command(out, "error", rule, &self.not_known(unknown))?;
        }
        for note in &self.notes {
            self.command(out, "notice", None, note)?;
        }
        Ok(())
    }

    fn command(
        &self,
        out: &mut impl Write,
        severity: &str,
        rule: Option<(PolicyVersion, &RuleName)>,
        text: &str,
    ) -> io::Result<()> {
        let file = self.file(rule.map_or(PolicyVersion::New, |(version, _)| version)).display().to_string();
        let line = rule.and_then(|(_, rule)| rule.line).map(|line| format!(",line={line}")).unwrap_or_default();
        writeln!(out, "::{severity} file={}{line}::{}", property(&file), data(text))
    }
}

/// Rules that are named where it is not known what they change.
const NAMED: usize = 3;
/// Lines and frames that are told where they cannot be read.
const SHOWN: usize = 20;

fn title(difference: &Difference) -> String {
    let Difference { direction, question, old, new } = difference;
    format!("{}: {}: {} -> {}", direction.as_str(), question.as_str(), word(old.verdict), word(new.verdict))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
        Verdict::Ignore => "left to the broker",
    }
}

fn said(answer: &PolicyAnswer) -> String {
    let RuleName { id, line: _, who } = &answer.rule;
    let by = match (id.as_str(), who) {
        (_, Some(who)) => format!("by `{id}` ({who})"),
        (DEFAULT, None) => "by default".to_owned(),
        (INVALID_TOPIC, None) => "because the topic is not valid".to_owned(),
        (ERROR, None) => "because a source cannot be read".to_owned(),
        (_, None) => format!("by `{id}`"),
    };
    format!("{} {by}", word(answer.verdict))
}

fn hang(logins: u64) -> String {
    format!("{} {}", counted(logins, "login"), if logins == 1 { "hangs" } else { "hang" })
}

fn were(lines: u64) -> String {
    format!("{} {}", counted(lines, "line"), if lines == 1 { "was" } else { "were" })
}
