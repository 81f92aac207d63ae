//! `exhook-policy replay`: recorded events through a policy.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::out::stdout;
use super::world::{World, WorldArgs};
use crate::replay::{
    Entry, EventPlace, Events, OwnedDecision, ReplayChange, ReplayItem, ReplayOutcome, ReplaySide, ReplaySummary,
};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::owned::OwnedEvent;
use exhook_policy_core::event::{Event, Shown, json as lines};
use exhook_policy_core::policy::Policy;
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::files::policies;

/// How many changes and unreadable lines a summary shows.
const SHOWN: usize = 20;

/// Put recorded events to a policy: what it decides, by which rule, and what it decides otherwise than when the events
/// were captured.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// The policy file
    policy: PathBuf,
    /// Captured events (JSON lines), or the bytes of a broker's port; `-` is the standard input
    #[arg(required = true)]
    events: Vec<PathBuf>,
    #[command(flatten)]
    world: WorldArgs,
    /// Exit with 1 where a captured event is decided otherwise now
    #[arg(long)]
    expect_same: bool,
    /// Show every decision
    #[arg(long, short)]
    verbose: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = ReplayFormat::Human)]
    format: ReplayFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    /// Sentences
    Human,
    /// One JSON object
    Json,
}

/// What came of it, in order of how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Fine,
    Found,
    CouldNotLook,
}

/// Replays the events and prints a summary. The code is 0 where all were read; 1 where some are decided otherwise and
/// `--expect-same` was given; 2 where the policy, or any of the events, could not be read, or there was nothing to
/// compare.
pub fn run(args: &ReplayArgs) -> ExitCode {
    let result = replay(args, &mut stdout());
    let ending = result.unwrap_or_else(|message| {
        // A reader that closed stderr does not want to know.
        let _ = writeln!(io::stderr(), "{}", message.trim_end());
        Ending::CouldNotLook
    });
    match ending {
        Ending::Fine => ExitCode::SUCCESS,
        Ending::Found => ExitCode::from(1),
        Ending::CouldNotLook => ExitCode::from(2),
    }
}

fn replay(args: &ReplayArgs, out: &mut impl Write) -> Result<Ending, String> {
    let loaded = policies::load(&args.policy).map_err(|report| report.to_string())?;
    let policy = Policy::compile(loaded.model);
    let world = args.world.world(&policy).map_err(|report| report.to_string())?;
    for problem in &world.problems {
        let _ = writeln!(io::stderr(), "warning: {problem}; what needs it is denied");
    }
    let mut run = ReplayRun { args, out, summary: ReplaySummary::default(), decisions: Vec::new() };
    for file in &args.events {
        let name = if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() };
        let failed = |error: io::Error| format!("error: {name}: {error}");
        if file == Path::new("-") {
            run.file(&name, io::stdin().lock(), &policy, &world).map_err(failed)?;
        } else {
            let input = BufReader::new(input::stream(file).map_err(failed)?);
            run.file(&name, input, &policy, &world).map_err(failed)?;
        }
    }
    run.finish(&policy).map_err(|error| format!("error: the summary cannot be printed: {error}"))
}

struct ReplayRun<'a, W> {
    args: &'a ReplayArgs,
    out: W,
    summary: ReplaySummary,
    /// For JSON, where every decision is shown.
    decisions: Vec<Value>,
}

