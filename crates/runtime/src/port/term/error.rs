//! Why a term could not be read. Shows where and what, never the contents.

use std::fmt;

use super::tag::Tag;

/// A term that cannot be read, or that is not what stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermError {
    at: usize,
    kind: TermErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TermErrorKind {
    CutOff,
    TooMany,
    Refused(Tag),
    UnknownTag(u8),
    NoVersion,
    Malformed(Tag),
    Inflate,
    TooLarge,
    NotUtf8(&'static str),
    Expected(&'static str),
    Missing(&'static str),
    Arguments { expected: u32, found: u32 },
    TrailingBytes(usize),
}

impl TermError {
    pub(super) fn new(at: usize, kind: TermErrorKind) -> Self {
        TermError { at, kind }
    }

    /// A field that has to be there is not.
    pub(in crate::port) fn missing(field: &'static str) -> Self {
        TermError { at: 0, kind: TermErrorKind::Missing(field) }
    }
}

impl fmt::Display for TermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.kind {
            TermErrorKind::CutOff => write!(f, "the term is cut off at byte {at}"),
            TermErrorKind::TooMany => write!(f, "byte {at} declares more elements than there are bytes left"),
            TermErrorKind::Refused(tag) => write!(f, "{} at byte {at} is not read", tag.name()),
            TermErrorKind::UnknownTag(number) => write!(f, "no term begins with {number}, as at byte {at}"),
            TermErrorKind::NoVersion => write!(f, "no external term: the first byte is not 131"),
            TermErrorKind::Malformed(tag) => write!(f, "malformed {} at byte {at}", tag.name()),
            TermErrorKind::Inflate => write!(f, "the compressed term does not inflate to the size that it declares"),
            TermErrorKind::TooLarge => write!(f, "the compressed term inflates to more than is read"),
            TermErrorKind::NotUtf8(what) => write!(f, "{what} is not UTF-8, at byte {at}"),
            TermErrorKind::Expected(what) => write!(f, "expected {what} at byte {at}"),
            TermErrorKind::Missing(field) => write!(f, "{field} is missing"),
            TermErrorKind::Arguments { expected, found } => write!(f, "expected {expected} arguments, found {found}"),
            TermErrorKind::TrailingBytes(count) => write!(f, "{count} bytes follow the term"),
        }
    }
}

impl std::error::Error for TermError {}
