use std::fs;

use tempfile::TempDir;

use super::*;

const HASH: &str = "$pbkdf2-sha256$i=7$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";

const DEADLINE: Duration = Duration::from_secs(2);

fn look_up(source: &mut FileSource, user: &str) -> Result<SourceAnswer, String> {
    source.look_up(user, Instant::now() + Duration::from_secs(60))
}

/// What a file with these contents says of a user.
#[track_caller]
fn check(contents: &str, user: &str, expected: &SourceAnswer) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    fs::write(&path, contents).unwrap();
    let found = look_up(&mut FileSource::new(path, DEADLINE), user);
    assert!(found.as_ref() == Ok(expected), "{user:?} in {contents:?}");
}

fn hash(text: &str) -> SourceAnswer {
    SourceAnswer::Hash(text.to_owned())
}

#[test]
fn a_line_is_a_username_and_a_hash() {
    check("ann:$6$x$y\n", "ann", &hash("$6$x$y"));
    check("ann:$6$x$y", "ann", &hash("$6$x$y"));
    check("ann:a:b:c\n", "ann", &hash("a:b:c"));
    check("bob:1\nann:2\r\ncid:3", "ann", &hash("2"));
    check("bob:1\r\n\r\nann:2\r\n", "ann", &hash("2"));
    check("ann: x \t\n", "ann", &hash(" x \t"));
    check("änn:ü\n", "änn", &hash("ü"));
    check(" ann :x\n", " ann ", &hash("x"));
    check("ann:\n", "ann", &hash(""));
    check(":x\n", "", &hash("x"));
    check("ann:x#y\n", "ann", &hash("x#y"));
}

#[test]
fn whoever_has_no_line_is_nobody() {
    for contents in
        ["", "\n\n", "#ann:x\n", "# ann:x\n", "bob:x\n", "ANN:x\n", "ann :x\n", "ann2:x\n", "x:ann\n", " #ann:x\n"]
    {
        check(contents, "ann", &SourceAnswer::Nobody);
    }
    check("\nann:x\n\n", "", &SourceAnswer::Nobody);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    check("\u{feff}ann:x\nbob:y\n", "ann", &hash("x"));
    check("\u{feff}#ann:x\n", "#ann", &SourceAnswer::Nobody);
    check("bob:y\n\u{feff}ann:x\n", "ann", &SourceAnswer::Nobody);
    check("bob:y\n\u{feff}ann:x\n", "\u{feff}ann", &hash("x"));
}

#[test]
fn a_user_without_a_hash_does_not_pass_for_unknown() {
    check("ann\n", "ann", &hash(""));
    check("bob:x\nann", "ann", &hash(""));
}

#[test]
fn two_lines_of_a_user_are_one_too_many() {
    check("ann:x\nbob:y\nann:x\n", "ann", &SourceAnswer::Several);
    check("ann:x\nbob:y\nann\n", "ann", &SourceAnswer::Several);
    check("ann:x\nbob:y\nann:x\n", "bob", &hash("y"));
}

#[test]
fn bytes_that_are_no_text_spoil_one_line_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    fs::write(&path, b"\xe9ric:x\nann:\xff\nbob:y\n").unwrap();
    let mut source = FileSource::new(path, DEADLINE);
    assert!(look_up(&mut source, "ann") == Ok(hash("\u{fffd}")));
    assert!(look_up(&mut source, "bob") == Ok(hash("y")));
}

#[test]
fn a_change_counts_at_the_next_look_up() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    fs::write(&path, "ann:0\n").unwrap();
    let mut source = FileSource::new(path.clone(), DEADLINE);
    assert!(look_up(&mut source, "ann") == Ok(hash("0")));
    // In place, with the same size, faster than the file system's clock ticks.
    for n in 0..10 {
        fs::write(&path, format!("ann:{n}\n")).unwrap();
        assert!(look_up(&mut source, "ann") == Ok(hash(&n.to_string())), "{n}");
    }
    // By a new file of the same size and time.
    let other = folder.path().join("other");
    fs::write(&other, "ann:x\n").unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(look_up(&mut source, "ann") == Ok(hash("x")));
}

#[test]
fn a_file_at_rest_is_read_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    fs::write(&path, "ann:x\n").unwrap();
    std::thread::sleep(TICK * 2);
    let mut source = FileSource::new(path, DEADLINE);
    assert!(look_up(&mut source, "ann") == Ok(hash("x")));
    let read = std::ptr::from_ref(source.contents.as_ref().unwrap().entries.users.values().next().unwrap());
    assert!(look_up(&mut source, "ann") == Ok(hash("x")));
    assert!(read == std::ptr::from_ref(source.contents.as_ref().unwrap().entries.users.values().next().unwrap()));
    assert!(source.contents.unwrap().settled);
}

