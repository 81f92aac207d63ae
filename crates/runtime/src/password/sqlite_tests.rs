use std::fs;

use tempfile::TempDir;

use super::*;

const QUERY: &str = "SELECT hash FROM staff WHERE username = :username";

struct Database {
    folder: TempDir,
    connection: Connection,
}

impl Database {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let connection = Connection::open(folder.path().join("staff.db")).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE staff(username, hash);
                 INSERT INTO staff VALUES ('ann', '$6$x$y'), ('twice', 'a'), ('twice', 'a'), ('nul', NULL), ('number', 7),
                     ('bytes', x'24'), ('', 'nameless'), ('a'' OR 1=1 --', 'quoted')",
            )
            .unwrap();
        Database { folder, connection }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("staff.db")
    }

    fn source(&self, query: &str) -> SqliteSource {
        SqliteSource::new(self.path(), query.to_owned(), CostliestHash::default())
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn hash(text: &str) -> SourceAnswer {
    SourceAnswer::Hash(text.to_owned())
}

#[test]
fn one_row_of_text_is_a_hash() {
    let database = Database::new();
    let mut source = database.source(QUERY);
    for (user, expected) in [
        ("ann", hash("$6$x$y")),
        ("", hash("nameless")),
        ("a' OR 1=1 --", hash("quoted")),
        ("bob", SourceAnswer::Nobody),
        ("ANN", SourceAnswer::Nobody),
        ("twice", SourceAnswer::Several),
        ("nul", SourceAnswer::NoText),
        ("number", SourceAnswer::NoText),
        ("bytes", SourceAnswer::NoText),
    ] {
        assert!(source.look_up(user, soon()) == Ok(expected), "{user:?}");
    }
}

#[track_caller]
fn refused(query: &str, why: &str) {
    let database = Database::new();
    let told = database.source(query).look_up("ann", soon()).err();
    assert_eq!(told, Some(format!("{}: {why}", database.path().display())));
    assert_eq!(super::check(&database.path(), query), Err(why.to_owned()));
}

#[test]
fn a_query_that_cannot_be_about_the_user_is_an_error() {
    refused("SELECT hash FROM staff", "the query has no parameter :username");
    refused("SELECT hash FROM staff WHERE username = ?", "the query has no parameter :username");
    refused(
        "SELECT hash FROM staff WHERE username = :username AND hash = :password",
        "the query has parameters other than :username",
    );
    refused(
        "SELECT username, hash FROM staff WHERE username = :username",
        "the query gives 2 columns, not the hash alone",
    );
    refused("DELETE FROM staff WHERE username = :username", "the query gives 0 columns, not the hash alone");
    refused("SELECT hash FROM stuff WHERE username = :username", "no such table: stuff");
}

#[test]
fn a_query_cannot_write() {
    let database = Database::new();
    let mut source = database.source("DELETE FROM staff WHERE username = :username RETURNING hash");
    assert!(source.look_up("ann", soon()).is_err());
    let left: i64 = database.connection.query_row("SELECT count(*) FROM staff", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 8);
}

#[test]
fn a_change_counts_at_the_next_look_up() {
    let database = Database::new();
    let mut source = database.source(QUERY);
    assert!(source.look_up("ann", soon()) == Ok(hash("$6$x$y")));
    database.connection.execute("UPDATE staff SET hash = 'new' WHERE username = 'ann'", []).unwrap();
    assert!(source.look_up("ann", soon()) == Ok(hash("new")));
    // And where the file is replaced.
    let other = Database::new();
    other.connection.execute("UPDATE staff SET hash = 'newer' WHERE username = 'ann'", []).unwrap();
    fs::rename(other.path(), database.path()).unwrap();
    assert!(source.look_up("ann", soon()) == Ok(hash("newer")));
    fs::remove_file(database.path()).unwrap();
    let gone = format!("{}: No such file or directory (os error 2)", database.path().display());
    assert!(source.look_up("ann", soon()) == Err(gone));
    assert!(!database.path().exists(), "it is not made");
    fs::write(database.path(), "no database at all, but long enough to be looked at").unwrap();
    let garbage = format!("{}: file is not a database", database.path().display());
    assert!(source.look_up("ann", soon()) == Err(garbage));
}

#[test]
fn a_database_in_wal_mode_can_be_read_while_it_is_written() {
    let database = Database::new();
    database.connection.pragma_update(None, "journal_mode", "wal").unwrap();
    let mut source = database.source(QUERY);
    database.connection.execute_batch("BEGIN IMMEDIATE; UPDATE staff SET hash = 'new'").unwrap();
    assert!(source.look_up("ann", soon()) == Ok(hash("$6$x$y")));
    database.connection.execute_batch("COMMIT").unwrap();
    assert!(source.look_up("ann", soon()) == Ok(hash("new")));
}

#[test]
fn a_locked_database_is_waited_for_until_the_end() {
    let database = Database::new();
    let mut source = database.source(QUERY);
    database.connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    let locked = format!("{}: database is locked", database.path().display());
    assert!(source.look_up("ann", start + Duration::from_millis(200)) == Err(locked.clone()));
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    assert!(source.look_up("ann", start) == Err(locked), "with no time left it does not wait");
    let connection = database.connection;
    let unlock = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        connection.execute_batch("COMMIT").unwrap();
    });
    assert!(source.look_up("ann", soon()) == Ok(hash("$6$x$y")));
    unlock.join().unwrap();
}

