//! The way that a path leads through folders and links, and what everyone may do on it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

const READ: u32 = 4;
const WRITE: u32 = 2;
const ENTER: u32 = 1;
const STICKY: u32 = 0o1000;

/// How many links a path may lead through, as for the kernel.
const LINKS: usize = 40;

/// The way of a path that leads to something.
#[derive(Debug)]
pub struct Way {
    folders: Vec<WayFolder>,
    end: PathBuf,
}

/// A folder on the way, by a path that leads through no link.
#[derive(Debug)]
struct WayFolder {
    path: PathBuf,
    /// A name is looked up in it. It is not only left again by `..`.
    is_asked: bool,
}

/// What everyone can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WritableByAll<'w> {
    at: &'w Path,
    /// Nothing can be put in the place of the database, but a journal beside it.
    beside: bool,
}

impl WritableByAll<'_> {
    /// What is wrong.
    pub fn message(self) -> String {
        let at = self.at.display();
        if self.beside {
            format!("everyone on this machine can put a journal beside the database, in {at}")
        } else {
            format!("everyone on this machine can write to {at}")
        }
    }

    /// What to do about it.
    pub fn help(self) -> String {
        if self.beside {
            "give the database a folder in which only those can write who may".to_owned()
        } else {
            format!("chmod o-w {}", self.at.display())
        }
    }
}

/// A step of a path that is still to be taken.
enum PathStep {
    Root,
    Up,
    Name(OsString),
}

impl Way {
    /// Walks the path as the kernel does: where a link stands it goes on at what the link names.
    ///
    /// # Errors
    /// The path leads to nothing, or through what cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut ahead: VecDeque<PathStep> = steps(&std::path::absolute(path)?).collect();
        let mut folders: Vec<WayFolder> = Vec::new();
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(step) = ahead.pop_front() {
            match step {
                PathStep::Root => here = PathBuf::from("/"),
                PathStep::Up => {
                    folders.push(WayFolder { path: here.clone(), is_asked: false });
                    here.pop();
                }
                PathStep::Name(name) => {
                    let next = here.join(name);
                    let is_link = fs::symlink_metadata(&next)?.is_symlink();
                    folders.push(WayFolder { path: here.clone(), is_asked: true });
                    if is_link {
                        links += 1;
                        if links > LINKS {
                            return Err(io::Error::other("it leads through too many links"));
                        }
                        for step in steps(&fs::read_link(&next)?).rev() {
                            ahead.push_front(step);
                        }
                    } else {
                        here = next;
                    }
                }
            }
        }
        Ok(Way { folders, end: here })
    }

    /// The folders on the way, in the order in which they are entered; one may be there again. Those above a link are among them, and
    /// those above what it names.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|folder| folder.path.as_path())
    }

    /// What the path leads to, by a path that leads through no link.
    pub fn end(&self) -> &Path {
        &self.end
    }

    /// The file, or a folder on the way to it in which everyone can put another file, folder or link in the place of one. What not
    /// everyone can reach is none, nor is a folder with the sticky bit, but where a database is in it: there everyone puts a journal beside it.
    pub fn written_by_everyone(&self, is_database: bool) -> Option<WritableByAll<'_>> {
        let asked = self.folders.iter().rev().filter(|folder| folder.is_asked).map(|folder| folder.path.as_path());
        std::iter::once(self.end()).chain(asked).find_map(|at| {
            let metadata = fs::metadata(at).ok()?;
            let bits = if metadata.is_dir() { WRITE | ENTER } else { WRITE };
            if metadata.mode() & bits != bits || !is_reached_by_everyone(at) {
                return None;
            }
            let beside = metadata.is_dir() && metadata.mode() & STICKY != 0;
            let holds_it = self.end.parent() == Some(at);
            (!beside || (is_database && holds_it)).then_some(WritableByAll { at, beside })
        })
    }

    /// Whether everyone can read the file, and enter the folders above it.
    pub fn read_by_everyone(&self) -> bool {
        has(&self.end, READ) && is_reached_by_everyone(&self.end)
    }
}

/// Whether everyone can enter the folders above.
fn is_reached_by_everyone(path: &Path) -> bool {
    path.ancestors().skip(1).all(|folder| has(folder, ENTER))
}

fn has(path: &Path, bit: u32) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.mode() & bit != 0)
}

