//! `exhook-policy history online|clients|connections|denials|bans|lift|resync`

mod columns;
mod lift;
mod print;
mod resync;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp};

use super::out::stdout;
use columns::ShownRow;
use exhook_policy_runtime::files::policies;
use exhook_policy_runtime::history::read::{HistoryReader, HostFilter, Query, ReadError, RowFilter};
use print::Printer;

/// The policy whose database is read where none is named.
const POLICY: &str = "rules.yaml";

/// Shows who is online, who was, and who was refused; lets in again who is kept out
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show
    #[command(subcommand)]
    pub what: HistoryCommand,
}

/// What to show.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// The connections that last
    Online(HistoryFilter),
    /// One row a clientid: is it online, since when is it known, why did it go last
    Clients(HistoryFilter),
    /// Connections, ended ones too
    Connections(HistoryFilter),
    /// Logins, publishes and subscriptions that the policy refused, or would have
    Denials(HistoryFilter),
    /// Whom `lockout` and `flapping` keep out for a while, or would
    Bans(BansArgs),
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
enum HistoryChange<'a> {
    Lift(&'a lift::Lift),
    Resync(&'a resync::Resync),
}

/// Which bans.
#[derive(Debug, clap::Args)]
pub struct BansArgs {
    /// Those that are over or lifted, too
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    filter: HistoryFilter,
}

/// Which rows, and how they are printed.
#[derive(Debug, clap::Args)]
pub struct HistoryFilter {
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
    pub peerhost: Option<HostFilter>,
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
    #[arg(long, value_enum, default_value_t = HistoryFormat::Table)]
    pub format: HistoryFormat,
}

fn parse_host(text: &str) -> Result<HostFilter, String> {
    text.parse().map(HostFilter::Address).or_else(|_| lift::parse_peer(text).map(HostFilter::Network))
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HistoryFormat {
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
        Err(HistoryChange::Lift(lift)) => return lift::run(lift),
        Err(HistoryChange::Resync(resync)) => return resync::run(resync),
    };
    match show(report, filter, &mut stdout()) {
        Ok(RowsShown::All) => ExitCode::SUCCESS,
        Ok(RowsShown::Limited) => {
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

enum RowsShown {
    All,
    Limited,
}

/// What a report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistoryReport {
    Online,
    Clients,
    Connections,
    Denials,
    Bans,
    AllBans,
}

impl HistoryCommand {
    /// What is shown; what is done, where it is that.
    fn report(&self) -> Result<(HistoryReport, &HistoryFilter), HistoryChange<'_>> {
        Ok(match self {
            HistoryCommand::Online(filter) => (HistoryReport::Online, filter),
            HistoryCommand::Clients(filter) => (HistoryReport::Clients, filter),
            HistoryCommand::Connections(filter) => (HistoryReport::Connections, filter),
            HistoryCommand::Denials(filter) => (HistoryReport::Denials, filter),
            HistoryCommand::Bans(BansArgs { all: true, filter }) => (HistoryReport::AllBans, filter),
            HistoryCommand::Bans(BansArgs { all: false, filter }) => (HistoryReport::Bans, filter),
            HistoryCommand::Lift(lift) => return Err(HistoryChange::Lift(lift)),
            HistoryCommand::Resync(resync) => return Err(HistoryChange::Resync(resync)),
        })
    }
}

impl HistoryFilter {
    /// The rows that are asked for, and one more, which shows that there are more.
    fn rows(&self) -> RowFilter {
        RowFilter {
            clientid: self.clientid.clone(),
            cluster: self.cluster.clone(),
            username: self.username.clone(),
            peerhost: self.peerhost,
            since: self.since,
            until: self.until,
            limit: (self.limit > 0).then(|| u64::from(self.limit) + 1),
        }
    }
}

fn show(report: HistoryReport, filter: &HistoryFilter, out: &mut impl Write) -> Result<RowsShown, String> {
    let has_networks = matches!(report, HistoryReport::Bans | HistoryReport::AllBans);
    if let (Some(HostFilter::Network(network)), false) = (filter.peerhost, has_networks) {
        return Err(format!("--peerhost {network}: only `history bans` knows networks; name an address"));
    }
    let path = database(filter.database.as_deref(), filter.policy.as_deref())?;
    let unreadable = |text: &dyn std::fmt::Display| format!("cannot read {}: {text}", path.display());
    let reader = HistoryReader::open(&path).map_err(|text| unreadable(&text))?;
    match print(report, filter, &reader, out) {
        Ok(shown) => Ok(shown),
        Err(HistoryFailure::Read(error)) => Err(unreadable(&error)),
        Err(HistoryFailure::Output(error)) => Err(format!("cannot write: {error}")),
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

enum HistoryFailure {
    Read(ReadError),
    Output(io::Error),
}

impl From<ReadError> for HistoryFailure {
    fn from(error: ReadError) -> Self {
        HistoryFailure::Read(error)
    }
}

impl From<io::Error> for HistoryFailure {
    fn from(error: io::Error) -> Self {
        HistoryFailure::Output(error)
    }
}

impl From<csv::Error> for HistoryFailure {
    fn from(error: csv::Error) -> Self {
        HistoryFailure::Output(error.into())
    }
}

fn print(
    report: HistoryReport,
    filter: &HistoryFilter,
    reader: &HistoryReader,
    out: &mut impl Write,
) -> Result<RowsShown, HistoryFailure> {
    let rows = filter.rows();
    match report {
        HistoryReport::Online => print_rows(reader.online(&rows)?, filter, out),
        HistoryReport::Clients => print_rows(reader.clients(&rows)?, filter, out),
        HistoryReport::Connections => print_rows(reader.connections(&rows)?, filter, out),
        HistoryReport::Denials => print_rows(reader.denials(&rows)?, filter, out),
        HistoryReport::Bans => print_rows(reader.bans(false, &rows)?, filter, out),
        HistoryReport::AllBans => print_rows(reader.bans(true, &rows)?, filter, out),
    }
}

fn print_rows<R: ShownRow>(
    mut query: Query<'_, R>,
    filter: &HistoryFilter,
    out: &mut impl Write,
) -> Result<RowsShown, HistoryFailure> {
    let mut printer = Printer::start(filter.format, R::COLUMNS, out)?;
    for (row, before) in query.rows().zip(0_u64..) {
        let row = row?;
        if filter.limit > 0 && before >= u64::from(filter.limit) {
            printer.finish()?;
            return Ok(RowsShown::Limited);
        }
        printer.row(row.values())?;
    }
    printer.finish()?;
    Ok(RowsShown::All)
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
