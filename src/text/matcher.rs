//! Globs and regexes over whole values.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;

use super::glob::Separator;
use super::{Piece, TextError, glob, hir, pieces};

/// A glob or a regex over a whole value, without placeholders.
#[derive(Debug, Clone)]
pub struct Matcher {
    source: Box<str>,
    operator: &'static str,
    regex: Regex,
}

impl Matcher {
    /// Compiles a glob in which nothing is a separator.
    ///
    /// # Errors
    /// It is no glob, or holds a placeholder.
    pub fn glob(text: &str) -> Result<Self, TextError> {
        let pieces = without_placeholders(text)?;
        Ok(Matcher { source: text.into(), operator: "glob", regex: compile(glob::parse(&pieces, Separator::None)?)? })
    }

    /// Compiles a regex that must match the whole value.
    ///
    /// # Errors
    /// It is no regex, or holds a placeholder.
    pub fn regex(text: &str) -> Result<Self, TextError> {
        let pieces = without_placeholders(text)?;
        Ok(Matcher { source: text.into(), operator: "regex", regex: compile(hir::parse_regex(&pieces)?)? })
    }

    /// Whether the whole value matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// The policy's word for it: `glob` or `regex`.
    pub fn operator(&self) -> &'static str {
        self.operator
    }

    /// The regex that decides, which matches nothing but whole values.
    pub(crate) fn anchored(&self) -> &str {
        self.regex.as_str()
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn compile(hir: Hir) -> Result<Regex, TextError> {
    let whole = hir::whole(hir).to_string();
    RegexBuilder::new(&whole).size_limit(hir::SIZE_LIMIT).build().map_err(|_| hir::too_big())
}

fn without_placeholders(text: &str) -> Result<Vec<Piece<'_>>, TextError> {
    let pieces = pieces(text)?;
    if pieces.iter().any(|piece| matches!(piece, Piece::Value(_))) {
        return Err(TextError::new("a placeholder cannot stand in a glob or regex over a field of the client")
            .help("compare the whole field, as in `username: \"${clientid}\"`"));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(matcher: Result<Matcher, TextError>, yes: &[&str], no: &[&str]) {
        let matcher = matcher.unwrap();
        for text in yes {
            assert!(matcher.is_match(text), "{} should match {text:?}", matcher.source());
        }
        for text in no {
            assert!(!matcher.is_match(text), "{} should not match {text:?}", matcher.source());
        }
    }

    #[test]
    fn matchers_match_whole_values() {
        check(Matcher::glob("op-*"), &["op-", "op-a/b", "op-\n"], &["xop-1", "op"]);
        check(Matcher::glob("?"), &["a", "é", "/"], &["", "ab"]);
        check(Matcher::glob("[!a-c]x"), &["dx", "éx", "/x"], &["ax", "x"]);
        check(Matcher::glob("{gw,dev}-{1,2}"), &["gw-1", "dev-2"], &["gw-3", "gw-1,2"]);
        check(Matcher::glob(""), &[""], &["a"]);
        check(Matcher::regex("gw-[0-9]+"), &["gw-12"], &["gw-12x", "xgw-1", "gw-"]);
        check(Matcher::regex("a|bc"), &["a", "bc"], &["ac", "abc"]);
        check(Matcher::regex("a.c"), &["a\nc", "aéc"], &["ac"]);
        check(Matcher::regex("(?i)ab"), &["AB", "ab"], &["abc"]);
        check(Matcher::regex("^a$"), &["a"], &["a\n"]);
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert_eq!(Matcher::regex("a(").unwrap_err().message, "this is no regex: unclosed group");
        assert_eq!(Matcher::regex("(a{1000}){1000}").unwrap_err().message, "this pattern is too big");
        assert!(Matcher::glob("${clientid}").is_err());
        assert!(Matcher::glob("a[").is_err());
    }
}