#[test]
fn a_query_without_end_can_be_interrupted() {
    let database = Database::new();
    let mut source = database.source(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE :username = 'ann'",
    );
    let interrupt = source.interrupt();
    let (report, finished) = std::sync::mpsc::channel();
    let look_up = std::thread::spawn(move || report.send(source.look_up("ann", soon()).err()));
    let told = loop {
        interrupt();
        if let Ok(told) = finished.recv_timeout(Duration::from_millis(10)) {
            break told;
        }
    };
    look_up.join().unwrap().unwrap();
    assert_eq!(told, Some(format!("{}: interrupted", database.path().display())));
}

/// An interruption may come before the query begins, and then it counts for nothing.
#[test]
fn a_query_without_end_ends_with_the_login_s_time() {
    let database = Database::new();
    let endless =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n WHERE :username <> ''";
    let mut source = database.source(endless);
    source.interrupt()();
    let begun = Instant::now();
    let found = source.look_up("ann", begun + Duration::from_millis(100));
    let Err(why) = found else { panic!("it ended") };
    assert!(why.ends_with("interrupted") && begun.elapsed() < Duration::from_secs(60), "{why}");
    // The next login has its own time.
    source.query = QUERY.to_owned();
    assert!(source.look_up("ann", soon()) == Ok(hash("$6$x$y")));
}

#[test]
fn what_is_wrong_is_told() {
    let database = Database::new();
    assert_eq!(super::check(&database.path(), QUERY), Ok(()));
    let missing = database.folder.path().join("missing.db");
    assert_eq!(super::check(&missing, QUERY), Err("No such file or directory (os error 2)".to_owned()));
    let folder = super::check(database.folder.path(), QUERY);
    assert_eq!(folder, Err("not a regular file".to_owned()));
}

#[test]
fn the_costliest_hash_that_was_seen_counts_whatever_came_after() {
    let database = Database::new();
    let mut source = database.source(QUERY);
    assert!(source.costliest().is_none());
    let of = |rounds: u32| {
        let text = format!("$pbkdf2-sha256$i={rounds}$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M");
        Arc::new(StoredHash::parse(&text).unwrap())
    };
    for rounds in [10, 1000, 10] {
        source.note(&of(rounds));
    }
    assert_eq!(source.costliest().unwrap().time(), of(1000).time());
}
