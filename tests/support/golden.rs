//! Texts that tests compare exactly, and write with `UPDATE_GOLDEN=1`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use exhook_policy_core::policy::diag::Report;

pub(crate) fn is_updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// The files of a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[track_caller]
pub(crate) fn check_golden(path: &Path, found: &str) {
    if is_updating() {
        fs::write(path, found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(path).unwrap_or_default(), "{}; UPDATE_GOLDEN=1 rewrites it", path.display());
}

/// Compares what is found in a file with the comments that it ends in: `#~ code at line:column [underlined text]:
/// message`, then a line `#~   help` for each help. The file's own text is what stands before them.
#[track_caller]
pub(crate) fn check_findings(path: &Path, read: impl FnOnce(&[u8]) -> Report) {
    let file = fs::read(path).unwrap();
    let end = file.windows(3).position(|window| window == b"\n#~").map_or(file.len(), |at| at + 1);
    let (text, expected) = file.split_at(end);
    let found = findings(&read(text));
    if is_updating() {
        fs::write(path, [text, found.as_bytes()].concat()).unwrap();
    } else {
        assert!(!expected.is_empty(), "{} expects nothing", path.display());
        assert_eq!(found, String::from_utf8_lossy(expected), "{}", path.display());
    }
}

fn findings(report: &Report) -> String {
    let mut out = String::new();
    for diagnostic in report.diagnostics() {
        write!(out, "#~ {}", diagnostic.code().name()).unwrap();
        if let (Some((line, column)), Some(span)) = (report.position(diagnostic), diagnostic.span()) {
            write!(out, " at {line}:{column} [{}]", shown(span.of(report.text()))).unwrap();
        }
        writeln!(out, ": {}", shown(diagnostic.message())).unwrap();
        for help in diagnostic.helps() {
            writeln!(out, "#~   {}", shown(help)).unwrap();
        }
    }
    out
}

/// The text on one line.
pub(crate) fn shown(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}
