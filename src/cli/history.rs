//! `exhook-policy history online|clients|connections|denials`

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use crate::history::open_read_only;
use crate::policy;

/// The policy whose database is read where none is named.
const POLICY: &str = "rules.yaml";

/// Shows who is online, who was, and who was refused
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show
    #[command(subcommand)]
    pub what: What,
}

/// What to show.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The connections that last
    Online(Filter),
    /// One row a clientid: is it online, since when is it known, why did it go last
    Clients(Filter),
    /// Connections, ended ones too
    Connections(Filter),
    /// Logins, publishes and subscriptions that the policy refused, or would have
    Denials(Filter),
}

/// Which rows, and how they are printed.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// The database
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub database: Option<PathBuf>,
    /// The policy that names the database [default: rules.yaml]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Only this client
    #[arg(long)]
    pub clientid: Option<String>,
    /// Only clients of this cluster
    #[arg(long)]
    pub cluster: Option<String>,
    /// Only clients of this user name
    #[arg(long)]
    pub username: Option<String>,
    /// Only from this time on: 2024-05-01, 2024-05-01T12:30:00Z, or 2h, 7d for so long ago (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<i64>,
    /// Only up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<i64>,
    /// At most so many rows, the newest; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: u32,
    /// Times are UTC in a table, and Unix milliseconds in json and csv
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people
    Table,
    /// An array of objects
    Json,
    /// With a line of names
    Csv,
}

/// Prints what was asked for. 0 where it could be read, though there be no rows; 2 where not.
pub fn run(args: &Args) -> ExitCode {
    let (report, filter) = args.what.report();
    match show(report, filter, &mut io::stdout().lock()) {
        Ok(Shown::All) => ExitCode::SUCCESS,
        Ok(Shown::Limited) => {
            let _ = writeln!(
                io::stderr(),
                "exhook-policy: only the newest {} rows are shown; --limit 0 shows all",
                filter.limit
            );
            ExitCode::SUCCESS
        }
        Err(text) => {
            let _ = writeln!(io::stderr(), "exhook-policy: {text}");
            ExitCode::from(2)
        }
    }
}

enum Shown {
    All,
    Limited,
}

/// One kind of rows: a table or view, and how the filters apply to it. `CLUSTER` stands for the column, which older
/// files do not have.
struct Report {
    from: &'static str,
    columns: &'static [Column],
    /// Newest first.
    order: &'static str,
    username: &'static str,
    /// Conditions in which `?` is a time.
    since: &'static str,
    until: &'static str,
}

struct Column {
    name: &'static str,
    is_time: bool,
    /// Whether a table goes without it where it is empty in every row.
    is_optional: bool,
}

const fn text(name: &'static str) -> Column {
    Column { name, is_time: false, is_optional: false }
}

const fn time(name: &'static str) -> Column {
    Column { name, is_time: true, is_optional: false }
}

const CLUSTER: Column = Column { name: "cluster", is_time: false, is_optional: true };

/// From this schema version on there are clusters.
const HAS_CLUSTERS: i64 = 3;

const ONLINE: Report = Report {
    from: "online",
    columns: &[
        text("clientid"),
        text("username"),
        text("peerhost"),
        text("sockport"),
        text("protocol"),
        text("proto_ver"),
        text("node"),
        time("connected_at"),
        text("unsure"),
        CLUSTER,
    ],
    order: "connected_at DESC, id DESC",
    username: "username = ?",
    since: "connected_at >= ?",
    until: "connected_at <= ?",
};

const CLIENTS: Report = Report {
    from: "clients",
    columns: &[
        text("clientid"),
        text("online"),
        text("connections"),
        time("first_connected_at"),
        time("last_connected_at"),
        time("last_disconnected_at"),
        text("last_reason"),
        CLUSTER,
    ],
    order: "last_connected_at DESC, clientid, CLUSTER",
    username: "(clientid, CLUSTER) IN (SELECT clientid, CLUSTER FROM connections WHERE username = ?)",
    // Seen at some time between the two.
    since: "(online = 1 OR last_disconnected_at >= ?)",
    until: "first_connected_at <= ?",
};

