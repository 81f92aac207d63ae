//! `exhook-policy history online|clients|connections|denials|why|bans|lift|resync`

mod columns;
mod count;
mod lift;
mod names;
mod print;
mod resync;
mod table;
mod times;
mod why;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::out::stdout;
use clap::{Subcommand, ValueEnum};
use columns::ShownRow;
use count::CountArgs;
use exhook_policy_runtime::files::policies;
use exhook_policy_runtime::history::read::{HistoryReader, HostFilter, Query, ReadError, RowFilter};
use print::{PrintForm, Printer};
use times::{GivenTime, ShownTimes, parse_time};

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
    /// Why one client was refused, and why its connections ended
    Why(why::WhyArgs),
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

/// What is no table of rows.
#[derive(Debug)]
enum HistoryChange<'a> {
    Why(&'a why::WhyArgs),
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
    /// Only from this time on: 2024-05-01, 2024-05-01T12:30:00Z, or 2h, 7d for so long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<GivenTime>,
    /// Only up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<GivenTime>,
    /// At most so many rows, the newest; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: u32,
    /// How to print them; json and csv have all columns, whole names, and times as Unix
    /// milliseconds and ISO 8601
    #[arg(long, value_enum, default_value_t = HistoryFormat::Table)]
    pub format: HistoryFormat,
    /// All columns of a table, however wide it becomes
    #[arg(long)]
    pub wide: bool,
    /// Times are UTC, and not those of the terminal's zone
    #[arg(long)]
    pub utc: bool,
    /// What is counted instead
    #[command(flatten)]
    pub counts: CountArgs,
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
        Err(HistoryChange::Why(why)) => return why::run(why),
        Err(HistoryChange::Lift(lift)) => return lift::run(lift),
        Err(HistoryChange::Resync(resync)) => return resync::run(resync),
    };
    match show(report, filter, &ShownTimes::of(filter.utc), &mut stdout()) {
        Ok(RowsShown::All) => ExitCode::SUCCESS,
        Ok(RowsShown::Limited) => {
            complain(format_args!("only the newest {} rows are shown; --limit 0 shows all", filter.limit));
            ExitCode::SUCCESS
        }
        Ok(RowsShown::LimitedKeys) => {
            complain(format_args!("only the first {} are shown; --limit 0 shows all", filter.limit));
            ExitCode::SUCCESS
        }
        Ok(RowsShown::LimitedHours) => {
            complain(format_args!("only the last {} are shown; --limit 0 shows all", filter.limit));
            ExitCode::SUCCESS
        }
        Err(text) => {
            complain(format_args!("{text}"));
            ExitCode::from(2)
        }
    }
}

fn complain(text: std::fmt::Arguments<'_>) {
    // A reader that closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "exhook-policy: {text}");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowsShown {
    All,
    Limited,
    /// Of what is counted by a key.
    LimitedKeys,
    /// The same of hours, of which the last were shown.
    LimitedHours,
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
            HistoryCommand::Why(why) => return Err(HistoryChange::Why(why)),
            HistoryCommand::Lift(lift) => return Err(HistoryChange::Lift(lift)),
            HistoryCommand::Resync(resync) => return Err(HistoryChange::Resync(resync)),
        })
    }
}

impl HistoryReport {
    /// The command's name.
    fn word(self) -> &'static str {
        match self {
            HistoryReport::Online => "online",
            HistoryReport::Clients => "clients",
            HistoryReport::Connections => "connections",
            HistoryReport::Denials => "denials",
            HistoryReport::Bans | HistoryReport::AllBans => "bans",
        }
    }
}

impl HistoryFilter {
    /// The rows that are asked for, and one more, which shows that there are more.
    fn rows(&self, times: &ShownTimes) -> RowFilter {
        RowFilter {
            clientid: self.clientid.clone(),
            cluster: self.cluster.clone(),
            username: self.username.clone(),
            peerhost: self.peerhost,
            since: self.since.map(|since| times.resolve(since)),
            until: self.until.map(|until| times.resolve(until)),
            limit: (self.limit > 0).then(|| u64::from(self.limit) + 1),
        }
    }
}

fn show(
    report: HistoryReport,
    filter: &HistoryFilter,
    times: &ShownTimes,
    out: &mut impl Write,
) -> Result<RowsShown, String> {
    let counting = filter.counts.counting(report)?;
    let has_networks = matches!(report, HistoryReport::Bans | HistoryReport::AllBans);
    if let (Some(HostFilter::Network(network)), false) = (filter.peerhost, has_networks) {
        return Err(format!("--peerhost {network}: only `history bans` knows networks; name an address"));
    }
    let path = database(filter.database.as_deref(), filter.policy.as_deref())?;
    let unreadable = |text: &dyn std::fmt::Display| format!("cannot read {}: {text}", path.display());
    let reader = HistoryReader::open(&path).map_err(|text| unreadable(&text))?;
    let form = PrintForm { format: filter.format, wide: filter.wide, times: times.clone() };
    let shown = match counting {
        Some(counting) => counting.print(&filter.rows(times), filter.limit, &reader, &form, out),
        None => print(report, filter, &reader, &form, out),
    };
    match shown {
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
    form: &PrintForm,
    out: &mut impl Write,
) -> Result<RowsShown, HistoryFailure> {
    let rows = filter.rows(&form.times);
    match report {
        HistoryReport::Online => print_rows(reader.online(&rows)?, filter, form, out),
        HistoryReport::Clients => print_rows(reader.clients(&rows)?, filter, form, out),
        HistoryReport::Connections => print_rows(reader.connections(&rows)?, filter, form, out),
        HistoryReport::Denials => print_rows(reader.denials(&rows)?, filter, form, out),
        HistoryReport::Bans => print_rows(reader.bans(false, &rows)?, filter, form, out),
        HistoryReport::AllBans => print_rows(reader.bans(true, &rows)?, filter, form, out),
    }
}

fn print_rows<R: ShownRow>(
    mut query: Query<'_, R>,
    filter: &HistoryFilter,
    form: &PrintForm,
    out: &mut impl Write,
) -> Result<RowsShown, HistoryFailure> {
    let mut printer = Printer::start(form, R::COLUMNS, out)?;
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

#[cfg(test)]
#[path = "history/tests.rs"]
mod tests;
