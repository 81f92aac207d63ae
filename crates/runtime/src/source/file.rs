//! Files of lines.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::{ReadStop, UnreadableSource};
use crate::files::input;
use crate::files::stamp::Stamp;
use exhook_policy_core::policy::lists::{List, ListBuilder, Uses};

/// Files of more bytes are not read.
pub(super) const LARGEST: u64 = 1 << 30;

/// Longer lines come cut to this many bytes, which is more than any string of MQTT has.
const LONGEST_LINE: usize = 66_000;

/// The byte order mark, which some editors put before a text.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Opens a regular file, links followed, for reading. A pipe without a writer does not hang it.
///
/// # Errors
/// There is no such file, it may not be read, it is no regular file, or it is larger than [`LARGEST`].
pub(super) fn open(path: &Path) -> Result<File, UnreadableSource> {
    let (file, metadata) = input::open(path).map_err(UnreadableSource::because)?;
    check_kind(&metadata)?;
    if metadata.len() > LARGEST {
        return Err(UnreadableSource::because("is larger than 1 GiB"));
    }
    Ok(file)
}

pub(super) fn check_kind(metadata: &Metadata) -> Result<(), UnreadableSource> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(UnreadableSource::because("is a directory"))
    } else {
        Err(UnreadableSource::because("is not a regular file"))
    }
}

/// The lines of a file without their ends (`\n` or `\r\n`), without a byte order mark, and without
/// empty lines and comments, which are lines that begin with `#`.
#[derive(Debug)]
pub(super) struct ListFileLines<R> {
    reader: R,
    line: Vec<u8>,
    number: usize,
}

impl ListFileLines<BufReader<io::Take<File>>> {
    /// Begins at the first line of an open file.
    pub(super) fn of(file: File) -> Self {
        ListFileLines::new(BufReader::with_capacity(1 << 16, file.take(LARGEST)))
    }
}

impl<R: BufRead> ListFileLines<R> {
    /// Begins at the first line.
    pub(super) fn new(reader: R) -> Self {
        ListFileLines { reader, line: Vec::new(), number: 0 }
    }

    /// The next line's number, from 1, and its bytes, cut off past 66,000 of them.
    ///
    /// # Errors
    /// Reading fails.
    pub(super) fn next_line(&mut self) -> io::Result<Option<(usize, &[u8])>> {
        loop {
            self.line.clear();
            let most = LONGEST_LINE as u64;
            if self.reader.by_ref().take(most).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.len() == LONGEST_LINE && !self.line.ends_with(b"\n") {
                self.reader.skip_until(b'\n')?;
            }
            let begin = if self.number == 1 && self.line.starts_with(BOM) { BOM.len() } else { 0 };
            let line = self.line.get(begin..).unwrap_or_default();
            let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
            if !line.is_empty() && !line.starts_with(b"#") {
                let end = begin + line.len();
                return Ok(self.line.get(begin..end).map(|line| (self.number, line)));
            }
        }
    }
}

/// Waits until nobody has written to the file for a second, but for 5 s at most. A file that is written in
/// place is empty at first, and an empty list of those to be denied denies nobody.
pub(super) fn await_writer(path: &Path) {
    const QUIET: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(100);
    const PAUSES: usize = 50;
    for _ in 0..PAUSES {
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let age = modified.and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_none_or(|age| age >= QUIET) {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Reads a list, with a stamp by which a later change can be seen; `None` where it could not. Told to stop, it fails.
pub(super) fn read_list(path: &Path, uses: Uses, stop: &ReadStop) -> Result<(List, Option<Stamp>), UnreadableSource> {
    const TRIES: usize = 5;
    const PAUSE: Duration = Duration::from_millis(100);
    for _ in 0..TRIES {
        let file = open(path)?;
        let metadata = file.metadata().map_err(UnreadableSource::because)?;
        let before = Stamp::of(&metadata);
        let again = file.try_clone().map_err(UnreadableSource::because)?;
        let list = list_of(ListFileLines::of(file), uses, stop);
        // What was read while it was written may be half of it.
        if again.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == before) {
            return list.map(|list| (list, before.settled(&metadata)));
        }
        thread::sleep(PAUSE);
    }
    Err(UnreadableSource::because("changes while it is read; write a new file and rename it over the old one"))
}

fn list_of(mut lines: ListFileLines<impl BufRead>, uses: Uses, stop: &ReadStop) -> Result<List, UnreadableSource> {
    let mut builder = ListBuilder::new(uses);
    while let Some((number, line)) = lines.next_line().map_err(UnreadableSource::because)? {
        if stop.is_said() {
            return Err(UnreadableSource::because("is needed no more"));
        }
        match std::str::from_utf8(line) {
            Ok(entry) => builder.push(number, entry),
            Err(_) if line.len() > usize::from(u16::MAX) => builder.push(number, &String::from_utf8_lossy(line)),
            Err(_) => builder.refuse(number, &String::from_utf8_lossy(line), "is not UTF-8"),
        }
    }
    builder.finish().map_err(UnreadableSource::of_lines)
}
