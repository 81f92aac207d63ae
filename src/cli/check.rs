//! `exhook-policy check`: what is wrong with policies.

pub(super) mod github;
pub(super) mod json;
mod page;
mod sarif;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::out::stdout;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::Report;
use exhook_policy_core::policy::{self, Loaded};
use exhook_policy_core::topic::Budget;
use exhook_policy_runtime::clock::now_ms;
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::files::policies;
use exhook_policy_runtime::password;
use exhook_policy_runtime::source;
use exhook_policy_tools::analysis::findings;

/// Find what is wrong with policies.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
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
    /// How the report is written
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    format: CheckFormat,
    /// When to color the report for people
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

/// One document for all files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// For people, with the text of the policy
    Human,
    /// One JSON object: `files`, each with its `diagnostics`, and the sums of `errors`, `warnings` and `accepted`
    Json,
    /// Workflow commands of GitHub Actions, one line for each diagnostic
    Github,
    /// One run of SARIF 2.1.0
    Sarif,
}

/// What came of one file, in order of how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FileOutcome {
    Fine,
    Found,
    Unreadable,
}

/// Checks the files and prints a report of each to stdout. The code is 0 where all are fine, 1 where there
/// are errors (or warnings that are denied), and 2 where a file could not be read.
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut out = stdout();
    let result = match &args.explain {
        Some(name) => explain(name, &mut out),
        None => check(args, &mut out),
    };
    match result {
        Ok(FileOutcome::Fine) => ExitCode::SUCCESS,
        Ok(FileOutcome::Found) => ExitCode::from(1),
        // A report that cannot be printed, to a full disk say, tells nothing.
        Ok(FileOutcome::Unreadable) | Err(_) => ExitCode::from(2),
    }
}

fn check(args: &CheckArgs, out: &mut impl Write) -> io::Result<FileOutcome> {
    let reports: Vec<Report> = args.files.iter().map(|file| check_file(file, args.no_sources)).collect();
    match args.format {
        CheckFormat::Human => human(&reports, args.color, out)?,
        CheckFormat::Json => json::write(&reports, out)?,
        CheckFormat::Github => github::write(&reports, out)?,
        CheckFormat::Sarif => sarif::write(&reports, out)?,
    }
    out.flush()?;
    let outcomes = reports.iter().map(|report| outcome(report, args.deny_warnings));
    Ok(outcomes.max().unwrap_or(FileOutcome::Fine))
}

fn human(reports: &[Report], color: Color, out: &mut impl Write) -> io::Result<()> {
    let color = match color {
        Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        Color::Always => true,
        Color::Never => false,
    };
    reports.iter().try_for_each(|report| out.write_all(report.render(color).as_bytes()))
}

fn check_file(file: &Path, no_sources: bool) -> Report {
    let result = if file == Path::new("-") { load_stdin() } else { policies::load(file) };
    match result {
        Ok(mut loaded) => {
            if !no_sources {
                let policy = (file != Path::new("-")).then_some(file);
                loaded.report_sources(source::open_to_everyone(policy, &loaded.model));
                loaded.report_sources(source::check(&loaded.model));
                loaded.report_sources(password::check(&loaded.model));
            }
            if loaded.warnings.errors() == 0 {
                // What a list holds, and who may read it, changes without the policy.
                let elsewhere = [Code::NoEntries, Code::ReadByEveryone, Code::WrittenByEveryone];
                let looked_for = |code| !elsewhere.contains(&code);
                findings::report(&mut loaded, now_ms(), &mut Budget::new(findings::WORK), looked_for);
            }
            loaded.warnings
        }
        Err(report) => *report,
    }
}

fn load_stdin() -> Result<Loaded, Box<Report>> {
    const NAME: &str = "<stdin>";
    // One byte more than a policy may have shows that it is too large.
    match input::beginning(io::stdin().lock(), input::MOST + 1) {
        Ok(bytes) => policy::parse_bytes(&bytes, NAME, Path::new("")),
        Err(error) => Err(Box::new(policy::unreadable(NAME, &error))),
    }
}

fn outcome(report: &Report, deny_warnings: bool) -> FileOutcome {
    if report.is_unreadable() {
        FileOutcome::Unreadable
    } else if report.errors() > 0 || (deny_warnings && report.warnings() > 0) {
        FileOutcome::Found
    } else {
        FileOutcome::Fine
    }
}