const CONNECTIONS: Report = Report {
    from: "connections",
    columns: &[
        text("clientid"),
        text("username"),
        text("peerhost"),
        text("sockport"),
        text("protocol"),
        text("proto_ver"),
        text("node"),
        time("connected_at"),
        time("disconnected_at"),
        text("reason"),
        text("closed_by"),
        CLUSTER,
    ],
    order: "id DESC",
    username: "username = ?",
    // That lasted at some time between the two.
    since: "(disconnected_at IS NULL OR disconnected_at >= ?)",
    until: "connected_at <= ?",
};

const DENIALS: Report = Report {
    from: "denials",
    columns: &[
        time("at"),
        text("clientid"),
        text("username"),
        text("peerhost"),
        text("action"),
        text("topic"),
        text("rule"),
        text("mode"),
        text("count"),
        CLUSTER,
    ],
    order: "id DESC",
    username: "username = ?",
    since: "at >= ?",
    until: "at <= ?",
};

impl What {
    fn report(&self) -> (&'static Report, &Filter) {
        match self {
            What::Online(filter) => (&ONLINE, filter),
            What::Clients(filter) => (&CLIENTS, filter),
            What::Connections(filter) => (&CONNECTIONS, filter),
            What::Denials(filter) => (&DENIALS, filter),
        }
    }
}

impl Report {
    fn query(&self, filter: &Filter, version: i64) -> (String, Vec<Value>) {
        let cluster = if version < HAS_CLUSTERS { "''" } else { "cluster" };
        let mut conditions = vec!["1".to_owned()];
        let mut values = Vec::new();
        let mut add = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                conditions.push(condition.to_owned());
                values.push(value);
            }
        };
        add("clientid = ?", filter.clientid.clone().map(Value::Text));
        add("CLUSTER = ?", filter.cluster.clone().map(Value::Text));
        add(self.username, filter.username.clone().map(Value::Text));
        add(self.since, filter.since.map(Value::Integer));
        add(self.until, filter.until.map(Value::Integer));
        let columns: Vec<&str> =
            self.columns.iter().map(|column| if column.is_optional { "CLUSTER" } else { column.name }).collect();
        let mut sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            columns.join(", "),
            self.from,
            conditions.join(" AND "),
            self.order
        )
        .replace("CLUSTER", cluster);
        if filter.limit > 0 {
            // One more shows that there are more.
            let _ = write!(sql, " LIMIT {}", u64::from(filter.limit) + 1);
        }
        (sql, values)
    }
}

fn show(report: &Report, filter: &Filter, out: &mut impl Write) -> Result<Shown, String> {
    let path = database(filter)?;
    let unreadable = |text: &dyn std::fmt::Display| format!("cannot read {}: {text}", path.display());
    let db = open_read_only(&path).map_err(|text| unreadable(&text))?;
    match print(report, filter, &db, out) {
        Ok(shown) => Ok(shown),
        Err(Failure::Database(error)) => Err(unreadable(&error)),
        // Whoever read has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Shown::All),
        Err(Failure::Output(error)) => Err(format!("cannot write: {error}")),
    }
}

fn database(filter: &Filter) -> Result<PathBuf, String> {
    match (&filter.database, &filter.policy) {
        (Some(database), _) => Ok(database.clone()),
        (None, Some(policy)) => database_of(policy),
        (None, None) if Path::new(POLICY).exists() => database_of(Path::new(POLICY)),
        (None, None) => {
            Err(format!("there is no {POLICY} here; name the database with --database, or the policy with --policy"))
        }
    }
}

fn database_of(path: &Path) -> Result<PathBuf, String> {
    let name = path.display();
    match policy::load(path) {
        Ok(loaded) => match loaded.model.history {
            Some(history) => Ok(history.database),
            None => Err(format!("the policy {name} keeps no history")),
        },
        Err(_) => Err(format!("the policy {name} cannot be used; exhook-policy check {name} says why")),
    }
}

