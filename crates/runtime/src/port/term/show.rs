//! A term as Erlang would print it, for people.

use std::fmt::{self, Write};

use super::{Head, Reader, TermError};

/// Deeper terms are cut short.
const DEPTH: usize = 64;

/// Properties whose values are secret.
const SECRETS: [&str; 2] = ["password", "Authentication-Data"];

/// Shows the term at a reader. The value of a pair whose key is `password` or
/// `'Authentication-Data'` is not shown, nor is anything behind bytes that cannot be read.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub Reader<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reader = self.0;
        match show(&mut reader, f, DEPTH) {
            Ok(()) => Ok(()),
            Err(ShowStop::Unreadable) => f.write_str("..."),
            Err(ShowStop::Fmt(error)) => Err(error),
        }
    }
}

enum ShowStop {
    Fmt(fmt::Error),
    Unreadable,
}

impl From<fmt::Error> for ShowStop {
    fn from(error: fmt::Error) -> Self {
        ShowStop::Fmt(error)
    }
}

impl From<TermError> for ShowStop {
    fn from(_: TermError) -> Self {
        ShowStop::Unreadable
    }
}

fn show(reader: &mut Reader<'_>, f: &mut fmt::Formatter<'_>, depth: usize) -> Result<(), ShowStop> {
    let Some(inside) = depth.checked_sub(1) else {
        reader.skip()?;
        return Ok(f.write_str("...")?);
    };
    match reader.head()? {
        Head::Integer(value) => write!(f, "{value}")?,
        Head::Big { negative, magnitude } => {
            f.write_str(if negative { "-16#" } else { "16#" })?;
            for byte in magnitude.iter().rev() {
                write!(f, "{byte:02X}")?;
            }
        }
        Head::Float(value) => write!(f, "{value:?}")?,
        Head::Atom(atom) => show_atom(&atom.to_text(), f)?,
        Head::Binary(bytes) => show_binary(bytes, f)?,
        Head::Bits(bytes, bits) => {
            show_binary(bytes, f)?;
            write!(f, ":{bits}")?;
        }
        Head::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => write!(f, "{text:?}")?,
            Ok(_) | Err(_) => write!(f, "{bytes:?}")?,
        },
        Head::Nil => f.write_str("[]")?,
        Head::List(count) => {
            f.write_char('[')?;
            show_all(reader, f, count, inside)?;
            let mut tail = *reader;
            if tail.head()? == Head::Nil {
                *reader = tail;
            } else {
                f.write_char('|')?;
                show(reader, f, inside)?;
            }
            f.write_char(']')?;
        }
        Head::Tuple(2) => {
            f.write_char('{')?;
            let secret = reader.peek_atom().is_some_and(|key| SECRETS.iter().any(|secret| key.is(secret)));
            show(reader, f, inside)?;
            f.write_str(", ")?;
            if secret {
                reader.skip()?;
                f.write_str("...")?;
            } else {
                show(reader, f, inside)?;
            }
            f.write_char('}')?;
        }
        Head::Tuple(count) => {
            f.write_char('{')?;
            show_all(reader, f, count, inside)?;
            f.write_char('}')?;
        }
        Head::Map(count) => {
            f.write_str("#{")?;
            for n in 0..count {
                f.write_str(if n > 0 { ", " } else { "" })?;
                let secret = reader.peek_atom().is_some_and(|key| SECRETS.iter().any(|secret| key.is(secret)));
                show(reader, f, inside)?;
                f.write_str(" => ")?;
                if secret {
                    reader.skip()?;
                    f.write_str("...")?;
                } else {
                    show(reader, f, inside)?;
                }
            }
            f.write_char('}')?;
        }
        Head::Opaque(tag) => write!(f, "#{}", tag.name())?,
    }
    Ok(())
}

fn show_all(reader: &mut Reader<'_>, f: &mut fmt::Formatter<'_>, count: u32, depth: usize) -> Result<(), ShowStop> {
    for n in 0..count {
        f.write_str(if n > 0 { ", " } else { "" })?;
        show(reader, f, depth)?;
    }
    Ok(())
}

fn show_atom(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@');
    if plain { f.write_str(text) } else { write!(f, "'{}'", text.escape_debug()) }
}

fn show_binary(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return write!(f, "<<{text:?}>>");
    }
    f.write_str("<<")?;
    for (n, byte) in bytes.iter().enumerate() {
        write!(f, "{}{byte}", if n > 0 { "," } else { "" })?;
    }
    f.write_str(">>")
}
