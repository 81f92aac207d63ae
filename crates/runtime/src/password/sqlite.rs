//! Password hashes in SQLite: a query with the parameter `:username` that gives one row.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, OpenFlags, Statement};

use super::hash::StoredHash;
use super::source::{CostliestHash, Source, SourceAnswer};

const PARAMETER: &str = ":username";
/// After so many steps of a query, some dozen microseconds, it is looked at the clock.
const STEPS: i32 = 10_000;
/// How long a check may wait for a locked database.
const CHECK: Duration = Duration::from_secs(2);

pub(super) struct SqliteSource {
    path: PathBuf,
    query: String,
    /// With the device and inode of the file that it is a connection to.
    connection: Option<(Connection, (u64, u64))>,
    interrupt: Arc<Mutex<Option<InterruptHandle>>>,
    /// What its users have: a query with a parameter does not list them.
    seen: CostliestHash,
}

impl SqliteSource {
    pub(super) fn new(path: PathBuf, query: String, seen: CostliestHash) -> Self {
        SqliteSource { path, query, connection: None, interrupt: Arc::default(), seen }
    }

    /// The connection that is kept, or a new one where the file was replaced.
    fn connection(&mut self) -> Result<&mut Connection, String> {
        let identity = identity(&self.path).map_err(because)?;
        if self.connection.as_ref().is_none_or(|(_, of)| *of != identity) {
            self.close();
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags).map_err(because)?;
            *self.handle() = Some(connection.get_interrupt_handle());
            self.connection = Some((connection, identity));
        }
        self.connection.as_mut().map(|(connection, _)| connection).ok_or_else(String::new)
    }

    fn close(&mut self) {
        *self.handle() = None;
        self.connection = None;
    }

    fn handle(&self) -> std::sync::MutexGuard<'_, Option<InterruptHandle>> {
        self.interrupt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&mut self, username: &str, end: Instant) -> Result<SourceAnswer, String> {
        let query = self.query.clone();
        let connection = self.connection()?;
        connection.busy_timeout(end.saturating_duration_since(Instant::now())).map_err(because)?;
        // An interruption that comes before the query begins does not count.
        connection.progress_handler(STEPS, Some(move || Instant::now() >= end)).map_err(because)?;
        let mut statement = connection.prepare_cached(&query).map_err(because)?;
        suits(&statement)?;
        let mut rows = statement.query(&[(PARAMETER, username)]).map_err(because)?;
        let Some(row) = rows.next().map_err(because)? else { return Ok(SourceAnswer::Nobody) };
        let found = match row.get_ref(0).map_err(because)? {
            ValueRef::Text(text) => SourceAnswer::Hash(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => SourceAnswer::NoText,
        };
        Ok(if rows.next().map_err(because)?.is_some() { SourceAnswer::Several } else { found })
    }
}

impl Source for SqliteSource {
    fn look_up(&mut self, username: &str, end: Instant) -> Result<SourceAnswer, String> {
        let found = self.ask(username, end);
        if found.is_err() {
            // Whatever is wrong with the connection, the next look-up begins anew.
            self.close();
        }
        found.map_err(|reason| format!("{}: {reason}", self.path.display()))
    }

    fn note(&mut self, hash: &Arc<StoredHash>) {
        self.seen.note(hash);
    }

    fn costliest(&self) -> Option<Arc<StoredHash>> {
        self.seen.costliest()
    }

    fn interrupt(&self) -> Arc<dyn Fn() + Send + Sync> {
        let handle = Arc::clone(&self.interrupt);
        Arc::new(move || {
            // Held by the other thread only while it opens or closes the database.
            if let Ok(handle) = handle.try_lock()
                && let Some(handle) = handle.as_ref()
            {
                handle.interrupt();
            }
        })
    }
}

fn because(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        Ok((metadata.dev(), metadata.ino()))
    } else {
        // SQLite would wait for a named pipe.
        Err(io::Error::other("not a regular file"))
    }
}

/// Whether the query can be one for a user's hash. Without the parameter it would give every user the same.
fn suits(statement: &Statement<'_>) -> Result<(), String> {
    if !matches!(statement.parameter_index(PARAMETER), Ok(Some(_))) {
        return Err(format!("the query has no parameter {PARAMETER}"));
    }
    if statement.parameter_count() != 1 {
        return Err(format!("the query has parameters other than {PARAMETER}"));
    }
    if statement.column_count() != 1 {
        return Err(format!("the query gives {} columns, not the hash alone", statement.column_count()));
    }
    Ok(())
}

/// Whether the database and the query can be used.
///
/// # Errors
/// They cannot; the text says why.
pub(super) fn check(path: &Path, query: &str) -> Result<(), String> {
    let mut source = SqliteSource::new(path.to_owned(), query.to_owned(), CostliestHash::default());
    // No user is called so: MQTT has no control characters in usernames.
    source.ask("\u{1}", Instant::now() + CHECK).map(|_| ())
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
