//! `exhook-policy fmt`: policies in a uniform layout.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::out::stdout;
use exhook_policy_core::policy::{self, Refused};
use exhook_policy_runtime::files::atomic::put;
use exhook_policy_runtime::files::input;

/// Lay policies and their tests out uniformly, comments kept.
///
/// The files are written in place where that changes them. What a file says never changes: the result is read again and
/// compared.
#[derive(Debug, clap::Args)]
pub struct FmtArgs {
    /// The files; `-` takes the standard input to the standard output
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; name the files that would change, and exit with 1 where there are any
    #[arg(long)]
    check: bool,
}

/// Formats the files. The code is 1 where `--check` found one that would change, or where one cannot be formatted, and 2
/// where one cannot be read or written.
pub fn run(args: &FmtArgs) -> ExitCode {
    let worst = args.files.iter().map(|file| format(file, args.check)).max();
    ExitCode::from(worst.unwrap_or_default())
}

fn format(file: &Path, check: bool) -> u8 {
    let name = file.display().to_string();
    let stdin = file == Path::new("-");
    let text =
        if stdin { input::rest_text(io::stdin().lock(), input::MOST) } else { input::read_text(file, input::MOST) };
    let text = match text {
        Ok(text) => text,
        Err(error) => return say(2, &format!("error: {name}: {error}")),
    };
    let formatted = match policy::format(&text, &name) {
        Ok(formatted) => formatted,
        Err(Refused::Unreadable(report)) => return say(1, report.to_string().trim_end()),
        Err(Refused::Beyond) => {
            return say(1, &format!("error: {name}: left as it is, since its meaning would change"));
        }
    };
    if check {
        return if formatted == text { 0 } else { say(1, &format!("{name}: would be changed")) };
    }
    let written = if stdin {
        stdout().write_all(formatted.as_bytes())
    } else if formatted == text {
        Ok(())
    } else {
        replace(file, &formatted)
    };
    match written {
        Ok(()) => 0,
        Err(error) => say(2, &format!("error: {name}: {error}")),
    }
}

/// Writes beside the file and renames over it, so that a running driver never reads a half.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let target = file.canonicalize()?;
    let mode = target.metadata()?.permissions().mode() & 0o7777;
    put(&target, text.as_bytes(), mode, false)
}

fn say(code: u8, message: &str) -> u8 {
    // A reader that closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "{message}");
    code
}
