//! Names as they are kept for long: a client chooses them, of up to 64 KiB each, and over gRPC of
//! more.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Longer names are cut to so many bytes, behind which stands a mark.
pub const LONGEST: usize = 512;
/// No string of MQTT has more bytes.
pub const LONGEST_OF_MQTT: usize = 65_535;
/// No mark has more bytes.
const LONGEST_MARK: usize = 80;
/// Bytes of the SHA-256 that the mark shows, as digits.
const SHOWN: usize = 16;

/// The name, or where it has more than [`LONGEST`] bytes its beginning and a mark:
/// `beginning...(65535 bytes, 9f86d081...)`.
///
/// The same name is always cut to the same text, so that what is kept of it can be found again, and
/// the digits keep names apart that begin alike. What is cut is longer than any name that is whole,
/// so that none can pass for another.
pub fn short(name: &str) -> Cow<'_, str> {
    short_of(name, LONGEST)
}

/// As [`short`], for what is kept as long as MQTT allows it: the topics of clients that were let
/// in.
pub fn short_topic(topic: &str) -> Cow<'_, str> {
    short_of(topic, LONGEST_OF_MQTT)
}

/// A name that was read from where [`short`] names stand: those that are cut already stay as they
/// are, and longer ones that an older version left whole are cut. A client's own name is never
/// asked for this: it could be made to look as if it were cut.
pub fn stored(name: &str) -> Cow<'_, str> {
    if is_cut(name) { Cow::Borrowed(name) } else { short(name) }
}

fn is_cut(name: &str) -> bool {
    let mark = || name.strip_suffix(')')?.rsplit_once("...(")?.1.split_once(" bytes, ");
    let is_mark = |(bytes, digits): (&str, &str)| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        bytes.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() == 2 * SHOWN && digits.bytes().all(is_hex)
    };
    name.len() > LONGEST && name.len() < LONGEST + LONGEST_MARK && mark().is_some_and(is_mark)
}

fn short_of(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most { Cow::Borrowed(text) } else { Cow::Owned(cut(text, most)) }
}

#[cold]
fn cut(text: &str, most: usize) -> String {
    let mut short = beginning(text, most).to_owned();
    // What no string of MQTT has is not worth the time either.
    let hashed = text.as_bytes().get(..LONGEST_OF_MQTT).unwrap_or(text.as_bytes());
    // Writing to a String cannot fail.
    let _ = write!(short, "...({} bytes, ", text.len());
    for byte in Sha256::digest(hashed).iter().take(SHOWN) {
        let _ = write!(short, "{byte:02x}");
    }
    short.push(')');
    short
}

/// As much of the text as has room, and no part of a character.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    (most.saturating_sub(3)..=most).rev().find_map(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole_up_to_its_bound() {
        let longest = "x".repeat(LONGEST);
        assert_eq!(short(&longest), longest);
        assert!(matches!(short("c"), Cow::Borrowed("c")));
        let topic = "t".repeat(LONGEST_OF_MQTT);
        assert_eq!(short_topic(&topic), topic);
        assert!(short_topic(&format!("{topic}t")).ends_with("t...(65536 bytes, 77b0d267fe4c3e8b7c7f450cea59c3ca)"));
    }

    #[test]
    fn a_longer_name_is_cut_and_marked() {
        let name = "x".repeat(LONGEST + 1);
        let expected = format!("{}...(513 bytes, 35ade0090e64e74d6ad04204009c23a4)", "x".repeat(LONGEST));
        assert_eq!(short(&name), expected);
        // No character is cut in two, and what is cut is longer than what is whole.
        let cut = short(&"\u{20ac}".repeat(1000)).into_owned();
        assert!(cut.starts_with(&format!("{}...(3000 bytes, ", "\u{20ac}".repeat(170))), "{cut}");
        assert!(cut.len() > LONGEST && cut.len() < LONGEST + 60);
    }

    #[test]
    fn what_is_cut_is_not_cut_again_where_it_stands() {
        let name = "x".repeat(60_000);
        let cut = short(&name).into_owned();
        assert_eq!((stored(&cut), stored(&name), stored("c")), (cut.as_str().into(), cut.as_str().into(), "c".into()));
        // A client that makes itself a name like that is another one.
        assert_ne!(short(&cut), cut);
        let other = format!("{}...(60000 bytes, {})", "x".repeat(LONGEST), "g".repeat(32));
        assert_ne!(stored(&other), other);
    }

    #[test]
    fn names_that_begin_alike_stay_apart() {
        let long = "x".repeat(60_000);
        let names = [format!("{long}a"), format!("{long}b"), format!("{long}aa")];
        assert_ne!(short(&names[0]), short(&names[1]));
        assert_ne!(short(&names[0]), short(&names[2]));
        assert_eq!(short(&names[0]), short(&names[0].clone()));
    }
}
