use std::io::Read;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

#[track_caller]
fn rewritten(old: &str, hash: Option<&str>, new: &str, done: Edit) {
    let (bytes, edit) = rewrite(old.as_bytes(), "ann", hash);
    assert_eq!((String::from_utf8(bytes).unwrap().as_str(), edit), (new, done), "{old:?}");
}

#[test]
fn an_entry_is_added_at_the_end() {
    let hash = Some("H");
    rewritten("", hash, "ann:H\n", Edit::Added);
    rewritten("bob:x\n", hash, "bob:x\nann:H\n", Edit::Added);
    rewritten("bob:x", hash, "bob:x\nann:H\n", Edit::Added);
    rewritten("bob:x\r\ncid:y", hash, "bob:x\r\ncid:y\r\nann:H\r\n", Edit::Added);
    rewritten("#ann:x\nanna:y\n", hash, "#ann:x\nanna:y\nann:H\n", Edit::Added);
    rewritten("\u{feff}", hash, "\u{feff}\nann:H\n", Edit::Added);
}

#[test]
fn an_entry_is_replaced_where_it_stands() {
    let hash = Some("H");
    rewritten("# staff\nann:x\n\nbob:y \n", hash, "# staff\nann:H\n\nbob:y \n", Edit::Changed);
    rewritten("bob:y\r\nann:x\r\n", hash, "bob:y\r\nann:H\r\n", Edit::Changed);
    rewritten("bob:y\nann:x", hash, "bob:y\nann:H\n", Edit::Changed);
    rewritten("\u{feff}ann:x\n", hash, "\u{feff}ann:H\n", Edit::Changed);
    rewritten("ann\nbob:y\n", hash, "ann:H\nbob:y\n", Edit::Changed);
    rewritten("ann:x\nbob:y\nann:z\n", hash, "ann:H\nbob:y\n", Edit::Changed);
}

#[test]
fn entries_are_taken_out() {
    rewritten("# staff\nann:x\nbob:y\nann:z\n", None, "# staff\nbob:y\n", Edit::Removed);
    rewritten("\u{feff}ann:x\nbob:y\n", None, "\u{feff}bob:y\n", Edit::Removed);
    rewritten("bob:y\n", None, "bob:y\n", Edit::Missing);
    rewritten("", None, "", Edit::Missing);
}

#[test]
fn usernames_that_would_not_be_read_back_are_refused() {
    for name in ["ann", "dev-1", "a b", " ", "a#", "änn", "a\u{feff}"] {
        assert_eq!(check_username(name), Ok(()), "{name:?}");
    }
    for name in ["", "a:b", ":", "#a", "a\nb", "a\r", "a\0", "\u{feff}a", "a\u{85}"] {
        assert!(check_username(name).is_err(), "{name:?}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_private_and_an_old_one_keeps_its_mode() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    assert_eq!(edit(&path, "ann", Some("H")).unwrap(), Edit::Added);
    assert_eq!(mode(&path), 0o600);
    for kept in [0o640, 0o444, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
        assert_eq!(edit(&path, "ann", Some("H2")).unwrap(), Edit::Changed);
        assert_eq!(mode(&path), kept);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "ann:H2\n");
    assert_eq!(names(folder.path()), ["users"], "nothing is left behind");
}

#[test]
fn the_file_is_replaced_and_not_written_into() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    fs::write(&path, "bob:x\n").unwrap();
    let mut reader = File::open(&path).unwrap();
    edit(&path, "ann", Some("H")).unwrap();
    let mut seen = String::new();
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "bob:x\n");
    let inode = fs::metadata(&path).unwrap().ino();
    assert_eq!(edit(&path, "cid", None).unwrap(), Edit::Missing);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "there was nothing to write");
}

#[test]
fn links_are_followed_and_stay() {
    let folder = TempDir::new().unwrap();
    let (real, links) = (folder.path().join("real"), folder.path().join("links"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&links).unwrap();
    symlink("../real/users", links.join("second")).unwrap();
    symlink(links.join("second"), links.join("first")).unwrap();
    for (name, done) in [("ann", Edit::Added), ("bob", Edit::Added)] {
        assert_eq!(edit(&links.join("first"), name, Some("H")).unwrap(), done);
    }
    assert_eq!(fs::read_to_string(real.join("users")).unwrap(), "ann:H\nbob:H\n");
    assert_eq!((names(&real), names(&links)), (vec!["users".into()], vec!["first".into(), "second".into()]));
    assert!(fs::symlink_metadata(links.join("first")).unwrap().is_symlink());
    symlink("loop", links.join("loop")).unwrap();
    assert_eq!(edit(&links.join("loop"), "ann", Some("H")).unwrap_err().to_string(), "too many symbolic links");
}

#[test]
fn what_is_no_file_is_left_alone() {
    let folder = TempDir::new().unwrap();
    assert_eq!(edit(folder.path(), "ann", Some("H")).unwrap_err().to_string(), "not a regular file");
    let nowhere = folder.path().join("missing/users");
    assert_eq!(edit(&nowhere, "ann", Some("H")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(edit(&folder.path().join("users"), "ann", None).unwrap(), Edit::Missing);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn edits_at_the_same_time_do_not_lose_each_other() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = &path;
            scope.spawn(move || {
                for m in 0..5 {
                    edit(path, &format!("u{n}-{m}"), Some("H")).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 40);
}
