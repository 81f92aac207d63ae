//! The database file: opened, migrated and kept small.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::migrations::{MIGRATIONS, check, migrate};
use exhook_policy_core::policy::model::Sync;

/// A lock is waited for this long before the call fails with "busy".
const BUSY_WAIT: Duration = Duration::from_millis(100);
/// A reader may wait longer.
const READ_WAIT: Duration = Duration::from_secs(5);
/// How often the lock is tried in that time.
const BUSY_STEP: Duration = Duration::from_millis(1);

/// Pages that may gather in the WAL before they are moved: 16 MiB. Moved together they are fewer, and the fsyncs as
/// well; but events wait while they are moved, so that they must not become too many.
const WAL_PAGES: u64 = 4_096;
const PAGE: u64 = 4_096;

/// Why the database could not be used.
#[derive(Debug)]
pub(crate) enum StoreFault {
    /// Another process holds the lock.
    Busy,
    /// One record cannot be written; the others could.
    Record(rusqlite::Error),
    /// The database cannot be used now: the disk is full, a folder cannot be made.
    Trouble(String),
    /// It cannot be used before somebody does something about it.
    Unfit(String),
    /// The file that is open is not the one that others see.
    Replaced,
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreFault::Busy => f.write_str("another process holds its lock"),
            StoreFault::Record(error) => error.fmt(f),
            StoreFault::Replaced => f.write_str("its file was removed or replaced"),
            StoreFault::Trouble(text) | StoreFault::Unfit(text) => f.write_str(text),
        }
    }
}

impl From<rusqlite::Error> for StoreFault {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreFault::Unfit(text),
            // No code: a value that is too large, a query without its row.
            Some(
                ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange,
            )
            | None => StoreFault::Record(error),
            Some(_) => StoreFault::Trouble(text),
        }
    }
}

/// An open history database of the newest schema.
pub(crate) struct Store {
    pub(crate) db: Connection,
    path: PathBuf,
    /// Device and inode, to see a file that was put in its place.
    file: Option<(u64, u64)>,
    /// Those of the WAL, without which what was committed is seen by nobody else.
    wal: Option<(u64, u64)>,
    /// Pages in the WAL after the last commit.
    in_wal: Arc<AtomicU64>,
    /// Of so many pages in the WAL, a checkpoint moved what it could.
    looked_at: u64,
}

