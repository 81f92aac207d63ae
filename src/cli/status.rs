//! `exhook-policy status`: how the running drivers and servers of a policy are.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::out::stdout;
use exhook_policy_core::decision::Mode;
use exhook_policy_runtime::clock::{in_utc, now_ms};
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::process::Recorder;
use exhook_policy_runtime::state::status::{self, All, Found, Status};
use exhook_policy_runtime::state::{Folder, hash_of};

/// A status that is older is of a process that hangs, or cannot write: milliseconds.
const STALE: i64 = 30_000;
/// The policy that is meant if none is named.
const POLICY: &str = "rules.yaml";

/// Show how the running drivers and servers are: which policy is in force, and why not the file
///
/// Exits with 1 where something is wrong: the file is not in force, no process runs, a broker does
/// not call the hooks that the policy needs, or it is not known which hooks a broker registered.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", default_value = POLICY)]
    policy: PathBuf,
    /// Where the process keeps its state, if that is not `state` beside the policy
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = StatusFormat::Human)]
    format: StatusFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFormat {
    /// Some lines for each process
    Human,
    /// An array of objects
    Json,
}

/// Runs `status`: 0 all is well; 1 something is not; 2 it cannot be seen.
pub fn run(args: &StatusArgs) -> ExitCode {
    let folder = Folder::of(&args.policy, args.state.as_deref());
    let here = status::boot(&Recorder::server());
    let All { found, unreadable } = match status::read(folder.path(), &here) {
        Ok(all) => all,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "exhook-policy: the state folder {} cannot be read: {error}\n  \
                 a driver or server makes it when it starts; --state names another",
                folder.path().display()
            );
            return ExitCode::from(2);
        }
    };
    let file = std::path::absolute(&args.policy).unwrap_or_else(|_| args.policy.clone());
    // Where the state folder is shared, each policy is asked for by itself.
    let found: Vec<Found> = found.into_iter().filter(|found| found.status.file == file).collect();
    let hash = input::read(&args.policy, input::MOST).ok().map(|bytes| hash_of(&bytes));
    let judged: Vec<Judged> = found.iter().map(|found| Judged::of(found, hash.as_deref(), now_ms())).collect();
    let written = match args.format {
        StatusFormat::Human => human(&judged, &mut stdout()),
        StatusFormat::Json => json(&judged, &mut stdout()),
    };
    if written.is_err() {
        return ExitCode::from(2);
    }
    for line in &unreadable {
        let _ = writeln!(io::stderr(), "exhook-policy: no status can be read in {line}");
    }
    let well = judged.iter().any(|one| one.is_running)
        && judged.iter().all(|one| one.wrong.is_empty())
        && unreadable.is_empty();
    ExitCode::from(u8::from(!well))
}

/// A status, and what is wrong.
struct Judged<'a> {
    status: &'a Status,
    is_running: bool,
    wrong: Vec<String>,
}

impl<'a> Judged<'a> {
    /// `hash` is that of the file as it stands, `now` Unix milliseconds.
    fn of(found: &'a Found, hash: Option<&str>, now: i64) -> Self {
        let Found { status, is_alive } = found;
        let mut wrong = Vec::new();
        let age = now.saturating_sub(status.written_at);
        match (is_alive, age > STALE) {
            (Some(false), _) => wrong.push("the process is gone, and did not come to its end in order".to_owned()),
            (Some(true) | None, true) => {
                wrong.push(format!("nothing was heard of the process for {} s", age / 1000));
            }
            (Some(true) | None, false) => {}
        }
        match &status.policy {
            None => wrong.push("no policy is in force: everything is denied".to_owned()),
            Some(policy) if policy.is_last_good => {
                wrong.push("the copy of the last good policy is in force".to_owned());
            }
            Some(policy) if hash.is_some_and(|hash| hash != policy.hash) && status.fault.is_none() => {
                wrong.push("the file was changed, and is not in force yet".to_owned());
            }
            Some(_) => {}
        }
        if let Some(fault) = &status.fault {
            wrong.push(format!(
                "the file as it stands is not in force, since {}:\n{}",
                in_utc(fault.at),
                indented(&fault.text)
            ));
        }
        let in_audit = status.policy.as_ref().is_some_and(|policy| policy.mode == Mode::Audit.as_str());
        for broker in &status.brokers {
            wrong.extend(broker.problems(in_audit).into_iter().map(|(_, problem)| problem));
        }
        Judged { status, is_running: is_alive.unwrap_or(age <= STALE), wrong }
    }
}

fn human(judged: &[Judged<'_>], out: &mut impl Write) -> io::Result<()> {
    if judged.is_empty() {
        return writeln!(out, "no driver or server of this policy runs");
    }
    for (n, Judged { status, wrong, .. }) in judged.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        let process = &status.process;
        writeln!(
            out,
            "{} {}, exhook-policy {} (SQLite {}), since {}",
            process.role,
            process.pid,
            process.version,
            process.sqlite,
            in_utc(process.since)
        )?;
        writeln!(out, "  file      {}", status.file.display())?;
        if let Some(policy) = &status.policy {
            let hash = policy.hash.get(..12).unwrap_or(&policy.hash);
            writeln!(out, "  in force  {hash}, mode {}, since {}", policy.mode, in_utc(policy.since))?;
        }
        writeln!(out, "  reloads   {} in force, {} refused", status.reloads.good, status.reloads.bad)?;
        let queues: Vec<String> = status.queues.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(out, "  waiting   {}", if queues.is_empty() { "nothing".to_owned() } else { queues.join(", ") })?;
        let left_out: Vec<String> = status.left_out.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        if !left_out.is_empty() {
            writeln!(out, "  left out  {} (more than a minute has room for)", left_out.join(", "))?;
        }
        for wrong in wrong {
            writeln!(out, "  WRONG     {wrong}")?;
        }
        rules(status, out)?;
    }
    out.flush()
}

fn rules(status: &Status, out: &mut impl Write) -> io::Result<()> {
    if status.silent_rules > 0 {
        writeln!(out, "  silent    {} rules decided nothing yet", status.silent_rules)?;
    }
    if status.rules.is_empty() {
        return Ok(());
    }
    let wide = |text: &str| text.chars().count();
    let width = status.rules.iter().map(|rule| wide(&rule.section) + wide(&rule.rule) + 1).max().unwrap_or(0).max(4);
    writeln!(out, "  {:width$}  {:>12}  {:>12}  {:>12}", "rule", "allowed", "denied", "ignored")?;
    for rule in &status.rules {
        let name = format!("{} {}", rule.section, rule.rule);
        writeln!(out, "  {name:width$}  {:>12}  {:>12}  {:>12}", rule.allow, rule.deny, rule.ignore)?;
    }
    Ok(())
}

fn json(judged: &[Judged<'_>], out: &mut impl Write) -> io::Result<()> {
    let all: Vec<serde_json::Value> = judged
        .iter()
        .map(|one| {
            let mut value = serde_json::to_value(one.status)?;
            if let serde_json::Value::Object(fields) = &mut value {
                fields.insert("running".to_owned(), one.is_running.into());
                fields.insert("wrong".to_owned(), one.wrong.clone().into());
            }
            Ok(value)
        })
        .collect::<Result<_, serde_json::Error>>()?;
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)?;
    out.flush()
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
