//! `install`: the folder that the broker starts the driver from, and the broker's settings.

mod boot;
mod grpc;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::out::stdout;
use crate::doctor::launcher::{is_ours, open_to_others};
use crate::doctor::{AnsweredShare, Decides, Url, call_timeout};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::{Transport, Version};
use exhook_policy_core::policy::model::Model;
use exhook_policy_runtime::files::for_everyone::{copy_program, make_folder_for_everyone};
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::files::policies;

/// The arguments of `install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// EMQX 4.1 and 4.2: the folder to make, for the broker's service alone; its PATH will begin with it
    #[arg(required_unless_present = "emqx")]
    dir: Option<PathBuf>,
    /// The broker's version, such as 5.8 or 5.8.3: from 4.3 on only settings are printed
    #[arg(long, value_name = "VERSION")]
    emqx: Option<Version>,
    /// From EMQX 4.3 on: where the broker calls `exhook-policy serve`, http or https
    #[arg(long, value_name = "URL", requires = "emqx")]
    url: Option<Url>,
    /// EMQX 4.1 and 4.2: the driver that the broker's settings name, `python3` if it is not given; the launcher of the
    /// other does no harm
    #[arg(long, value_enum)]
    slot: Option<Slot>,
    /// The policy file that the broker is to use; what it decides determines the settings
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// EMQX 4.1 and 4.2: copy this program instead of linking to it: an upgrade then needs another `install`
    #[arg(long)]
    copy: bool,
    /// The systemd unit of the broker
    #[arg(long, value_name = "UNIT", default_value = "emqx")]
    service: String,
}

/// The two names of drivers that the broker's plugin accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Slot {
    Python3,
    Java,
}

impl Slot {
    const ALL: [Slot; 2] = [Slot::Python3, Slot::Java];

    fn name(self) -> &'static str {
        match self {
            Slot::Python3 => "python3",
            Slot::Java => "java",
        }
    }
}

/// Runs `install`: 0 done; 1 the policy has errors; 2 the folder cannot be made or the policy not read.
pub fn run(args: &InstallArgs) -> ExitCode {
    match install(args) {
        Ok(text) => match stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(2),
        },
        Err(InstallFailure { message, code }) => {
            // A closed stderr leaves the exit code to tell.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(code)
        }
    }
}

#[derive(Debug)]
struct InstallFailure {
    message: String,
    code: u8,
}

impl InstallFailure {
    fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        InstallFailure { message: format!("error: cannot {what} {}: {error}", path.display()), code: 2 }
    }
}

fn install(args: &InstallArgs) -> Result<String, InstallFailure> {
    // The policy first: with one that has errors, nothing is put anywhere.
    let decides = match &args.policy {
        Some(path) => Some((Decides::of(&load(path)?), absolute(path)?)),
        None => None,
    };
    let transport = args.emqx.map_or(Transport::Port, Version::transport);
    let policy = decides.as_ref().map(|(decides, path)| (decides, path.as_path()));
    let dir = match (transport, args.emqx, &args.dir, &args.url) {
        (Transport::Port, _, Some(dir), None) => dir,
        (Transport::Grpc(package), Some(version), None, url) if args.slot.is_none() && !args.copy => {
            let url = url.clone().unwrap_or_else(default_url);
            return Ok(grpc::instructions(&grpc::ServerPlan {
                version,
                package,
                url: &url,
                service: &args.service,
                policy,
            }));
        }
        (transport, version, _, _) => return Err(misplaced(transport, version)),
    };
    let program =
        std::env::current_exe().map_err(|error| InstallFailure::io("find", Path::new("this program"), &error))?;
    make_folder_for_everyone(dir).map_err(|error| InstallFailure::io("make", dir, &error))?;
    let dir = absolute(dir)?;
    for slot in Slot::ALL {
        put(&program, &dir.join(slot.name()), args.copy)?;
    }
    Ok(instructions(&DriverPlan {
        dir: &dir,
        slot: args.slot.unwrap_or(Slot::Python3),
        program: &program,
        copy: args.copy,
        service: &args.service,
        on_own_path: on_path(&dir),
        policy,
    }))
}

/// Where the broker calls a provider on its own machine.
fn default_url() -> Url {
    Url { tls: false, host: "127.0.0.1".to_owned(), port: 9000 }
}

