//! When a source is read again.

use std::fs;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

fn reader(source: ListSource) -> ListReader {
    let def = ListDef { name: "fleet".to_owned(), source, used_as_text: true, used_as_networks: false };
    ListReader::of(ListId(0), &def).unwrap()
}

#[test]
fn a_file_that_cannot_be_read_is_not_looked_into_before_it_changes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    fs::write(&path, b"one\n\xff\n").unwrap();
    let mut reader = reader(ListSource::File { path: path.clone(), refresh: LOOK });
    assert!(reader.read(false, &ReadStop::default()).is_err());
    assert!(!reader.has_changed());
    // Asked again, it says again what is wrong.
    assert!(reader.read(false, &ReadStop::default()).is_err());
    fs::write(&path, "one\ntwo\n").unwrap();
    assert!(reader.has_changed());
    assert!(reader.read(false, &ReadStop::default()).is_ok_and(|list| list.is_some()));
}

#[test]
fn a_database_with_a_wal_is_not_asked_again_before_it_changes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("devices.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE devices(id TEXT); INSERT INTO devices VALUES ('one')")
        .unwrap();
    let query = "SELECT id FROM devices".to_owned();
    let mut reader = reader(ListSource::Sqlite { path, query, refresh: LOOK });
    // So that the time is another when it is opened.
    thread::sleep(Duration::from_millis(50));
    assert!(reader.read(false, &ReadStop::default()).is_ok());
    assert!(!reader.has_changed());
    thread::sleep(Duration::from_millis(50));
    db.execute_batch("INSERT INTO devices VALUES ('two')").unwrap();
    assert!(reader.has_changed());
}
