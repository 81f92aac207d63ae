//! Places in the policy's text.

use std::ops::Range;

/// Bytes `start..end` of the policy's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end: end.max(start) }
    }

    /// The text of the span; empty where it lies outside of the text.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether the other lies in it.
    pub fn holds(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The same as a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// Where a span begins and ends. Lines and columns are counted from 1, and the end is the column behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line of the first character.
    pub line: usize,
    /// Its column.
    pub column: usize,
    /// The line of the end.
    pub end_line: usize,
    /// The column of the end.
    pub end_column: usize,
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// A Unicode character.
    Characters,
    /// Two bytes of UTF-16, as editors count.
    Utf16,
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// Finds the line ends of a text.
    pub fn new(text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at.saturating_add(1))).collect();
        Lines { starts }
    }

    /// The line of a byte, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset).max(1)
    }

    /// Where a line begins. The line is counted from 1.
    pub fn start(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// One past the last byte of a line, its line end included. The line is counted from 1.
    pub fn end(&self, line: usize, text: &str) -> usize {
        self.starts.get(line).copied().unwrap_or(text.len())
    }

    /// Line and column of a byte, both from 1. A byte order mark is no column.
    pub fn position(&self, offset: usize, text: &str, columns: Columns) -> (usize, usize) {
        let line = self.line(offset);
        let before = text.get(self.start(line)..offset).unwrap_or_default().chars().filter(|&c| c != BOM);
        let width = |c: char| match columns {
            Columns::Characters => 1,
            Columns::Utf16 => c.len_utf16(),
        };
        (line, before.map(width).sum::<usize>().saturating_add(1))
    }

    /// Where a span begins and ends.
    pub fn place(&self, span: Span, text: &str, columns: Columns) -> Place {
        let (line, column) = self.position(span.start, text, columns);
        let (end_line, end_column) = self.position(span.end, text, columns);
        Place { line, column, end_line, end_column }
    }
}

/// The byte order mark, which some editors put before a text.
pub(crate) const BOM: char = '\u{feff}';

#[cfg(test)]
mod tests {
    use super::{Columns, Lines, Place, Span};

    #[track_caller]
    fn check(text: &str, needle: &str, line: usize, column: usize) {
        let offset = text.find(needle).unwrap();
        assert_eq!(Lines::new(text).position(offset, text, Columns::Characters), (line, column));
    }

    #[test]
    fn positions_count_characters_and_no_byte_order_mark() {
        check("abc", "a", 1, 1);
        check("abc\ndef", "d", 2, 1);
        check("abc\r\ndef", "f", 2, 3);
        check("é: ü", "ü", 1, 4);
        check("\u{feff}a: b", "a", 1, 1);
        check("\u{feff}a: b", "b", 1, 4);
    }

    #[track_caller]
    fn ends(text: &str, needle: &str, columns: Columns, expected: (usize, usize, usize, usize)) {
        let start = text.find(needle).unwrap();
        let place = Lines::new(text).place(Span::new(start, start + needle.len()), text, columns);
        let (line, column, end_line, end_column) = expected;
        assert_eq!(place, Place { line, column, end_line, end_column }, "{needle} {columns:?}");
    }

    #[test]
    fn places_count_what_was_asked_for() {
        ends("a: 🦀🦀\n", "🦀🦀", Columns::Characters, (1, 4, 1, 6));
        ends("a: 🦀🦀\n", "🦀🦀", Columns::Utf16, (1, 4, 1, 8));
        ends("\u{feff}é 🦀 b\r\nc", "b\r\nc", Columns::Utf16, (1, 6, 2, 2));
        ends("a\n", "a\n", Columns::Characters, (1, 1, 2, 1));
    }
}
