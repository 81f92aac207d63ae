//! `exhook-policy status`: how the running drivers and servers of a policy are.

mod judge;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use self::judge::Judged;
use super::out::stdout;
use exhook_policy_runtime::clock::{in_utc, now_ms};
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::process::Recorder;
use exhook_policy_runtime::state::status::{self, All, Found, Status};
use exhook_policy_runtime::state::{Folder, hash_of};

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
            let _ = writeln!(io::stderr(), "exhook-policy: {}", unseen(folder.path(), &error));
            return ExitCode::from(2);
        }
    };
    // Where the state folder is shared, each policy is asked for by itself.
    let (found, others): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|found| is_same_policy(&found.status.file, &args.policy));
    let hash = input::read(&args.policy, input::MOST).ok().map(|bytes| hash_of(&bytes));
    let judged: Vec<Judged> = found.iter().map(|found| Judged::of(found, hash.as_deref(), now_ms())).collect();
    let written = match args.format {
        StatusFormat::Human if judged.is_empty() => nothing(folder.path(), &others, &unreadable, &mut stdout()),
        StatusFormat::Human => human(&judged, &mut stdout()),
        StatusFormat::Json => json(&judged, &mut stdout()),
    };
    if written.is_err() {
        return ExitCode::from(2);
    }
    for line in &unreadable {
        let _ = writeln!(io::stderr(), "exhook-policy: no status can be read in {line}");
    }
    let well = judged.iter().any(|one| one.state.is_running())
        && judged.iter().all(|one| one.wrong.is_empty())
        && unreadable.is_empty();
    ExitCode::from(u8::from(!well))
}

/// Why nothing can be seen in a state folder.
fn unseen(folder: &Path, error: &io::Error) -> String {
    let folder = folder.display();
    if error.kind() == io::ErrorKind::NotFound {
        format!(
            "there is no state folder {folder}: no driver or server has been started with it, and if none runs with another \
             one (--state), brokers decide by their own settings"
        )
    } else {
        format!("the state folder {folder} cannot be read: {error}\n  --state names another")
    }
}

/// Whether both name one policy: links of the folder are followed, and that of the file is not,
/// since by it a policy is changed.
fn is_same_policy(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (one, other) = (whole(one), whole(other));
    let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
    one == other || (one.file_name() == other.file_name() && folder(&one).is_some_and(|of| folder(&other) == Some(of)))
}

/// Says that there is no status of this policy.
fn nothing(folder: &Path, others: &[Found], unreadable: &[String], out: &mut impl Write) -> io::Result<()> {
    let folder = folder.display();
    if unreadable.is_empty() {
        writeln!(
            out,
            "no driver or server of this policy runs with the state folder {folder}\n  \
             if none runs with another one (--state), brokers decide by their own settings"
        )?;
    } else {
        writeln!(out, "whether a driver or server of this policy runs cannot be read in the state folder {folder}")?;
    }
    for other in others {
        writeln!(out, "  it has a status of {}", other.status.file.display())?;
    }
    out.flush()
}

fn human(judged: &[Judged<'_>], out: &mut impl Write) -> io::Result<()> {
    for (n, Judged { status, wrong, state }) in judged.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        let process = &status.process;
        writeln!(
            out,
            "{} {}{}, exhook-policy {} (SQLite {}), since {}",
            process.role,
            process.pid,
            state.word(),
            process.version,
            process.sqlite,
            in_utc(process.since)
        )?;
        writeln!(out, "  file      {}", status.file.display())?;
        if !state.is_current() {
            writeln!(out, "  as of     {}", in_utc(status.written_at))?;
        }
        if let Some(policy) = &status.policy {
            let hash = policy.hash.get(..12).unwrap_or(&policy.hash);
            let label = if state.is_current() { "in force" } else { "last had" };
            writeln!(out, "  {label}  {hash}, mode {}, since {}", policy.mode, in_utc(policy.since))?;
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
                fields.insert("running".to_owned(), one.state.is_running().into());
                fields.insert("wrong".to_owned(), one.wrong.clone().into());
            }
            Ok(value)
        })
        .collect::<Result<_, serde_json::Error>>()?;
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)?;
    out.flush()
}

#[cfg(test)]
mod tests;
