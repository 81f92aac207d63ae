//! The program that the broker starts as `python3` or `java`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use memchr::memmem;

use super::Finding;
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::source::Way;

/// A build of this program for tests has some hundred MiB.
const LARGEST: u64 = 1 << 30;
/// What a copy of this program contains, and no other program.
const MARK: &str = "this is exhook-policy, a driver for the EMQX extension hook";

/// Whether the launcher is this program or another version of it, or a link to one that is gone.
pub fn is_ours(launcher: &Path) -> bool {
    match input::read_regular(launcher, LARGEST) {
        Ok(bytes) => memmem::find(&bytes, MARK.as_bytes()).is_some(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Where everyone can put something else in the place of this program, or of what is in this folder: what is wrong, and what to
/// do about it. The folders above count, and those above what a link names.
pub fn open_to_others(path: &Path) -> Option<(String, String)> {
    let way = Way::of(path).ok()?;
    let written = way.written_by_everyone(false)?;
    Some((format!("{}, and so have the broker start another program", written.message()), written.help()))
}

/// Looks at the folder that `install` made, for the launchers of these drivers.
pub fn check(folder: &Path, drivers: &[&str]) -> Vec<Finding> {
    drivers.iter().map(|driver| check_one(&folder.join(driver), folder)).collect()
}

fn check_one(launcher: &Path, folder: &Path) -> Finding {
    let again = format!("exhook-policy install {}", folder.display());
    let about = "the launcher";
    let finding = match fs::metadata(launcher) {
        Err(error) => {
            let message = format!("the broker finds no driver here, and runs on without one: {error}");
            Finding::problem(about, message).fix(again)
        }
        Ok(_) if !is_ours(launcher) => {
            Finding::problem(about, "this is another program, which does not know the policy").fix(again)
        }
        Ok(metadata) if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 => {
            Finding::problem(about, "this cannot be started").fix(again)
        }
        Ok(_) => match open_to_others(launcher) {
            Some((message, fix)) => Finding::problem(about, message).fix(fix),
            None => Finding::fine(about, "it is this program"),
        },
    };
    finding.at(launcher, None)
}
