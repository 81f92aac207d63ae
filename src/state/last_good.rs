//! A copy of the policy that was good last.
//!
//! Where a policy says `if_invalid: last-good`, its text is kept as soon as it is in force. At a start with a file that does
//! not load the copy is in force instead, if it can be trusted: nobody but this user (or root) can have written it.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Folder, hash_of};

/// Those who are neither the owner nor root may write.
const OTHERS_WRITE: u32 = 0o022;

/// Why there is no copy to go by.
#[derive(Debug)]
pub enum Unusable {
    /// None was kept.
    None,
    /// It cannot be read.
    Unreadable(io::Error),
    /// Someone else may have written it: what, and why.
    Untrusted(PathBuf, &'static str),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::None => f.write_str("there is none"),
            Unusable::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Unusable::Untrusted(path, why) => write!(f, "it is not trusted: {} {why}", path.display()),
        }
    }
}

/// Keeps the text of a policy, on the disk when this returns.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn keep(folder: &Folder, policy: &Path, text: &[u8]) -> io::Result<()> {
    folder.put(&name(policy), text, true)
}

/// Forgets the copy, since the policy no longer asks for one.
///
/// # Errors
/// There is one, and it cannot be removed.
pub fn forget(folder: &Folder, policy: &Path) -> io::Result<()> {
    match fs::remove_file(path(folder, policy)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The copy's text, of at most so many bytes.
///
/// # Errors
/// There is none, or it is not to be trusted.
pub fn recall(folder: &Folder, policy: &Path, most: u64) -> Result<Vec<u8>, Unusable> {
    let path = path(folder, policy);
    // A link could lead to a file that others write; a pipe would hold up the start.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::None),
        Err(error) => return Err(Unusable::Unreadable(error)),
    };
    let of_file = file.metadata().map_err(Unusable::Unreadable)?;
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
    read(file, most).map_err(Unusable::Unreadable)
}

fn read(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text)?;
    Ok(text)
}

fn distrust(metadata: &Metadata, me: u32) -> Option<&'static str> {
    if ![0, me].contains(&metadata.uid()) {
        Some("belongs to another user")
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        Some("can be written by others")
    } else {
        None
    }
}

/// Policies of one name in several folders may share a state folder.
fn name(policy: &Path) -> String {
    let whole = fs::canonicalize(policy.parent().unwrap_or(Path::new("")))
        .unwrap_or_else(|_| policy.parent().unwrap_or(Path::new("")).to_owned());
    let hash = hash_of(whole.as_os_str().as_encoded_bytes());
    let stem = policy.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{}.last-good", hash.get(..8).unwrap_or_default())
}

fn path(folder: &Folder, policy: &Path) -> PathBuf {
    folder.path().join(name(policy))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    const MOST: u64 = 1 << 20;

    struct Place {
        dir: tempfile::TempDir,
        folder: Folder,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder(dir.path().join("state"));
            keep(&folder, &dir.path().join("rules.yaml"), b"version: 1\n").unwrap();
            Place { dir, folder }
        }

        fn policy(&self) -> PathBuf {
            self.dir.path().join("rules.yaml")
        }

        fn copy(&self) -> PathBuf {
            path(&self.folder, &self.policy())
        }

        #[track_caller]
        fn check_refused(&self, because: &str) {
            let refused = recall(&self.folder, &self.policy(), MOST).unwrap_err().to_string();
            assert!(refused.contains(because), "{refused}");
        }
    }

    #[test]
    fn what_was_kept_is_recalled_until_it_is_forgotten() {
        let place = Place::new();
        assert_eq!(recall(&place.folder, &place.policy(), MOST).unwrap(), b"version: 1\n");
        assert!(matches!(recall(&place.folder, &place.dir.path().join("others.yaml"), MOST), Err(Unusable::None)));
        assert!(matches!(recall(&place.folder, Path::new("/elsewhere/rules.yaml"), MOST), Err(Unusable::None)));
        forget(&place.folder, &place.policy()).unwrap();
        forget(&place.folder, &place.policy()).unwrap();
        place.check_refused("there is none");
    }

    #[test]
    fn what_others_may_have_written_is_not_trusted() {
        let place = Place::new();
        let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        mode(&place.copy(), 0o620);
        place.check_refused("can be written by others");
        mode(&place.copy(), 0o602);
        place.check_refused("can be written by others");
        mode(&place.copy(), 0o644);
        recall(&place.folder, &place.policy(), MOST).unwrap();
        mode(place.folder.path(), 0o777);
        place.check_refused("state can be written by others");
        mode(place.folder.path(), 0o755);
        recall(&place.folder, &place.policy(), MOST).unwrap();

        let elsewhere = place.dir.path().join("elsewhere");
        fs::rename(place.copy(), &elsewhere).unwrap();
        symlink(&elsewhere, place.copy()).unwrap();
        place.check_refused("cannot be read");
        fs::remove_file(place.copy()).unwrap();
        fs::create_dir(place.copy()).unwrap();
        place.check_refused("is no regular file");
    }

    #[test]
    fn what_belongs_to_another_user_is_not_trusted() {
        let place = Place::new();
        // Only root can give a file away; anyone can ask whether another user's is trusted.
        match chown(place.copy(), Some(12_345), None) {
            Ok(()) => place.check_refused("belongs to another user"),
            Err(_) => assert_eq!(distrust(&fs::metadata("/etc/passwd").unwrap(), 1), None),
        }
        let mine = fs::metadata(place.dir.path()).unwrap();
        let stranger = mine.uid() + 1;
        assert_eq!(distrust(&mine, stranger).is_some(), mine.uid() != 0);
    }
}
