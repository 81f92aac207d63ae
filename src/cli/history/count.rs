//! `--count`, `--by` and `--top`: how many rows there are.

use std::collections::BTreeMap;
use std::io::Write;

use clap::ValueEnum;

use super::columns::{BY_CLIENTID, BY_HOUR, BY_NODE, BY_REASON, COUNT, Column};
use super::print::{PrintForm, Printer};
use super::{HistoryFailure, HistoryFormat, HistoryReport, RowsShown};
use exhook_policy_runtime::history::read::count::{CountKey, CountedBy, CountedRows};
use exhook_policy_runtime::history::read::{HistoryReader, RowFilter, StoredValue};

/// What is counted instead of shown.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct CountArgs {
    /// Only how many there are: online, connections or denials
    #[arg(long)]
    pub count: bool,
    /// How many there are of each clientid, hour, reason or node
    #[arg(long, value_enum, value_name = "KEY")]
    pub by: Option<CountedKey>,
    /// With --by: only the N with the most, the most first
    #[arg(long, value_name = "N", requires = "by", value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,
}

/// By what rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CountedKey {
    /// The clientid
    Clientid,
    /// The hour in which it began
    Hour,
    /// Why it was refused, or why the connection ended
    Reason,
    /// The broker node
    Node,
}

/// What is to be counted, and by which key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counting {
    rows: CountedRows,
    by: Option<CountedKey>,
    top: Option<u32>,
}

impl CountedKey {
    fn key(self) -> CountKey {
        match self {
            CountedKey::Clientid => CountKey::Clientid,
            CountedKey::Hour => CountKey::Hour,
            CountedKey::Reason => CountKey::Reason,
            CountedKey::Node => CountKey::Node,
        }
    }

    fn columns(self) -> &'static [Column] {
        match self {
            CountedKey::Clientid => BY_CLIENTID,
            CountedKey::Hour => BY_HOUR,
            CountedKey::Reason => BY_REASON,
            CountedKey::Node => BY_NODE,
        }
    }

    fn word(self) -> &'static str {
        match self {
            CountedKey::Clientid => "clientid",
            CountedKey::Hour => "hour",
            CountedKey::Reason => "reason",
            CountedKey::Node => "node",
        }
    }
}

impl CountArgs {
    /// What is to be counted of a report; `None` if its rows are shown.
    ///
    /// # Errors
    /// The rows of this report are not counted, or have no such key.
    pub(super) fn counting(self, report: HistoryReport) -> Result<Option<Counting>, String> {
        let CountArgs { count, by, top } = self;
        if !count && by.is_none() {
            return Ok(None);
        }
        let rows = match report {
            HistoryReport::Online => CountedRows::Online,
            HistoryReport::Connections => CountedRows::Connections,
            HistoryReport::Denials => CountedRows::Denials,
            HistoryReport::Clients | HistoryReport::Bans | HistoryReport::AllBans => {
                return Err(format!(
                    "`history {}` is not counted: --count, --by and --top are for online, connections and denials",
                    report.word()
                ));
            }
        };
        if let Some(key) = by.filter(|key| !rows.has(key.key())) {
            let others: Vec<&str> = CountedKey::value_variants()
                .iter()
                .filter(|other| rows.has(other.key()))
                .map(|other| other.word())
                .collect();
            return Err(format!(
                "`history {}` has no {} to count by; choose one of: {}",
                report.word(),
                key.word(),
                others.join(", ")
            ));
        }
        Ok(Some(Counting { rows, by, top }))
    }
}

impl Counting {
    /// Prints the counts. `limit`: so many values of a key at most, 0 for all.
    pub(super) fn print(
        self,
        filter: &RowFilter,
        limit: u32,
        reader: &HistoryReader,
        form: &PrintForm,
        out: &mut impl Write,
    ) -> Result<RowsShown, HistoryFailure> {
        let Some(by) = self.by else {
            return print_all(reader.count(self.rows, filter)?, form, out).map(|()| RowsShown::All);
        };
        let most = self.top.unwrap_or(limit);
        let asked = RowFilter { limit: (most > 0).then(|| u64::from(most) + 1), ..filter.clone() };
        let mut counted = reader.count_by(self.rows, by.key(), &asked)?;
        match by {
            CountedKey::Hour => {
                counted = in_hours(counted, form);
                if self.top.is_some() {
                    counted.sort_by_key(|one| std::cmp::Reverse(one.count));
                }
            }
            CountedKey::Clientid | CountedKey::Reason | CountedKey::Node => {}
        }
        let is_limited = self.top.is_none() && most > 0 && counted.len() > most as usize;
        if is_limited && by == CountedKey::Hour {
            // In the order of time the newest are the last.
            counted = counted.split_off(counted.len().saturating_sub(most as usize));
        } else if most > 0 {
            counted.truncate(most as usize);
        }
        let mut printer = Printer::start(form, by.columns(), out)?;
        for CountedBy { key, count } in counted {
            printer.row(vec![key, StoredValue::Integer(count)])?;
        }
        printer.finish()?;
        Ok(match (is_limited, by) {
            (true, CountedKey::Hour) => RowsShown::LimitedHours,
            (true, CountedKey::Clientid | CountedKey::Reason | CountedKey::Node) => RowsShown::LimitedKeys,
            (false, _) => RowsShown::All,
        })
    }
}

fn print_all(count: i64, form: &PrintForm, out: &mut impl Write) -> Result<(), HistoryFailure> {
    match form.format {
        HistoryFormat::Table => {
            writeln!(out, "{count}")?;
            Ok(out.flush()?)
        }
        HistoryFormat::Json | HistoryFormat::Csv => {
            let mut printer = Printer::start(form, COUNT, out)?;
            printer.row(vec![StoredValue::Integer(count)])?;
            printer.finish()
        }
    }
}

/// Adds the parts of an hour up, by the clock of the zone in which times are shown. What stands in
/// the place of a time and is none stays by itself.
fn in_hours(parts: Vec<CountedBy>, form: &PrintForm) -> Vec<CountedBy> {
    let mut hours: BTreeMap<i64, i64> = BTreeMap::new();
    let mut others = Vec::new();
    for CountedBy { key, count } in parts {
        match key {
            StoredValue::Integer(at) => *hours.entry(form.times.hour(at)).or_default() += count,
            StoredValue::Missing | StoredValue::Real(_) | StoredValue::Text(_) => {
                others.push(CountedBy { key, count });
            }
        }
    }
    let hours = hours.into_iter().map(|(at, count)| CountedBy { key: StoredValue::Integer(at), count });
    hours.chain(others).collect()
}
