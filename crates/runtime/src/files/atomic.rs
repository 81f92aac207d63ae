//! Files that are put in the place of another, whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Puts a file with these bytes in the place of what has the name. Whoever `mode` names can read it, whatever the process keeps from the
/// files that it makes. `durable`: it is there after a power cut too.
///
/// # Errors
/// It cannot be written, or put there. What has the name is as it was, unless only the last step of `durable` failed.
pub fn put(path: &Path, bytes: &[u8], mode: u32, durable: bool) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(format!(".{}", std::process::id()));
    let aside = path.with_file_name(name);
    // What a killed process of this id left there, or a link that leads to a file of somebody else's.
    let _ = fs::remove_file(&aside);
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside).and_then(|mut file| {
        // Only where something is missing: not every file system can be told.
        if mode & !file.metadata()?.permissions().mode() != 0 {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)?;
        if durable { file.sync_all() } else { Ok(()) }
    });
    let put = written.and_then(|()| fs::rename(&aside, path));
    if put.is_err() {
        let _ = fs::remove_file(&aside);
    } else if durable {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    put
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mode: u32, durable: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for text in ["one", "two"] {
            put(&path, text.as_bytes(), mode, durable).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::create_dir(dir.path().join("g")).unwrap();
        assert!(put(&dir.path().join("g"), b"", mode, durable).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn a_file_is_replaced_whole_and_has_the_mode_that_is_asked_for() {
        check(0o600, true);
        check(0o644, false);
        // No umask leaves that.
        check(0o666, false);
    }

    #[test]
    fn a_link_in_the_way_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "kept").unwrap();
        let aside = dir.path().join(format!(".f.{}", std::process::id()));
        std::os::unix::fs::symlink(&other, &aside).unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join("f")).unwrap();
        put(&dir.path().join("f"), b"new", 0o644, false).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
        assert!(fs::symlink_metadata(dir.path().join("f")).unwrap().is_file());
    }

    #[test]
    fn there_is_no_file_without_a_name() {
        assert!(put(Path::new("/"), b"", 0o600, false).is_err());
    }
}
