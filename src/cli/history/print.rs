//! Rows as a table, as JSON and as CSV.

use std::io::Write;

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Value;

use super::{Column, Failure, Format};

/// Writes rows, in the way that was asked for.
pub(super) enum Printer<'a, W: Write> {
    Table { columns: &'static [Column], cells: Vec<Vec<String>>, out: &'a mut W },
    Json { columns: &'static [Column], first: bool, out: &'a mut W },
    Csv { columns: &'static [Column], out: Box<csv::Writer<&'a mut W>> },
}

impl<'a, W: Write> Printer<'a, W> {
    pub(super) fn start(format: Format, columns: &'static [Column], out: &'a mut W) -> Result<Self, Failure> {
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

    pub(super) fn row(&mut self, row: &Row<'_>) -> Result<(), Failure> {
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

    pub(super) fn finish(self) -> Result<(), Failure> {
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
