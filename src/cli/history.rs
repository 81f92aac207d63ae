//! `exhook-policy history online|clients|connections|denials|bans|lift|resync`

mod lift;
mod print;
mod resync;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::out::stdout;
use exhook_policy_core::event::short::stored;
use exhook_policy_runtime::files::policies;
use exhook_policy_runtime::history::open_read_only;
use exhook_policy_runtime::limits::Peer;
use print::Printer;

/// The policy whose database is read where none is named.
const POLICY: &str = "rules.yaml";

/// Shows who is online, who was, and who was refused; lets in again who is kept out
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
    /// Whom `lockout` and `flapping` keep out for a while, or would
    Bans(Bans),
    /// Lets in again whom `lockout` or `flapping` keeps out
    Lift(lift::Lift),
    /// Settles the connections that are unsure by the broker's own list of its clients
    ///
    /// Reads what `emqx_ctl clients list` prints, or the page of `GET /api/v4/clients` or `/api/v5/clients`; several one behind
    /// the other with --pages. A connection that is unsure and whose client is in the list is unsure no longer; one whose client is not is closed,
    /// with the reason `resync`. The driver or server may be at work meanwhile.
    Resync(resync::Resync),
}

/// What is done, and not shown.
#[derive(Debug)]
enum Change<'a> {
    Lift(&'a lift::Lift),
    Resync(&'a resync::Resync),
}

/// Which bans.
#[derive(Debug, clap::Args)]
pub struct Bans {
    /// Those that are over or lifted, too
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    filter: Filter,
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
    /// Only clients from this address; for `bans`, or this network as it is shown
    #[arg(long, value_name = "ADDRESS", value_parser = parse_host)]
    pub peerhost: Option<Host>,
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

/// From where clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// From there.
    Address(IpAddr),
    /// From an address that is counted as this.
    Network(Peer),
}

fn parse_host(text: &str) -> Result<Host, String> {
    text.parse().map(Host::Address).or_else(|_| lift::parse_peer(text).map(Host::Network))
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
    let (report, filter) = match args.what.report() {
        Ok(shown) => shown,
        Err(Change::Lift(lift)) => return lift::run(lift),
        Err(Change::Resync(resync)) => return resync::run(resync),
    };
    match show(report, filter, &mut stdout()) {
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
    /// Of a name, as it was given and as it is cut.
    username: &'static str,
    peerhost: &'static str,
    /// Whether addresses stand there as they are counted: those of a network of IPv6 as that.
    has_networks: bool,
    /// Conditions in which `?` is a time.
    since: &'static str,
    until: &'static str,
}

struct Column {
    name: &'static str,
    is_time: bool,
    /// Whether a table goes without it where it is empty in every row.
    is_optional: bool,
    /// Whether a table goes without it, since other columns say the same.
    is_spare: bool,
}

const fn text(name: &'static str) -> Column {
    Column { name, is_time: false, is_optional: false, is_spare: false }
}

const fn time(name: &'static str) -> Column {
    Column { name, is_time: true, is_optional: false, is_spare: false }
}

const fn spare(name: &'static str) -> Column {
    Column { name, is_time: false, is_optional: false, is_spare: true }
}

const CLUSTER: Column = Column { name: "cluster", is_time: false, is_optional: true, is_spare: false };

/// From this schema version on there are clusters.
const HAS_CLUSTERS: i64 = 3;
/// And bans.
const HAS_BANS: i64 = 4;

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
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: false,
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
    username: "(clientid, CLUSTER) IN (SELECT clientid, CLUSTER FROM connections WHERE username IN (?, ?))",
    peerhost: "(clientid, CLUSTER) IN (SELECT clientid, CLUSTER FROM connections WHERE peerhost = ?)",
    has_networks: false,
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
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: false,
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
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: false,
    since: "at >= ?",
    until: "at <= ?",
};

/// A ban ends when it is over or lifted. What it is by stands in columns, of which those that are not asked for are NULL.
const ALL_BANS: Report = Report {
    from: "(SELECT *, concat_ws(' ', clientid, username, peerhost) AS who,
                   concat_ws(', ', iif(clientid IS NULL, NULL, 'clientid'), iif(username IS NULL, NULL, 'username'),
                             iif(peerhost IS NULL, NULL, 'peerhost')) AS \"by\" FROM bans)",
    columns: &[
        text("who"),
        text("by"),
        // As `lift` takes them.
        spare("clientid"),
        spare("username"),
        spare("peerhost"),
        time("since"),
        time("until"),
        text("why"),
        time("lifted"),
        text("mode"),
        CLUSTER,
    ],
    order: "id DESC",
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: true,
    since: "min(until, coalesce(lifted, until)) >= ?",
    until: "since <= ?",
};

/// Those that hold.
const BANS: Report = Report {
    from: "(SELECT *, concat_ws(' ', clientid, username, peerhost) AS who,
                   concat_ws(', ', iif(clientid IS NULL, NULL, 'clientid'), iif(username IS NULL, NULL, 'username'),
                             iif(peerhost IS NULL, NULL, 'peerhost')) AS \"by\" FROM bans
            WHERE lifted IS NULL AND until > unixepoch('subsec') * 1000)",
    ..ALL_BANS
};

