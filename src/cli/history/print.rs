//! Rows as a table, as JSON and as CSV.

use std::io::Write;

use jiff::Timestamp;

use super::columns::Column;
use super::{HistoryFailure, HistoryFormat};
use exhook_policy_runtime::history::read::StoredValue;

/// Writes rows, in the way that was asked for.
pub(super) enum Printer<'a, W: Write> {
    Table { columns: &'static [Column], cells: Vec<Vec<String>>, out: &'a mut W },
    Json { columns: &'static [Column], first: bool, out: &'a mut W },
    Csv { out: Box<csv::Writer<&'a mut W>> },
}

impl<'a, W: Write> Printer<'a, W> {
    pub(super) fn start(
        format: HistoryFormat,
        columns: &'static [Column],
        out: &'a mut W,
    ) -> Result<Self, HistoryFailure> {
        let names = columns.iter().map(|column| column.name);
        Ok(match format {
            HistoryFormat::Table => {
                Printer::Table { columns, cells: vec![names.map(str::to_uppercase).collect()], out }
            }
            HistoryFormat::Json => {
                out.write_all(b"[")?;
                Printer::Json { columns, first: true, out }
            }
            HistoryFormat::Csv => {
                let mut out = Box::new(csv::Writer::from_writer(out));
                out.write_record(names)?;
                Printer::Csv { out }
            }
        })
    }

    /// `values`: one for each column.
    pub(super) fn row(&mut self, values: Vec<StoredValue>) -> Result<(), HistoryFailure> {
        match self {
            Printer::Table { columns, cells, .. } => {
                cells.push(columns.iter().zip(values).map(|(column, value)| cell(value, column.is_time)).collect());
            }
            Printer::Json { columns, first, out } => {
                out.write_all(if std::mem::take(first) { b"\n  {" } else { b",\n  {" })?;
                for (index, (column, value)) in columns.iter().zip(values).enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(out, "{separator}\"{}\": {}", column.name, json(value))?;
                }
                out.write_all(b"}")?;
            }
            Printer::Csv { out } => out.write_record(values.into_iter().map(plain))?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), HistoryFailure> {
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
                        !column.is_spare && (!column.is_optional || rows.any(|cell| !cell.is_empty()))
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
            Printer::Csv { mut out } => out.flush()?,
        }
        Ok(())
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn plain(value: StoredValue) -> String {
    match value {
        StoredValue::Missing => String::new(),
        StoredValue::Integer(number) => number.to_string(),
        StoredValue::Real(number) => number.to_string(),
        StoredValue::Text(text) => text,
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

fn cell(value: StoredValue, is_time: bool) -> String {
    match value {
        StoredValue::Missing => "-".to_owned(),
        StoredValue::Integer(ms) if is_time => match Timestamp::from_millisecond(ms) {
            Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => ms.to_string(),
        },
        StoredValue::Integer(_) | StoredValue::Real(_) | StoredValue::Text(_) => visible(&plain(value)),
    }
}

/// Clients choose their names: nothing in one may move the cursor or turn the line around.
pub(super) fn visible(text: &str) -> String {
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
