//! Rotation, and files that are not to be written.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use exhook_policy_core::policy::model::Captured;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("deep/events.jsonl")
    }

    fn files(&self, max_size: u64, max_files: u16) -> Rotation {
        let events = Captured { logins: true, topics: true, connections: true, sessions: true, messages: true };
        Rotation::new(&CaptureDef { file: self.path(), max_size, max_files, events })
    }

    /// The files by what stands behind the name.
    fn found(&self) -> Vec<(String, String)> {
        let folder = self.folder.path().join("deep");
        let read = |entry: io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().replace("events.jsonl", "");
            (name, fs::read_to_string(path).unwrap())
        };
        let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(read).collect();
        found.sort();
        found
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, &str)]) {
        let found = self.found();
        let found: Vec<_> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(found, expected);
    }
}

#[track_caller]
fn write_all(files: &mut Rotation, mut lines: &[u8]) {
    while !lines.is_empty() {
        let count = files.write(lines).unwrap();
        lines = &lines[count..];
    }
}

#[track_caller]
fn check_rotation(max_size: u64, max_files: u16, lines: &str, expected: &[(&str, &str)]) {
    let place = Place::new();
    write_all(&mut place.files(max_size, max_files), lines.as_bytes());
    place.check(expected);
}

#[test]
fn full_files_are_put_aside_and_the_oldest_goes() {
    check_rotation(100, 3, "{1}\n{2}\n", &[("", "{1}\n{2}\n")]);
    check_rotation(8, 3, "{1}\n{2}\n{3}\n", &[("", "{3}\n"), (".1", "{1}\n{2}\n")]);
    check_rotation(8, 3, "{1}\n{2}\n{3}\n{4}\n", &[("", "{3}\n{4}\n"), (".1", "{1}\n{2}\n")]);
    check_rotation(4, 3, "{1}\n{2}\n{3}\n{4}\n{5}\n", &[("", "{5}\n"), (".1", "{4}\n"), (".2", "{3}\n")]);
    check_rotation(4, 1, "{1}\n{2}\n{3}\n", &[("", "{3}\n")]);
    check_rotation(4, 2, "{1}\n{22}\n{3}\n", &[("", "{3}\n"), (".1", "{22}\n")]);
}

#[test]
fn what_is_there_is_kept_and_counts() {
    let place = Place::new();
    write_all(&mut place.files(8, 2), b"{1}\n");
    write_all(&mut place.files(8, 2), b"{2}\n{3}\n");
    place.check(&[("", "{3}\n"), (".1", "{1}\n{2}\n")]);
}

#[test]
fn fewer_files_than_before_leave_none_behind() {
    let place = Place::new();
    write_all(&mut place.files(4, 5), b"{1}\n{2}\n{3}\n{4}\n");
    assert_eq!(place.found().len(), 4);
    write_all(&mut place.files(4, 2), b"{5}\n");
    place.check(&[("", "{5}\n"), (".1", "{4}\n")]);
}

#[test]
fn a_line_that_was_cut_off_gets_an_end() {
    let place = Place::new();
    fs::create_dir(place.folder.path().join("deep")).unwrap();
    fs::write(place.path(), "{1}\n{2").unwrap();
    write_all(&mut place.files(100, 2), b"{3}\n");
    place.check(&[("", "{1}\n{2\n{3}\n")]);
}

#[test]
fn a_file_that_is_moved_away_is_made_anew() {
    let place = Place::new();
    let mut files = place.files(100, 2);
    write_all(&mut files, b"{1}\n");
    fs::rename(place.path(), place.path().with_extension("old")).unwrap();
    write_all(&mut files, b"{2}\n");
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "{2}\n");
}

#[test]
fn only_the_owner_may_read() {
    let place = Place::new();
    write_all(&mut place.files(4, 2), b"{1}\n{2}\n");
    for name in ["events.jsonl", "events.jsonl.1"] {
        let metadata = fs::metadata(place.path().with_file_name(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[track_caller]
fn check_unfit(make: impl FnOnce(&Path), expected: &str) {
    let place = Place::new();
    fs::create_dir(place.folder.path().join("deep")).unwrap();
    make(&place.path());
    let trouble = place.files(100, 2).write(b"{1}\n").unwrap_err().to_string();
    assert_eq!(trouble, expected);
}

#[test]
fn what_is_no_capture_is_left_alone() {
    let text = "version: 1\n";
    check_unfit(|path| fs::write(path, text).unwrap(), "there is a file with other contents than events");
    check_unfit(|path| fs::create_dir(path).unwrap(), "Is a directory (os error 21)");
    let fifo = |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    check_unfit(fifo, "this is no regular file");
}

#[test]
fn two_drivers_do_not_write_at_once() {
    let place = Place::new();
    let (mut first, mut second) = (place.files(8, 2), place.files(8, 2));
    write_all(&mut first, b"{1}\n");
    assert_eq!(second.write(b"{2}\n").unwrap_err().to_string(), "another driver writes to it");
    drop(first);
    write_all(&mut second, b"{3}\n");
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "{1}\n{3}\n");
}