fn steps(path: &Path) -> impl DoubleEndedIterator<Item = PathStep> {
    path.components().filter_map(|component| match component {
        Component::RootDir => Some(PathStep::Root),
        Component::ParentDir => Some(PathStep::Up),
        Component::Normal(name) => Some(PathStep::Name(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder with these in it, each `path mode`, `folder/ mode` or `link -> path`.
    fn tree(parts: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode: &str| {
            fs::set_permissions(path, fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap())).unwrap();
        };
        set(folder.path(), "755");
        let mut modes = Vec::new();
        for part in parts {
            if let Some((link, target)) = part.split_once(" -> ") {
                let target = target.replace("ROOT", folder.path().to_str().unwrap());
                symlink(target, folder.path().join(link)).unwrap();
                continue;
            }
            let (name, mode) = part.split_once(' ').unwrap();
            let path = folder.path().join(name);
            if name.ends_with('/') {
                fs::create_dir(&path).unwrap();
            } else {
                fs::write(&path, "").unwrap();
            }
            modes.push((path, mode));
        }
        for (path, mode) in &modes {
            set(path, mode);
        }
        folder
    }

    /// By what everyone can change the file at this path below such a folder, and to what the path leads.
    #[track_caller]
    fn check(parts: &[&str], path: &str, written: Option<&str>, end: &str) {
        check_of(false, parts, path, written.map(|at| (at, false)), end);
    }

    /// The same for a database, and whether it is by a journal.
    #[track_caller]
    fn check_of(is_database: bool, parts: &[&str], path: &str, written: Option<(&str, bool)>, end: &str) {
        let folder = tree(parts);
        let root = fs::canonicalize(folder.path()).unwrap();
        let way = Way::of(&root.join(path)).unwrap();
        let found = way.written_by_everyone(is_database);
        let expected = written.map(|(name, beside)| (root.join(name), beside));
        assert_eq!(found.map(|found| (found.at.to_owned(), found.beside)), expected, "{path}");
        assert_eq!(way.end(), root.join(end));
        assert_eq!(way.end(), fs::canonicalize(root.join(path)).unwrap());
    }

    #[test]
    fn a_link_is_changed_by_whoever_can_write_its_folder() {
        let parts = [
            "open/ 777",
            "safe/ 755",
            "safe/file 644",
            "open/link -> ../safe/file",
            "open/whole -> ROOT/safe/file",
            "safe/to-open -> ../open/link",
            "folder -> open",
            "open/safe -> ../safe",
        ];
        let open = Some("open");
        check(&parts, "safe/file", None, "safe/file");
        check(&parts, "open/link", open, "safe/file");
        check(&parts, "open/whole", open, "safe/file");
        check(&parts, "safe/to-open", open, "safe/file");
        check(&parts, "folder/link", open, "safe/file");
        check(&parts, "open/safe/file", open, "safe/file");
        // What is in a folder does not change where `..` leads.
        check(&parts, "open/../safe/file", None, "safe/file");
        check(&parts, "folder/../safe/file", None, "safe/file");
        check(&["safe/ 755", "file 644", "safe/link -> ../file"], "safe/link", None, "file");
    }

    #[test]
    fn what_is_closed_is_not_written() {
        let parts =
            ["closed/ 750", "closed/in/ 777", "closed/in/file 666", "link -> closed/in/file", "d/ 776", "d/file 644"];
        check(&parts, "closed/in/file", None, "closed/in/file");
        check(&parts, "link", None, "closed/in/file");
        check(&parts, "d/file", None, "d/file");
        check(&["d/ 776", "d/file 666"], "d/file", None, "d/file");
        check(&["d/ 773", "d/file 644"], "d/file", Some("d"), "d/file");
        check(&["d/ 751", "d/in/ 777", "d/in/file 666"], "d/in/file", Some("d/in/file"), "d/in/file");
        check_of(true, &["d/ 750", "d/in/ 1777", "d/in/x.db 644"], "d/in/x.db", None, "d/in/x.db");
        // The closed folder is behind the link, which everyone can replace.
        check(
            &["closed/ 700", "closed/file 600", "open/ 777", "open/link -> ../closed/file"],
            "open/link",
            Some("open"),
            "closed/file",
        );
    }

    /// SQLite reads `x.db-journal` and `x.db-wal` beside `x.db`, whoever made them.
    #[test]
    fn a_sticky_folder_does_not_keep_a_database() {
        let parts = [
            "sticky/ 1777",
            "sticky/x.db 644",
            "sticky/in/ 755",
            "sticky/in/x.db 644",
            "safe/ 755",
            "safe/x.db 644",
            "safe/link -> ../sticky/x.db",
            "sticky/link -> ../safe/x.db",
        ];
        check_of(false, &parts, "sticky/x.db", None, "sticky/x.db");
        check_of(true, &parts, "sticky/x.db", Some(("sticky", true)), "sticky/x.db");
        check_of(true, &parts, "safe/link", Some(("sticky", true)), "sticky/x.db");
        check_of(true, &parts, "sticky/link", None, "safe/x.db");
        check_of(true, &parts, "sticky/in/x.db", None, "sticky/in/x.db");
        check_of(true, &["d/ 777", "d/x.db 644"], "d/x.db", Some(("d", false)), "d/x.db");
        check_of(true, &["d/ 1777", "d/x.db 646"], "d/x.db", Some(("d/x.db", false)), "d/x.db");
    }

    #[test]
    fn links_that_lead_nowhere_are_no_way() {
        let folder = tree(&["ring -> ring", "gone -> nothing", "file 644"]);
        for name in ["ring", "gone", "nothing", "file/below"] {
            assert!(Way::of(&folder.path().join(name)).is_err(), "{name}");
        }
    }
}
