//! How a running driver or server is, as it says it itself: one JSON file a process, replaced every few seconds.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Folder;
use crate::decision::Mode;
use crate::history::{Process, Recorder};

/// The names of the files begin so.
const PREFIX: &str = "status-";
const ENDING: &str = ".json";
/// A status of more bytes is none.
const MOST: u64 = 16 << 20;

/// How a process is. Times are Unix milliseconds, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When this was written. It is every five seconds, and at once where something changes.
    pub written_at: i64,
    /// Which process this is of.
    pub process: Running,
    /// The policy file that it watches.
    pub file: PathBuf,
    /// What is in force; nothing where no policy could be loaded yet, and everything is denied.
    pub policy: Option<InForce>,
    /// Why the file as it stands is not in force.
    pub fault: Option<Fault>,
    /// Hooks that the policy needs or must not have, of brokers that were told otherwise.
    pub brokers: Vec<Mistold>,
    /// What was decided, by rule, since the process started. Rules that are no longer in the policy are left out.
    pub rules: Vec<Decided>,
    /// What waits, by queue.
    pub queues: BTreeMap<String, u64>,
    /// How often the file was taken up since the start.
    pub reloads: Reloads,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
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
pub struct Fault {
    /// SHA-256 of the file's bytes; nothing where it cannot be read.
    pub hash: Option<String>,
    /// When it was found.
    pub at: i64,
    /// The diagnostics, as `check` prints them.
    pub text: String,
}

/// A broker that calls other hooks than the policy wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistold {
    /// Which one.
    pub broker: String,
    /// Hooks that it does not call.
    pub missing: Vec<String>,
    /// Hooks that it calls and must not.
    pub unwanted: Vec<String>,
    /// What mends it: a command, or where to click.
    pub mend: String,
}

/// What a rule decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
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
    let mut text = serde_json::to_vec_pretty(status)?;
    text.push(b'\n');
    folder.put(&name(status.process.pid), &text, false)
}

/// Takes the status of a process away that comes to its end.
pub fn remove(folder: &Folder, pid: i32) {
    let _ = fs::remove_file(folder.path().join(name(pid)));
}

fn name(pid: i32) -> String {
    format!("{PREFIX}{pid}{ENDING}")
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

/// Every status in the folder, in the order of the processes' starts. `boot` is this run of the kernel, see [`Running::boot`].
///
/// # Errors
/// The folder or one of the files cannot be read.
pub fn read(folder: &Path, boot: &str) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with(PREFIX) || !name.ends_with(ENDING) {
            continue;
        }
        let text = match read_one(&entry.path()) {
            Ok(text) => text,
            // Its process ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let status: Status = serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {error}")))?;
        let Running { pid, started, .. } = status.process;
        let is_alive = (status.process.boot == boot).then(|| Process { pid, started }.is_alive());
        found.push(Found { status, is_alive });
    }
    found.sort_by_key(|found| (found.status.process.since, found.status.process.pid));
    Ok(found)
}

fn read_one(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    fs::File::open(path)?.take(MOST).read_to_end(&mut text)?;
    Ok(text)
}

/// The mode of the policy that this file had in force last, as far as a status says so that was left here.
pub fn last_mode(folder: &Folder, policy: &Path) -> Option<Mode> {
    let policy = std::path::absolute(policy).ok()?;
    let entries = fs::read_dir(folder.path()).ok()?.flatten();
    let statuses = entries.filter_map(|entry| serde_json::from_slice::<Status>(&read_one(&entry.path()).ok()?).ok());
    let in_force =
        statuses.filter(|status| status.file == policy).filter_map(|status| Some((status.written_at, status.policy?)));
    let mode = in_force.max_by_key(|(written_at, _)| *written_at)?.1.mode;
    [Mode::Enforce, Mode::Audit].into_iter().find(|known| known.as_str() == mode)
}

/// Takes away what processes left that were killed.
pub fn tidy(folder: &Folder, boot: &str) {
    let Ok(entries) = fs::read_dir(folder.path()) else { return };
    for entry in entries.flatten() {
        let is_status =
            entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(ENDING));
        let status = if is_status { read_one(&entry.path()).ok() } else { None };
        let Some(status) = status.and_then(|text| serde_json::from_slice::<Status>(&text).ok()) else { continue };
        let Running { pid, started, .. } = status.process;
        if status.process.boot == boot && !(Process { pid, started }).is_alive() {
            let _ = fs::remove_file(entry.path());
        }
    }
}
