//! The texts of the policies that were in force last, each by its hash, so that what one of them
//! decided can be explained later. What its lists and password files held then is not kept.

use std::fs::{self, DirEntry};
use std::io;
use std::time::{Duration, SystemTime};

use super::{Folder, hash_of};
use crate::files::input;

/// The folder within the state folder.
const FOLDER: &str = "policies";
/// What the names of the files end in, behind the hash.
const ENDING: &str = ".yaml";
/// How many texts are kept, and how many bytes all of them have at most.
const MOST: usize = 50;
const BYTES: u64 = 16 << 20;
/// A file that was begun and not put in its place is left over from a process that was killed, if
/// it is as old as this.
const LEFT_OVER: Duration = Duration::from_secs(60);
/// A hash that is cut must have as many letters, so that it names one text.
const SHORTEST: usize = 12;

/// Keeps the text of a policy that is in force, and lets go of the oldest ones that are too many.
/// A text that is larger than all of them may be is not kept.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn keep(folder: &Folder, hash: &str, text: &[u8]) -> io::Result<()> {
    keep_within(folder, hash, text, (MOST, BYTES))
}

fn keep_within(folder: &Folder, hash: &str, text: &[u8], bound: (usize, u64)) -> io::Result<()> {
    if text.len() as u64 > bound.1 {
        return Ok(());
    }
    let texts = folder_of(folder);
    // One that is there already is written again: it is the newest now.
    let name = format!("{hash}{ENDING}");
    texts.put(&name, text, false)?;
    tidy(&texts, &name, bound, SystemTime::now())
}

/// The text of the policy with this hash, or whose hash begins so; `None` if it is not kept, or is
/// not what the hash says.
pub fn recall(folder: &Folder, hash: &str) -> Option<Vec<u8>> {
    let is_hash = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hash.len() < SHORTEST || !is_hash(hash) {
        return None;
    }
    let texts = folder_of(folder);
    let names = fs::read_dir(texts.path()).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found = names.filter(|name| name.starts_with(hash) && name.ends_with(ENDING));
    let name = found.next().filter(|_| found.next().is_none())?;
    // Anyone may have written it: what it says is taken by its hash alone.
    let (file, metadata) = input::open_itself(&texts.path().join(&name)).ok()?;
    let bytes = metadata.is_file().then(|| input::rest(file, BYTES).ok())??;
    (hash_of(&bytes) == name.strip_suffix(ENDING)?).then_some(bytes)
}

fn folder_of(folder: &Folder) -> Folder {
    Folder(folder.path().join(FOLDER))
}

/// Removes the oldest texts that are too many or too large together, and files that were left over.
/// `newest` is the name of the one that was written last, whatever the clock says of the others.
fn tidy(texts: &Folder, newest: &str, (most, bytes): (usize, u64), now: SystemTime) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(texts.path())? {
        let entry = entry?;
        // Another process may have removed it.
        let Ok(metadata) = entry.metadata() else { continue };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if !metadata.is_file() {
            continue;
        }
        if is_text(&entry) {
            kept.push((entry.file_name() == newest, modified, entry.path(), metadata.len()));
        } else if now.duration_since(modified).is_ok_and(|age| age >= LEFT_OVER) {
            remove(&entry.path())?;
        }
    }
    kept.sort();
    let mut size = 0;
    for (_, _, path, _) in kept.iter().rev().enumerate().filter_map(|(count, one)| {
        size += one.3;
        (count >= most || size > bytes).then_some(one)
    }) {
        remove(path)?;
    }
    Ok(())
}

fn is_text(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    name.to_str().is_some_and(|name| name.ends_with(ENDING) && !name.starts_with('.'))
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    struct Place {
        _dir: tempfile::TempDir,
        folder: Folder,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder(dir.path().join("state"));
            Place { _dir: dir, folder }
        }

        /// Keeps a text that is as many seconds old.
        fn keep(&self, text: &str, age: u64, bound: (usize, u64)) -> String {
            let hash = hash_of(text.as_bytes());
            keep_within(&self.folder, &hash, text.as_bytes(), bound).unwrap();
            if let Ok(file) = fs::File::options().write(true).open(self.path(&hash)) {
                file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            }
            hash
        }

        fn path(&self, hash: &str) -> PathBuf {
            folder_of(&self.folder).path().join(format!("{hash}{ENDING}"))
        }

        fn recall(&self, hash: &str) -> Option<String> {
            recall(&self.folder, hash).map(|text| String::from_utf8(text).unwrap())
        }
    }

    #[test]
    fn a_text_is_found_by_its_hash_or_the_beginning() {
        let place = Place::new();
        assert_eq!(place.recall(&hash_of(b"version: 1\n")), None);
        let hash = place.keep("version: 1\n", 0, (MOST, BYTES));
        let beginning = |length| hash.get(..length).unwrap();
        for asked in [&*hash, beginning(12)] {
            assert_eq!(place.recall(asked).as_deref(), Some("version: 1\n"), "{asked}");
        }
        for asked in ["", beginning(11), "../../../etc", "000000000000"] {
            assert_eq!(place.recall(asked), None, "{asked}");
        }
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let texts = folder_of(&place.folder);
        assert_eq!((mode(place.path(&hash)), mode(texts.path().to_owned())), (0o600, 0o700));
    }

    #[test]
    fn a_text_that_was_changed_is_not_believed() {
        let place = Place::new();
        let hash = place.keep("version: 1\n", 0, (MOST, BYTES));
        fs::write(place.path(&hash), "version: 1\n# more\n").unwrap();
        assert_eq!(place.recall(&hash), None);
        fs::remove_file(place.path(&hash)).unwrap();
        fs::create_dir(place.path(&hash)).unwrap();
        assert_eq!(place.recall(&hash), None);
    }

    #[test]
    fn the_oldest_texts_go_first() {
        let place = Place::new();
        let old = place.keep("old", 30, (3, 1000));
        let older = place.keep("older", 40, (3, 1000));
        let new = place.keep("new", 10, (3, 1000));
        let newest = place.keep("newest", 0, (3, 1000));
        let kept = |hash: &String| place.recall(hash).is_some();
        assert_eq!([&older, &old, &new, &newest].map(kept), [false, true, true, true]);
        // One that is in force again is the newest.
        place.keep("old", 0, (2, 1000));
        assert_eq!([&old, &new, &newest].map(kept), [true, false, true]);
        // By bytes, and one that is too large for all is not kept.
        let large = place.keep(&"x".repeat(995), 0, (3, 1000));
        assert_eq!([&old, &newest, &large].map(kept), [true, false, true]);
        let too_large = place.keep(&"x".repeat(1001), 0, (3, 1000));
        assert_eq!([&old, &too_large].map(kept), [true, false]);
    }

    #[test]
    fn the_text_in_force_is_kept_though_the_clock_was_set_back() {
        let place = Place::new();
        for text in ["a", "b"] {
            let hash = place.keep(text, 0, (2, 1000));
            let file = fs::File::options().write(true).open(place.path(&hash)).unwrap();
            file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
        }
        let in_force = place.keep("c", 0, (2, 1000));
        assert_eq!(place.recall(&in_force).as_deref(), Some("c"));
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let place = Place::new();
        let hash = place.keep("version: 1\n", 0, (MOST, BYTES));
        let aside = |age| {
            let path = folder_of(&place.folder).path().join(format!(".{hash}.yaml.{age}"));
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            path
        };
        let (old, fresh) = (aside(100), aside(5));
        place.keep("version: 1\n", 0, (MOST, BYTES));
        assert!(!old.exists() && fresh.exists());
    }
}
