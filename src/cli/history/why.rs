//! `exhook-policy history why`: why a client was refused, and why its connections ended.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::columns::WHY;
use super::names::{fit, visible, width};
use super::print::{PrintForm, Printer};
use super::table::TERMINAL;
use super::times::{GivenTime, ShownTimes, parse_time};
use super::{HistoryFailure, HistoryFormat, complain, database};
use crate::cli::out::stdout;
use exhook_policy_core::decision::DenialReason;
use exhook_policy_runtime::history::read::{ConnectionRow, DenialRow, HistoryReader, RowFilter, StoredValue};

/// Why a client was refused, and why its connections ended: the last times, in order
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// The client
    pub clientid: String,
    /// The database
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub database: Option<PathBuf>,
    /// The policy that names the database [default: rules.yaml]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Only in this cluster
    #[arg(long)]
    pub cluster: Option<String>,
    /// Only from this time on: 2024-05-01, 2024-05-01T12:30:00Z, or 2h, 7d for so long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<GivenTime>,
    /// Only up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<GivenTime>,
    /// At most so many, the last; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// How to print them
    #[arg(long, value_enum, default_value_t = HistoryFormat::Table)]
    pub format: HistoryFormat,
    /// Times are UTC, and not those of the terminal's zone
    #[arg(long)]
    pub utc: bool,
}

/// Something that happened to the client.
enum Happening {
    Denial(DenialRow),
    End(ConnectionRow),
}

/// 0 if it could be read, though nothing happened; 2 if not.
pub(super) fn run(args: &WhyArgs) -> ExitCode {
    match why(args, &ShownTimes::of(args.utc), &mut stdout()) {
        Ok(is_limited) => {
            if is_limited {
                complain(format_args!("only the last {} are shown; --limit 0 shows all", args.limit));
            }
            ExitCode::SUCCESS
        }
        Err(text) => {
            complain(format_args!("{text}"));
            ExitCode::from(2)
        }
    }
}

/// Whether there is more than was printed.
pub(super) fn why(args: &WhyArgs, times: &ShownTimes, out: &mut impl Write) -> Result<bool, String> {
    let path = database(args.database.as_deref(), args.policy.as_deref())?;
    let unreadable = |text: &dyn std::fmt::Display| format!("cannot read {}: {text}", path.display());
    let reader = HistoryReader::open(&path).map_err(|text| unreadable(&text))?;
    let form = PrintForm { format: args.format, wide: true, times: times.clone() };
    let read = happenings(args, times, &reader).and_then(|(happened, is_limited)| {
        print(args, &happened, &form, out)?;
        Ok(is_limited)
    });
    read.map_err(|failure| match failure {
        HistoryFailure::Read(error) => unreadable(&error),
        HistoryFailure::Output(error) => format!("cannot write: {error}"),
    })
}

/// What happened last, in the order of time, and whether there is more.
fn happenings(
    args: &WhyArgs,
    times: &ShownTimes,
    reader: &HistoryReader,
) -> Result<(Vec<Happening>, bool), HistoryFailure> {
    let most = (args.limit > 0).then(|| u64::from(args.limit) + 1);
    let filter = RowFilter {
        clientid: Some(args.clientid.clone()),
        cluster: args.cluster.clone(),
        since: args.since.map(|since| times.resolve(since)),
        until: args.until.map(|until| times.resolve(until)),
        limit: most,
        ..RowFilter::default()
    };
    let mut happened = Vec::new();
    for row in reader.denials(&filter)?.rows() {
        happened.push(Happening::Denial(row?));
    }
    for row in reader.ends(&filter)?.rows() {
        happened.push(Happening::End(row?));
    }
    // The newest come first, and what is of one time keeps its order.
    happened.reverse();
    happened.sort_by_key(Happening::at);
    let limit = if args.limit > 0 { args.limit as usize } else { happened.len() };
    let more = happened.len().saturating_sub(limit);
    Ok((happened.split_off(more), more > 0))
}

fn print(args: &WhyArgs, happened: &[Happening], form: &PrintForm, out: &mut impl Write) -> Result<(), HistoryFailure> {
    match form.format {
        HistoryFormat::Table => {
            if happened.is_empty() {
                let clientid = fit(&visible(&args.clientid), 20);
                writeln!(out, "no refusal and no end of a connection of {clientid} is recorded")?;
            }
            for one in happened {
                one.print(&form.times, out)?;
            }
            Ok(out.flush()?)
        }
        HistoryFormat::Json | HistoryFormat::Csv => {
            let mut printer = Printer::start(form, WHY, out)?;
            for one in happened {
                printer.row(one.values())?;
            }
            printer.finish()
        }
    }
}

impl Happening {
    fn at(&self) -> i64 {
        let at = match self {
            Happening::Denial(row) => &row.at,
            Happening::End(row) => &row.disconnected_at,
        };
        match at {
            StoredValue::Integer(at) => *at,
            StoredValue::Missing | StoredValue::Real(_) | StoredValue::Text(_) => 0,
        }
    }

