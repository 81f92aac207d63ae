//! A reader of Erlang's external term format that pulls one head at a time and borrows everything.
//!
//! The bytes come from outside, so nothing is allocated, nothing recurses, and a declared count is
//! believed only as far as there are bytes for it: each element takes at least one. There is no limit
//! beside that, so none that a large but honest term could meet.

mod error;
mod inflate;
mod show;
mod tag;
#[cfg(test)]
mod tests;
mod typed;

use std::borrow::Cow;
use std::fmt;

use error::TermErrorKind;

pub use error::TermError;
pub use inflate::{INFLATED_MAX, unpack};
pub use show::Shown;
pub use tag::Tag;
pub use typed::{Properties, TermList};

/// The first byte of every external term.
pub const VERSION: u8 = 131;

/// A place in a term. Copies are cheap and independent: to look ahead, copy.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// What was not read yet.
    rest: &'a [u8],
    /// Of the whole, in bytes.
    length: usize,
}

/// The head of a term. A container's elements are read next, from the same reader.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Head<'a> {
    /// An integer of at most 64 bits, with its sign.
    Integer(i64),
    /// A larger integer; the magnitude begins with its lowest byte.
    Big {
        /// Below zero.
        negative: bool,
        /// The absolute value.
        magnitude: &'a [u8],
    },
    /// A float, in either of its forms.
    Float(f64),
    /// An atom, in any of its forms.
    Atom(Atom<'a>),
    /// A binary.
    Binary(&'a [u8]),
    /// A bit string: whole bytes, and how many bits of the last count.
    Bits(&'a [u8], u8),
    /// A list of integers from 0 to 255, which is also how short Erlang strings come.
    Bytes(&'a [u8]),
    /// The empty list.
    Nil,
    /// A list: so many elements follow, and then the tail, which is [`Head::Nil`] in a proper list.
    List(u32),
    /// A tuple: so many elements follow.
    Tuple(u32),
    /// A map: so many keys follow, each before its value.
    Map(u32),
    /// A pid, port, reference or fun, which is passed over whole.
    Opaque(Tag),
}

/// An atom's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Atom<'a> {
    bytes: &'a [u8],
    latin1: bool,
}

impl<'a> Atom<'a> {
    /// A text in an atom's place.
    pub(in crate::port) fn of(text: &'a str) -> Self {
        Atom { bytes: text.as_bytes(), latin1: false }
    }

    /// The name's bytes. ASCII is the same in both encodings, and every name that is asked for is ASCII.
    pub fn name(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the atom's text is this.
    pub fn is(self, text: &str) -> bool {
        debug_assert!(text.is_ascii());
        self.name() == text.as_bytes()
    }

    /// Whether the atom's text is this, which may be any.
    pub fn equals(self, text: &str) -> bool {
        let same = self.bytes == text.as_bytes() && (!self.latin1 || text.is_ascii());
        same || (!text.is_ascii() && self.to_text() == text)
    }

    /// The text, if it can be borrowed: an old atom that holds more than ASCII cannot.
    fn as_str(self) -> Option<&'a str> {
        let borrowed = !self.latin1 || self.bytes.is_ascii();
        borrowed.then(|| std::str::from_utf8(self.bytes).ok())?
    }

    /// The text.
    pub fn to_text(self) -> Cow<'a, str> {
        match self.as_str() {
            Some(text) => Cow::Borrowed(text),
            None if self.latin1 => Cow::Owned(self.bytes.iter().copied().map(char::from).collect()),
            None => String::from_utf8_lossy(self.bytes),
        }
    }
}

impl fmt::Display for Atom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl<'a> Reader<'a> {
    /// Reads terms from bytes that bear no version byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, length: bytes.len() }
    }

    /// Reads the term of a frame, behind its version byte. For a compressed term call [`unpack`] first.
    ///
    /// # Errors
    /// The first byte is not 131.
    pub fn versioned(frame: &'a [u8]) -> Result<Self, TermError> {
        match frame.split_first() {
            Some((&VERSION, rest)) => Ok(Reader { rest, length: frame.len() }),
            Some(_) | None => Err(TermError::new(0, TermErrorKind::NoVersion)),
        }
    }

    /// How many bytes were read.
    fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    fn error(&self, kind: TermErrorKind) -> TermError {
        TermError::new(self.at(), kind)
    }

    /// The error of finding something else than this here.
    #[cold]
    pub(in crate::port) fn expected(&self, what: &'static str) -> TermError {
        self.error(TermErrorKind::Expected(what))
    }

    #[cold]
    fn cut_off(&self) -> TermError {
        TermError::new(self.length, TermErrorKind::CutOff)
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], TermError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.cut_off())?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], TermError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.cut_off())?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, TermError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, TermError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, TermError> {
        self.array().map(u32::from_be_bytes)
    }

    /// As many bytes as the length in front of them says, which is a number of four bytes.
    fn take_u32(&mut self) -> Result<&'a [u8], TermError> {
        let count = self.u32()?;
        self.take(count as usize)
    }

    fn tag(&mut self) -> Result<Tag, TermError> {
        let before = *self;
        let number = self.u8()?;
        Tag::of(number).ok_or_else(|| before.error(TermErrorKind::UnknownTag(number)))
    }

    /// A count of elements, of which each takes at least `least` bytes.
    fn count(&mut self, least: usize) -> Result<u32, TermError> {
        let before = *self;
        let count = self.u32()?;
        if (count as usize).saturating_mul(least) > self.rest.len() {
            return Err(before.error(TermErrorKind::TooMany));
        }
        Ok(count)
    }

    /// Reads one head.
    ///
    /// # Errors
    /// The bytes end, the tag is unknown or refused, a count cannot be true, or a number is malformed.
    pub fn head(&mut self) -> Result<Head<'a>, TermError> {
        let start = *self;
        let tag = self.tag()?;
        let malformed = || start.error(TermErrorKind::Malformed(tag));
        Ok(match tag {
            Tag::SmallInteger => Head::Integer(self.u8()?.into()),
            Tag::Integer => Head::Integer(self.array().map(i32::from_be_bytes)?.into()),
            Tag::SmallBig => {
                let count = self.u8()?.into();
                self.big(count)?
            }
            Tag::LargeBig => {
                let count = self.u32()? as usize;
                self.big(count)?
            }
            Tag::NewFloat => Head::Float(self.array().map(f64::from_be_bytes)?),
            Tag::Float => {
                let text = std::str::from_utf8(self.take(31)?).map_err(|_| malformed())?;
                Head::Float(text.trim_end_matches('\0').trim_start().parse().map_err(|_| malformed())?)
            }
            Tag::Atom | Tag::SmallAtom | Tag::AtomUtf8 | Tag::SmallAtomUtf8 => Head::Atom(self.atom_behind(tag)?),
            Tag::Binary => Head::Binary(self.take_u32()?),
            Tag::BitBinary => {
                let count = self.u32()?;
                let bits = self.u8()?;
                if bits > 8 {
                    return Err(malformed());
                }
                Head::Bits(self.take(count as usize)?, bits)
            }
            Tag::String => {
                let count = self.u16()?;
                Head::Bytes(self.take(count.into())?)
            }
            Tag::Nil => Head::Nil,
            // Every element and the tail take a byte or more.
            Tag::List => Head::List(self.count(1)?),
            Tag::SmallTuple => Head::Tuple(self.u8()?.into()),
            Tag::LargeTuple => Head::Tuple(self.count(1)?),
            Tag::Map => Head::Map(self.count(2)?),
            Tag::NewPid
            | Tag::NewPort
            | Tag::V4Port
            | Tag::NewerReference
            | Tag::Reference
            | Tag::Port
            | Tag::Pid
            | Tag::NewReference
            | Tag::NewFun
            | Tag::Fun
            | Tag::Export => {
                *self = start;
                self.skip()?;
                Head::Opaque(tag)
            }
            Tag::DistHeader
            | Tag::DistFragHeader
            | Tag::AtomInternalRef2
            | Tag::AtomInternalRef3
            | Tag::BinaryInternalRef
            | Tag::BitBinaryInternalRef
            | Tag::Compressed
            | Tag::AtomCacheRef
            | Tag::Local
            | Tag::Version => return Err(start.error(TermErrorKind::Refused(tag))),
        })
    }

    fn big(&mut self, count: usize) -> Result<Head<'a>, TermError> {
        let negative = self.u8()? != 0;
        let magnitude = self.take(count)?;
        let mut value = [0_u8; 8];
        let fits = match value.get_mut(..count) {
            Some(low) => {
                low.copy_from_slice(magnitude);
                let value = i128::from(u64::from_le_bytes(value));
                i64::try_from(if negative { -value } else { value }).ok()
            }
            None => None,
        };
        Ok(fits.map_or(Head::Big { negative, magnitude }, Head::Integer))
    }

    fn atom_behind(&mut self, tag: Tag) -> Result<Atom<'a>, TermError> {
        let latin1 = matches!(tag, Tag::Atom | Tag::SmallAtom);
        let short = matches!(tag, Tag::SmallAtom | Tag::SmallAtomUtf8);
        let count = if short { self.u8()?.into() } else { self.u16()?.into() };
        Ok(Atom { bytes: self.take(count)?, latin1 })
    }

    /// Passes over one whole term and gives back its bytes.
    ///
    /// # Errors
    /// As [`Reader::head`], for the term and everything in it.
    pub fn skip(&mut self) -> Result<&'a [u8], TermError> {
        let start = *self;
        // How many terms are still to come. Depth needs no stack: it does not matter whose they are.
        let mut pending: u64 = 1;
        while pending > 0 {
            let before = *self;
            pending = pending - 1 + self.step()?;
            if pending > self.rest.len() as u64 {
                let kind = if self.rest.is_empty() { TermErrorKind::CutOff } else { TermErrorKind::TooMany };
                return Err(before.error(kind));
            }
        }
        Ok(self.since(&start))
    }

    /// What was read since.
    fn since(&self, start: &Self) -> &'a [u8] {
        start.rest.get(..start.rest.len() - self.rest.len()).unwrap_or_default()
    }

    /// Passes over one term but for the terms in it, and says how many these are.
    #[inline]
    fn step(&mut self) -> Result<u64, TermError> {
        match self.usual_step() {
            Some(inside) => Ok(inside),
            None => self.unusual_step(),
        }
    }

    fn unusual_step(&mut self) -> Result<u64, TermError> {
        let mut ahead = *self;
        let tag = ahead.tag()?;
        let inside = match tag {
            Tag::NewPid | Tag::V4Port => ahead.node_and(12)?,
            Tag::Pid => ahead.node_and(9)?,
            Tag::NewPort => ahead.node_and(8)?,
            Tag::Port | Tag::Reference => ahead.node_and(5)?,
            Tag::NewReference => {
                let words = usize::from(ahead.u16()?);
                ahead.node_and(1 + 4 * words)?
            }
            Tag::NewerReference => {
                let words = usize::from(ahead.u16()?);
                ahead.node_and(4 + 4 * words)?
            }
            Tag::NewFun => {
                // The size counts its own four bytes.
                let size = ahead.u32()? as usize;
                ahead.take(size.checked_sub(4).ok_or_else(|| self.error(TermErrorKind::Malformed(tag)))?)?;
                0
            }
            // Pid, module, index and a hash stand before the free variables.
            Tag::Fun => 4 + u64::from(ahead.count(1)?),
            Tag::Export => 3,
            Tag::Nil => 0,
            Tag::SmallInteger => ahead.pass(1)?,
            Tag::Integer => ahead.pass(4)?,
            Tag::Binary => ahead.take_u32().map(|_| 0)?,
            Tag::Atom | Tag::SmallAtom | Tag::AtomUtf8 | Tag::SmallAtomUtf8 => ahead.atom_behind(tag).map(|_| 0)?,
            Tag::SmallTuple => ahead.u8()?.into(),
            Tag::DistHeader
            | Tag::DistFragHeader
            | Tag::NewFloat
            | Tag::AtomInternalRef2
            | Tag::BinaryInternalRef
            | Tag::AtomInternalRef3
            | Tag::BitBinaryInternalRef
            | Tag::BitBinary
            | Tag::Compressed
            | Tag::AtomCacheRef
            | Tag::Float
            | Tag::LargeTuple
            | Tag::String
            | Tag::List
            | Tag::SmallBig
            | Tag::LargeBig
            | Tag::Map
            | Tag::Local
            | Tag::Version => {
                ahead = *self;
                match ahead.head()? {
                    Head::List(count) => u64::from(count) + 1,
                    Head::Tuple(count) => u64::from(count),
                    Head::Map(count) => 2 * u64::from(count),
                    Head::Integer(_)
                    | Head::Big { .. }
                    | Head::Float(_)
                    | Head::Atom(_)
                    | Head::Binary(_)
                    | Head::Bits(..)
                    | Head::Bytes(_)
                    | Head::Nil
                    | Head::Opaque(_) => 0,
                }
            }
        };
        *self = ahead;
        Ok(inside)
    }

    /// A node's name and the fixed bytes behind it.
    fn node_and(&mut self, behind: usize) -> Result<u64, TermError> {
        self.atom()?;
        self.pass(behind)
    }

    /// Passes over so many bytes, in which there are no terms.
    fn pass(&mut self, count: usize) -> Result<u64, TermError> {
        self.take(count).map(|_| 0)
    }
}
