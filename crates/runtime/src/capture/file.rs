//! The file that is written, and those that were put aside: `events.jsonl`, `events.jsonl.1` (the newest of
//! these), `events.jsonl.2`, ...

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use exhook_policy_core::policy::model::CaptureDef;

/// Why a line cannot be written now.
#[derive(Debug)]
pub(super) enum CaptureTrouble {
    /// What the system says.
    System(io::Error),
    /// Why the folder cannot be made.
    Folder(io::Error),
    /// The file cannot be used.
    Unfit(&'static str),
}

impl fmt::Display for CaptureTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureTrouble::System(error) => error.fmt(f),
            CaptureTrouble::Folder(error) => write!(f, "the folder cannot be made: {error}"),
            CaptureTrouble::Unfit(text) => f.write_str(text),
        }
    }
}

impl From<io::Error> for CaptureTrouble {
    fn from(error: io::Error) -> Self {
        CaptureTrouble::System(error)
    }
}

/// The files of one capture.
pub(super) struct Rotation {
    path: PathBuf,
    max_size: u64,
    max_files: u16,
    open: Option<Open>,
}

/// The file that is written. It is locked.
struct Open {
    file: File,
    /// How many bytes of whole lines are in it.
    size: u64,
}

impl Rotation {
    pub(super) fn new(def: &CaptureDef) -> Self {
        Rotation { path: def.file.clone(), max_size: def.max_size, max_files: def.max_files, open: None }
    }

    /// How large the file may become, and how many there are, is otherwise from now on.
    pub(super) fn define(&mut self, def: &CaptureDef) {
        self.max_size = def.max_size;
        self.max_files = def.max_files;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes as many whole lines from the beginning as have room, at least one, and gives back their bytes.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<usize, CaptureTrouble> {
        if self.open.as_ref().is_some_and(|open| !open.is_at(&self.path)) {
            // Somebody moved it away, or removed it.
            self.open = None;
        }
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => Open::new(&self.path)?,
            };
            let room = self.max_size.saturating_sub(open.size);
            let fitting = match whole_lines(lines, usize::try_from(room).unwrap_or(usize::MAX)) {
                // A line that is longer than a file may be gets one of its own.
                [] if open.size == 0 => first_line(lines),
                [] => {
                    self.put_aside()?;
                    continue;
                }
                fitting => fitting,
            };
            // Where it fails, the file is opened anew at the next try.
            let count = open.append(fitting)?;
            self.open = Some(open);
            return Ok(count);
        }
    }

    /// Gives the file and those that were put aside their next numbers, and removes what is too old.
    fn put_aside(&self) -> io::Result<()> {
        for number in (0..self.max_files.saturating_sub(1)).rev() {
            let_missing(fs::rename(self.numbered(number), self.numbered(number + 1)))?;
        }
        if self.max_files == 1 {
            let_missing(fs::remove_file(&self.path))?;
        }
        // There are more where more were allowed before.
        for number in self.max_files..=u16::MAX {
            match fs::remove_file(self.numbered(number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            }
        }
        Ok(())
    }

    fn numbered(&self, number: u16) -> PathBuf {
        let mut name = OsString::from(&self.path);
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name.into()
    }
}

fn let_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// As many whole lines as have room.
fn whole_lines(lines: &[u8], room: usize) -> &[u8] {
    let fitting = lines.get(..room).unwrap_or(lines);
    let end = fitting.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    fitting.get(..end).unwrap_or_default()
}

fn first_line(lines: &[u8]) -> &[u8] {
    lines.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default()
}

impl Open {
    /// Opens the file, making it and its folder where they are missing.
    fn new(path: &Path) -> Result<Self, CaptureTrouble> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(CaptureTrouble::Folder)?;
        }
        // To open a FIFO would wait for its reader.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(CaptureTrouble::Unfit("this is no regular file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CaptureTrouble::Unfit("another driver writes to it")),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut open = Open { size: file.metadata()?.len(), file };
        if !open.is_at(path) {
            return Err(CaptureTrouble::Unfit("another driver has just put it aside"));
        }
        open.join()?;
        Ok(open)
    }

    /// Looks at what is there already: it must be a capture, and its last line must have an end.
    fn join(&mut self) -> Result<(), CaptureTrouble> {
        let Some(last) = self.size.checked_sub(1) else { return Ok(()) };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, 0)?;
        if byte != *b"{" {
            return Err(CaptureTrouble::Unfit("there is a file with other contents than events"));
        }
        self.file.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            self.append(b"\n")?;
        }
        Ok(())
    }

    /// Whether the file is still the one of this path.
    fn is_at(&self, path: &Path) -> bool {
        let identity = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|found| (found.dev(), found.ino()));
        let this = identity(self.file.metadata());
        this.is_some() && this == identity(fs::metadata(path))
    }

    /// Writes whole lines, as far as the disk takes them, and gives back their bytes.
    fn append(&mut self, lines: &[u8]) -> io::Result<usize> {
        let (count, result) = write_some(&mut self.file, lines);
        let whole = if result.is_ok() { count } else { whole_lines(lines, count).len() };
        self.size += whole as u64;
        match result {
            Err(error) => {
                // If the piece of a line behind them cannot be taken back, it gets an end when the file is opened again.
                let taken_back = self.file.set_len(self.size).is_ok();
                if taken_back && whole > 0 { Ok(whole) } else { Err(error) }
            }
            Ok(()) => Ok(whole),
        }
    }
}

/// Writes until everything is written or something is wrong, and tells how many bytes were.
fn write_some(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut count = 0;
    while let Some(rest @ [_, ..]) = bytes.get(count..) {
        match file.write(rest) {
            Ok(0) => return (count, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (count, Err(error)),
        }
    }
    (count, Ok(()))
}

#[cfg(test)]
mod tests;
