//! `demo`: recorded traffic of a real broker, played through a driver process over the port.

mod host;
mod script;
mod show;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use host::DemoHost;
use script::{RecordedCall, Script};
use show::Show;

use super::out::stdout;

const VERSION: &str = "4.2.14";
const RECORDING: &[u8] = include_bytes!("../../examples/captures/4.2.14/ordinary.bin");
const SECTIONS: &str = include_str!("../../examples/captures/4.2.14/sections.txt");
const PEOPLE: &str = include_str!("../../examples/captures/people.passwd");
const RULES: &str = include_str!("../../rules/rules.yaml");

/// The recorded calls name this module.
const MODULE: &str = "allhooks";
/// The line of the rules that is changed, so that the driver tells every decision with its rule.
const LOG: (&str, &str) = ("\nlog: [denials]\n", "\nlog: [decisions]\n");
/// The situations whose clients come back at the end, and stay.
const STAY: [&str; 3] = ["08", "16", "18"];

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Keep the folder with the policy, the driver and the database, and say where it is
    #[arg(long)]
    keep: bool,
}

/// Runs `demo`: 0 everything was answered as it should be; 1 it was not; 2 the driver cannot be started.
pub fn run(args: &DemoArgs) -> ExitCode {
    match demo(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // A closed stderr leaves the exit code to tell.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn demo(args: &DemoArgs) -> io::Result<bool> {
    let folder = DemoFolder::new(args.keep)?;
    folder.fill()?;
    let mut out = stdout();
    writeln!(
        out,
        "Traffic recorded from EMQX {VERSION}, through a driver process, under rules/rules.yaml
(with `log: [decisions]`, and a password file that knows alice and bob).\n"
    )?;

    let began = Instant::now();
    let mut host = DemoHost::start(&folder.path.join("bin/python3"), &folder.path.join("policy"))?;
    let mut script = Script::new(RECORDING, SECTIONS)?;
    let hooks = host.init(script.init())?;
    script.only(&hooks);
    let mut show = Show::new(&mut out);
    while let Some(step) = script.next() {
        if step.asked().is_some() {
            show.section(step.section)?;
        }
        play(&mut host, &mut script, &mut show, &step)?;
    }
    host.settle(0)?;
    let played = began.elapsed();

    let back = script.logins(&STAY);
    let names: Vec<&str> =
        back.iter().filter(|step| step.asked().is_some()).map(|step| step.event.clientid()).collect();
    show.note(&format!("--  {} come back, and stay", list(&names)))?;
    for step in &back {
        play(&mut host, &mut script, &mut show, step)?;
    }
    host.settle(0)?;
    let (allowed, denied) = show.counts();

    // At its end the driver has written everything, however slow the disk is.
    let end = host.finish()?;
    for question in [&["online"][..], &["connections", "--limit", "8"]] {
        history(&mut out, &folder.path, question)?;
    }
    writeln!(
        out,
        "\n{} calls in {:.1} s, {allowed} logins and topics allowed, {denied} denied. The recording has {}: the driver registers
for {} of its {} hooks, and who was refused asks no more.",
        end.calls,
        played.as_secs_f64(),
        script.recorded(),
        hooks.len(),
        script.hooks(),
    )?;
    if end.faults.is_empty() {
        writeln!(out, "Every call was answered once, and as the driver's log says.")?;
    }
    for fault in &end.faults {
        writeln!(out, "FAULT: {fault}")?;
    }
    if args.keep {
        writeln!(out, "\nThe policy, the driver and the database are in {}.", folder.path.display())?;
    }
    Ok(end.faults.is_empty())
}

fn play<'r>(
    host: &mut DemoHost,
    script: &mut Script<'r>,
    show: &mut Show<'_>,
    step: &RecordedCall<'r>,
) -> io::Result<()> {
    host.settle(step.id)?;
    host.send(step.id, step.frame)?;
    let Some(asked) = step.asked() else { return Ok(()) };
    let allowed = host.decision(step.id)?;
    let decided = host.decided()?;
    if decided.allowed != allowed {
        host.fault(format!("the log says {:?} of {asked}", decided.word));
    }
    show.decision(asked, &decided)?;
    if !allowed {
        script.refused(asked);
    }
    Ok(())
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What a person would ask, by the command that a person would use.
fn history(out: &mut impl Write, folder: &Path, question: &[&str]) -> io::Result<()> {
    let policy = folder.join("policy").join(MODULE).with_extension("yaml");
    let output =
        Command::new(std::env::current_exe()?).arg("history").args(question).arg("--policy").arg(policy).output()?;
    writeln!(out, "\n$ exhook-policy history {}", question.join(" "))?;
    out.write_all(&output.stdout)?;
    io::stderr().write_all(&output.stderr)
}

/// A folder of our own, that is gone afterwards.
struct DemoFolder {
    path: PathBuf,
    keep: bool,
}

impl DemoFolder {
    fn new(keep: bool) -> io::Result<Self> {
        let parent = std::env::temp_dir();
        let mut number = std::process::id();
        loop {
            let path = parent.join(format!("exhook-policy-demo-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(DemoFolder { path, keep }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number = number.wrapping_add(1),
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            }
        }
    }

    fn fill(&self) -> io::Result<()> {
        for folder in ["bin", "policy", "policy/lists", "policy/secrets"] {
            fs::create_dir(self.path.join(folder))?;
        }
        symlink(std::env::current_exe()?, self.path.join("bin/python3"))?;
        let policy = self.path.join("policy");
        fs::write(policy.join(MODULE).with_extension("yaml"), RULES.replace(LOG.0, LOG.1))?;
        fs::write(policy.join("lists/people.txt"), "alice\nbob\n")?;
        fs::write(policy.join("lists/retired.txt"), "# none yet\n")?;
        fs::write(policy.join("secrets/people.passwd"), PEOPLE)?;
        fs::write(policy.join("secrets/devices.passwd"), "")
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if !self.keep {
            // It is in the folder for temporary files, and holds nothing secret.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_have_the_line_that_is_changed() {
        assert_eq!(RULES.matches(LOG.0).count(), 1);
    }
}