impl What {
    /// What is shown; what is done, where it is that.
    fn report(&self) -> Result<(&'static Report, &Filter), Change<'_>> {
        Ok(match self {
            What::Online(filter) => (&ONLINE, filter),
            What::Clients(filter) => (&CLIENTS, filter),
            What::Connections(filter) => (&CONNECTIONS, filter),
            What::Denials(filter) => (&DENIALS, filter),
            What::Bans(Bans { all: true, filter }) => (&ALL_BANS, filter),
            What::Bans(Bans { all: false, filter }) => (&BANS, filter),
            What::Lift(lift) => return Err(Change::Lift(lift)),
            What::Resync(resync) => return Err(Change::Resync(resync)),
        })
    }
}

impl Report {
    fn query(&self, filter: &Filter, version: i64) -> (String, Vec<Value>) {
        let cluster = if version < HAS_CLUSTERS { "''" } else { "cluster" };
        let mut conditions = vec!["1".to_owned()];
        let mut values = Vec::new();
        let mut add = |condition: &str, of_condition: Vec<Value>| {
            if !of_condition.is_empty() {
                conditions.push(condition.to_owned());
                values.extend(of_condition);
            }
        };
        // Long names stand there cut and marked, and may be asked for as they are shown. Before 0.5.1
        // they stood there whole.
        let name = |name: &Option<String>| {
            let name = name.as_deref();
            let texts = name.map(|name| [name.to_owned(), stored(name).into_owned()]);
            texts.map(|texts| texts.map(Value::Text).to_vec()).unwrap_or_default()
        };
        let one = |value: Option<Value>| value.into_iter().collect();
        add("clientid IN (?, ?)", name(&filter.clientid));
        add("CLUSTER IN (?, ?)", name(&filter.cluster));
        add(self.username, name(&filter.username));
        let host = |host: Host| match host {
            Host::Address(address) if self.has_networks => Peer::from(address).to_string(),
            Host::Address(address) => address.to_string(),
            Host::Network(network) => network.to_string(),
        };
        add(self.peerhost, one(filter.peerhost.map(host).map(Value::Text)));
        add(self.since, one(filter.since.map(Value::Integer)));
        add(self.until, one(filter.until.map(Value::Integer)));
        // `by` is a word of SQL.
        let quoted =
            |column: &Column| if column.is_optional { "CLUSTER".to_owned() } else { format!("\"{}\"", column.name) };
        let columns: Vec<String> = self.columns.iter().map(quoted).collect();
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
    if let (Some(Host::Network(network)), false) = (filter.peerhost, report.has_networks) {
        return Err(format!("--peerhost {network}: only `history bans` knows networks; name an address"));
    }
    let path = database(filter.database.as_deref(), filter.policy.as_deref())?;
    let unreadable = |text: &dyn std::fmt::Display| format!("cannot read {}: {text}", path.display());
    let db = open_read_only(&path).map_err(|text| unreadable(&text))?;
    match print(report, filter, &db, out) {
        Ok(shown) => Ok(shown),
        Err(Failure::Database(error)) => Err(unreadable(&error)),
        Err(Failure::Older) => Err(unreadable(&OLDER)),
        Err(Failure::Output(error)) => Err(format!("cannot write: {error}")),
    }
}

fn database(database: Option<&Path>, policy: Option<&Path>) -> Result<PathBuf, String> {
    match (database, policy) {
        (Some(database), _) => Ok(database.to_owned()),
        (None, Some(policy)) => database_of(policy),
        (None, None) if Path::new(POLICY).exists() => database_of(Path::new(POLICY)),
        (None, None) => {
            Err(format!("there is no {POLICY} here; name the database with --database, or the policy with --policy"))
        }
    }
}

fn database_of(path: &Path) -> Result<PathBuf, String> {
    let name = path.display();
    match policies::load(path) {
        Ok(loaded) => match loaded.model.history {
            Some(history) => Ok(history.database),
            None => Err(format!("the policy {name} keeps no history")),
        },
        Err(_) => Err(format!("the policy {name} cannot be used; exhook-policy check {name} says why")),
    }
}

/// What a file says that is older than this program.
const OLDER: &str = "it has no bans yet; the driver or server brings it up to date when it opens it";

enum Failure {
    Database(rusqlite::Error),
    /// The file has no such table yet.
    Older,
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
    if version < HAS_BANS && report.has_networks {
        return Err(Failure::Older);
    }
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
