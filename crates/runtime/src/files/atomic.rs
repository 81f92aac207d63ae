//! Files and folders that are made: put in the place of another whole or not at all, and never
//! writable by others.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::files::input;

/// Everyone may enter such a folder, see what is in it, and start such a program; its owner alone
/// may change it.
const FOR_EVERYONE: u32 = 0o755;

/// Makes a folder that everyone can enter, and those above it, whatever the umask. One that is
/// there stays as it is.
///
/// # Errors
/// It cannot be made.
pub fn make_folder_for_everyone(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder_for_everyone(above)?;
    }
    match DirBuilder::new().mode(FOR_EVERYONE).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(FOR_EVERYONE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies a program to a file that is not there yet. Everyone can start the copy, and its owner
/// alone can change it, whatever the umask and the program's own mode.
///
/// # Errors
/// It cannot be read, or the copy cannot be written.
pub fn copy_program(program: &Path, copy: &Path) -> io::Result<()> {
    let (mut from, _) = input::open(program)?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(FOR_EVERYONE).open(copy)?;
    io::copy(&mut from, &mut to)?;
    to.set_permissions(Permissions::from_mode(FOR_EVERYONE))
}

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
