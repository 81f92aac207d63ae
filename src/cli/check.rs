//! `exhook-policy check`: what is wrong with policies.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::policy::codes::{Code, Severity};
use crate::policy::diag::Report;
use crate::policy::{self, Loaded};
use crate::source;

/// Find what is wrong with policies.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy files; `-` is the standard input
    #[arg(required_unless_present = "explain")]
    files: Vec<PathBuf>,
    /// Do not read the lists and password files and databases that the policies name
    #[arg(long)]
    no_sources: bool,
    /// Exit with 1 where there are warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// Explain a code of a report, for example `unknown-key`, or `all` of them
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// When to color the report
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What came of one file, in order of how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Fine,
    Found,
    Unreadable,
}

/// Checks the files and prints a report of each to stdout. The code is 0 where all are fine, 1 where there
/// are errors (or warnings that are denied), and 2 where a file could not be read.
pub fn run(args: &Args) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = match &args.explain {
        Some(name) => explain(name, &mut out),
        None => check(args, &mut out),
    };
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        // A report that cannot be printed, to a pipe whose reader went away say, tells nothing.
        Ok(Outcome::Unreadable) | Err(_) => ExitCode::from(2),
    }
}

fn check(args: &Args, out: &mut impl Write) -> io::Result<Outcome> {
    let color = match args.color {
        Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        Color::Always => true,
        Color::Never => false,
    };
    let mut worst = Outcome::Fine;
    for file in &args.files {
        let report = check_file(file, args.no_sources);
        out.write_all(report.render(color).as_bytes())?;
        worst = worst.max(outcome(&report, args.deny_warnings));
    }
    out.flush()?;
    Ok(worst)
}

fn check_file(file: &Path, no_sources: bool) -> Report {
    let result = if file == Path::new("-") { load_stdin() } else { policy::load(file) };
    match result {
        Ok(mut loaded) => {
            if !no_sources {
                loaded.report_sources(source::check(&loaded.model));
            }
            loaded.warnings
        }
        Err(report) => *report,
    }
}

fn load_stdin() -> Result<Loaded, Box<Report>> {
    const NAME: &str = "<stdin>";
    let mut bytes = Vec::new();
    match io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => policy::parse_bytes(&bytes, NAME, Path::new("")),
        Err(error) => Err(Box::new(policy::unreadable(NAME, &error))),
    }
}

fn outcome(report: &Report, deny_warnings: bool) -> Outcome {
    if report.is_unreadable() {
        Outcome::Unreadable
    } else if report.errors() > 0 || (deny_warnings && report.warnings() > 0) {
        Outcome::Found
    } else {
        Outcome::Fine
    }
}

fn explain(name: &str, out: &mut impl Write) -> io::Result<Outcome> {
    let codes: Vec<Code> = match Code::of_name(name) {
        Some(code) => vec![code],
        None if name == "all" => Code::ALL.to_vec(),
        None => {
            writeln!(out, "there is no code {name:?}; `--explain all` prints every code")?;
            return Ok(Outcome::Unreadable);
        }
    };
    for (n, code) in codes.into_iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        let severity = match code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(out, "{severity}[{}]: {}\n\n{}", code.name(), code.title(), code.explanation())?;
    }
    out.flush()?;
    Ok(Outcome::Fine)
}
