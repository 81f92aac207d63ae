//! Reading what has to be of a certain type.

use super::error::{Error, Kind};
use super::{Atom, Head, Reader, Tag};

/// The head of a list.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// How many elements follow.
    pub count: u32,
    tail: bool,
}

impl<'a> Reader<'a> {
    /// Reads an atom.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn atom(&mut self) -> Result<Atom<'a>, Error> {
        let at = self.at;
        let tag = self.tag()?;
        if matches!(tag, Tag::Atom | Tag::SmallAtom | Tag::AtomUtf8 | Tag::SmallAtomUtf8) {
            self.atom_behind(tag)
        } else if tag == Tag::AtomCacheRef {
            Err(Error::new(at, Kind::Refused(tag)))
        } else {
            Err(Error::new(at, Kind::Expected("an atom")))
        }
    }

    /// The atom that stands next, if one does. Nothing is read.
    pub(super) fn peek_atom(mut self) -> Option<Atom<'a>> {
        self.atom().ok()
    }

    /// Reads the head of a tuple and gives back how many elements follow.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn tuple(&mut self) -> Result<u32, Error> {
        let error = self.expected("a tuple");
        if let Head::Tuple(count) = self.head()? { Ok(count) } else { Err(error) }
    }

    /// Reads the head of a list and gives back how many elements follow. Behind the last, call
    /// [`Reader::list_end`]. A list of bytes in the short form is refused: no list that is taken
    /// apart here holds integers.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn list(&mut self) -> Result<List, Error> {
        let error = self.expected("a list");
        match self.head()? {
            Head::Nil => Ok(List { count: 0, tail: false }),
            Head::List(count) => Ok(List { count, tail: true }),
            Head::Integer(_)
            | Head::Big { .. }
            | Head::Float(_)
            | Head::Atom(_)
            | Head::Binary(_)
            | Head::Bits(..)
            | Head::Bytes(_)
            | Head::Tuple(_)
            | Head::Map(_)
            | Head::Opaque(_) => Err(error),
        }
    }

    /// Reads what stands behind the last element of a list.
    ///
    /// # Errors
    /// The list is improper.
    pub fn list_end(&mut self, list: List) -> Result<(), Error> {
        let error = self.expected("the end of a list");
        if list.tail && self.head()? != Head::Nil { Err(error) } else { Ok(()) }
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read, or it takes more than 64 bits.
    pub fn integer(&mut self) -> Result<i64, Error> {
        let error = self.expected("an integer");
        if let Head::Integer(value) = self.head()? { Ok(value) } else { Err(error) }
    }

    /// Reads an integer of a smaller type.
    ///
    /// # Errors
    /// As [`Reader::integer`], and where it does not fit.
    pub fn integer_of<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T, Error> {
        let error = self.expected(what);
        self.integer().and_then(|value| T::try_from(value).map_err(|_| error))
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        let error = self.expected("true or false");
        let atom = self.atom()?;
        if atom.is("true") {
            Ok(true)
        } else if atom.is("false") {
            Ok(false)
        } else {
            Err(error)
        }
    }

    /// Reads the bytes of a binary, or of a string or atom where the broker gives these instead. The
    /// atom `undefined` is an absent value: no bytes.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let error = self.expected(what);
        match self.head()? {
            Head::Binary(bytes) | Head::Bytes(bytes) => Ok(bytes),
            Head::Nil => Ok(&[]),
            Head::Atom(atom) if atom.is("undefined") => Ok(&[]),
            Head::Atom(atom) => atom.as_str().map(str::as_bytes).ok_or(error),
            Head::Integer(_)
            | Head::Big { .. }
            | Head::Float(_)
            | Head::Bits(..)
            | Head::List(_)
            | Head::Tuple(_)
            | Head::Map(_)
            | Head::Opaque(_) => Err(error),
        }
    }

    /// As [`Reader::bytes`], where these have to be UTF-8.
    ///
    /// # Errors
    /// As [`Reader::bytes`], and where they are not.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, Error> {
        let error = self.error(Kind::NotUtf8(what));
        std::str::from_utf8(self.bytes(what)?).map_err(|_| error)
    }

    /// Reads a property list: calls `value` with each key and the reader at its value. Where `value`
    /// gives back `false` it has read nothing, and the value is passed over, as is every element that is
    /// no pair of an atom and a value.
    ///
    /// # Errors
    /// No list stands there, it cannot be read, or `value` fails.
    pub fn properties(
        &mut self,
        mut value: impl FnMut(Atom<'a>, &mut Self) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let list = self.list()?;
        for _ in 0..list.count {
            let mut pair = *self;
            if let Ok(2) = pair.tuple()
                && let Ok(key) = pair.atom()
            {
                if !value(key, &mut pair)? {
                    pair.skip()?;
                }
                *self = pair;
            } else {
                self.skip()?;
            }
        }
        self.list_end(list)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Bytes follow.
    pub fn end(&self) -> Result<(), Error> {
        match self.left() {
            0 => Ok(()),
            count => Err(self.error(Kind::TrailingBytes(count))),
        }
    }

    /// Reads the head of a call's arguments: `expected` of them, or one less.
    ///
    /// # Errors
    /// It is no list, or one of another length.
    pub(in crate::port) fn arguments(&mut self, expected: u32) -> Result<List, Error> {
        let at = self.at;
        let list = self.list()?;
        if list.count == expected || list.count + 1 == expected {
            Ok(list)
        } else {
            Err(Error::new(at, Kind::Arguments { expected, found: list.count }))
        }
    }
}
