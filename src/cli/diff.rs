//! `exhook-policy diff`: what another version of a policy opens and closes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::analysis::Budget;
use crate::analysis::diff::{Diff, Direction, diff};
use crate::policy::diag::Report;
use crate::policy::{self, Policy};

mod show;

/// Steps of the work that is done before the comparison gives up, for an effort of 1.
const STEPS: usize = 10_000_000;

/// Find what a change of a policy opens and closes.
///
/// The policies are compared for all clients and all topics. Each change is shown once for each pair of rules that
/// decides, with a client and a question that both policies were asked.
#[derive(Debug, clap::Args)]
pub struct Args {
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
    /// The form of the report
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people
    Human,
    /// One JSON object
    Json,
    /// Commands for GitHub Actions, which shows them beside the lines of the new policy
    Github,
}

/// Prints what differs. The code is 0 where nothing does, 1 where anything is widened, where anything is narrowed and
/// that is not allowed, and where a part is not known; 2 where a policy cannot be loaded.
pub fn run(args: &Args) -> ExitCode {
    let (old, new) = match (load(&args.old), load(&args.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            for report in [old.err(), new.err()].into_iter().flatten() {
                // Whoever closed stderr does not want to know.
                let _ = io::stderr().write_all(report.render(false).as_bytes());
            }
            return ExitCode::from(2);
        }
    };
    let mut budget = Budget::new(STEPS.saturating_mul(args.effort.into()));
    let found = diff(&old, &new, &mut budget);
    let files = show::Files { old: &args.old, new: &args.new };
    let mut out = io::stdout().lock();
    let shown = match args.format {
        Format::Human => show::human(files, &found, &mut out),
        Format::Json => show::json(files, &found, &mut out),
        Format::Github => show::github(files, &found, args.allow_narrowing, &mut out),
    };
    match shown.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::from(u8::from(is_alarming(&found, args.allow_narrowing))),
        Err(_) => ExitCode::from(2),
    }
}

fn load(path: &Path) -> Result<Policy, Box<Report>> {
    policy::load(path).map(|loaded| Policy::compile(loaded.model))
}

/// What is not known may be wider.
fn is_alarming(found: &Diff, allow_narrowing: bool) -> bool {
    let counts = |direction| found.changes.iter().any(|change| change.direction == direction);
    !found.unknown.is_empty() || counts(Direction::Widened) || (!allow_narrowing && counts(Direction::Narrowed))
}
