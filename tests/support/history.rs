//! What stands in a history database.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::wait::PATIENCE;

/// Something with a history database.
pub(crate) trait Kept {
    /// Whether texts are shown as Rust writes them, so that a text differs from none.
    const QUOTED: bool = false;

    fn database_file(&self) -> PathBuf;

    /// The database, which is there.
    fn database(&self) -> Connection {
        open(&self.database_file())
    }

    /// The rows of a query, the columns of each joined by a space.
    #[track_caller]
    fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.database(), sql, Self::QUOTED)
    }

    /// As `rows`; none, where the database or the table is not there yet.
    fn rows_so_far(&self, sql: &str) -> Vec<String> {
        let there = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let Ok(database) = Connection::open_with_flags(self.database_file(), there) else { return Vec::new() };
        if database.prepare(sql).is_err() {
            return Vec::new();
        }
        rows(&database, sql, Self::QUOTED)
    }
}

/// A history database that nothing else is known of.
impl Kept for Path {
    fn database_file(&self) -> PathBuf {
        self.to_owned()
    }
}

/// Opens a database, and waits for the locks of others.
pub(crate) fn open(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database
}

#[track_caller]
fn rows(database: &Connection, sql: &str, quoted: bool) -> Vec<String> {
    let mut statement = database.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let mut text = Vec::new();
        for column in 0..columns {
            text.push(match row.get_ref(column)? {
                ValueRef::Null => "-".to_owned(),
                ValueRef::Integer(n) => n.to_string(),
                value @ (ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_)) if quoted => {
                    format!("{:?}", String::from_utf8_lossy(value.as_bytes()?))
                }
                value @ (ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_)) => value.as_str()?.to_owned(),
            });
        }
        Ok(text.join(" "))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}
