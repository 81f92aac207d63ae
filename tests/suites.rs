//! Test files of policies: what is wrong with them, and what running them says.
//!
//! A file of `tests/suites/bad` ends in comments that say what must be found in it. With `UPDATE_GOLDEN=1` the tests
//! write these and the other expected texts instead of comparing them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod golden_text;

use std::fs;
use std::path::{Path, PathBuf};

use exhook_policy::policy::diag::Report;
use exhook_policy::suite;
use golden_text::{check_findings, check_golden, files};

/// The tests run in the package's folder, and reports name files as they are called.
fn folder(name: &str) -> PathBuf {
    Path::new("tests/suites").join(name)
}

/// What is wrong with a test file; the report on its policy is left out.
fn report(bytes: &[u8], path: &Path) -> Report {
    let mut reports = suite::parse(bytes, path).unwrap_err();
    reports.pop().unwrap()
}

#[test]
fn bad_test_files_say_what_is_wrong_and_where() {
    for path in files(&folder("bad")) {
        check_findings(&path, |bytes| report(bytes, &path));
    }
}

#[test]
fn no_report_shows_a_password() {
    for path in files(&folder("bad")) {
        let bytes = fs::read(&path).unwrap();
        let end = bytes.windows(3).position(|window| window == b"\n#~").unwrap_or(bytes.len());
        let shown = report(&bytes[..end], &path).to_string();
        let mut words = shown.split(|c: char| !c.is_alphanumeric());
        assert!(!words.any(|word| ["s3cret", "s3", "cret", "12345"].contains(&word)), "{shown}");
    }
}

#[test]
fn the_schema_is_what_the_types_say() {
    check_golden(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/tests.schema.json"), &suite::schema());
}
