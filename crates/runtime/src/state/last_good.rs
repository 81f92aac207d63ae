//! A copy of the policy that was good last.
//!
//! Where a policy says `if_invalid: last-good`, its text is kept as soon as it is in force. At a start with a file that does
//! not load the copy is in force instead, if it can be trusted: nobody but this user (or root) can have written it.
//!
//! The mode that was in force last is kept too, for a driver that is started anew by a broker which hands back an older one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::trusted::{self, Unusable};
use super::{Folder, name_of};
use crate::files::input;
use exhook_policy_core::decision::Mode;

/// What the names of the files end in.
const COPY: &str = "last-good";
const MODE: &str = "last-mode";
/// No mode has more bytes.
const LONGEST_MODE: u64 = 16;

/// Keeps the text of a policy, on the disk when this returns.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn keep(folder: &Folder, policy: &Path, text: &[u8]) -> io::Result<()> {
    folder.put(&name_of(policy, COPY), text, true)
}

/// Keeps the mode of the policy that is in force.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn keep_mode(folder: &Folder, policy: &Path, mode: Mode) -> io::Result<()> {
    folder.put(&name_of(policy, MODE), mode.as_str().as_bytes(), true)
}

/// The mode that was in force last, as far as it was kept. Others may have written it: it may close, and must not open.
pub fn recall_mode(folder: &Folder, policy: &Path) -> Option<Mode> {
    let (file, metadata) = input::open_itself(&folder.path().join(name_of(policy, MODE))).ok()?;
    let text = if metadata.is_file() { input::beginning(file, LONGEST_MODE).ok()? } else { return None };
    [Mode::Enforce, Mode::Audit].into_iter().find(|mode| mode.as_str().as_bytes() == text)
}

/// Whether a policy of this file was ever in force, though the file be gone.
pub fn is_known(folder: &Folder, policy: &Path) -> bool {
    [COPY, MODE].iter().any(|ending| folder.path().join(name_of(policy, ending)).symlink_metadata().is_ok())
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
    trusted::read(folder, &name_of(policy, COPY), most)
}

fn path(folder: &Folder, policy: &Path) -> PathBuf {
    folder.path().join(name_of(policy, COPY))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;
    use crate::state::trusted::distrust;

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
    fn each_policy_has_its_own_and_keeps_it_over_links() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().join("state"));
        for release in ["r1", "r2"] {
            fs::create_dir(dir.path().join(release)).unwrap();
        }
        symlink("r1", dir.path().join("current")).unwrap();
        let linked = dir.path().join("current/rules.yaml");
        keep(&folder, &linked, b"linked").unwrap();
        keep(&folder, Path::new("rules.yaml"), b"here").unwrap();
        keep(&folder, Path::new("other/rules.yaml"), b"other").unwrap();
        fs::remove_file(dir.path().join("current")).unwrap();
        symlink("r2", dir.path().join("current")).unwrap();
        assert_eq!(recall(&folder, &linked, MOST).unwrap(), b"linked");
        assert_eq!(recall(&folder, Path::new("rules.yaml"), MOST).unwrap(), b"here");
        assert_eq!(recall(&folder, &std::path::absolute("other/rules.yaml").unwrap(), MOST).unwrap(), b"other");
    }

    #[test]
    fn the_last_mode_is_kept_and_no_pipe_is_waited_for() {
        let place = Place::new();
        let recalled = || recall_mode(&place.folder, &place.policy());
        assert_eq!(recalled(), None);
        for mode in [Mode::Enforce, Mode::Audit, Mode::Enforce] {
            keep_mode(&place.folder, &place.policy(), mode).unwrap();
            assert_eq!(recalled(), Some(mode));
        }
        let path = place.folder.path().join(name_of(&place.policy(), MODE));
        fs::write(&path, "enforce and more").unwrap();
        assert_eq!(recalled(), None);
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(recalled(), None);
        assert!(is_known(&place.folder, &place.policy()));
        assert!(!is_known(&place.folder, Path::new("/elsewhere/rules.yaml")));
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
