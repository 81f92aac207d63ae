//! How a running driver or server is, as it says it itself: one JSON file a process, replaced every few seconds.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Folder, hash_of};
use crate::clock::in_utc;
use crate::files::input;
use crate::process::{Process, Recorder};

/// The names of the files begin so.
const PREFIX: &str = "status-";
const ENDING: &str = ".json";
/// Whoever was silent for so long in another container, or before a start of the machine, is gone: milliseconds.
const SILENT: i64 = 600_000;
/// A status of more bytes is none.
const MOST: u64 = 16 << 20;

/// How a process is. Times are Unix milliseconds, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When this was written. It is every five seconds, and at once where something changes.
    pub written_at: i64,
    /// Which process this is of.
    pub process: RunningProcess,
    /// The policy file that it watches.
    pub file: PathBuf,
    /// What is in force; nothing where no policy could be loaded yet, and everything is denied.
    pub policy: Option<InForce>,
    /// Why the file as it stands is not in force.
    pub fault: Option<PolicyFault>,
    /// Brokers that do not call the hooks that the policy wants, or of which that is not known.
    pub brokers: Vec<HookMismatch>,
    /// What was decided, by rule, since the process started. Rules that decided nothing, or are no longer in the policy, are left out.
    pub rules: Vec<RuleDecisions>,
    /// How many rules of the policy decided nothing yet.
    pub silent_rules: u64,
    /// What waits, by queue.
    pub queues: BTreeMap<String, u64>,
    /// What the history has no row of, since there was more than a minute has room for, by kind.
    #[serde(default)]
    pub left_out: BTreeMap<String, u64>,
    /// How often the file was taken up since the start.
    pub reloads: Reloads,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    /// `driver` or `server`.
    pub role: String,
    /// Its process id.
    pub pid: i32,
    /// Clock ticks between boot and start, by which it is told from a later process of the same id.
    pub started: i64,
    /// Names the run of the kernel, and the namespace that the process id belongs to.
    pub boot: String,
    /// When it started.
    pub since: i64,
    /// The program's version.
    pub version: String,
    /// The version of SQLite in it.
    pub sqlite: String,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// SHA-256 of the file's bytes.
    pub hash: String,
    /// Since when.
    pub since: i64,
    /// `enforce` or `audit`.
    pub mode: String,
    /// It is the copy that was kept, not the file.
    pub is_last_good: bool,
}

/// Why a file is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFault {
    /// SHA-256 of the file's bytes; nothing where it cannot be read.
    pub hash: Option<String>,
    /// When it was found.
    pub at: i64,
    /// The diagnostics, as `check` prints them.
    pub text: String,
}

/// A broker that does not call the hooks that the policy wants, or of which that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HookMismatch {
    /// Which one.
    pub broker: String,
    /// Hooks that it does not call.
    pub missing: Vec<String>,
    /// Hooks that it calls and must not.
    pub unwanted: Vec<String>,
    /// Whether it is not known which hooks it calls.
    #[serde(default)]
    pub unknown: bool,
    /// When it was last seen, if it has not called since the process started.
    #[serde(default)]
    pub last_seen: Option<i64>,
    /// What mends it: a command, or where to click.
    pub mend: String,
}

impl HookMismatch {
    /// How many hooks the broker has to register or to give up. Of a broker whose hooks are not
    /// known it is 1.
    pub fn count(&self) -> usize {
        self.missing.len() + self.unwanted.len() + usize::from(self.unknown)
    }

    /// What is wrong, each with the word by which the log begins it.
    pub fn problems(&self, in_audit: bool) -> Vec<(&'static str, String)> {
        let HookMismatch { broker, missing, unwanted, unknown, last_seen, mend } = self;
        let broker = match last_seen {
            None => broker.clone(),
            Some(at) => {
                format!("{broker} (as last seen at {}; it has not called since this start of the server)", in_utc(*at))
            }
        };
        let mut problems = Vec::new();
        if *unknown {
            let problem = format!(
                "it is not known which hooks {broker} registered: there is no valid record of them. What the broker does not \
                 call, the policy does not decide, until: {mend}"
            );
            problems.push(("NOT KNOWN", problem));
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let problem = format!(
                "{broker} did not register {missing}, which the policy needs now, and does not call it until: {mend}"
            );
            problems.push(("NOT IN FORCE", problem));
        }
        if !unwanted.is_empty() {
            let unwanted = unwanted.join(", ");
            let why = if in_audit { "as it is in audit mode" } else { "as it has no such section" };
            let problem = format!(
                "{broker} calls {unwanted}, which the policy does not decide, {why}: the broker refuses every login that none \
                 of its own authenticators lets in, until: {mend}"
            );
            problems.push(("REFUSED", problem));
        }
        problems
    }
}

