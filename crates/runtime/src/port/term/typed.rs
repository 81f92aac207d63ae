//! Reading what has to be of a certain type.

use super::error::{TermError, TermErrorKind};
use super::{Atom, Head, Reader, Tag};

/// What the broker sends nearly always is told by its first byte alone.
const ATOM: u8 = Tag::Atom as u8;
const SMALL_ATOM_UTF8: u8 = Tag::SmallAtomUtf8 as u8;
const BINARY: u8 = Tag::Binary as u8;
const INTEGER: u8 = Tag::Integer as u8;
const LIST: u8 = Tag::List as u8;
const NIL: u8 = Tag::Nil as u8;
const SMALL_INTEGER: u8 = Tag::SmallInteger as u8;
const SMALL_TUPLE: u8 = Tag::SmallTuple as u8;

/// The head of a list.
#[derive(Debug, Clone, Copy)]
pub struct TermList {
    /// How many elements follow.
    pub count: u32,
    tail: bool,
}

/// A property list that is being read.
#[derive(Debug)]
pub struct Properties {
    list: TermList,
    left: u32,
}

impl Properties {
    /// Reads up to the next value and gives back its key; `None` behind the last. The value is the caller's to read or
    /// to pass over. Elements that are no pair of an atom and a value are passed over here.
    ///
    /// # Errors
    /// It cannot be read.
    #[inline]
    pub fn next<'a>(&mut self, reader: &mut Reader<'a>) -> Result<Option<Atom<'a>>, TermError> {
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let usual = match reader.rest {
                [SMALL_TUPLE, 2, ATOM, high, low, rest @ ..] => {
                    rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())
                }
                _ => None,
            };
            if let Some((bytes, rest)) = usual {
                reader.rest = rest;
                return Ok(Some(Atom { bytes, latin1: true }));
            }
            if let Some((key, value)) = reader.pair() {
                *reader = value;
                return Ok(Some(key));
            }
            reader.skip()?;
        }
        reader.list_end(self.list)?;
        Ok(None)
    }
}

