//! Folders and programs that everyone may use and their owner alone may change.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::input;

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
