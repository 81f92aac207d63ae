//! Databases that are only read.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Statement};

use super::{ReadStop, UnreadableSource, file};
use exhook_policy_core::policy::lists::{List, ListBuilder, Uses};

/// How long a query waits for a writer to let go of the database.
const BUSY: Duration = Duration::from_secs(1);

/// How much one query may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListQueryLimits {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

pub(super) const LIMITS: ListQueryLimits =
    ListQueryLimits { rows: 10_000_000, bytes: 1 << 30, time: Duration::from_secs(60) };

/// Opens a database that is there already, to read from it. It waits for other users of the database
/// for a second at most.
///
/// # Errors
/// There is no such file, it is no regular file, or it cannot be opened. That it is no database shows
/// only when it is asked something.
pub(super) fn open(path: &Path) -> Result<Connection, UnreadableSource> {
    // Looked at without opening it: to close a database behind SQLite's back drops SQLite's locks.
    let metadata = std::fs::metadata(path).map_err(UnreadableSource::because)?;
    file::check_kind(&metadata)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unreadable)?;
    connection.busy_timeout(BUSY).map_err(unreadable)?;
    Ok(connection)
}

/// Prepares the one statement of a query.
pub(super) fn prepare<'c>(connection: &'c Connection, query: &str) -> Result<Statement<'c>, UnreadableSource> {
    let statement = connection.prepare(query).map_err(unreadable)?;
    if statement.column_count() == 0 {
        return Err(UnreadableSource::because("the query gives no column"));
    }
    Ok(statement)
}

/// Reads the first column of a query's rows. Told to stop, it fails.
pub(super) fn read_list(
    path: &Path,
    query: &str,
    uses: Uses,
    limits: ListQueryLimits,
    stop: &ReadStop,
) -> Result<List, UnreadableSource> {
    let mut connection = open(path)?;
    let end = Instant::now() + limits.time;
    // The handler is asked every few dozen microseconds.
    let stopped = stop.clone();
    connection
        .progress_handler(10_000, Some(move || stopped.is_said() || Instant::now() >= end))
        .map_err(unreadable)?;
    let mut statement = prepare(&connection, query)?;
    if statement.parameter_count() > 0 {
        return Err(UnreadableSource::because("the query has a parameter, and a list has nothing to give it"));
    }
    let mut builder = ListBuilder::new(uses);
    let mut rows = statement.query([]).map_err(unreadable)?;
    let mut bytes = 0;
    let mut row_number = 0;
    while let Some(row) = rows.next().map_err(|error| timed_out(error, limits))? {
        row_number += 1;
        let value = row.get_ref(0).map_err(unreadable)?;
        bytes += push(&mut builder, row_number, value);
        if row_number > limits.rows {
            return Err(UnreadableSource::because(format_args!("the query gives more than {} rows", limits.rows)));
        }
        if bytes > limits.bytes {
            return Err(UnreadableSource::because(format_args!("the query gives more than {} bytes", limits.bytes)));
        }
    }
    builder.finish().map_err(UnreadableSource::of_rows)
}

fn push(builder: &mut ListBuilder, row: usize, value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(text) => {
            match std::str::from_utf8(text) {
                Ok(entry) => builder.push(row, entry),
                Err(_) => builder.refuse(row, &String::from_utf8_lossy(text), "is not UTF-8"),
            }
            text.len()
        }
        ValueRef::Null => {
            builder.refuse(row, "NULL", "is no value at all");
            0
        }
        ValueRef::Integer(number) => {
            builder.refuse(row, &number.to_string(), "is an integer, not text: use CAST(... AS TEXT)");
            0
        }
        ValueRef::Real(number) => {
            builder.refuse(row, &number.to_string(), "is a real number, not text: use CAST(... AS TEXT)");
            0
        }
        ValueRef::Blob(blob) => {
            builder.refuse(row, &String::from_utf8_lossy(blob), "is a blob, not text: use CAST(... AS TEXT)");
            0
        }
    }
}

fn timed_out(error: Error, limits: ListQueryLimits) -> UnreadableSource {
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return UnreadableSource::because(format_args!("the query takes longer than {} s", limits.time.as_secs()));
    }
    unreadable(error)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
pub(super) fn unreadable(error: Error) -> UnreadableSource {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds say what they are themselves")]
    match &error {
        Error::SqlInputError { msg, .. } => UnreadableSource::because(msg),
        Error::MultipleStatement => UnreadableSource::because("the query is more than one statement"),
        error => UnreadableSource::because(error),
    }
}
