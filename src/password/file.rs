//! Password files: `username:hash` a line.
//!
//! A line that begins with `#` is a comment, a blank one nothing; line ends and a byte order mark are taken
//! off, and every other character counts. The username goes up to the first `:`. A line without one names a
//! user whose hash is unreadable: such a user must not pass for unknown, since for unknown users the
//! policy's next rule is asked.
//!
//! The file is read again as soon as it has changed, so that a new password works at the next login. A program
//! that writes it in place leaves it empty for a moment: a user who is gone from it counts as unknown only once
//! nobody has written to it for a second, and until then the file as unreadable.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::hash::StoredHash;
use super::source::{Finding, Found, Source};
use crate::input;

/// Larger files are refused.
pub(super) const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A file that was changed this short a time ago may change once more within the same tick of the file
/// system's clock.
const TICK: Duration = Duration::from_millis(100);
/// How long after its last change a file is taken for complete.
const REST: Duration = Duration::from_secs(1);
/// What is wrong with a file is told up to this many times.
const MAX_FINDINGS: usize = 20;
/// How often a file that changes while it is being read is read again.
const ATTEMPTS: usize = 3;

pub(super) struct FileSource {
    path: PathBuf,
    contents: Option<Contents>,
    /// The users before the last change, until the file has come to rest.
    before: Option<Users>,
}

type Users = HashMap<Box<[u8]>, User>;

struct Contents {
    stamp: Stamp,
    /// Whether a later change is sure to change the stamp.
    settled: bool,
    users: Users,
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
    pub(super) fn new(path: PathBuf) -> Self {
        FileSource { path, contents: None, before: None }
    }

    /// What the file holds now.
    fn refresh(&mut self) -> io::Result<&Contents> {
        let stamp = Stamp::of(&std::fs::metadata(&self.path)?);
        let contents = match self.contents.take() {
            Some(contents) if contents.settled && contents.stamp == stamp => contents,
            Some(old) => {
                self.before.get_or_insert(old.users);
                Contents::read(&self.path)?
            }
            None => Contents::read(&self.path)?,
        };
        Ok(self.contents.insert(contents))
    }
}

impl Source for FileSource {
    fn look_up(&mut self, username: &str, _end: Instant) -> Result<Found, String> {
        let contents = match self.refresh() {
            Ok(contents) => contents,
            Err(e) => return Err(format!("{}: {e}", self.path.display())),
        };
        match contents.users.get(username.as_bytes()) {
            Some(User::Several) => return Ok(Found::Several),
            // What is no text cannot be read as a hash either.
            Some(User::One(hash)) => return Ok(Found::Hash(String::from_utf8_lossy(hash).into_owned())),
            None => {}
        }
        if contents.stamp.is_older_than(REST) {
            self.before = None;
        }
        if self.before.as_ref().is_some_and(|before| before.contains_key(username.as_bytes())) {
            return Err(format!("{}: a user is gone from it, and it was changed just now", self.path.display()));
        }
        Ok(Found::Nobody)
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
        let mut users = Users::new();
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
        Ok(Contents { settled: stamp.is_older_than(TICK), stamp, users, sample })
    }
}

/// Reads a file that is not being written to meanwhile.
fn read_unchanging(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    for _ in 0..ATTEMPTS {
        let (file, metadata) = open(path)?;
        let before = Stamp::of(&metadata);
        let bytes = input::rest(&file, MAX_BYTES)?;
        if Stamp::of(&file.metadata()?) == before && before.size == bytes.len() as u64 {
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

/// A line of the file in its parts.
pub(super) struct SplitLine<'a> {
    /// The byte order mark at the beginning of the file.
    pub(super) mark: &'a [u8],
    /// What stands between the mark and the end.
    text: &'a [u8],
    /// The user whom the line is about, unless it is blank or a comment.
    pub(super) user: Option<&'a [u8]>,
    /// The line end; empty at the end of a file without one.
    pub(super) end: &'a [u8],
}

/// Splits a line that may have its line end.
pub(super) fn split_line(line: &[u8], first: bool) -> SplitLine<'_> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let (mark, text) = if first && line.starts_with(MARK) { line.split_at(MARK.len()) } else { line.split_at(0) };
    let bare = text.strip_suffix(b"\n").map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    let (text, end) = text.split_at(bare.len());
    let about_a_user = !text.is_empty() && !text.starts_with(b"#");
    let user = about_a_user.then(|| Line(text).split().0);
    SplitLine { mark, text, user, end }
}

/// The lines that are about a user, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Line<'_>)> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, split_line(line, index == 0)))
        .filter(|(_, line)| line.user.is_some())
        .map(|(number, line)| (number, Line(line.text)))
}

/// Everything that is wrong with a password file.
pub(super) fn check(path: &Path) -> Vec<Finding> {
    let bytes = match read_unchanging(path) {
        Ok((bytes, _)) => bytes,
        Err(e) => return vec![Finding::fatal(e.to_string())],
    };
    let mut first: HashMap<&[u8], usize> = HashMap::new();
    let mut findings = Vec::new();
    let mut more = 0;
    for (number, line) in lines(&bytes) {
        let (user, hash) = line.split();
        let name = String::from_utf8_lossy(user);
        let mut finding = |message| {
            if findings.len() < MAX_FINDINGS {
                findings.push(Finding { line: Some(number), message, fatal: false });
            } else {
                more += 1;
            }
        };
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
    if more > 0 {
        findings.push(Finding { line: None, message: format!("and {more} more problems"), fatal: false });
    }
    findings
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
