//! Globs and regexes over whole values.

use std::sync::Arc;

use regex_syntax::hir::Hir;

use super::glob::Separator;
use super::machine::{Cost, Limit};
use super::{Automaton, Identity, Piece, TextError, Work, glob, hir, pieces};

/// A glob or a regex over a whole value, without placeholders.
#[derive(Debug, Clone)]
pub struct Matcher {
    source: Box<str>,
    operator: &'static str,
    automaton: Arc<Automaton>,
    prefix: Box<str>,
    /// As a regex that matches nothing but whole values.
    anchored: Box<str>,
}

impl Matcher {
    /// Compiles a glob in which nothing is a separator.
    ///
    /// # Errors
    /// It is no glob, or holds a placeholder.
    pub fn glob(text: &str) -> Result<Self, TextError> {
        let pieces = without_placeholders(text)?;
        Matcher::new(text, "glob", glob::parse(&pieces, Separator::None)?)
    }

    /// Compiles a regex that must match the whole value.
    ///
    /// # Errors
    /// It is no regex, or holds a placeholder.
    pub fn regex(text: &str) -> Result<Self, TextError> {
        let pieces = without_placeholders(text)?;
        Matcher::new(text, "regex", hir::parse_regex(&pieces)?)
    }

    fn new(source: &str, operator: &'static str, hir: Hir) -> Result<Self, TextError> {
        let automaton = Automaton::new(&hir, Limit::Field)?;
        let anchored: Box<str> = hir::whole(hir).to_string().into();
        hir::check_size(&anchored)?;
        let prefix = automaton.machine().prefix().into();
        Ok(Matcher { source: source.into(), operator, automaton: Arc::new(automaton), prefix, anchored })
    }

    /// Whether the whole value matches. `None` if the question has no work left to settle that.
    pub fn matches(&self, value: &str, work: &Work) -> Option<bool> {
        const NOBODY: Identity<'static> = Identity { clientid: "", username: "" };
        match value.strip_prefix(&*self.prefix) {
            Some(rest) => self.automaton.matches(value, rest, NOBODY, work),
            None => Some(false),
        }
    }

    /// Whether the whole value matches, whatever that takes: for values that no client chooses.
    pub fn is_match(&self, value: &str) -> bool {
        self.matches(value, &Work::unbounded()) == Some(true)
    }

    /// What matching a value takes at most, and the states of its automaton.
    pub(crate) fn cost(&self) -> (Cost, usize) {
        (self.automaton.cost(), self.automaton.machine().size())
    }

    /// The policy's word for it: `glob` or `regex`.
    pub fn operator(&self) -> &'static str {
        self.operator
    }

    /// The regex that decides, which matches nothing but whole values.
    // Public for the analysis, which makes automata of its own.
    #[doc(hidden)]
    pub fn anchored(&self) -> &str {
        &self.anchored
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
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