/// An argument that is for the other kind of broker, or is missing for this one.
fn misplaced(transport: Transport, version: Option<Version>) -> InstallFailure {
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    let message = match transport {
        Transport::Port => format!(
            "error: EMQX{version} starts the driver itself, from a folder, and calls no address\n\
             help: name the folder, and leave --url out"
        ),
        Transport::Grpc(_) => format!(
            "error: EMQX{version} starts no driver from a folder: it calls the address that --url says\n\
             help: leave the folder, --slot and --copy out"
        ),
    };
    InstallFailure { message, code: 2 }
}

fn load(path: &Path) -> Result<Model, InstallFailure> {
    input::stream(path).map_err(|error| InstallFailure::io("read", path, &error))?;
    match policies::load(path) {
        Ok(loaded) => Ok(loaded.model),
        Err(report) => Err(InstallFailure { message: report.to_string(), code: 1 }),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, InstallFailure> {
    fs::canonicalize(path).map_err(|error| InstallFailure::io("find", path, &error))
}

/// Puts the launcher there, in the place of an older one of ours, and never in that of another program.
fn put(program: &Path, launcher: &Path, copy: bool) -> Result<(), InstallFailure> {
    if launcher.symlink_metadata().is_ok() && !is_ours(launcher) {
        let message = format!(
            "error: {} is another program, and stays as it is\nhelp: choose a folder for the broker's service alone",
            launcher.display()
        );
        return Err(InstallFailure { message, code: 2 });
    }
    // Under another name first, so that a broker that starts the driver now finds one or the other.
    let mut name = OsString::from(launcher);
    name.push(".new");
    let new = PathBuf::from(name);
    let cleared = fs::remove_file(&new)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) });
    cleared
        .and_then(|()| if copy { copy_program(program, &new) } else { symlink(program, &new) })
        .and_then(|()| fs::rename(&new, launcher))
        .map_err(|error| InstallFailure::io("write", launcher, &error))
}

/// Whether the one who runs this would find the launcher too.
fn on_path(dir: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|entry| fs::canonicalize(entry).is_ok_and(|entry| entry == dir))
}

struct DriverPlan<'a> {
    dir: &'a Path,
    slot: Slot,
    program: &'a Path,
    copy: bool,
    service: &'a str,
    on_own_path: bool,
    policy: Option<(&'a Decides, &'a Path)>,
}

fn instructions(plan: &DriverPlan<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_launcher(&mut text, plan);
    let _ = write_service(&mut text, plan);
    let _ = write_plugin(&mut text, plan);
    let _ = write_closing(&mut text, plan.policy.map(|(decides, _)| *decides), &DRIVER);
    text
}

fn write_launcher(text: &mut String, plan: &DriverPlan<'_>) -> std::fmt::Result {
    let [python3, java] = Slot::ALL.map(|slot| plan.dir.join(slot.name()));
    let (python3, java) = (python3.display(), java.display());
    if plan.copy {
        writeln!(text, "{python3} and {java} are copies of {}.", plan.program.display())?;
        writeln!(text, "After an upgrade of the program, run this command again.")
    } else {
        writeln!(text, "{python3} and {java} are links to {}.", plan.program.display())?;
        writeln!(
            text,
            "It must stay there; an upgrade in its place takes effect when the broker next starts the driver."
        )
    }?;
    // Both may be below the same folder.
    let open: BTreeSet<_> = [plan.dir, plan.program].into_iter().filter_map(open_to_others).collect();
    for (message, fix) in open {
        writeln!(text, "\nWARNING: {message}.\n   {fix}")?;
    }
    if plan.on_own_path {
        writeln!(
            text,
            "\nWARNING: this folder is on your own PATH, so that you start the driver too where you mean python3 or java.
Uses that are not the broker's are handed on, but a folder for the broker's service alone is better."
        )?;
    }
    Ok(())
}