fn explain(name: &str, out: &mut impl Write) -> io::Result<FileOutcome> {
    let codes: Vec<Code> = match Code::of_name(name) {
        Some(code) => vec![code],
        None if name == "all" => Code::ALL.to_vec(),
        None => {
            writeln!(out, "there is no code {name:?}; `--explain all` prints every code")?;
            return Ok(FileOutcome::Unreadable);
        }
    };
    for (n, code) in codes.into_iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        out.write_all(page::text(code).as_bytes())?;
    }
    out.flush()?;
    Ok(FileOutcome::Fine)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: CheckArgs,
    }

    /// Runs `check` in a folder with a good, a doubtful and a bad policy.
    #[track_caller]
    fn run(arguments: &[&str]) -> (FileOutcome, String) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("good.yaml", "version: 1\n");
        write("doubtful.yaml", "version: 1\nauth: { default: allow }\n");
        write("bad.yaml", "version: 1\nmod: audit\n");
        write(
            "source.yaml",
            "version: 1\nlists: { a: { file: a.txt } }\nauth: { rules: [{ deny: { peerhost: { in: a } } }] }\n",
        );
        write("a.txt", "10.0.0.1\nnonsense\n");
        let paths: Vec<String> = arguments
            .iter()
            .map(|argument| {
                if argument.contains(".yaml") {
                    folder.path().join(argument).display().to_string()
                } else {
                    (*argument).to_owned()
                }
            })
            .collect();
        let args = Cli::parse_from(std::iter::once("check".to_owned()).chain(paths)).args;
        let mut out = Vec::new();
        let outcome = match &args.explain {
            Some(name) => explain(name, &mut out).unwrap(),
            None => check(&args, &mut out).unwrap(),
        };
        let prefix = format!("{}/", folder.path().display());
        (outcome, String::from_utf8(out).unwrap().replace(&prefix, ""))
    }

    #[test]
    fn the_worst_file_gives_the_outcome() {
        assert_eq!(run(&["good.yaml"]), (FileOutcome::Fine, "good.yaml: fine\n".to_owned()));
        let (outcome, out) = run(&["good.yaml", "doubtful.yaml"]);
        assert_eq!(outcome, FileOutcome::Fine);
        assert!(out.starts_with("good.yaml: fine\nwarning[default-allow]: "), "{out}");
        assert!(out.ends_with("\ndoubtful.yaml: 1 warning\n"), "{out}");
        assert_eq!(run(&["--deny-warnings", "doubtful.yaml"]).0, FileOutcome::Found);
        assert_eq!(run(&["--deny-warnings", "good.yaml"]).0, FileOutcome::Fine);
        let (outcome, out) = run(&["bad.yaml", "good.yaml"]);
        assert_eq!(outcome, FileOutcome::Found);
        assert!(out.ends_with("\nbad.yaml: 1 error\ngood.yaml: fine\n"), "{out}");
        let (outcome, out) = run(&["bad.yaml", "missing.yaml"]);
        assert_eq!(outcome, FileOutcome::Unreadable);
        assert!(out.ends_with("\nmissing.yaml: 1 error\n"), "{out}");
    }

    #[test]
    fn sources_are_read_unless_told_not_to() {
        let (outcome, out) = run(&["source.yaml"]);
        assert_eq!(outcome, FileOutcome::Found);
        let expected = "\
error[bad-source]: a.txt:2: \"nonsense\" is no IP address or network
 --> source.yaml:2:10
  |
2 | lists: { a: { file: a.txt } }
  |          ^

source.yaml: 1 error
";
        assert_eq!(out, expected);
        assert_eq!(run(&["--no-sources", "source.yaml"]), (FileOutcome::Fine, "source.yaml: fine\n".to_owned()));
    }

    #[test]
    fn color_only_when_asked() {
        assert!(!run(&["bad.yaml", "--color", "never"]).1.contains('\u{1b}'));
        assert!(run(&["bad.yaml", "--color", "always"]).1.contains('\u{1b}'));
    }

    #[test]
    fn codes_are_explained() {
        let (outcome, out) = run(&["--explain", "unused"]);
        assert_eq!(outcome, FileOutcome::Fine);
        let expected = "\
warning[unused]: Nothing uses this entry

A list, a kind of client or a password source that no rule uses does nothing. Perhaps a rule names another one.

For example:

    lists: { retired: [dev-1] }
    auth: { rules: [{ allow: { peerhost: 10.0.0.0/8 } }] }

Better:

    lists: { retired: [dev-1] }
    auth: { rules: [{ deny: { clientid: { in: retired } } }, { allow: { peerhost: 10.0.0.0/8 } }] }
";
        assert_eq!(out, expected);
        let (outcome, out) = run(&["--explain", "all"]);
        assert_eq!(outcome, FileOutcome::Fine);
        assert_eq!(out.matches("]: ").count(), Code::ALL.len());
        let (outcome, out) = run(&["--explain", "E0308"]);
        assert_eq!(outcome, FileOutcome::Unreadable);
        assert_eq!(out, "there is no code \"E0308\"; `--explain all` prints every code\n");
    }
}
