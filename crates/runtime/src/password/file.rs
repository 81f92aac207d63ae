//! Password files as a source: when they are read, and what counts while they change.
//!
//! The file is read again as soon as it has changed, so that a new password works at the next login. A program
//! that writes it in place leaves it empty for a moment: a user who is gone from it counts as unknown only once
//! nobody has written to it for a second, and until then the file as unreadable.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::entries::{BadPasswordEntries, Entries, EntryUser, Users};
use super::hash::StoredHash;
use super::source::{Source, SourceAnswer};
use crate::files::input;

/// Larger files are refused.
pub(super) const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A file that was changed this short a time ago may change once more within the same tick of the file
/// system's clock.
const TICK: Duration = Duration::from_millis(100);
/// How long after its last change a file is taken for complete.
const REST: Duration = Duration::from_secs(1);
/// How often a file that changes while it is being read is read again.
const ATTEMPTS: usize = 3;

pub(super) struct FileSource {
    path: PathBuf,
    /// The time that a login has.
    deadline: Duration,
    contents: Option<PasswordFileContents>,
    /// The users before the last change, until the file has come to rest.
    before: Option<Users>,
    /// The bad entries that were logged last.
    logged: BadPasswordEntries,
}

struct PasswordFileContents {
    stamp: PasswordFileStamp,
    /// Whether a later change is sure to change the stamp.
    settled: bool,
    entries: Entries,
}

/// What changes with the file's contents.
#[derive(PartialEq, Eq, Clone, Copy)]
struct PasswordFileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl PasswordFileStamp {
    fn of(metadata: &Metadata) -> Self {
        PasswordFileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the last change is longer ago than this, or in the future, of which nothing can be told.
    fn is_older_than(&self, age: Duration) -> bool {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1)) else {
            return true;
        };
        since_1970.checked_sub(Duration::new(seconds, nanos)).is_none_or(|passed| passed > age)
    }
}

impl FileSource {
    pub(super) fn new(path: PathBuf, deadline: Duration) -> Self {
        FileSource { path, deadline, contents: None, before: None, logged: BadPasswordEntries::default() }
    }

    /// What the file holds now.
    fn refresh(&mut self) -> io::Result<&PasswordFileContents> {
        let stamp = PasswordFileStamp::of(&std::fs::metadata(&self.path)?);
        let contents = match self.contents.take() {
            Some(contents) if contents.settled && contents.stamp == stamp => contents,
            Some(old) => {
                self.before.get_or_insert(old.entries.users);
                PasswordFileContents::read(&self.path, self.deadline)?
            }
            None => PasswordFileContents::read(&self.path, self.deadline)?,
        };
        Ok(self.contents.insert(contents))
    }
}

impl Source for FileSource {
    fn prepare(&mut self) {
        // A file that cannot be read is logged as soon as a login needs it.
        let _ = self.refresh();
    }

    fn look_up(&mut self, username: &str, _end: Instant) -> Result<SourceAnswer, String> {
        let contents = match self.refresh() {
            Ok(contents) => contents,
            Err(e) => return Err(format!("{}: {e}", self.path.display())),
        };
        match contents.entries.users.get(username.as_bytes()) {
            Some(EntryUser::Several { .. }) => return Ok(SourceAnswer::Several),
            // What is no text cannot be read as a hash either.
            Some(EntryUser::One { hash, .. }) => {
                return Ok(SourceAnswer::Hash(String::from_utf8_lossy(hash).into_owned()));
            }
            None => {}
        }
        if contents.stamp.is_older_than(REST) {
            self.before = None;
        }
        if self.before.as_ref().is_some_and(|before| before.contains_key(username.as_bytes())) {
            let why = format!("{}: a user is gone from it, and it was changed just now", self.path.display());
            return Ok(SourceAnswer::Unsure(why));
        }
        Ok(SourceAnswer::Nobody)
    }

    fn costliest(&self) -> Option<Arc<StoredHash>> {
        self.contents.as_ref()?.entries.costliest.clone()
    }

    fn bad_entries(&mut self) -> Option<String> {
        let bad = &self.contents.as_ref()?.entries.bad;
        if *bad == self.logged {
            return None;
        }
        self.logged = bad.clone();
        (!bad.is_empty()).then(|| format!("{}: {bad}", self.path.display()))
    }

    /// A file system that hangs cannot be interrupted.
    fn interrupt(&self) -> Arc<dyn Fn() + Send + Sync> {
        Arc::new(|| {})
    }
}

impl PasswordFileContents {
    fn read(path: &Path, deadline: Duration) -> io::Result<Self> {
        let (bytes, stamp) = read_unchanging(path)?;
        let entries = Entries::read(&bytes, deadline)?;
        Ok(PasswordFileContents { settled: stamp.is_older_than(TICK), stamp, entries })
    }
}

/// Reads a file that is not being written to meanwhile.
fn read_unchanging(path: &Path) -> io::Result<(Vec<u8>, PasswordFileStamp)> {
    for _ in 0..ATTEMPTS {
        let (file, metadata) = open(path)?;
        let before = PasswordFileStamp::of(&metadata);
        let bytes = input::rest(&file, MAX_BYTES)?;
        if PasswordFileStamp::of(&file.metadata()?) == before && before.size == bytes.len() as u64 {
            return Ok((bytes, before));
        }
    }
    Err(io::Error::other("it keeps changing while it is being read"))
}

/// Opens a file of passwords, and never waits.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let (file, metadata) = input::open(path)?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::Error::other("not a regular file")) }
}

/// The entries of a password file that let no one in. `deadline` is the time that a login has.
///
/// # Errors
/// The file cannot be read.
pub(super) fn check(path: &Path, deadline: Duration) -> io::Result<Entries> {
    let (bytes, _) = read_unchanging(path)?;
    Entries::read(&bytes, deadline)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