fn write_service(text: &mut String, plan: &DriverPlan<'_>) -> std::fmt::Result {
    let (service, dir, name) = (plan.service, plan.dir.display(), plan.slot.name());
    writeln!(
        text,
        "
1. Let the broker's service, and nothing else, find it as {name}.
   /etc/systemd/system/{service}.service.d/exhook-policy.conf:

[Service]
Environment=PATH={dir}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

   systemctl daemon-reload && systemctl restart {service}

   A start through `su - emqx`, as by the SysV script of the Debian packages, resets PATH, and the broker does not
   find the driver then. `tr '\\0' '\\n' < /proc/PID/environ`, with the PID of beam.smp, shows the PATH that it has."
    )
}

fn write_plugin(text: &mut String, plan: &DriverPlan<'_>) -> std::fmt::Result {
    let name = plan.slot.name();
    let (folder, module, deadline) = match plan.policy {
        Some((decides, path)) => (
            path.parent().unwrap_or(path).display().to_string(),
            path.file_stem().unwrap_or_default().display().to_string(),
            decides.deadline,
        ),
        None => ("/etc/exhook-policy".to_owned(), "rules".to_owned(), Duration::ZERO),
    };
    let timeout = call_timeout(deadline).as_secs();
    writeln!(
        text,
        "
2. Tell the plugin where the policy is. etc/plugins/emqx_extension_hook.conf:

exhook.drivers = {name}
exhook.drivers.{name}.path = {folder}
exhook.drivers.{name}.init_module = {module}
exhook.drivers.{name}.call_timeout = {timeout}s

   emqx_ctl plugins load emqx_extension_hook"
    )?;
    if plan.policy.is_none() {
        writeln!(text, "\n   The path is the folder of rules.yaml.")?;
    }
    writeln!(
        text,
        "
   The broker's user must be able to read the policy and the files that it names, password files too, and to
   write to the folder of the history database.

   The broker logs the whole call, at level error, with the password in clear, if the driver ends or does not answer
   within call_timeout (measured on 4.2.14). So let only administrators read the broker's log, wherever it is sent."
    )
}

/// What the broker asks, and when it does without.
struct BrokerQuestions {
    who: &'static str,
    away: &'static str,
}

const DRIVER: BrokerQuestions =
    BrokerQuestions { who: "driver", away: "While the driver is not loaded, starting or late" };

/// The settings of EMQX 4 that deny where nobody was asked.
fn write_closing(text: &mut String, decides: Option<Decides>, asked: &BrokerQuestions) -> std::fmt::Result {
    let BrokerQuestions { who, away } = asked;
    let (logins, topics) =
        decides.map_or((AnsweredShare::All, AnsweredShare::All), |decides| (decides.logins, decides.topics));
    if (logins, topics) == (AnsweredShare::None, AnsweredShare::None) {
        return writeln!(text, "\nThis policy decides nothing, so the broker's own settings stay as they are.");
    }
    writeln!(
        text,
        "
3. Make the broker itself fail closed. {away}, the broker lets
   everyone in and everything through, unless it is told otherwise."
    )?;
    match decides.map(|decides| decides.mode) {
        Some(Mode::Enforce) => {
            writeln!(text, "   Apply this once step 2 has worked and the right clients get in.")?;
        }
        Some(Mode::Audit) => writeln!(
            text,
            "   NOT YET: this policy is in audit mode, in which the {who} has no opinion and the broker's own
   settings decide. Applied now, these would shut everyone out. Apply them together with `mode: enforce`."
        )?,
        None => writeln!(
            text,
            "   Apply what belongs to the sections that the policy has (`auth`: logins, `acl`: topics), and only when it
   is in enforce mode: during an audit roll-out, or without the section, these would shut everyone out."
        )?,
    }
    if logins != AnsweredShare::None {
        writeln!(text, "\n   Logins, in etc/emqx.conf:\n\nallow_anonymous = false")?;
    }
    if topics != AnsweredShare::None {
        writeln!(
            text,
            "\n   Topics, in etc/emqx.conf:\n\nacl_nomatch = deny\n
   and in etc/acl.conf take the last line out, and what stands above it and is not wanted:\n\n{{allow, all}}."
        )?;
    }
    writeln!(text, "\n   The broker reads these files when it starts: restart it.")?;
    if logins == AnsweredShare::Some || topics == AnsweredShare::Some {
        writeln!(
            text,
            "\n   This policy leaves some questions to the broker (`ignore`). With these settings they are answered with no,
   unless another plugin says yes."
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
