//! Who is online, who was, and who was refused, as a person asks for it: rows of the database, read while others may be
//! writing it.
//!
//! [`HistoryReader::open`] opens the database, and there is a function for each report. Each gives a [`Query`], which reads
//! one row after the other: there may be millions. The rows are [`rows`], newest first.

pub mod count;
mod query;
pub mod rows;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use rusqlite::{Connection, Row, Statement};

use super::sqlite::store::open_read_only;
use crate::limits::Peer;
use query::ReportSql;
pub use rows::{BanRow, ClientRow, ConnectionRow, DenialRow, OnlineRow, StoredValue};

/// From this schema version on there are bans.
const HAS_BANS: i64 = 4;

/// Which rows. What is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    /// Of this client, as it names itself or as it is shown.
    pub clientid: Option<String>,
    /// Of clients of this cluster.
    pub cluster: Option<String>,
    /// Of clients of this user name.
    pub username: Option<String>,
    /// Of clients from there.
    pub peerhost: Option<HostFilter>,
    /// From this time on, Unix milliseconds.
    pub since: Option<i64>,
    /// Up to this time, Unix milliseconds.
    pub until: Option<i64>,
    /// So many rows at most, the newest.
    pub limit: Option<u64>,
}

/// From where clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFilter {
    /// From there.
    Address(IpAddr),
    /// From an address that is counted as this. Only bans are on networks.
    Network(Peer),
}

/// Why a report cannot be read. The text is for people, and does not name the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The database cannot be read; SQLite says why.
    Database(String),
    /// It is of an older version, which had no bans.
    NoBans,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Database(text) => f.write_str(text),
            ReadError::NoBans => {
                f.write_str("it has no bans yet; the driver or server brings it up to date when it opens it")
            }
        }
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        ReadError::Database(error.to_string())
    }
}

/// A history database that is open for reading.
#[derive(Debug)]
pub struct HistoryReader {
    db: Connection,
}

impl HistoryReader {
    /// Opens a history database for reading.
    ///
    /// # Errors
    /// There is no such file, or it is not a history database that this program knows; the text is for people, and does
    /// not name the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        Ok(HistoryReader { db: open_read_only(path)? })
    }

    /// The connections that last.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn online(&self, filter: &RowFilter) -> Result<Query<'_, OnlineRow>, ReadError> {
        self.query(&query::ONLINE, OnlineRow::of, filter)
    }

    /// The clients, one row a clientid and cluster.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn clients(&self, filter: &RowFilter) -> Result<Query<'_, ClientRow>, ReadError> {
        self.query(&query::CLIENTS, ClientRow::of, filter)
    }

    /// The connections, ended ones too.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn connections(&self, filter: &RowFilter) -> Result<Query<'_, ConnectionRow>, ReadError> {
        self.query(&query::CONNECTIONS, ConnectionRow::of, filter)
    }

    /// What was refused, or would have been.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn denials(&self, filter: &RowFilter) -> Result<Query<'_, DenialRow>, ReadError> {
        self.query(&query::DENIALS, DenialRow::of, filter)
    }

    /// The connections that ended, the last to end first; the filter's times are those of the ends.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn ends(&self, filter: &RowFilter) -> Result<Query<'_, ConnectionRow>, ReadError> {
        self.query(&query::ENDS, ConnectionRow::of, filter)
    }

    /// The bans that hold; with `all`, those that are over or lifted too.
    ///
    /// # Errors
    /// The database cannot be read, or has no bans yet.
    pub fn bans(&self, all: bool, filter: &RowFilter) -> Result<Query<'_, BanRow>, ReadError> {
        if self.version()? < HAS_BANS {
            return Err(ReadError::NoBans);
        }
        self.query(if all { &query::ALL_BANS } else { &query::BANS }, BanRow::of, filter)
    }

    fn version(&self) -> Result<i64, ReadError> {
        Ok(self.db.query_row("PRAGMA user_version", [], |row| row.get(0))?)
    }

    fn query<R>(
        &self,
        report: &ReportSql,
        read: fn(&Row<'_>) -> rusqlite::Result<R>,
        filter: &RowFilter,
    ) -> Result<Query<'_, R>, ReadError> {
        let (sql, values) = report.query(filter, self.version()?);
        let mut statement = self.db.prepare(&sql)?;
        for (index, value) in (1..).zip(values) {
            statement.raw_bind_parameter(index, value)?;
        }
        Ok(Query { statement, read })
    }
}

/// A report that is about to be read.
pub struct Query<'r, R> {
    statement: Statement<'r>,
    read: fn(&Row<'_>) -> rusqlite::Result<R>,
}

impl<R> fmt::Debug for Query<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Query")
    }
}

impl<R> Query<'_, R> {
    /// Its rows, read one after the other.
    pub fn rows(&mut self) -> impl Iterator<Item = Result<R, ReadError>> {
        self.statement.raw_query().mapped(self.read).map(|row| row.map_err(ReadError::from))
    }
}
