//! What the program keeps on disk for itself: a word on how it is, and the last policy that was good.
//!
//! - [`status`]: how this process is, in a file that `exhook-policy status` reads.
//! - [`last_good`]: a copy of the policy in force, for a start at which the file is invalid.
//! - [`texts`]: the texts of the policies that were in force last.
//! - [`brokers`]: which hooks each broker registered, for the next start of a server.
//! - [`trusted`]: what of it may be believed.
//!
//! Where the folder is must be known before the policy is: the policy may be what does not load.

pub mod brokers;
pub mod last_good;
pub mod status;
pub mod texts;
pub mod trusted;

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::files::atomic::put;

/// Names the folder, for a driver whose command line is the broker's.
pub const VARIABLE: &str = "EXHOOK_POLICY_STATE";
/// What systemd calls the folder that it makes for a service.
const OF_SYSTEMD: &str = "STATE_DIRECTORY";
/// The folder beside the policy.
const BESIDE: &str = "state";

/// The folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder for a policy: the one that is named, or that the environment names, or `state` beside the policy.
    pub fn of(policy: &Path, named: Option<&Path>) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Folder::choose(policy, named, variable(VARIABLE).map(PathBuf::from), variable(OF_SYSTEMD).map(PathBuf::from))
    }

    fn choose(policy: &Path, named: Option<&Path>, variable: Option<PathBuf>, systemd: Option<PathBuf>) -> Self {
        // systemd separates several by colons.
        let systemd = systemd.and_then(|folders| std::env::split_paths(&folders).next());
        let beside = || policy.parent().unwrap_or(Path::new("")).join(BESIDE);
        Folder(named.map(Path::to_owned).or(variable).or(systemd).unwrap_or_else(beside))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, for its owner alone, where it is not there.
    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// Puts a file in the place of what has the name, whole or not at all. Its owner alone may read it.
    fn put(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
        self.make()?;
        put(&self.0.join(name), bytes, 0o600, durable)
    }
}

/// The name of a file that is about a policy. Policies of one name in several folders may share a
/// state folder. Links are not followed: by them a policy is changed, and it stays the same one.
fn name_of(policy: &Path, ending: &str) -> String {
    let whole = std::path::absolute(policy).unwrap_or_else(|_| policy.to_owned());
    let hash = hash_of(whole.as_os_str().as_encoded_bytes());
    let stem = policy.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{}.{ending}", hash.get(..8).unwrap_or_default())
}

/// How a policy's text is known: the SHA-256 of its bytes, as `sha256sum` prints it.
pub fn hash_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(named: Option<&str>, variable: Option<&str>, systemd: Option<&str>, expected: &str) {
        let folder = Folder::choose(
            Path::new("/etc/x/rules.yaml"),
            named.map(Path::new),
            variable.map(Into::into),
            systemd.map(Into::into),
        );
        assert_eq!(folder.path(), Path::new(expected));
    }

    #[test]
    fn the_nearest_word_names_the_folder() {
        check(None, None, None, "/etc/x/state");
        check(None, None, Some("/var/lib/a:/var/lib/b"), "/var/lib/a");
        check(None, Some("/v"), Some("/var/lib/a"), "/v");
        check(Some("/n"), Some("/v"), Some("/var/lib/a"), "/n");
    }

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owner_s() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().join("a/state"));
        for text in ["one", "two"] {
            folder.put("f", text.as_bytes(), true).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("f")).unwrap(), text);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.path().join("f"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

        fs::create_dir(folder.path().join("g")).unwrap();
        assert!(folder.put("g", b"", false).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn a_text_is_known_as_sha256sum_knows_it() {
        assert_eq!(hash_of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