/// What a rule decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDecisions {
    /// `auth` or `acl`.
    pub section: String,
    /// The rule's id, or one of those that stand for no rule.
    pub rule: String,
    /// How often it let a client through.
    pub allow: u64,
    /// How often it refused one.
    pub deny: u64,
    /// How often it left one to the broker.
    pub ignore: u64,
}

/// How often a changed file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reloads {
    /// It was put in force.
    pub good: u64,
    /// It was not.
    pub bad: u64,
}

/// Names the run of the kernel and the namespace of process ids that a process is in.
pub fn boot(recorder: &Recorder) -> String {
    format!("{} {}", recorder.boot_id, recorder.pid_ns)
}

/// Writes the status in the place of the last one.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write(folder: &Folder, status: &Status) -> io::Result<()> {
    let mut text = serde_json::to_vec(status)?;
    text.push(b'\n');
    folder.put(&name(&status.process), &text, false)
}

/// Takes the status of a process away that comes to its end.
pub fn remove(folder: &Folder, process: &RunningProcess) {
    let _ = fs::remove_file(folder.path().join(name(process)));
}

/// Processes of several containers may share the folder, and have the same ids.
fn name(process: &RunningProcess) -> String {
    let within = hash_of(process.boot.as_bytes());
    format!("{PREFIX}{}-{}{ENDING}", within.get(..8).unwrap_or_default(), process.pid)
}

/// A status that was found, and whether its process still runs: `None` where that cannot be told from here, as from outside
/// of its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub status: Status,
    /// Whether the process runs.
    pub is_alive: Option<bool>,
}

impl Found {
    fn of(status: Status, boot: &str) -> Self {
        let RunningProcess { pid, started, .. } = status.process;
        let is_alive = (status.process.boot == boot).then(|| Process { pid, started }.is_alive());
        Found { status, is_alive }
    }
}

/// All statuses of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct All {
    /// In the order of the processes' starts.
    pub found: Vec<Found>,
    /// What cannot be read, and why.
    pub unreadable: Vec<String>,
}

/// Every status in the folder. `boot` is this run of the kernel, see [`RunningProcess::boot`].
///
/// # Errors
/// The folder cannot be read.
pub fn read(folder: &Path, boot: &str) -> io::Result<All> {
    let mut all = All::default();
    for path in files(folder)? {
        match read_one(&path) {
            Ok(status) => all.found.push(Found::of(status, boot)),
            // Its process ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => all.unreadable.push(format!("{}: {error}", path.display())),
        }
    }
    all.found.sort_by_key(|found| (found.status.process.since, found.status.process.pid));
    Ok(all)
}

/// The files that have the name of a status.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(ENDING)) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn read_one(path: &Path) -> io::Result<Status> {
    let (file, metadata) = input::open_itself(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no regular file"));
    }
    let text = input::beginning(file, MOST)?;
    serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Takes away what processes left that were killed: also before this run of the kernel, where they have been silent for long.
pub fn tidy(folder: &Folder, boot: &str, now: i64) {
    for path in files(folder.path()).unwrap_or_default() {
        let is_over = match read_one(&path) {
            Ok(status) => {
                let age = now.saturating_sub(status.written_at);
                let found = Found::of(status, boot);
                found.is_alive == Some(false) || (found.is_alive.is_none() && age > SILENT)
            }
            // Of another version of this program, say.
            Err(error) => error.kind() == io::ErrorKind::InvalidData,
        };
        if is_over {
            let _ = fs::remove_file(path);
        }
    }
}
