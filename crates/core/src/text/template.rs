//! Texts in which placeholders stand for the client's values.

use std::fmt;

use super::{Identity, Placeholder, TextError, is_reserved};

/// A text in which `${clientid}` and `${username}` stand for the client's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<OwnedPiece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum OwnedPiece {
    Text(Box<str>),
    Value(Placeholder),
}

/// A part of a text with placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Literal text, never empty.
    Text(&'t str),
    /// A value of the client.
    Value(Placeholder),
}

impl Template {
    /// Reads the text.
    ///
    /// # Errors
    /// Any other `${...}`, and EMQX's `%c` and `%u`.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let pieces = pieces(text)?;
        Ok(Template { pieces: pieces.into_iter().map(OwnedPiece::from).collect() })
    }

    /// Whether `value` is the text with the placeholders filled in. False where the value of a
    /// placeholder that stands in the text is empty.
    pub fn equals(&self, identity: Identity<'_>, value: &str) -> bool {
        let mut rest = value;
        for piece in &self.pieces {
            let expected = match piece {
                OwnedPiece::Text(text) => text,
                OwnedPiece::Value(placeholder) => match identity.value(*placeholder) {
                    "" => return false,
                    value => value,
                },
            };
            match rest.strip_prefix(expected) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// The text with the placeholders filled in; `None` where one of them is empty, so that no value is equal.
    pub fn filled(&self, identity: Identity<'_>) -> Option<String> {
        let values = self.pieces.iter().map(|piece| match piece {
            OwnedPiece::Text(text) => Some(&**text),
            OwnedPiece::Value(placeholder) => Some(identity.value(*placeholder)).filter(|value| !value.is_empty()),
        });
        values.collect()
    }

    /// A text without placeholders, whatever stands in it.
    pub fn literal(text: &str) -> Self {
        let text = (!text.is_empty()).then(|| OwnedPiece::Text(text.into()));
        Template { pieces: text.into_iter().collect() }
    }

    /// The text with those placeholders filled in whose values are known; `None` where one of these is empty, so that
    /// no value is equal.
    pub fn fill<'v>(&self, known: impl Fn(Placeholder) -> Option<&'v str>) -> Option<Template> {
        let mut pieces: Vec<OwnedPiece> = Vec::new();
        for piece in &self.pieces {
            let text = match piece {
                OwnedPiece::Text(text) => text,
                OwnedPiece::Value(placeholder) => match known(*placeholder) {
                    Some("") => return None,
                    Some(value) => value,
                    None => {
                        pieces.push(OwnedPiece::Value(*placeholder));
                        continue;
                    }
                },
            };
            match pieces.last_mut() {
                Some(OwnedPiece::Text(before)) => *before = [before, text].concat().into(),
                Some(OwnedPiece::Value(_)) | None => pieces.push(OwnedPiece::Text(text.into())),
            }
        }
        Some(Template { pieces })
    }

    /// The placeholder where the text is that and nothing else.
    pub fn as_placeholder(&self) -> Option<Placeholder> {
        match self.pieces.as_slice() {
            [OwnedPiece::Value(placeholder)] => Some(*placeholder),
            _ => None,
        }
    }

    /// Its parts, in order.
    // Public for the analysis, which takes texts apart.
    #[doc(hidden)]
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.pieces.iter().map(|piece| match piece {
            OwnedPiece::Text(text) => Piece::Text(text),
            OwnedPiece::Value(placeholder) => Piece::Value(*placeholder),
        })
    }

    /// The text itself where it has no placeholder.
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [OwnedPiece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// The text as it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            OwnedPiece::Text(text) => f.write_str(text),
            OwnedPiece::Value(placeholder) => write!(f, "${{{}}}", placeholder.name()),
        })
    }
}

impl From<Piece<'_>> for OwnedPiece {
    fn from(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Text(text) => OwnedPiece::Text(text.into()),
            Piece::Value(placeholder) => OwnedPiece::Value(placeholder),
        }
    }
}