impl<W: Write> ReplayRun<'_, W> {
    fn file(&mut self, name: &str, input: impl BufRead, policy: &Policy, world: &World) -> io::Result<()> {
        let found = |source, username: &str, given| world.found(source, username, given);
        let side = ReplaySide { policy, lists: world.lists(), found: &found };
        for item in Events::new(name, input)? {
            let item = item?;
            let outcome = self.summary.add(&item, side);
            if let (true, Some(outcome)) = (self.args.verbose, outcome) {
                self.decision(&item, outcome)?;
            }
        }
        Ok(())
    }

    fn decision(&mut self, item: &ReplayItem, outcome: ReplayOutcome<'_>) -> io::Result<()> {
        let Entry::Told(told) = &item.entry else { return Ok(()) };
        let ruling = OwnedDecision::from(outcome.decision);
        match self.args.format {
            ReplayFormat::Human => writeln!(self.out, "{}: {ruling}: {}", item.place, question(&told.event)),
            ReplayFormat::Json => {
                let mut decision = placed(&item.place, &told.event);
                decision.insert("decision".to_owned(), of_ruling(&ruling));
                decision.insert("assumed_password".to_owned(), outcome.assumed.into());
                self.decisions.push(Value::Object(decision));
                Ok(())
            }
        }
    }

    fn finish(mut self, policy: &Policy) -> io::Result<Ending> {
        match self.args.format {
            ReplayFormat::Human => self.human(policy)?,
            ReplayFormat::Json => self.json(policy)?,
        }
        self.out.flush()?;
        let ReplaySummary { unreadable, compared, changed, .. } = &self.summary;
        Ok(if unreadable.count > 0 {
            Ending::CouldNotLook
        } else if !self.args.expect_same {
            Ending::Fine
        } else if *compared == 0 {
            let _ = writeln!(io::stderr(), "error: --expect-same: none of the events tells what was decided");
            Ending::CouldNotLook
        } else if changed.count > 0 {
            Ending::Found
        } else {
            Ending::Fine
        })
    }

    fn human(&mut self, policy: &Policy) -> io::Result<()> {
        let ReplayRun { args, out, summary, .. } = self;
        if args.verbose && summary.questions > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}, {}", counted(summary.events, "event"), counted(summary.questions, "question"))?;
        let rows = summary.rows(policy);
        let name = |rule: &str, line: Option<usize>| match line {
            Some(line) => format!("{rule} ({}:{line})", args.policy.display()),
            None => rule.to_owned(),
        };
        let width = rows.iter().map(|row| name(&row.rule, row.line).chars().count()).max().unwrap_or_default();
        for row in &rows {
            let verdict = row.verdict.map_or("-", Verdict::as_str);
            let name = name(&row.rule, row.line);
            writeln!(out, "  {:4}  {name:width$}  {verdict:6} {:>9}", row.section, row.count)?;
        }
        if !summary.told.is_empty() {
            let told: Vec<_> = summary.told.iter().map(|(hook, count)| format!("{} {count}", hook.point())).collect();
            writeln!(out, "Other events: {}", told.join(", "))?;
        }
        if summary.others > 0 {
            writeln!(out, "Frames that are no calls of a hook: {}", summary.others)?;
        }
        if summary.dropped > 0 {
            writeln!(out, "Lines that were dropped when it was captured: {}", summary.dropped)?;
        }
        if summary.assumed > 0 {
            writeln!(out, "Logins that hang on a password which is only assumed: {}", summary.assumed)?;
        }
        if summary.limited > 0 {
            let count = summary.limited;
            writeln!(
                out,
                "Logins that were refused when captured for lockout or flapping, whatever the rules said: {count}"
            )?;
        }
        if summary.unreadable.count > 0 {
            writeln!(out, "Lines or frames that cannot be read: {}", summary.unreadable.count)?;
            for (place, why) in summary.unreadable.first.iter().take(SHOWN) {
                writeln!(out, "  {place}: {why}")?;
            }
            more(out, summary.unreadable.count)?;
        }
        if summary.compared > 0 {
            writeln!(
                out,
                "Decided otherwise than when captured: {} of {} (and {} alike, by another rule)",
                summary.changed.count, summary.compared, summary.other_rule
            )?;
            for ReplayChange { place, event, old, new } in summary.changed.first.iter().take(SHOWN) {
                writeln!(out, "  {place}: {old}, now {new}: {}", question(event))?;
            }
            more(out, summary.changed.count)?;
        }
        Ok(())
    }

    fn json(&mut self, policy: &Policy) -> io::Result<()> {
        let ReplayRun { args, out, summary, decisions } = self;
        let rules: Vec<Value> = summary
            .rows(policy)
            .into_iter()
            .map(|row| {
                let verdict = row.verdict.map(Verdict::as_str);
                json!({
                    "section": row.section, "rule": row.rule, "line": row.line, "verdict": verdict, "count": row.count,
                })
            })
            .collect();
        let told: Map<_, _> =
            summary.told.iter().map(|(hook, count)| (hook.point().to_owned(), (*count).into())).collect();
        let unreadable: Vec<Value> = summary
            .unreadable
            .first
            .iter()
            .map(|(place, why)| json!({ "file": &*place.file, "number": place.number, "message": why }))
            .collect();
        let changed: Vec<Value> = summary
            .changed
            .first
            .iter()
            .map(|ReplayChange { place, event, old, new }| {
                let mut change = placed(place, event);
                change.insert("old".to_owned(), of_ruling(old));
                change.insert("new".to_owned(), of_ruling(new));
                Value::Object(change)
            })
            .collect();
        let mut document = json!({
            "policy": args.policy.display().to_string(),
            "events": summary.events,
            "questions": summary.questions,
            "rules": rules,
            "told": told,
            "other_frames": summary.others,
            "dropped": summary.dropped,
            "assumed_passwords": summary.assumed,
            "unreadable": { "count": summary.unreadable.count, "first": unreadable },
            "limited": summary.limited,
            "compared": summary.compared,
            "other_rule": summary.other_rule,
            "changed": { "count": summary.changed.count, "first": changed },
        });
        if let (true, Some(object)) = (args.verbose, document.as_object_mut()) {
            object.insert("decisions".to_owned(), std::mem::take(decisions).into());
        }
        writeln!(out, "{document:#}")
    }
}

fn more(out: &mut impl Write, count: u64) -> io::Result<()> {
    match count.checked_sub(SHOWN as u64) {
        None | Some(0) => Ok(()),
        Some(rest) => writeln!(out, "  and {rest} more"),
    }
}

/// `1 event`, `2 events`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// The question, as the log tells it.
pub(super) fn question(event: &OwnedEvent) -> String {
    let event = event.as_event();
    if let Event::CheckAcl { client, action, topic } = event {
        format!("{} {client} topic={}", action.as_str(), Shown(topic))
    } else if let Event::Authenticate { client, .. } = event {
        format!("connect {client}")
    } else {
        event.to_string()
    }
}

/// Where an event stands, and the event.
pub(super) fn placed(place: &EventPlace, event: &OwnedEvent) -> Map<String, Value> {
    // What was written is JSON; its time is not known here.
    let mut event: Value = serde_json::from_str(&lines::write(&event.as_event(), 0)).unwrap_or_default();
    if let Some(object) = event.as_object_mut() {
        object.remove("at");
    }
    let number = if place.is_frame { "frame" } else { "line" };
    let entries = [("file", (*place.file).into()), (number, place.number.into()), ("event", event)];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn of_ruling(ruling: &OwnedDecision) -> Value {
    json!({ "verdict": ruling.verdict.as_str(), "rule": &*ruling.rule })
}
