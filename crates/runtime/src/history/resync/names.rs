//! Which names may stand in a list as these bytes.
//!
//! What `emqx_ctl` prints of a name depends on the broker and its terminal:
//!
//! | broker | prints |
//! |---|---|
//! | EMQX 5 on OTP 26 and later | UTF-8 |
//! | EMQX 5 on OTP 25 and earlier | Latin-1, and what that does not have as `\x{65E5}` |
//! | EMQX 4 | each byte of the name as a character, in UTF-8 or in Latin-1 |
//!
//! Nothing in the list says which of them it is, and a client may choose a name that looks like
//! what another name is printed as. So a name is compared in the form that each of them gives it,
//! and such a line alone settles nothing.

use std::borrow::Cow;
use std::fmt::Write as _;

use exhook_policy_core::event::short::{LONGEST, stored};

/// Stands in a name where its bytes are no UTF-8: for whichever these were.
const DAMAGED: char = '\u{fffd}';
/// A name is shown with so many characters at most.
const SHOWN: usize = 60;

/// Whether no other name than this one is printed so, by any broker.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    bytes.is_ascii() && !has_escape(bytes)
}

/// Whether a list in UTF-8 means this one name.
pub(super) fn is_certain(name: &str) -> bool {
    !name.contains(DAMAGED)
}

/// Whether the bytes are no text, or say that they were none.
pub(super) fn is_damaged(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or(true, |name| !is_certain(name))
}

/// Whether there is a character as Erlang prints it in Latin-1: `\x{65E5}`.
pub(super) fn has_escape(bytes: &[u8]) -> bool {
    let begins = |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.starts_with(b"\\x{"));
    (0..bytes.len()).filter(begins).any(|at| {
        let digits = bytes.get(at + 3..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        digits > 0 && bytes.get(at + 3 + digits) == Some(&b'}')
    })
}

/// The bytes that a list may have for a name.
pub(super) fn forms(name: &str) -> Vec<Cow<'_, [u8]>> {
    let mut forms = vec![Cow::Borrowed(name.as_bytes())];
    if !name.is_ascii() {
        let doubled: String = name.bytes().map(char::from).collect();
        let mut latin = Vec::with_capacity(name.len());
        for char in name.chars() {
            match u8::try_from(char) {
                Ok(byte) => latin.push(byte),
                Err(_) => latin.extend_from_slice(format!("\\x{{{:X}}}", u32::from(char)).as_bytes()),
            }
        }
        forms.extend([Cow::Owned(doubled.into_bytes()), Cow::Owned(latin)]);
    }
    forms
}

/// The beginning of a name that is stored cut, as it stands in a row; `None` of one that is whole.
pub(super) fn beginning(name: &str) -> Option<&str> {
    let is_cut = name.len() > LONGEST && matches!(stored(name), Cow::Borrowed(_));
    name.rsplit_once("...(").filter(|_| is_cut).map(|(beginning, _)| beginning)
}

/// The name for people: on one line, and not too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.get(..4 * SHOWN).unwrap_or(bytes).utf8_chunks() {
        let _ = write!(text, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii());
    }
    if text.chars().count() <= SHOWN && bytes.len() <= 4 * SHOWN {
        return text;
    }
    let beginning: String = text.chars().take(SHOWN).collect();
    format!("{beginning}... ({} bytes)", bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_each_form() {
        let found = |name: &str| forms(name).iter().map(|form| form.escape_ascii().to_string()).collect::<Vec<_>>();
        assert_eq!(found("dev-1"), ["dev-1"]);
        assert_eq!(found("\u{fc}"), [r"\xc3\xbc", r"\xc3\x83\xc2\xbc", r"\xfc"]);
        assert_eq!(found("\u{65e5}")[2], r"\\x{65E5}");
    }

    #[test]
    fn what_may_be_another_name_is_not_plain() {
        for (bytes, expected) in [
            (&b"dev-1"[..], true),
            (b"a\\x{", true),
            (b"a\\x{}", true),
            (b"a\\x{g}", true),
            (b"a\\x{65E5", true),
            (b"a\\x{65E5}", false),
            (b"\\x\\x{1F600}b", false),
            (b"\xfc", false),
            ("\u{fc}".as_bytes(), false),
        ] {
            assert_eq!(is_plain(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_name_is_shown_on_one_short_line() {
        assert_eq!(shown(b"open-\xfcn\xef\n\x1b[1m"), r"open-\xfcn\xef\n\u{1b}[1m");
        assert_eq!(shown("open-\u{65e5}".as_bytes()), "open-\u{65e5}");
        assert_eq!(shown(&[b'l'; 500]), format!("{}... (500 bytes)", "l".repeat(60)));
    }
}