/// Whatever is written to it in the same tick would not be seen by its time.
#[test]
fn a_file_that_was_just_written_is_read_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    fs::write(&path, "ann:x\n").unwrap();
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    File::options().write(true).open(&path).unwrap().set_modified(soon).unwrap();
    let mut source = FileSource::new(path, DEADLINE);
    assert!(look_up(&mut source, "ann") == Ok(hash("x")));
    assert!(!source.contents.unwrap().settled);
}

#[test]
fn a_user_is_gone_only_once_the_file_is_at_rest() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    fs::write(&path, "ann:x\n").unwrap();
    let mut source = FileSource::new(path.clone(), DEADLINE);
    assert!(look_up(&mut source, "ann") == Ok(hash("x")));
    fs::write(&path, "").unwrap();
    assert!(matches!(look_up(&mut source, "ann"), Ok(SourceAnswer::Unsure(_))));
    assert!(look_up(&mut source, "bob") == Ok(SourceAnswer::Nobody));
    fs::write(&path, "bob:y\n").unwrap();
    assert!(matches!(look_up(&mut source, "ann"), Ok(SourceAnswer::Unsure(_))));
    assert!(look_up(&mut source, "bob") == Ok(hash("y")));
    fs::write(&path, "bob:y\nann:z\n").unwrap();
    assert!(look_up(&mut source, "ann") == Ok(hash("z")));
    fs::write(&path, "bob:y\n").unwrap();
    assert!(matches!(look_up(&mut source, "ann"), Ok(SourceAnswer::Unsure(_))));
    std::thread::sleep(REST + TICK);
    assert!(look_up(&mut source, "ann") == Ok(SourceAnswer::Nobody));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_until_it_can() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    let mut source = FileSource::new(path.clone(), DEADLINE);
    let expected = format!("{}: No such file or directory (os error 2)", path.display());
    assert!(look_up(&mut source, "ann") == Err(expected.clone()));
    fs::write(&path, "ann:x\n").unwrap();
    assert!(look_up(&mut source, "ann") == Ok(hash("x")));
    fs::remove_file(&path).unwrap();
    assert!(look_up(&mut source, "ann") == Err(expected));
    fs::create_dir(&path).unwrap();
    assert!(look_up(&mut source, "ann") == Err(format!("{}: not a regular file", path.display())));
}

#[test]
fn the_costliest_hash_is_known_from_the_first_look_up_on() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    let of = |rounds: u32| HASH.replace("i=7", &format!("i={rounds}"));
    let costliest = |source: &FileSource| source.costliest().map(|hash| hash.time());
    let time = |rounds: u32| Some(StoredHash::parse(&of(rounds)).unwrap().time());
    // Neither a hash that takes longer than a login has counts, nor one of a user with two entries.
    let (long, twice) = (of(3_000_000), of(500_000));
    let text = format!("ann:plain\nbob:{HASH}\ncid:{}\ndan:{}\neve:{long}\nf:{twice}\nf:{twice}\n", of(20_000), of(9));
    fs::write(&path, text).unwrap();
    let mut source = FileSource::new(path.clone(), DEADLINE);
    assert_eq!(costliest(&source), None);
    assert!(look_up(&mut source, "bob") == Ok(hash(HASH)));
    assert_eq!(costliest(&source), time(20_000));
    fs::write(&path, format!("bob:{HASH}\ndan:{}\n", of(9))).unwrap();
    assert!(look_up(&mut source, "bob") == Ok(hash(HASH)));
    assert_eq!(costliest(&source), time(9), "the dear one is gone");
    fs::write(&path, "ann:plain\n").unwrap();
    assert!(look_up(&mut source, "ann") == Ok(hash("plain")));
    assert_eq!(costliest(&source), None);
}

#[test]
fn bad_entries_are_logged_once_and_again_when_they_change() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    fs::write(&path, format!("ann:hunter2\nbob:{HASH}\n")).unwrap();
    let mut source = FileSource::new(path.clone(), DEADLINE);
    assert_eq!(source.bad_entries(), None, "it was not read yet");
    source.prepare();
    let denied = "user `ann` is denied, since the hash cannot be read: it looks like a password in plain text";
    let expected = |line: usize| Some(format!("{}: line {line}: {denied}", path.display()));
    assert_eq!(source.bad_entries(), expected(1));
    assert!(look_up(&mut source, "bob") == Ok(hash(HASH)));
    assert_eq!(source.bad_entries(), None);
    fs::write(&path, format!("# new\nann:hunter2\nbob:{HASH}\n")).unwrap();
    assert!(look_up(&mut source, "bob") == Ok(hash(HASH)));
    assert_eq!(source.bad_entries(), expected(2));
    fs::write(&path, format!("bob:{HASH}\n")).unwrap();
    assert!(look_up(&mut source, "bob") == Ok(hash(HASH)));
    assert_eq!(source.bad_entries(), None);
}
