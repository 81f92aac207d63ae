//! Files that are read: never more of them than a stated bound, and none that could make the reader
//! wait for ever.
//!
//! Nothing else in this program opens a file to read it; a test of the repository sees to it. A path
//! may lead to something without an end (`/dev/zero`) or to a named pipe, where even to open it
//! waits for a writer.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstatfs};
use rustix::io::Errno;

/// What holds for most files: a policy, a broker's settings. The largest policy has as many bytes.
pub const MOST: u64 = 64 << 20;

/// The file system of pipes that have no name: those of a shell's `<(...)`. See statfs(2).
const PIPEFS: u64 = 0x5049_5045;

/// Opens a file to read it, links followed, and never waits. What kind of file it is, the caller
/// finds out.
///
/// # Errors
/// Those of the system.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    open_with(path, OFlags::NONBLOCK)
}

/// As [`open`], but a link in the last place is an error: it could lead to what others write.
///
/// # Errors
/// Those of the system.
pub fn open_itself(path: &Path) -> io::Result<(File, Metadata)> {
    open_with(path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Opens a file that a person names, to be read piece by piece: a regular file, a device, or the
/// pipe of a shell's `<(...)`.
///
/// # Errors
/// Those of the system, and where it is a folder or a named pipe.
pub fn stream(path: &Path) -> io::Result<File> {
    let (file, metadata) = open(path)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if kind.is_fifo() && u64::try_from(fstatfs(&file)?.f_type).ok() != Some(PIPEFS) {
        return Err(refused("it is a named pipe, and is not read"));
    }
    if !kind.is_file() {
        // The writer of a pipe of a shell may not have begun.
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    }
    Ok(file)
}

/// The bytes of a file that a person names, as of [`stream`].
///
/// # Errors
/// Those of [`stream`], and where it has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = stream(path)?;
    if file.metadata()?.len() > most {
        return Err(too_large(most));
    }
    rest(file, most)
}

/// The bytes of a regular file. A program's settings are in no other.
///
/// # Errors
/// Those of the system, and where it is no regular file or has more than `most` bytes.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if kind.is_fifo() {
        return Err(refused("it is a named pipe, and is not read"));
    }
    if !kind.is_file() {
        return Err(refused("it is no regular file"));
    }
    if metadata.len() > most {
        return Err(too_large(most));
    }
    rest(file, most)
}

/// As [`read`], for a text.
///
/// # Errors
/// Those of [`read`], and where it is no UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    text(read(path, most)?)
}

/// As [`read_regular`], for a text.
///
/// # Errors
/// Those of [`read_regular`], and where it is no UTF-8.
pub fn read_regular_text(path: &Path, most: u64) -> io::Result<String> {
    text(read_regular(path, most)?)
}

/// Everything that is left of an input.
///
/// # Errors
/// Those of reading, and where there are more than `most` bytes.
pub fn rest(input: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let bytes = beginning(input, most.saturating_add(1))?;
    if bytes.len() as u64 > most { Err(too_large(most)) } else { Ok(bytes) }
}

/// As [`rest`], for a text.
///
/// # Errors
/// Those of [`rest`], and where it is no UTF-8.
pub fn rest_text(input: impl Read, most: u64) -> io::Result<String> {
    text(rest(input, most)?)
}

/// The first `most` bytes of an input, or all where it has fewer.
///
/// # Errors
/// Those of reading.
pub fn beginning(input: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn too_large(most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {}", ByteCount(most)))
}

/// A number of bytes, for people.
struct ByteCount(u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ByteCount(bytes) = self;
        let mib = bytes >> 20;
        if mib > 0 && mib << 20 == *bytes { write!(f, "{mib} MiB") } else { write!(f, "{bytes} bytes") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::fs;
    use std::path::PathBuf;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Place(tempfile::tempdir().unwrap())
        }

        fn file(&self, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join("f");
            fs::write(&path, bytes).unwrap();
            path
        }

        fn named_pipe(&self) -> PathBuf {
            let path = self.0.path().join("pipe");
            mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            path
        }
    }

    #[track_caller]
    fn refuses<T: fmt::Debug>(result: io::Result<T>, expected: &str) {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_beyond() {
        let place = Place::new();
        let path = place.file(b"12345");
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read_regular_text(&path, 5).unwrap(), "12345");
        refuses(read(&path, 4), "larger than 4 bytes");
        refuses(read_regular(&path, 4), "larger than 4 bytes");
        refuses(rest(&b"12345"[..], 4), "larger than 4 bytes");
        assert_eq!(beginning(&b"12345"[..], 4).unwrap(), b"1234");
        refuses(read_text(&place.file(b"\xff"), 5), "stream did not contain valid UTF-8");
    }

    #[test]
    fn a_device_without_an_end_is_too_large() {
        refuses(read(Path::new("/dev/zero"), 1 << 20), "larger than 1 MiB");
        refuses(read_regular(Path::new("/dev/zero"), 1 << 20), "it is no regular file");
        assert_eq!(read(Path::new("/dev/null"), 1).unwrap(), b"");
    }

    #[test]
    fn named_pipes_and_folders_are_refused_at_once() {
        let place = Place::new();
        let pipe = place.named_pipe();
        refuses(read(&pipe, 1), "it is a named pipe, and is not read");
        refuses(stream(&pipe), "it is a named pipe, and is not read");
        refuses(read_regular(&pipe, 1), "it is a named pipe, and is not read");
        refuses(read(place.0.path(), 1), "Is a directory (os error 21)");
        refuses(read_regular(place.0.path(), 1), "Is a directory (os error 21)");
    }

    #[test]
    fn the_pipe_of_a_shell_is_read_to_its_end() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (ours, mut theirs) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", ours.as_raw_fd()));
        let reader = std::thread::spawn(move || read_text(&path, 100));
        theirs.write_all(b"late").unwrap();
        drop(theirs);
        assert_eq!(reader.join().unwrap().unwrap(), "late");
        drop(ours);
    }

    #[test]
    fn a_link_is_followed_only_where_it_may_be() {
        let place = Place::new();
        let file = place.file(b"x");
        let link = place.0.path().join("link");
        std::os::unix::fs::symlink(file, &link).unwrap();
        assert!(open(&link).is_ok());
        assert!(open_itself(&link).is_err());
    }
}
