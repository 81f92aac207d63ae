//! Why a term could not be read. Shows where and what, never the contents.

use std::fmt;

use super::tag::Tag;

/// A term that cannot be read, or that is not what stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    at: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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

impl Error {
    pub(super) fn new(at: usize, kind: Kind) -> Self {
        Error { at, kind }
    }

    /// A field that has to be there is not.
    pub(in crate::port) fn missing(field: &'static str) -> Self {
        Error { at: 0, kind: Kind::Missing(field) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.kind {
            Kind::CutOff => write!(f, "the term is cut off at byte {at}"),
            Kind::TooMany => write!(f, "byte {at} declares more elements than there are bytes left"),
            Kind::Refused(tag) => write!(f, "{} at byte {at} is not read", tag.name()),
            Kind::UnknownTag(number) => write!(f, "no term begins with {number}, as at byte {at}"),
            Kind::NoVersion => write!(f, "no external term: the first byte is not 131"),
            Kind::Malformed(tag) => write!(f, "malformed {} at byte {at}", tag.name()),
            Kind::Inflate => write!(f, "the compressed term does not inflate to the size that it declares"),
            Kind::TooLarge => write!(f, "the compressed term inflates to more than is read"),
            Kind::NotUtf8(what) => write!(f, "{what} is not UTF-8, at byte {at}"),
            Kind::Expected(what) => write!(f, "expected {what} at byte {at}"),
            Kind::Missing(field) => write!(f, "{field} is missing"),
            Kind::Arguments { expected, found } => write!(f, "expected {expected} arguments, found {found}"),
            Kind::TrailingBytes(count) => write!(f, "{count} bytes follow the term"),
        }
    }
}

impl std::error::Error for Error {}