    /// What happened, in words. `room`: for the names in it, in columns.
    fn said(&self, room: usize) -> String {
        match self {
            Happening::Denial(row) => {
                let word = if text(&row.mode) == "audit" { "would have been refused" } else { "refused" };
                let why = match (DenialReason::of_name(&text(&row.reason)), text(&row.reason)) {
                    (Some(reason), _) => reason.in_words().to_owned(),
                    (None, reason) if reason.is_empty() => "the reason is not recorded".to_owned(),
                    (None, reason) => fit(&reason, room),
                };
                match &*text(&row.action) {
                    "connect" => format!("{word}: {why}"),
                    action => {
                        let begin = format!("{word} to {} to ", fit(action, 10));
                        let left = room.saturating_sub(width(&begin) + width(&why) + 2).max(8);
                        format!("{begin}{}: {why}", fit(&text(&row.topic), left))
                    }
                }
            }
            Happening::End(row) => match &*text(&row.closed_by) {
                "event" if text(&row.reason) == "resync" => {
                    "no longer in the broker's list of clients; its own end was missed".to_owned()
                }
                "event" => format!("disconnected: {}", fit(&or(&row.reason, "no reason told"), room)),
                "takeover" => {
                    format!("taken over by another connection ({})", fit(&or(&row.reason, "no reason told"), room / 2))
                }
                "superseded" => "replaced by another connection; its own end was not told".to_owned(),
                "restart" => "ended with its broker".to_owned(),
                other => format!("ended: {}", fit(other, room)),
            },
        }
    }

    /// By which rule and policy, and what else there is to say.
    fn told(&self) -> Vec<String> {
        let named = |name: &str, value: &StoredValue| {
            let value = text(value);
            (!value.is_empty()).then(|| format!("{name} {}", fit(&value, 18)))
        };
        match self {
            Happening::Denial(row) => {
                let times = match &row.count {
                    StoredValue::Integer(count) if *count != 1 => Some(format!("{count} times")),
                    StoredValue::Integer(_) | StoredValue::Missing | StoredValue::Real(_) | StoredValue::Text(_) => {
                        None
                    }
                };
                [named("rule", &row.rule), named("policy", &row.policy), times].into_iter().flatten().collect()
            }
            Happening::End(row) => named("let in by rule", &row.rule).into_iter().collect(),
        }
    }

    /// In one line if that fits, else in two.
    fn print(&self, times: &ShownTimes, out: &mut impl Write) -> io::Result<()> {
        let mut line = times.show(self.at()) + "  ";
        let indent = width(&line);
        let room = TERMINAL.saturating_sub(indent);
        line.push_str(&fit(&self.said(room), room));
        let told = self.told().join(", ");
        if told.is_empty() {
            return writeln!(out, "{line}");
        }
        let told = format!("({told})");
        if width(&line) + 1 + width(&told) <= TERMINAL {
            return writeln!(out, "{line} {told}");
        }
        writeln!(out, "{line}")?;
        writeln!(out, "{:indent$}{}", "", fit(&told, room))
    }

    fn values(&self) -> Vec<StoredValue> {
        let word = |word: &str| StoredValue::Text(word.to_owned());
        let said = StoredValue::Text(self.said(usize::MAX / 2));
        match self {
            Happening::Denial(row) => {
                let DenialRow {
                    at,
                    clientid,
                    username,
                    peerhost,
                    action,
                    topic,
                    rule,
                    mode,
                    count,
                    cluster,
                    reason,
                    policy,
                } = row.clone();
                let missing = StoredValue::Missing;
                vec![
                    at,
                    word("denied"),
                    clientid,
                    username,
                    peerhost,
                    action,
                    topic,
                    rule,
                    reason,
                    policy,
                    mode,
                    count,
                    missing.clone(),
                    missing.clone(),
                    missing,
                    cluster,
                    said,
                ]
            }
            Happening::End(row) => {
                let ConnectionRow {
                    clientid,
                    username,
                    peerhost,
                    sockport: _,
                    protocol: _,
                    proto_ver: _,
                    node,
                    connected_at,
                    disconnected_at,
                    reason,
                    closed_by,
                    cluster,
                    rule,
                } = row.clone();
                let missing = StoredValue::Missing;
                vec![
                    disconnected_at,
                    word("ended"),
                    clientid,
                    username,
                    peerhost,
                    missing.clone(),
                    missing.clone(),
                    rule,
                    reason,
                    missing.clone(),
                    missing.clone(),
                    missing,
                    node,
                    connected_at,
                    closed_by,
                    cluster,
                    said,
                ]
            }
        }
    }
}

/// A value as a person may see it; empty where there is none.
fn text(value: &StoredValue) -> String {
    match value {
        StoredValue::Missing => String::new(),
        StoredValue::Integer(number) => number.to_string(),
        StoredValue::Real(number) => number.to_string(),
        StoredValue::Text(text) => visible(text),
    }
}

fn or(value: &StoredValue, otherwise: &str) -> String {
    let text = text(value);
    if text.is_empty() { otherwise.to_owned() } else { text }
}
