//! Rows as a table, as JSON and as CSV.

use std::io::Write;

use super::columns::Column;
use super::table::Table;
use super::times::{ShownTimes, iso};
use super::{HistoryFailure, HistoryFormat, names};
use exhook_policy_runtime::history::read::StoredValue;

/// How rows are printed.
#[derive(Debug, Clone)]
pub(super) struct PrintForm {
    pub(super) format: HistoryFormat,
    /// All columns of a table, however wide.
    pub(super) wide: bool,
    pub(super) times: ShownTimes,
}

/// Writes rows, in the way that was asked for.
pub(super) enum Printer<'a, W: Write> {
    Table { table: Table, out: &'a mut W },
    Json { columns: &'static [Column], first: bool, out: &'a mut W },
    Csv { columns: &'static [Column], out: Box<csv::Writer<&'a mut W>> },
}

impl<'a, W: Write> Printer<'a, W> {
    pub(super) fn start(form: &PrintForm, columns: &'static [Column], out: &'a mut W) -> Result<Self, HistoryFailure> {
        Ok(match form.format {
            HistoryFormat::Table => Printer::Table { table: Table::new(columns, form.wide, form.times.clone()), out },
            HistoryFormat::Json => {
                out.write_all(b"[")?;
                Printer::Json { columns, first: true, out }
            }
            HistoryFormat::Csv => {
                let names = columns.iter().map(|column| column.name.to_owned());
                let mut out = Box::new(csv::Writer::from_writer(out));
                out.write_record(names.chain(times_of(columns).map(Column::iso)))?;
                Printer::Csv { columns, out }
            }
        })
    }

    /// `values`: one for each column.
    pub(super) fn row(&mut self, values: Vec<StoredValue>) -> Result<(), HistoryFailure> {
        match self {
            Printer::Table { table, .. } => table.row(values),
            Printer::Json { columns, first, out } => {
                out.write_all(if std::mem::take(first) { b"\n  {" } else { b",\n  {" })?;
                let in_words = in_words(columns, &values);
                for (index, (column, value)) in columns.iter().zip(values).enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(out, "{separator}\"{}\": {}", column.name, json(value))?;
                }
                for (name, time) in in_words {
                    write!(out, ", \"{name}\": {}", serde_json::Value::from(time))?;
                }
                out.write_all(b"}")?;
            }
            Printer::Csv { columns, out } => {
                let in_words = in_words(columns, &values).into_iter().map(|(_, time)| time.unwrap_or_default());
                out.write_record(values.into_iter().map(plain).chain(in_words))?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), HistoryFailure> {
        match self {
            Printer::Table { table, out } => {
                table.write(out)?;
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

fn times_of(columns: &'static [Column]) -> impl Iterator<Item = &'static Column> {
    columns.iter().filter(|column| column.is_time)
}

/// The times of a row, as ISO 8601.
fn in_words(columns: &[Column], values: &[StoredValue]) -> Vec<(String, Option<String>)> {
    let times = columns.iter().zip(values).filter(|(column, _)| column.is_time);
    let told = |(column, value): (&Column, &StoredValue)| {
        let time = match value {
            StoredValue::Integer(ms) => iso(*ms),
            StoredValue::Missing | StoredValue::Real(_) | StoredValue::Text(_) => None,
        };
        (column.iso(), time)
    };
    times.map(told).collect()
}

fn plain(value: StoredValue) -> String {
    match value {
        StoredValue::Missing => String::new(),
        StoredValue::Integer(number) => number.to_string(),
        StoredValue::Real(number) => number.to_string(),
        StoredValue::Text(text) => names::plain(&text),
    }
}

fn json(value: StoredValue) -> serde_json::Value {
    match value {
        StoredValue::Missing => serde_json::Value::Null,
        StoredValue::Integer(number) => number.into(),
        StoredValue::Real(number) => number.into(),
        StoredValue::Text(text) => text.into(),
    }
}