impl Store {
    /// Opens the database, making its folder, the file and the tables where they are missing.
    pub(crate) fn open(path: &Path, sync: Sync) -> Result<Self, StoreFault> {
        // SQLite would wait for what a pipe gives.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(StoreFault::Trouble("it is no regular file".to_owned()));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| {
                StoreFault::Trouble(format!("cannot make the folder {}: {error}", folder.display()))
            })?;
        }
        // SQLite would open it for reading, and make a WAL that is as read-only as the file, and stays so.
        match access(path, Access::WRITE_OK) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(StoreFault::Trouble(io::Error::from(error).to_string())),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags)?;
        let tries = i32::try_from(BUSY_WAIT.as_millis() / BUSY_STEP.as_millis()).unwrap_or(i32::MAX);
        db.busy_handler(Some(move |count| {
            thread::sleep(BUSY_STEP);
            count < tries
        }))?;
        db.set_prepared_statement_cache_capacity(64);
        // Before the file is changed in any way: is it ours?
        check(&db)?;
        let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(StoreFault::Trouble(format!("it does not take WAL mode but stays in {mode} mode")));
        }
        let synchronous = match sync {
            Sync::Normal => "NORMAL",
            Sync::Full => "FULL",
        };
        db.pragma_update(None, "synchronous", synchronous)?;
        // Checkpoints are made here, between commits and not within them.
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "journal_size_limit", 16 << 20)?;
        db.pragma_update(None, "cache_size", -16_000)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        // SQLite builds the set that a CHECK names anew for each row. What is written here are constants.
        db.pragma_update(None, "ignore_check_constraints", true)?;
        let in_wal: Arc<AtomicU64> = Arc::default();
        let pages = Arc::clone(&in_wal);
        db.wal_hook(Some(move |_: &mut Wal, count| {
            pages.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        migrate(&mut db)?;
        Ok(Store { db, path: path.to_owned(), file: inode(path), wal: inode(&wal(path)), in_wal, looked_at: 0 })
    }

    /// Begins a transaction that writes.
    pub(crate) fn begin(&mut self) -> Result<Transaction<'_>, StoreFault> {
        Ok(self.db.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Whether the file or its WAL was removed or another put in its place, so that what is written is lost. As long as this
    /// connection is open, nobody who follows SQLite's rules removes the WAL.
    pub(crate) fn is_replaced(&self) -> bool {
        inode(&self.path) != self.file || inode(&wal(&self.path)) != self.wal
    }

    /// Whether the WAL has grown so much since the last checkpoint that another is due.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        self.in_wal.load(Ordering::Relaxed) >= self.looked_at + WAL_PAGES
    }

    /// Moves what readers allow from the WAL into the database. Returns the bytes of the WAL that
    /// remain to be moved.
    pub(crate) fn checkpoint(&mut self) -> Result<u64, StoreFault> {
        // What a reader holds is not worth another try with each commit.
        self.looked_at = self.in_wal.load(Ordering::Relaxed);
        let (in_wal, moved): (i64, i64) =
            self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
        let left = u64::try_from(in_wal.saturating_sub(moved)).unwrap_or(0);
        if left == 0 {
            // The next commit begins it anew.
            self.in_wal.store(0, Ordering::Relaxed);
            self.looked_at = 0;
        }
        Ok(left * PAGE)
    }
}

/// Writes one record so that the transaction goes on without it where it alone cannot be written. Then says why.
///
/// # Errors
/// The database cannot be written.
pub(crate) fn write_alone(
    transaction: &Connection,
    write: impl FnOnce() -> Result<(), StoreFault>,
) -> Result<Option<rusqlite::Error>, StoreFault> {
    transaction.execute_batch("SAVEPOINT record")?;
    match write() {
        Ok(()) => {
            transaction.execute_batch("RELEASE record")?;
            Ok(None)
        }
        Err(StoreFault::Record(error)) => {
            transaction.execute_batch("ROLLBACK TO record; RELEASE record")?;
            Ok(Some(error))
        }
        Err(fault) => Err(fault),
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Opens a history database for reading.
///
/// # Errors
///
/// Where there is no such file, or it is not a history database that this program knows; the text is
/// for people, and does not name the file.
pub(crate) fn open_read_only(path: &Path) -> Result<Connection, String> {
    let metadata = fs::metadata(path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        if missing { "there is no such file".to_owned() } else { error.to_string() }
    })?;
    // SQLite would wait for what a pipe gives.
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> Result<Connection, StoreFault> {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(READ_WAIT)?;
        check(&db)?;
        Ok(db)
    };
    let db = match open() {
        // In a folder that cannot be written the WAL's index cannot be made; without a WAL there is no need for it.
        Err(StoreFault::Trouble(_)) if fs::metadata(wal(path)).map_or(0, |wal| wal.len()) == 0 => {
            read_frozen(path, flags)
        }
        opened => opened,
    }
    .map_err(|fault| fault.to_string())?;
    match check(&db) {
        Ok(0) => Err("it holds no history yet".to_owned()),
        Ok(_) => Ok(db),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Opens a history database that is there, for writing.
pub(crate) fn open_to_write(path: &Path) -> Result<Connection, String> {
    open_read_only(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|error| error.to_string())?;
    db.busy_timeout(READ_WAIT).map_err(|error| error.to_string())?;
    match check(&db) {
        Ok(version) if version == MIGRATIONS.len() => Ok(db),
        Ok(_) => {
            Err("it is of an older version; the driver or server brings it up to date when it opens it".to_owned())
        }
        Err(fault) => Err(fault.to_string()),
    }
}

fn wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn read_frozen(path: &Path, flags: OpenFlags) -> Result<Connection, StoreFault> {
    let text = path.to_str().ok_or_else(|| StoreFault::Trouble("its path is not UTF-8".to_owned()))?;
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let db = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)?;
    check(&db)?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn unfit(path: &Path, expected: &str) {
        match Store::open(path, Sync::Normal) {
            Err(StoreFault::Unfit(text)) => assert_eq!(text, expected),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was opened"),
        }
    }

    #[test]
    fn folders_and_tables_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/history.db");
        let store = Store::open(&path, Sync::Full).unwrap();
        assert_eq!(check(&store.db).unwrap(), MIGRATIONS.len());
        assert!(!store.is_replaced());
        fs::remove_file(&path).unwrap();
        assert!(store.is_replaced());
    }

    #[test]
    fn another_programs_database_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("devices.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE devices (id)").unwrap();
        let before = fs::read(&path).unwrap();
        unfit(&path, "it is a SQLite database, but not one of connection history");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    /// What a file of the version before holds stays, and is read as before.
    #[test]
    fn a_file_of_version_1_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at,
                                      disconnected_at, reason, closed_by, broker)
             VALUES ('a', 'u', '::1', 1883, 'mqtt', 'n', 10, 30, 'kicked', 'event', 1),
                    ('a', 'u', '::1', 1883, 'mqtt', 'n', 20, 25, 'normal', 'takeover', 1),
                    ('a', 'u', '::1', 1883, 'mqtt', 'n', 40, NULL, NULL, NULL, 1),
                    ('b', 'u', '::1', 1883, 'mqtt', 'n', 50, 60, NULL, 'superseded', 1);",
        )
        .unwrap();
        let clients = |db: &Connection| -> Vec<String> {
            let sql = "SELECT concat_ws(' ', clientid, online, connections, first_connected_at, last_connected_at,
                                        last_disconnected_at, last_reason) FROM clients ORDER BY clientid";
            db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let before = clients(&old);
        assert_eq!(before, ["a 1 3 10 40 30 kicked", "b 0 1 50 50 60"]);
        drop(old);
        let store = Store::open(&path, Sync::Normal).unwrap();
        assert_eq!(check(&store.db).unwrap(), MIGRATIONS.len());
        assert_eq!(clients(&store.db), before);
        let indexes: i64 = store
            .db
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'connections_clientid'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(indexes, 0);
        // One whose owner took it away before is brought up too.
        let without = dir.path().join("without.db");
        let old = Connection::open(&without).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch("PRAGMA user_version = 1; DROP INDEX connections_clientid").unwrap();
        drop(old);
        assert!(Store::open(&without, Sync::Normal).is_ok());
        // Made again by hand, it stays.
        store.db.execute_batch("CREATE INDEX connections_clientid ON connections (clientid, connected_at)").unwrap();
        drop(store);
        let store = Store::open(&path, Sync::Normal).unwrap();
        assert!(store.db.execute_batch("DROP INDEX connections_clientid").is_ok());
    }

    #[test]
    fn a_file_of_version_2_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch(MIGRATIONS[1]).unwrap();
        old.execute_batch(
            "PRAGMA user_version = 2;
             CREATE INDEX connections_clientid ON connections (clientid, connected_at);
             INSERT INTO connections VALUES (1, 'a', 'u', '::1', 1883, 'mqtt', 4, 'n', 10, NULL, NULL, NULL, 7);
             INSERT INTO denials VALUES (1, 5, 'a', 'u', '::1', 'publish', 't', 'r', 'enforce', 3);
             INSERT INTO attempts VALUES (1, 5, 'a', 'u', '::1', 1883, 'MQTT', 4, 60, 'n', NULL);
             INSERT INTO subscriptions VALUES ('a', 't', 1, 20, 7), ('a', 'u', 2, 30, 7);
             INSERT INTO messages VALUES (1, 5, 'a', 't', 0, x'00');
             INSERT INTO broker_processes VALUES (7, 'boot', 'pid:[1]', 10, 100, 'n', 'python3', 40, 2, 0);
             INSERT INTO drivers VALUES (3, 7, 11, 200, 15, 0);
             INSERT INTO handovers VALUES ('a', 1, 50);
             INSERT INTO unsure VALUES (1);",
        )
        .unwrap();
        drop(old);
        let store = Store::open(&path, Sync::Normal).unwrap();
        assert_eq!(check(&store.db).unwrap(), MIGRATIONS.len());
        let rows = |sql: &str| -> Vec<String> {
            store.db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let one = |sql: &str, expected: &str| assert_eq!(rows(sql), [expected], "{sql}");
        one("SELECT concat_ws(' ', clientid, unsure, cluster || '-', peerport) FROM online", "a 1 -");
        one("SELECT concat_ws(' ', clientid, online, connections, cluster || '-') FROM clients", "a 1 1 -");
        one("SELECT clientid || cluster || count FROM denials", "a3");
        one("SELECT clientid || cluster || keepalive FROM attempts", "a60");
        one("SELECT clientid || cluster || hex(payload) FROM messages", "a00");
        assert_eq!(
            rows(
                "SELECT concat_ws(' ', clientid, cluster || '-', topic, qos, subscribed_at, broker) FROM subscriptions"
            ),
            ["a - t 1 20 7", "a - u 2 30 7"]
        );
        one(
            "SELECT concat_ws(' ', id, boot_id, pid_ns, pid, started, node, slot, last_alive, gaps, gone, cluster || '-',
                              booted_at, server) FROM broker_processes",
            "7 boot pid:[1] 10 100 n python3 40 2 0 -",
        );
        one("SELECT concat_ws(' ', clientid, connection, until, told, cluster || '-') FROM handovers", "a 1 50 -");
        // A clientid is connected once in a cluster, and in two at once.
        let connect = |cluster: &str| {
            store.db.execute(
                "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker,
                                          cluster) VALUES ('a', '', '', 1, '', '', 1, 1, ?1)",
                [cluster],
            )
        };
        assert!(connect("").is_err() && connect("eu").is_ok() && connect("eu").is_err() && connect("us").is_ok());
        assert_eq!(rows("SELECT cluster FROM clients ORDER BY 1"), ["", "eu", "us"]);
        // What its owner made stays.
        assert!(store.db.execute_batch("DROP INDEX connections_clientid").is_ok());
    }

    #[test]
    fn a_file_of_version_3_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        let old = Connection::open(&path).unwrap();
        MIGRATIONS[..3].iter().for_each(|migration| old.execute_batch(migration).unwrap());
        old.execute_batch(
            "PRAGMA user_version = 3;
             INSERT INTO denials VALUES (1, 5, 'a', 'u', '::1', 'publish', 't', 'r', 'enforce', 3, 'eu');",
        )
        .unwrap();
        drop(old);
        let store = Store::open(&path, Sync::Normal).unwrap();
        assert_eq!(check(&store.db).unwrap(), MIGRATIONS.len());
        let count = |sql: &str| store.db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count FROM denials WHERE cluster = 'eu'"), 3);
        assert_eq!(count("SELECT count(*) FROM bans"), 0);
    }

    #[test]
    fn a_file_of_version_4_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        let old = Connection::open(&path).unwrap();
        MIGRATIONS[..4].iter().for_each(|migration| old.execute_batch(migration).unwrap());
        old.execute_batch(
            "PRAGMA user_version = 4;
             INSERT INTO broker_processes (id, boot_id, pid, node, slot, last_alive) VALUES
               (1, 'boot', 7, 'n', 'python3', 40), (2, 'boot', 8, 'm', 'python3', 9000000000000000);
             INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
             VALUES ('a', '', '::1', 1883, 'mqtt', 'n', 10, 1), ('b', '', '::1', 1883, 'mqtt', 'm', 10, 2),
                    ('c', '', '::1', 1883, 'mqtt', 'm', 10, 2);
             INSERT INTO unsure SELECT id FROM connections WHERE clientid = 'c';",
        )
        .unwrap();
        drop(old);
        let store = Store::open(&path, Sync::Normal).unwrap();
        assert_eq!(check(&store.db).unwrap(), MIGRATIONS.len());
        let sql = "SELECT clientid || unsure FROM online ORDER BY id";
        let online: Result<Vec<String>, _> =
            store.db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().collect();
        // The driver of the first was last seen long ago.
        assert_eq!(online.unwrap(), ["a1", "b0", "c1"]);
        let held: i64 = store.db.query_row("SELECT sum(held_at) FROM broker_processes", [], |row| row.get(0)).unwrap();
        assert_eq!(held, 0);
    }

    #[test]
    fn a_wal_that_has_grown_is_moved_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        let fill = |store: &mut Store| {
            let payload = vec![7_u8; 20 << 20];
            let transaction = store.begin().unwrap();
            transaction
                .execute(
                    "INSERT INTO messages (at, clientid, topic, qos, payload) VALUES (1, 'c', 't', 0, ?1)",
                    [payload],
                )
                .unwrap();
            transaction.commit().unwrap();
        };
        store.checkpoint().unwrap();
        assert!(!store.is_checkpoint_due());
        fill(&mut store);
        assert!(store.is_checkpoint_due());
        // A reader holds what came after it began: that is tried once, and again when as much has come.
        let reader = open_read_only(&dir.path().join("history.db")).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
        fill(&mut store);
        assert!(store.checkpoint().unwrap() > 16 << 20);
        assert!(!store.is_checkpoint_due());
        fill(&mut store);
        assert!(store.is_checkpoint_due());
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(store.checkpoint().unwrap(), 0);
        assert!(!store.is_checkpoint_due());
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        Store::open(&path, Sync::Normal).unwrap().db.pragma_update(None, "user_version", 99).unwrap();
        unfit(&path, "it has schema version 99, and this program knows versions up to 5");
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        fs::write(&path, "no database, but long enough to be read as the header of one\n".repeat(20)).unwrap();
        unfit(&path, "file is not a database");
    }

    #[test]
    fn several_that_open_a_new_file_at_once_make_its_tables_once() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..10 {
            let path = dir.path().join(format!("{round}.db"));
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let path = path.clone();
                    thread::spawn(move || {
                        loop {
                            match Store::open(&path, Sync::Normal) {
                                Ok(store) => break check(&store.db).unwrap(),
                                Err(StoreFault::Busy) => {}
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                    })
                })
                .collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), MIGRATIONS.len());
            }
        }
    }
}
