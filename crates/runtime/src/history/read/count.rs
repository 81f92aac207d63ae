//! How many rows there are, in all or by a key.

use rusqlite::types::Value;

use super::query::{CONNECTIONS, DENIALS, ONLINE, ReportSql};
use super::{HistoryReader, ReadError, RowFilter, StoredValue};

/// Of an hour, so many parts are told apart, since some time zones are a quarter of an hour away
/// from the others: milliseconds.
pub const QUARTER: i64 = 900_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedRows {
    /// Connections that last.
    Online,
    /// Connections, ended ones too.
    Connections,
    /// Refusals: a row counts as often as its refusal came.
    Denials,
}

/// By what it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountKey {
    /// The clientid.
    Clientid,
    /// The time at which it began, in parts of [`QUARTER`]: the key is the beginning of the part,
    /// Unix milliseconds.
    Hour,
    /// Why a connection ended, or why something was refused.
    Reason,
    /// The broker node.
    Node,
}

/// One value of a key, and how many rows have it.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedBy {
    /// The value.
    pub key: StoredValue,
    /// How many.
    pub count: i64,
}

impl CountedRows {
    fn report(self) -> &'static ReportSql {
        match self {
            CountedRows::Online => &ONLINE,
            CountedRows::Connections => &CONNECTIONS,
            CountedRows::Denials => &DENIALS,
        }
    }

    /// How many a row stands for.
    fn number(self) -> &'static str {
        match self {
            CountedRows::Online | CountedRows::Connections => "count(*)",
            CountedRows::Denials => "coalesce(sum(count), 0)",
        }
    }

    /// The column that has the key; `None` if the rows do not have it.
    fn column(self, key: CountKey) -> Option<&'static str> {
        match (self, key) {
            (CountedRows::Online | CountedRows::Connections | CountedRows::Denials, CountKey::Clientid) => {
                Some("clientid")
            }
            (CountedRows::Online | CountedRows::Connections, CountKey::Hour) => Some("connected_at"),
            (CountedRows::Denials, CountKey::Hour) => Some("at"),
            (CountedRows::Connections | CountedRows::Denials, CountKey::Reason) => Some("reason"),
            (CountedRows::Online | CountedRows::Connections, CountKey::Node) => Some("node"),
            (CountedRows::Online, CountKey::Reason) | (CountedRows::Denials, CountKey::Node) => None,
        }
    }

    /// Whether these rows can be counted by the key.
    pub fn has(self, key: CountKey) -> bool {
        self.column(key).is_some()
    }
}

impl HistoryReader {
    /// How many there are. The filter's limit says nothing here.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn count(&self, rows: CountedRows, filter: &RowFilter) -> Result<i64, ReadError> {
        let (from, values) = rows.report().selection(filter, self.version()?);
        let sql = format!("SELECT {} {from}", rows.number());
        Ok(self.db.query_row(&sql, rusqlite::params_from_iter(values), |row| row.get(0))?)
    }

    /// How many there are of each value of the key, the most first, and at most as many values as
    /// the filter's limit; by hours in the order of time, and all of them. Empty if the rows do not
    /// have the key.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn count_by(&self, rows: CountedRows, key: CountKey, filter: &RowFilter) -> Result<Vec<CountedBy>, ReadError> {
        let Some(column) = rows.column(key) else { return Ok(Vec::new()) };
        let version = self.version()?;
        let report = rows.report();
        let (from, values) = report.selection(filter, version);
        let column = report.column(column, version);
        let (group, order) = match key {
            CountKey::Hour => (format!("{column} / {QUARTER} * {QUARTER}"), "1".to_owned()),
            CountKey::Clientid | CountKey::Reason | CountKey::Node => {
                let limit = filter.limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
                (column, format!("2 DESC, 1{limit}"))
            }
        };
        let sql = format!("SELECT {group}, {} {from} GROUP BY 1 ORDER BY {order}", rows.number());
        let mut statement = self.db.prepare(&sql)?;
        let counted = statement.query_map(rusqlite::params_from_iter::<Vec<Value>>(values), |row| {
            Ok(CountedBy { key: row.get(0)?, count: row.get(1)? })
        })?;
        Ok(counted.collect::<Result<_, _>>()?)
    }
}
