//! `exhook-policy doctor`: what in a broker's settings fails open.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::out::stdout;
use crate::doctor::{self, Decides, Etc, Finding, FindingState, launcher};
use exhook_policy_core::emqx::{Transport, Version};
use exhook_policy_core::policy::{Loaded, Policy};
use exhook_policy_runtime::files::policies;
use exhook_policy_runtime::source;

/// Look for what fails open: settings of the broker, files that others can write, a policy that is not enforced.
///
/// Nothing is changed. Settings that the broker takes from its environment or its console are in no file, and are not
/// seen.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct DoctorArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", group = "what")]
    policy: Option<PathBuf>,
    /// The broker's folder with emqx.conf, acl.conf and plugins/
    #[arg(long, value_name = "DIR", group = "what")]
    etc: Option<PathBuf>,
    /// The broker's folder with `loaded_plugins` or `configs`, where it is not where emqx.conf says
    #[arg(long, value_name = "DIR", requires = "etc")]
    data: Option<PathBuf>,
    /// The broker's version, such as 5.8 or 5.8.3, where its files do not tell
    #[arg(long, value_name = "VERSION")]
    emqx: Option<Version>,
    /// The folder that `install` made, for EMQX 4.1 and 4.2
    #[arg(long, value_name = "DIR", group = "what")]
    launchers: Option<PathBuf>,
    /// The user that the broker runs as, by name or number, or from EMQX 4.3 on the provider: it must be able to read
    /// the policy. `emqx` or `exhook-policy` if it is not given
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Try a login that must be refused, at this broker; TLS is not spoken
    #[arg(long, value_name = "HOST:PORT", group = "what")]
    broker: Option<String>,
    /// Exit with 1 where there are warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// How to say what was found
    #[arg(long, value_enum, default_value_t = DoctorFormat::Human)]
    format: DoctorFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DoctorFormat {
    /// A line for each finding, with what to do below it
    Human,
    /// An array of objects
    Json,
}

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `doctor`: 0 nothing fails open; 1 something does; 2 something could not be looked at, or the policy has errors.
pub fn run(args: &DoctorArgs) -> ExitCode {
    let loaded = match args.policy.as_deref().map(load).transpose() {
        Ok(loaded) => loaded,
        Err(report) => {
            // A closed stderr leaves the exit code to tell.
            let _ = io::stderr().write_all(report.as_bytes());
            return ExitCode::from(2);
        }
    };
    let found = look(args, loaded);
    match write(&found, args.format, &mut stdout()) {
        Ok(()) => ExitCode::from(code(&found, args.deny_warnings)),
        Err(_) => ExitCode::from(2),
    }
}

fn load(path: &Path) -> Result<Loaded, String> {
    policies::load(path).map_err(|report| report.to_string())
}

fn code(found: &[Finding], deny_warnings: bool) -> u8 {
    let worst = found.iter().map(|finding| finding.state).max().unwrap_or(FindingState::Fine);
    match worst {
        FindingState::Fine => 0,
        FindingState::Warning => u8::from(deny_warnings),
        FindingState::Problem => 1,
        FindingState::Unseen => 2,
    }
}

fn look(args: &DoctorArgs, loaded: Option<Loaded>) -> Vec<Finding> {
    let mut found = Vec::new();
    let decides = loaded.as_ref().map(|loaded| Decides::of(&loaded.model));
    let policy = decides.as_ref().zip(args.policy.as_deref());
    let mut drivers = Vec::new();
    let mut transport = args.emqx.map_or(Transport::Port, Version::transport);
    if let Some(folder) = &args.etc {
        let etc = Etc { folder, data: args.data.as_deref(), version: args.emqx, policy };
        let looked = doctor::check_etc(&etc);
        found.extend(looked.found);
        drivers = looked.drivers;
        transport = looked.transport;
    }
    if let Some(folder) = &args.launchers {
        if drivers.is_empty() {
            drivers.push("python3");
        }
        found.extend(launcher::check(folder, &drivers));
    }
    if let (Some(file), Some(loaded)) = (&args.policy, &loaded) {
        let (who, user) = match transport {
            Transport::Port => ("broker", "emqx"),
            Transport::Grpc(_) => ("provider", "exhook-policy"),
        };
        found.extend(doctor::check_files(file, &loaded.model, args.user.as_deref().unwrap_or(user), who));
    }
    if let Some(broker) = &args.broker {
        found.push(probe(broker, loaded));
    }
    found
}

fn probe(broker: &str, loaded: Option<Loaded>) -> Finding {
    let policy = loaded.map(|loaded| {
        let (lists, _) = source::read(&loaded.model.lists);
        (Policy::compile(loaded.model), lists)
    });
    doctor::probe(broker, PATIENCE, policy.as_ref().map(|(policy, lists)| (policy, lists)))
}

fn write(found: &[Finding], format: DoctorFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        DoctorFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, found)?;
            writeln!(out)?;
        }
        DoctorFormat::Human => {
            for finding in found {
                writeln!(out, "{finding}")?;
            }
            let count = |state| found.iter().filter(|finding| finding.state == state).count();
            writeln!(
                out,
                "\n{}, {}, {} fine{}",
                counted(count(FindingState::Problem), "problem"),
                counted(count(FindingState::Warning), "warning"),
                count(FindingState::Fine),
                match count(FindingState::Unseen) {
                    0 => String::new(),
                    unseen => format!(", {unseen} could not be looked at"),
                }
            )?;
        }
    }
    out.flush()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