impl<'a> Reader<'a> {
    /// Reads an atom.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    #[inline]
    pub fn atom(&mut self) -> Result<Atom<'a>, TermError> {
        if let Some(atom) = self.usual_atom() {
            return Ok(atom);
        }
        let before = *self;
        let tag = self.tag()?;
        if matches!(tag, Tag::Atom | Tag::SmallAtom | Tag::AtomUtf8 | Tag::SmallAtomUtf8) {
            self.atom_behind(tag)
        } else if tag == Tag::AtomCacheRef {
            Err(before.error(TermErrorKind::Refused(tag)))
        } else {
            Err(before.expected("an atom"))
        }
    }

    /// The key of the pair that stands next, if one does, and the reader at its value.
    fn pair(mut self) -> Option<(Atom<'a>, Self)> {
        let key = (self.tuple().ok()? == 2).then(|| self.atom().ok())??;
        Some((key, self))
    }

    /// The value of the pair that stands next, if it is the one with this key; nothing is read otherwise.
    #[inline]
    pub(in crate::port) fn value_of<const N: usize>(&mut self, key: &[u8; N]) -> Option<&mut Self> {
        let ([SMALL_TUPLE, 2, ATOM, 0, length, rest @ ..] | [SMALL_TUPLE, 2, SMALL_ATOM_UTF8, length, rest @ ..]) =
            self.rest
        else {
            return None;
        };
        let (found, value) = rest.split_first_chunk::<N>()?;
        if usize::from(*length) != N || found != key {
            return None;
        }
        self.rest = value;
        Some(self)
    }

    /// Passes over a term of the forms that brokers write most, but for the terms in it, and says how many these are.
    #[inline]
    pub(super) fn usual_step(&mut self) -> Option<u64> {
        let (inside, rest) = match self.rest {
            [ATOM, high, low, rest @ ..] => (0, rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)?),
            [SMALL_ATOM_UTF8, count, rest @ ..] => (0, rest.get(usize::from(*count)..)?),
            [SMALL_INTEGER, _, rest @ ..] | [NIL, rest @ ..] => (0, rest),
            [SMALL_TUPLE, count, rest @ ..] => ((*count).into(), rest),
            [BINARY, a, b, c, d, rest @ ..] => (0, rest.get(u32::from_be_bytes([*a, *b, *c, *d]) as usize..)?),
            _ => return None,
        };
        self.rest = rest;
        Some(inside)
    }

    /// An atom in one of the two forms that brokers write.
    #[inline]
    fn usual_atom(&mut self) -> Option<Atom<'a>> {
        let (count, rest, latin1) = match self.rest {
            [ATOM, high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]).into(), rest, true),
            [SMALL_ATOM_UTF8, count, rest @ ..] => ((*count).into(), rest, false),
            _ => return None,
        };
        let (bytes, rest) = rest.split_at_checked(count)?;
        self.rest = rest;
        Some(Atom { bytes, latin1 })
    }

    /// The atom that stands next, if one does. Nothing is read.
    pub(super) fn peek_atom(mut self) -> Option<Atom<'a>> {
        self.atom().ok()
    }

    /// Reads the head of a tuple and gives back how many elements follow.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    #[inline]
    pub fn tuple(&mut self) -> Result<u32, TermError> {
        if let [SMALL_TUPLE, count, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok((*count).into());
        }
        let before = *self;
        if let Head::Tuple(count) = self.head()? { Ok(count) } else { Err(before.expected("a tuple")) }
    }

    /// Reads the head of a list and gives back how many elements follow. Behind the last, call
    /// [`Reader::list_end`]. A list of bytes in the short form is refused: no list that is taken
    /// apart here holds integers.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn list(&mut self) -> Result<TermList, TermError> {
        if let Some((&[LIST, a, b, c, d], rest)) = self.rest.split_first_chunk() {
            let count = u32::from_be_bytes([a, b, c, d]);
            if count as usize <= rest.len() {
                self.rest = rest;
                return Ok(TermList { count, tail: true });
            }
        }
        let before = *self;
        match self.head()? {
            Head::Nil => Ok(TermList { count: 0, tail: false }),
            Head::List(count) => Ok(TermList { count, tail: true }),
            Head::Integer(_)
            | Head::Big { .. }
            | Head::Float(_)
            | Head::Atom(_)
            | Head::Binary(_)
            | Head::Bits(..)
            | Head::Bytes(_)
            | Head::Tuple(_)
            | Head::Map(_)
            | Head::Opaque(_) => Err(before.expected("a list")),
        }
    }

    /// Reads what stands behind the last element of a list.
    ///
    /// # Errors
    /// The list is improper.
    pub fn list_end(&mut self, list: TermList) -> Result<(), TermError> {
        if let ([NIL, rest @ ..], true) = (self.rest, list.tail) {
            self.rest = rest;
            return Ok(());
        }
        let before = *self;
        if list.tail && self.head()? != Head::Nil { Err(before.expected("the end of a list")) } else { Ok(()) }
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read, or it takes more than 64 bits.
    pub fn integer(&mut self) -> Result<i64, TermError> {
        if let Some((&[INTEGER, a, b, c, d], rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return Ok(i32::from_be_bytes([a, b, c, d]).into());
        }
        let before = *self;
        if let Head::Integer(value) = self.head()? { Ok(value) } else { Err(before.expected("an integer")) }
    }

    /// Reads an integer of a smaller type.
    ///
    /// # Errors
    /// As [`Reader::integer`], and where it does not fit.
    pub fn integer_of<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T, TermError> {
        let before = *self;
        self.integer().and_then(|value| T::try_from(value).map_err(|_| before.expected(what)))
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn boolean(&mut self) -> Result<bool, TermError> {
        let before = *self;
        match self.atom()?.name() {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => Err(before.expected("true or false")),
        }
    }

    /// Reads the bytes of a binary, or of a string or atom where the broker gives these instead. The
    /// atom `undefined` is an absent value: no bytes.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    #[inline]
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], TermError> {
        if let Some((&[BINARY, a, b, c, d], rest)) = self.rest.split_first_chunk()
            && let Some((bytes, rest)) = rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)
        {
            self.rest = rest;
            return Ok(bytes);
        }
        let mut ahead = *self;
        if let Some(atom) = ahead.usual_atom()
            && atom.bytes.is_ascii()
            && !atom.is("undefined")
        {
            *self = ahead;
            return Ok(atom.bytes);
        }
        self.unusual_bytes(what)
    }

    fn unusual_bytes(&mut self, what: &'static str) -> Result<&'a [u8], TermError> {
        let before = *self;
        match self.head()? {
            Head::Binary(bytes) | Head::Bytes(bytes) => Ok(bytes),
            Head::Nil => Ok(&[]),
            Head::Atom(atom) if atom.is("undefined") => Ok(&[]),
            Head::Atom(atom) => atom.as_str().map(str::as_bytes).ok_or_else(|| before.expected(what)),
            Head::Integer(_)
            | Head::Big { .. }
            | Head::Float(_)
            | Head::Bits(..)
            | Head::List(_)
            | Head::Tuple(_)
            | Head::Map(_)
            | Head::Opaque(_) => Err(before.expected(what)),
        }
    }

    /// As [`Reader::bytes`], where these have to be UTF-8.
    ///
    /// # Errors
    /// As [`Reader::bytes`], and where they are not.
    #[inline]
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, TermError> {
        let before = *self;
        std::str::from_utf8(self.bytes(what)?).map_err(|_| before.error(TermErrorKind::NotUtf8(what)))
    }

    /// Reads the head of a property list. Its keys come from [`Properties::next`].
    ///
    /// # Errors
    /// No list stands there, or it cannot be read.
    pub fn properties(&mut self) -> Result<Properties, TermError> {
        let list = self.list()?;
        Ok(Properties { list, left: list.count })
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Bytes follow.
    pub fn end(&self) -> Result<(), TermError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(self.error(TermErrorKind::TrailingBytes(count))),
        }
    }

    /// Reads the head of a call's arguments: `expected` of them, or one less.
    ///
    /// # Errors
    /// It is no list, or one of another length.
    pub(in crate::port) fn arguments(&mut self, expected: u32) -> Result<TermList, TermError> {
        let before = *self;
        let list = self.list()?;
        if list.count == expected || list.count + 1 == expected {
            Ok(list)
        } else {
            Err(before.error(TermErrorKind::Arguments { expected, found: list.count }))
        }
    }
}