enum Failure {
    Database(rusqlite::Error),
    Output(io::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Database(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl From<csv::Error> for Failure {
    fn from(error: csv::Error) -> Self {
        Failure::Output(error.into())
    }
}

fn print(report: &Report, filter: &Filter, db: &Connection, out: &mut impl Write) -> Result<Shown, Failure> {
    let version = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let (sql, values) = report.query(filter, version);
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut printer = Printer::start(filter.format, report.columns, out)?;
    let mut count: u64 = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        if filter.limit > 0 && count > u64::from(filter.limit) {
            printer.finish()?;
            return Ok(Shown::Limited);
        }
        printer.row(row)?;
    }
    printer.finish()?;
    Ok(Shown::All)
}

enum Printer<'a, W: Write> {
    Table { columns: &'static [Column], cells: Vec<Vec<String>>, out: &'a mut W },
    Json { columns: &'static [Column], first: bool, out: &'a mut W },
    Csv { columns: &'static [Column], out: Box<csv::Writer<&'a mut W>> },
}

impl<'a, W: Write> Printer<'a, W> {
    fn start(format: Format, columns: &'static [Column], out: &'a mut W) -> Result<Self, Failure> {
        let names = columns.iter().map(|column| column.name);
        Ok(match format {
            Format::Table => Printer::Table { columns, cells: vec![names.map(str::to_uppercase).collect()], out },
            Format::Json => {
                out.write_all(b"[")?;
                Printer::Json { columns, first: true, out }
            }
            Format::Csv => {
                let mut out = Box::new(csv::Writer::from_writer(out));
                out.write_record(names)?;
                Printer::Csv { columns, out }
            }
        })
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        match self {
            Printer::Table { columns, cells, .. } => {
                let mut line = Vec::with_capacity(columns.len());
                for (index, column) in columns.iter().enumerate() {
                    line.push(cell(row.get(index)?, column.is_time));
                }
                cells.push(line);
            }
            Printer::Json { columns, first, out } => {
                out.write_all(if std::mem::take(first) { b"\n  {" } else { b",\n  {" })?;
                for (index, column) in columns.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(out, "{separator}\"{}\": {}", column.name, json(row.get(index)?))?;
                }
                out.write_all(b"}")?;
            }
            Printer::Csv { columns, out } => {
                for index in 0..columns.len() {
                    out.write_field(plain(row.get(index)?))?;
                }
                out.write_record(None::<&[u8]>)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Printer::Table { columns, cells, out } => {
                let widths: Vec<usize> = (0..columns.len())
                    .map(|index| cells.iter().filter_map(|line| line.get(index)).map(|cell| width(cell)).max())
                    .map(Option::unwrap_or_default)
                    .collect();
                let is_shown: Vec<bool> = columns
                    .iter()
                    .enumerate()
                    .map(|(index, column)| {
                        let mut rows = cells.iter().skip(1).filter_map(|line| line.get(index));
                        !column.is_optional || rows.any(|cell| !cell.is_empty())
                    })
                    .collect();
                for line in cells {
                    let mut text = String::new();
                    for ((cell, wide), _) in line.iter().zip(&widths).zip(&is_shown).filter(|(_, shown)| **shown) {
                        text.push_str(cell);
                        text.extend(std::iter::repeat_n(' ', wide - width(cell) + 2));
                    }
                    writeln!(out, "{}", text.trim_end())?;
                }
                out.flush()?;
            }
            Printer::Json { first, out, .. } => {
                out.write_all(if first { b"]\n" } else { b"\n]\n" })?;
                out.flush()?;
            }
            Printer::Csv { mut out, .. } => out.flush()?,
        }
        Ok(())
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn plain(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => number.into(),
        Value::Real(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

fn cell(value: Value, is_time: bool) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Integer(ms) if is_time => match Timestamp::from_millisecond(ms) {
            Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => ms.to_string(),
        },
        Value::Integer(_) | Value::Real(_) | Value::Text(_) | Value::Blob(_) => visible(&plain(value)),
    }
}

/// Clients choose their names: nothing in one may move the cursor or turn the line around.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hides =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || hides {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Unix milliseconds of a point in time, or of so long ago.
fn parse_time(text: &str) -> Result<i64, String> {
    let wrong =
        || format!("{text:?} is no time; write 2024-05-01, 2024-05-01T12:30:00Z, or 30m, 2h, 7d for so long ago");
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from));
    if let Ok(civil) = civil {
        return civil.to_zoned(TimeZone::UTC).map(|time| time.timestamp().as_millisecond()).map_err(|_| wrong());
    }
    text.parse::<jiff::Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .and_then(|ago| Timestamp::now().checked_sub(ago))
        .map(Timestamp::as_millisecond)
        .map_err(|_| wrong())
}

#[cfg(test)]
#[path = "history/tests.rs"]
mod tests;
