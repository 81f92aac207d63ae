//! Rows in aligned columns, for people.

use std::io::{self, Write};

use super::columns::{Column, InTables};
use super::names::{fit, visible, width};
use super::times::ShownTimes;
use exhook_policy_runtime::history::read::StoredValue;

/// A table that is not wide fits into so many columns of a terminal.
pub(super) const TERMINAL: usize = 80;
/// In a wide one a name takes no more than this.
const WIDE_NAME: usize = 60;
/// A time takes no more than this. Somebody may have written another thing there.
const TIME: usize = 20;
/// Columns are made no narrower than this.
const NARROWEST: usize = 4;
/// Between two columns.
const GAP: usize = 2;

/// Rows that are printed once all of them are known.
#[derive(Debug)]
pub(super) struct Table {
    columns: &'static [Column],
    is_wide: bool,
    times: ShownTimes,
    /// The first are the names of the columns.
    lines: Vec<Vec<String>>,
}

/// A column of a table that is shown.
struct Shown {
    place: usize,
    is_time: bool,
    width: usize,
}

impl Table {
    pub(super) fn new(columns: &'static [Column], is_wide: bool, times: ShownTimes) -> Self {
        let names = columns.iter().map(|column| column.name.to_uppercase()).collect();
        Table { columns, is_wide, times, lines: vec![names] }
    }

    pub(super) fn row(&mut self, values: Vec<StoredValue>) {
        let cells = self.columns.iter().zip(values).map(|(column, value)| self.cell(column, value)).collect();
        self.lines.push(cells);
    }

    /// What a row holds of a value: cut here already, since there may be very many rows.
    fn cell(&self, column: &Column, value: StoredValue) -> String {
        let most = if column.is_time {
            TIME
        } else if self.is_wide {
            WIDE_NAME
        } else {
            TERMINAL
        };
        match value {
            StoredValue::Missing => "-".to_owned(),
            StoredValue::Integer(ms) if column.is_time => self.times.show(ms),
            StoredValue::Integer(number) => number.to_string(),
            StoredValue::Real(number) => fit(&number.to_string(), most),
            StoredValue::Text(text) => fit(&visible(&text), most),
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut shown = self.shown();
        if !self.is_wide {
            narrow(&mut shown);
        }
        for line in &self.lines {
            let mut text = String::new();
            for column in &shown {
                let cell = fit(line.get(column.place).map_or("", String::as_str), column.width);
                text.push_str(&cell);
                text.extend(std::iter::repeat_n(' ', column.width.saturating_sub(width(&cell)) + GAP));
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    fn shown(&self) -> Vec<Shown> {
        let columns = self.columns.iter().enumerate().filter(|(place, column)| {
            let mut cells = self.lines.iter().skip(1).filter_map(|line| line.get(*place));
            match column.shown {
                InTables::Always => true,
                InTables::Wide => self.is_wide,
                InTables::IfFilled => cells.any(|cell| !cell.is_empty() && cell != "-"),
                InTables::Unless(usual) => self.is_wide || cells.any(|cell| cell != usual),
                InTables::Never => false,
            }
        });
        let widest = |place: usize| self.lines.iter().filter_map(|line| line.get(place)).map(|cell| width(cell)).max();
        columns
            .map(|(place, column)| Shown { place, is_time: column.is_time, width: widest(place).unwrap_or(0) })
            .collect()
    }
}

/// Takes from the widest columns what is too much. Times stay whole.
fn narrow(shown: &mut [Shown]) {
    loop {
        let whole = shown.iter().map(|column| column.width).sum::<usize>() + GAP * shown.len().saturating_sub(1);
        let names = shown.iter_mut().filter(|column| !column.is_time && column.width > NARROWEST);
        match names.max_by_key(|column| column.width) {
            Some(widest) if whole > TERMINAL => widest.width -= 1,
            Some(_) | None => return,
        }
    }
}