/// Splits a text at its placeholders.
///
/// # Errors
/// Any other `${...}`, EMQX's `%c` and `%u`, and characters that are no text.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TextError> {
    // Most levels of most topics are such texts, and a policy may have a million.
    if text.bytes().all(|byte| byte.is_ascii() && !matches!(byte, b'$' | b'%')) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] });
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_reserved(*c)) {
        return Err(TextError::new(format!("U+{:04X} is not a character", u32::from(c))).at(at..at + c.len_utf8()));
    }
    refuse_percent(text)?;
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let at = text.len() - behind.len() - 2;
        let (name, after) = behind
            .split_once('}')
            .ok_or_else(|| TextError::new("`${` without a `}`").help(KNOWN).at(at..text.len()))?;
        let placeholder = Placeholder::ALL.into_iter().find(|placeholder| placeholder.name() == name);
        let placeholder = placeholder.ok_or_else(|| unknown(name).at(at..at + name.len() + 3))?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Value(placeholder));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

const KNOWN: &str = "the placeholders are `${clientid}` and `${username}`";

const CERTIFICATE: &str = "to tie the clientid to the certificate, write `cn: \"${clientid}\"` instead";

fn unknown(name: &str) -> TextError {
    let near = Placeholder::ALL
        .into_iter()
        .find(|placeholder| strsim::jaro_winkler(&name.to_ascii_lowercase(), placeholder.name()) > 0.8);
    let error = TextError::new(format!("there is no placeholder `${{{name}}}`"));
    if matches!(name, "cn" | "cert_common_name") {
        return error.help(CERTIFICATE);
    }
    match near {
        Some(placeholder) => error.help(format!("did you mean `${{{}}}`?", placeholder.name())),
        None => error.help(KNOWN),
    }
}

/// EMQX's own ACL files write `%c` and `%u`; taken as literal text they would never match.
fn refuse_percent(text: &str) -> Result<(), TextError> {
    for (at, _) in text.match_indices('%') {
        let mut behind = text.get(at + 1..).unwrap_or_default().chars();
        let placeholder = match behind.next() {
            Some('c') => Placeholder::Clientid,
            Some('u') => Placeholder::Username,
            _ => continue,
        };
        if behind.next().is_none_or(|next| !next.is_alphanumeric()) {
            let short = text.get(at..at + 2).unwrap_or_default();
            return Err(TextError::new(format!("`{short}` is a placeholder of EMQX's acl.conf, not of this language"))
                .help(format!("write `${{{}}}`", placeholder.name()))
                .at(at..at + 2));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, clientid: &str, username: &str, value: &str, expected: bool) {
        let template = Template::parse(text).unwrap();
        assert_eq!(template.equals(Identity { clientid, username }, value), expected, "{text} = {value}");
    }

    #[test]
    fn equals_fills_placeholders_in() {
        check("dev-1", "x", "y", "dev-1", true);
        check("dev-1", "x", "y", "dev-11", false);
        check("", "x", "y", "", true);
        check("${clientid}", "c", "u", "c", true);
        check("${clientid}", "", "u", "", false);
        check("a${username}b", "c", "u", "aub", true);
        check("a${username}b", "c", "", "ab", false);
        check("${clientid}-${username}", "a-b", "c", "a-b-c", true);
        check("${clientid}${clientid}", "aa", "", "aaaa", true);
        check("${clientid}", "${username}", "u", "u", false);
    }

    #[track_caller]
    fn refused(text: &str, message: &str, help: &str, span: Range<usize>) {
        let error = Template::parse(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.help.as_deref(), error.span), (message, Some(help), Some(span)));
    }

    use std::ops::Range;

    #[test]
    fn other_placeholders_are_refused() {
        refused("a/${clientId}", "there is no placeholder `${clientId}`", "did you mean `${clientid}`?", 2..13);
        refused("${user}", "there is no placeholder `${user}`", "did you mean `${username}`?", 0..7);
        refused("a/${cn}/b", "there is no placeholder `${cn}`", CERTIFICATE, 2..7);
        refused("${cert_common_name}", "there is no placeholder `${cert_common_name}`", CERTIFICATE, 0..19);
        refused("${x}", "there is no placeholder `${x}`", KNOWN, 0..4);
        refused("${clientid", "`${` without a `}`", KNOWN, 0..10);
        refused(
            "é/%c/x",
            "`%c` is a placeholder of EMQX's acl.conf, not of this language",
            "write `${clientid}`",
            3..5,
        );
        refused("%u", "`%u` is a placeholder of EMQX's acl.conf, not of this language", "write `${username}`", 0..2);
        assert!(Template::parse("100%customers").is_ok());
    }
}
