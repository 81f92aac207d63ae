//! Reading policies and their test files from the disk.

use std::io;
use std::path::Path;

use exhook_policy_core::policy::diag::Report;
use exhook_policy_core::policy::{self, Loaded, unreadable};
use exhook_policy_core::suite::{self, StandIns, Suite, SuiteFiles};

use super::input;

/// Reads a policy file. Paths in it are relative to its folder.
///
/// # Errors
/// Everything that is wrong with it; [`Report::is_unreadable`] tells a file that could not be read.
pub fn load(path: &Path) -> Result<Loaded, Box<Report>> {
    let name = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new(""));
    match read(path) {
        Ok(bytes) => policy::parse_bytes(&bytes, &name, folder),
        Err(error) => Err(Box::new(unreadable(&name, &error))),
    }
}

/// The bytes of a file, but no more than one past the most that a policy may have.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(policy::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    input::beginning(input::stream(path)?, limit)
}

/// Reads a test file, and the policy that it names or that stands beside it.
///
/// # Errors
/// Everything that is wrong with the test file, and with the policy.
pub fn load_suite(path: &Path) -> Result<Suite, Vec<Report>> {
    let bytes = read(path).map_err(|error| vec![unreadable(&path.display().to_string(), &error)])?;
    parse_suite(&bytes, path)
}

/// Reads a test file from bytes, and the policy that it names or that stands beside the path.
///
/// # Errors
/// Everything that is wrong with the test file, and with the policy.
pub fn parse_suite(bytes: &[u8], path: &Path) -> Result<Suite, Vec<Report>> {
    suite::parse(bytes, path, SuiteFiles { is_file: &Path::is_file, load_policy: &load })
}

/// Reads the `lists` and `passwords` of a test file. The policy that it names is not looked at.
///
/// # Errors
/// What is wrong with the file.
pub fn load_stand_ins(path: &Path) -> Result<StandIns, Box<Report>> {
    let name = path.display().to_string();
    match read(path) {
        Ok(bytes) => StandIns::parse(&bytes, &name),
        Err(error) => Err(Box::new(unreadable(&name, &error))),
    }
}
