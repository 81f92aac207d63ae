//! Which files of the state folder may be believed: those that no other user but root can have
//! written.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Folder;
use crate::files::input;

/// Those who are neither the owner nor root may write.
const OTHERS_WRITE: u32 = 0o022;

/// Why a file cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// None was kept.
    None,
    /// It cannot be read.
    Unreadable(io::Error),
    /// It has more bytes than this.
    TooLarge(u64),
    /// Someone else may have written it: what, and why.
    Untrusted(PathBuf, &'static str),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::None => f.write_str("there is none"),
            Unusable::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Unusable::TooLarge(most) => write!(f, "it has more than {most} bytes"),
            Unusable::Untrusted(path, why) => write!(f, "it is not trusted: {} {why}", path.display()),
        }
    }
}

/// The bytes of a file of the folder, at most so many.
///
/// # Errors
/// There is none, it is too large, or it is not to be trusted.
pub(super) fn read(folder: &Folder, name: &str, most: u64) -> Result<Vec<u8>, Unusable> {
    let path = folder.path().join(name);
    // A link could lead to a file that others write; a pipe would hold up the start.
    let (file, of_file) = match input::open_itself(&path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::None),
        Err(error) => return Err(Unusable::Unreadable(error)),
    };
    let of_folder = fs::metadata(folder.path()).map_err(Unusable::Unreadable)?;
    let me = rustix::process::geteuid().as_raw();
    if !of_file.is_file() {
        return Err(Unusable::Untrusted(path, "is no regular file"));
    }
    for (path, metadata) in [(path.as_path(), &of_file), (folder.path(), &of_folder)] {
        if let Some(why) = distrust(metadata, me) {
            return Err(Unusable::Untrusted(path.to_owned(), why));
        }
    }
    match input::beginning(file, most.saturating_add(1)).map_err(Unusable::Unreadable)? {
        bytes if bytes.len() as u64 > most => Err(Unusable::TooLarge(most)),
        bytes => Ok(bytes),
    }
}

pub(super) fn distrust(metadata: &Metadata, me: u32) -> Option<&'static str> {
    if ![0, me].contains(&metadata.uid()) {
        Some("belongs to another user")
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        Some("can be written by others")
    } else {
        None
    }
}
