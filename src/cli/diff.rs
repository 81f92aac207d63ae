//! `exhook-policy diff`: what another version of a policy opens and closes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::out::stdout;
use super::world::WorldArgs;
use exhook_policy_core::policy::Policy;
use exhook_policy_runtime::clock::now_ms;
use exhook_policy_runtime::files::policies;
use exhook_policy_tools::analysis::Budget;
use exhook_policy_tools::analysis::diff::diff;
use show::DiffReport;

mod events;
mod show;

/// Steps of the work that is done before the comparison gives up, for an effort of 1.
const STEPS: usize = 10_000_000;

/// Find what a change of a policy opens and closes.
///
/// The policies are compared for all clients and all topics, or on recorded events. Each change is shown once for each
/// pair of rules that decides, with a question that both policies were asked.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// The policy as it is
    old: PathBuf,
    /// The policy as it would be
    new: PathBuf,
    /// Exit with 0 where less is permitted than before, and nothing more
    #[arg(long)]
    allow_narrowing: bool,
    /// How much work to do before giving up on a part, as a multiple of what takes some seconds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    effort: u16,
    /// Compare on these events only: JSON lines, or the bytes of a broker's port; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    events: Vec<PathBuf>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t = DiffFormat::Human)]
    format: DiffFormat,
    #[command(flatten, next_help_heading = "With --events")]
    world: WorldArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// Text for people
    Human,
    /// One JSON object
    Json,
    /// Commands for GitHub Actions, which shows them beside the lines of the new policy
    Github,
}

/// Prints what differs. The code is 0 where nothing does; 1 where anything is widened, where anything is narrowed and
/// that is not allowed, and where a part is not known; 2 where a policy cannot be loaded, and where events cannot be read or
/// hold no question.
pub fn run(args: &DiffArgs) -> ExitCode {
    compare(args, &mut stdout()).unwrap_or_else(|message| {
        // A reader that closed stderr does not want to know.
        let _ = writeln!(io::stderr(), "{}", message.trim_end());
        ExitCode::from(2)
    })
}

fn compare(args: &DiffArgs, out: &mut impl Write) -> Result<ExitCode, String> {
    let (old, new) = match (load(&args.old), load(&args.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => return Err([old.err(), new.err()].into_iter().flatten().collect()),
    };
    let show = |report: &DiffReport<'_>, out: &mut _| {
        show(args, report, out).map_err(|error| format!("error: the report cannot be printed: {error}"))
    };
    if args.events.is_empty() {
        let mut budget = Budget::new(STEPS.saturating_mul(args.effort.into()));
        let found = diff(&old, &new, now_ms(), &mut budget);
        let report = DiffReport::of_all(&args.old, &args.new, &found);
        show(&report, out)?;
        return Ok(ExitCode::from(u8::from(report.is_alarming(args.allow_narrowing))));
    }
    let found = events::compare(&args.events, &args.world, [&old, &new])?;
    let report = DiffReport::of_events(&args.old, &args.new, &found);
    show(&report, out)?;
    if found.events.questions == 0 {
        return Err("error: none of the events is a question".to_owned());
    }
    if found.events.unreadable.count > 0 {
        return Ok(ExitCode::from(2));
    }
    Ok(ExitCode::from(u8::from(report.is_alarming(args.allow_narrowing))))
}

fn load(path: &Path) -> Result<Policy, String> {
    policies::load(path).map(|loaded| Policy::compile(loaded.model)).map_err(|report| report.to_string())
}

fn show(args: &DiffArgs, report: &DiffReport<'_>, out: &mut impl Write) -> io::Result<()> {
    match args.format {
        DiffFormat::Human => report.human(out)?,
        DiffFormat::Json => report.json(out)?,
        DiffFormat::Github => report.github(args.allow_narrowing, out)?,
    }
    out.flush()
}
