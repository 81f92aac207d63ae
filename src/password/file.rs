//! Password files: `username:hash` a line.
//!
//! A line that begins with `#` is a comment, a blank one nothing; line ends and a byte order mark are taken
//! off, and every other character counts. The username goes up to the first `:`. A line without one names a
//! user whose hash is unreadable: such a user must not pass for unknown, since for unknown users the
//! policy's next rule is asked.
//!
//! The file is read again as soon as it has changed, so that a new password works at the next login.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::hash::StoredHash;
use super::source::{Finding, Found, Source};

/// Larger files are refused.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A file that was changed this short a time ago may change once more within the same tick of the file
/// system's clock.
const TICK: Duration = Duration::from_millis(100);
/// How often a file that changes while it is being read is read again.
const ATTEMPTS: usize = 3;

pub(super) struct FileSource {
    path: PathBuf,
    contents: Option<Contents>,
}

struct Contents {
    stamp: Stamp,
    /// Whether a later change is sure to change the stamp.
    settled: bool,
    users: HashMap<Box<[u8]>, User>,
    sample: Option<String>,
}

enum User {
    One(Box<[u8]>),
    Several,
}

/// What changes with the file's contents.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the last change is longer ago than a tick, or in the future, of which nothing can be told.
    fn is_settled(&self) -> bool {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1)) else {
            return true;
        };
        since_1970.checked_sub(Duration::new(seconds, nanos)).is_none_or(|age| age > TICK)
    }
}

impl FileSource {
    pub(super) fn new(path: PathBuf) -> Self {
        FileSource { path, contents: None }
    }

    fn contents(&mut self) -> io::Result<&Contents> {
        let stamp = Stamp::of(&std::fs::metadata(&self.path)?);
        let kept = self.contents.take().filter(|contents| contents.settled && contents.stamp == stamp);
        let contents = match kept {
            Some(contents) => contents,
            None => Contents::read(&self.path)?,
        };
        Ok(self.contents.insert(contents))
    }
}

impl Source for FileSource {
    fn look_up(&mut self, username: &str, _end: Instant) -> Result<Found, String> {
        let contents = match self.contents() {
            Ok(contents) => contents,
            Err(e) => return Err(format!("{}: {e}", self.path.display())),
        };
        Ok(match contents.users.get(username.as_bytes()) {
            None => Found::Nobody,
            Some(User::Several) => Found::Several,
            // What is no text cannot be read as a hash either.
            Some(User::One(hash)) => Found::Hash(String::from_utf8_lossy(hash).into_owned()),
        })
    }

    fn sample(&self) -> Option<&str> {
        self.contents.as_ref()?.sample.as_deref()
    }

    /// A file system that hangs cannot be interrupted.
    fn interrupt(&self) -> Arc<dyn Fn() + Send + Sync> {
        Arc::new(|| {})
    }
}

impl Contents {
    fn read(path: &Path) -> io::Result<Self> {
        let (bytes, stamp) = read_unchanging(path)?;
        let mut users = HashMap::new();
        let mut sample = None;
        for (_, line) in lines(&bytes) {
            let (user, hash) = line.split();
            if sample.is_none() {
                sample = line.readable().map(str::to_owned);
            }
            match users.entry(user.into()) {
                Entry::Vacant(place) => drop(place.insert(User::One(hash.into()))),
                Entry::Occupied(mut place) => *place.get_mut() = User::Several,
            }
        }
        Ok(Contents { settled: stamp.is_settled(), stamp, users, sample })
    }
}

/// Reads a file that is not being written to meanwhile.
fn read_unchanging(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    // Opening a named pipe would wait for somebody to write to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    for _ in 0..ATTEMPTS {
        let mut file = File::open(path)?;
        let before = Stamp::of(&file.metadata()?);
        let mut bytes = Vec::new();
        (&mut file).take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other("larger than 256 MiB"));
        }
        if Stamp::of(&file.metadata()?) == before && before.size == bytes.len() as u64 {
            return Ok((bytes, before));
        }
    }
    Err(io::Error::other("it keeps changing while it is being read"))
}

/// A line that is about a user.
#[derive(Clone, Copy)]
struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    /// The username and the hash, which is empty where there is no `:`.
    fn split(self) -> (&'a [u8], &'a [u8]) {
        let mut parts = self.0.splitn(2, |byte| *byte == b':');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    /// The hash, where it can be read.
    fn readable(self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.split().1).ok()?;
        StoredHash::parse(text).ok().map(|_| text)
    }
}

/// The lines that are about a user, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Line<'_>)> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .map(|(index, line)| (index + 1, Line(line)))
}

/// Everything that is wrong with a password file.
pub(super) fn check(path: &Path) -> Vec<Finding> {
    let bytes = match read_unchanging(path) {
        Ok((bytes, _)) => bytes,
        Err(e) => return vec![Finding::fatal(format!("{}: {e}", path.display()))],
    };
    let mut first: HashMap<&[u8], usize> = HashMap::new();
    let mut findings = Vec::new();
    for (number, line) in lines(&bytes) {
        let (user, hash) = line.split();
        let name = String::from_utf8_lossy(user);
        let mut finding = |message| findings.push(Finding { line: Some(number), message, fatal: false });
        match first.entry(user) {
            Entry::Vacant(place) => drop(place.insert(number)),
            Entry::Occupied(place) => {
                finding(format!("user `{name}` stands on line {} already, so that every login is denied", place.get()));
            }
        }
        if user.len() == line.0.len() {
            // The text may be a lost hash or a plain password: it is not shown.
            finding("no `:` between username and hash".to_owned());
        } else if let Err(e) = std::str::from_utf8(hash).map_or(StoredHash::parse(""), StoredHash::parse) {
            finding(format!("the hash of user `{name}` cannot be read: {e}"));
        }
    }
    findings
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
