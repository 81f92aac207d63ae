//! Changing password files.
//!
//! The new contents are written beside the file and renamed over it, so that whoever reads it sees the old
//! file or the new one. Comments, other entries and line ends stay as they are, and so do the file's mode
//! and owner. A symbolic link stays one: the file that it leads to is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::entries::split_line;
use super::file::{MAX_BYTES, open};
use crate::files::input;
use exhook_policy_core::event::short::LONGEST_OF_MQTT;

/// Symbolic links that are followed one after another at most.
const MAX_LINKS: usize = 40;
/// The mode of a new file: its owner alone reads it.
const PRIVATE: u32 = 0o600;

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// The user's first entry was written.
    Added,
    /// The user's entry was replaced. Any further one was taken out.
    Changed,
    /// The user's entries were taken out.
    Removed,
    /// The user had no entry to take out, and the file was left alone.
    Missing,
}

/// Why a text cannot be a username of a password file.
///
/// # Errors
/// It is empty or longer than MQTT allows, begins like a comment or a byte order mark, or holds a `:` or a control
/// character.
pub fn check_username(username: &str) -> Result<(), &'static str> {
    if username.is_empty() {
        Err("the username is empty")
    } else if username.contains(':') {
        Err("a username in a password file cannot hold `:`, which ends it")
    } else if username.starts_with('#') {
        Err("a username in a password file cannot begin with `#`, which begins a comment")
    } else if username.starts_with('\u{feff}') {
        Err("a username in a password file cannot begin with a byte order mark")
    } else if username.chars().any(char::is_control) {
        Err("a username cannot hold line ends or other control characters")
    } else if username.len() > LONGEST_OF_MQTT {
        Err("the username is longer than 65,535 bytes, which is more than MQTT can carry")
    } else {
        Ok(())
    }
}

/// Sets the stored hash of a user, or takes the user out where `hash` is `None`. A file that does not exist is
/// made, readable by its owner alone. The username must have passed [`check_username`].
///
/// # Errors
/// The file cannot be read or replaced; it is as it was.
pub fn edit(path: &Path, username: &str, hash: Option<&str>) -> io::Result<Edit> {
    let path = follow(path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let folder_handle = File::open(folder)?;
    // Two of this program at once must not lose each other's entry. A file system without locks has none.
    let _ = folder_handle.lock();
    let old = read(&path)?;
    let (new, done) = rewrite(old.as_ref().map_or(&[], |(bytes, _)| bytes), username, hash);
    if done == Edit::Missing {
        return Ok(done);
    }
    let (temporary, mut file) = create_beside(&path)?;
    let written = old
        .map_or(Ok(()), |(_, metadata)| keep_ownership(&file, &metadata))
        .and_then(|()| file.write_all(&new))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, &path));
    if let Err(e) = written {
        let _ = fs::remove_file(&temporary);
        return Err(e);
    }
    // The file is in its place; a folder that cannot be synced is no reason to say otherwise.
    let _ = folder_handle.sync_all();
    Ok(done)
}

/// The path itself, or where its symbolic links lead, whether there is a file or not.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // Invalid: it is there, and no link.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => return Ok(path),
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn read(path: &Path) -> io::Result<Option<(Vec<u8>, fs::Metadata)>> {
    match open(path) {
        Ok((file, metadata)) => Ok(Some((input::rest(file, MAX_BYTES)?, metadata))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?);
    name.push(format!(".{:016x}", u64::from_be_bytes(random)));
    let temporary = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&temporary)?;
    Ok((temporary, file))
}

/// Gives the new file the old one's owner before its mode, so that nobody can read it in between.
fn keep_ownership(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))
            .map_err(|e| io::Error::new(e.kind(), format!("the file's owner cannot be kept: {e}")))?;
    }
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))
}

/// The new contents of a file.
fn rewrite(old: &[u8], username: &str, hash: Option<&str>) -> (Vec<u8>, Edit) {
    let mut new = Vec::with_capacity(old.len() + username.len() + 128);
    let mut entry = hash.map(|hash| format!("{username}:{hash}"));
    let mut found = false;
    let mut line_end: &[u8] = b"\n";
    for (index, line) in old.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let split = split_line(line, index == 0);
        if !split.end.is_empty() {
            line_end = split.end;
        }
        if split.user != Some(username.as_bytes()) {
            new.extend_from_slice(line);
            continue;
        }
        found = true;
        new.extend_from_slice(split.mark);
        if let Some(entry) = entry.take() {
            new.extend_from_slice(entry.as_bytes());
            new.extend_from_slice(if split.end.is_empty() { line_end } else { split.end });
        }
    }
    if let Some(entry) = entry {
        if new.last().is_some_and(|byte| *byte != b'\n') {
            new.extend_from_slice(line_end);
        }
        new.extend_from_slice(entry.as_bytes());
        new.extend_from_slice(line_end);
    }
    let done = match (hash, found) {
        (Some(_), false) => Edit::Added,
        (Some(_), true) => Edit::Changed,
        (None, true) => Edit::Removed,
        (None, false) => Edit::Missing,
    };
    (new, done)
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
