//! Faults of the machine, made for real.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::support::history;
use rusqlite::Connection;

/// Runs a program; what it says where it fails.
fn run(program: &str, args: &[&str], paths: &[&Path], stdin: Stdio) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .args(paths)
        .stdin(stdin)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

fn mounted(args: &[&str], paths: &[&Path], stdin: Stdio) -> Result<Mount, String> {
    let at = *paths.last().unwrap();
    fs::create_dir_all(at).unwrap();
    run("mount", args, paths, stdin)?;
    Ok(Mount(at.to_owned()))
}

/// Something mounted, until it is dropped.
pub(crate) struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &["-l"], &[&self.0], Stdio::null());
    }
}

/// A small file system of its own.
pub(crate) struct Disk(Mount);

impl Disk {
    /// # Errors
    /// It may not be mounted here, and why.
    pub(crate) fn of(at: &Path, mebibytes: u32) -> Result<Self, String> {
        let options = format!("size={mebibytes}m,nr_inodes=200");
        mounted(&["-t", "tmpfs", "-o", &options, "tmpfs"], &[at], Stdio::null()).map(Disk)
    }

    /// Writes until nothing fits any more.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.0.0.join("filler")).unwrap();
        let mut size = 1 << 20;
        while size > 0 {
            if filler.write_all(&vec![b'x'; size]).is_err() {
                size /= 2;
            }
        }
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.0.0.join("filler")).unwrap();
    }
}

/// A file or folder that cannot be written to, until it is dropped.
pub(crate) enum ReadOnly {
    /// For root, whom permissions do not stop.
    Mounted {
        _mount: Mount,
    },
    Forbidden(PathBuf, fs::Permissions),
}

impl ReadOnly {
    pub(crate) fn at(path: &Path) -> Self {
        if run("mount", &["-o", "bind,ro"], &[path, path], Stdio::null()).is_ok() {
            return ReadOnly::Mounted { _mount: Mount(path.to_owned()) };
        }
        let before = fs::metadata(path).unwrap().permissions();
        let mut after = before.clone();
        after.set_readonly(true);
        fs::set_permissions(path, after).unwrap();
        ReadOnly::Forbidden(path.to_owned(), before)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if let ReadOnly::Forbidden(path, before) = self {
            fs::set_permissions(path, before.clone()).unwrap();
        }
    }
}

/// A disk on which every access hangs until it is dropped: a FUSE file system that nobody serves.
pub(crate) struct HungDisk {
    _mount: Mount,
    /// With it the kernel's end goes, and whatever hangs fails.
    _server: File,
}

impl HungDisk {
    /// # Errors
    /// It may not be mounted here, and why.
    pub(crate) fn at(at: &Path) -> Result<Self, String> {
        let open = || OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let server = open().map_err(|error| format!("/dev/fuse: {error}"))?;
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
        let stdin = server.try_clone().unwrap().into();
        let mount = mounted(&["-i", "-t", "fuse", "-o", options, "hung"], &[at], stdin)?;
        Ok(HungDisk { _mount: mount, _server: server })
    }
}

/// A disk on which writing hangs while it is frozen.
pub(crate) struct FreezingDisk {
    mount: Mount,
    frozen: bool,
}

impl FreezingDisk {
    /// # Errors
    /// It may not be mounted here, and why.
    pub(crate) fn at(at: &Path) -> Result<Self, String> {
        let image = at.with_extension("image");
        File::create(&image).unwrap().set_len(32 << 20).unwrap();
        run("mkfs.ext4", &["-q"], &[&image], Stdio::null())?;
        let mount = mounted(&["-o", "loop"], &[&image, at], Stdio::null())?;
        Ok(FreezingDisk { mount, frozen: false })
    }

    pub(crate) fn freeze(&mut self) -> Result<(), String> {
        run("fsfreeze", &["-f"], &[&self.mount.0], Stdio::null())?;
        self.frozen = true;
        Ok(())
    }

    pub(crate) fn thaw(&mut self) {
        if std::mem::take(&mut self.frozen) {
            run("fsfreeze", &["-u"], &[&self.mount.0], Stdio::null()).unwrap();
        }
    }
}

impl Drop for FreezingDisk {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// A lock that another process holds, until it is dropped.
pub(crate) struct Lock {
    child: Child,
    _says: BufReader<ChildStdout>,
}

/// Names the database, in the process that is to lock it.
const TO_LOCK: &str = "EXHOOK_POLICY_TEST_LOCK";

impl Lock {
    /// Keeps others from writing, or with a rollback journal from reading too.
    pub(crate) fn on(database: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::produce::a_process_that_holds_a_lock", "--nocapture"])
            .env(TO_LOCK, database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut says = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line != "locked\n" {
            line.clear();
            assert!(says.read_line(&mut line).unwrap() > 0, "it is not locked");
        }
        Lock { child, _says: says }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Holds the lock, where [`Lock`] started it; otherwise it sees that this keeps others from writing, until it is over.
#[test]
fn a_process_that_holds_a_lock() {
    if let Some(path) = std::env::var_os(TO_LOCK) {
        let database = history::open(Path::new(&path));
        database.execute_batch("BEGIN EXCLUSIVE").unwrap();
        println!(
            "
locked"
        );
        // Until the other end goes.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("h.db");
    let database = Connection::open(&file).unwrap();
    database.execute_batch("CREATE TABLE t (a)").unwrap();
    database.busy_timeout(Duration::ZERO).unwrap();
    let lock = Lock::on(&file);
    let refused = database.execute_batch("INSERT INTO t VALUES (1)").unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
    drop(lock);
    database.execute_batch("INSERT INTO t VALUES (1)").unwrap();
}
