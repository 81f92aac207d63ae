//! The program that the broker starts as `python3` or `java`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Finding;
use crate::input;

/// A build of this program for tests has some hundred MiB.
const LARGEST: u64 = 1 << 30;
/// What a copy of this program contains, and no other program.
const MARK: &str = "this is exhook-policy, a driver for the EMQX extension hook";

/// Whether the launcher is this program or another version of it, or a link to one that is gone.
pub fn is_ours(launcher: &Path) -> bool {
    match input::read_regular(launcher, LARGEST) {
        Ok(bytes) => regex::bytes::Regex::new(&regex::escape(MARK)).is_ok_and(|mark| mark.is_match(&bytes)),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whether users besides the owner and its group can put something else in the place of this
/// program, or of what is in this folder.
pub fn is_open_to_others(path: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    fs::metadata(path).is_ok_and(|metadata| {
        let mode = metadata.permissions().mode();
        let kept_apart = metadata.is_dir() && mode & STICKY != 0;
        mode & OTHERS_WRITE != 0 && !kept_apart
    })
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
        Ok(_) => match [folder, launcher].into_iter().find(|path| is_open_to_others(path)) {
            Some(open) => {
                let message = "everyone on this machine can write here, and so have the broker start another program";
                let fix = format!("chmod go-w {}", open.display());
                return Finding::problem(about, message).fix(fix).at(open, None);
            }
            None => Finding::fine(about, "it is this program"),
        },
    };
    finding.at(launcher, None)
}
