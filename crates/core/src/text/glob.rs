//! Globs, in globset's syntax, as syntax trees of regexes.
//!
//! globset itself compiles `?` and classes to single bytes and lets classes match the separator. Here
//! they stand for one Unicode character, and never for the separator. globset still has the first word on what is a
//! glob at all.

use std::iter::Peekable;
use std::str::Chars;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, Repetition};

use super::{Piece, TextError, is_reserved};

/// What separates levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    /// Nothing: `*` matches every character.
    None,
    /// `/`, which only `**` crosses.
    Slash,
}

/// Reads a glob.
///
/// # Errors
/// It is no glob.
pub(crate) fn parse(pieces: &[Piece<'_>], separator: Separator) -> Result<Hir, TextError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Value(placeholder) => text.push_str(placeholder.stand_in()),
        }
    }
    let mut parser = Parser { chars: text.chars().peekable(), previous: None, depth: 0 };
    let tokens = parser.sequence();
    // globset goes as deep as the braces do, on the stack: it is not asked about a glob that may be too deep.
    if tokens.is_ok() || text.matches('{').count() <= DEPTH {
        globset::GlobBuilder::new(&text)
            .literal_separator(separator == Separator::Slash)
            .backslash_escape(true)
            .build()
            .map_err(|error| TextError::new(format!("this is no glob: {}", error.kind())))?;
    }
    let tokens = tokens?;
    Ok(Hir::concat(tokens.into_iter().map(|token| token.into_hir(separator)).collect()))
}

/// Braces deeper than this are no glob that anyone wrote.
const DEPTH: usize = 32;

enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[...]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `{...,...}`
    Either(Vec<Vec<Token>>),
    /// `**/` at the beginning.
    LeadingLevels,
    /// `/**` at the end.
    TrailingLevels,
    /// `/**/`
    InnerLevels,
    /// `**` and nothing else.
    Everything,
}

struct Parser<'t> {
    chars: Peekable<Chars<'t>>,
    previous: Option<char>,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.previous = next.or(self.previous);
        next
    }

    /// Reads up to the end, or up to the `,` or `}` that ends this branch.
    fn sequence(&mut self) -> Result<Vec<Token>, TextError> {
        let mut tokens = Vec::new();
        while let Some(&c) = self.chars.peek() {
            if self.depth > 0 && (c == ',' || c == '}') {
                break;
            }
            let before = self.previous;
            self.next();
            match c {
                '?' => tokens.push(Token::One),
                '*' => self.star(before, &mut tokens),
                '[' => tokens.push(self.class()?),
                '{' => tokens.push(self.either()?),
                '\\' => tokens.push(Token::Literal(self.next().ok_or_else(|| broken("it ends in `\\`"))?)),
                c => tokens.push(Token::Literal(c)),
            }
        }
        Ok(tokens)
    }

    /// `**` spans levels only where it is a level by itself; anywhere else it is `*`.
    fn star(&mut self, before: Option<char>, tokens: &mut Vec<Token>) {
        if self.chars.peek() != Some(&'*') {
            tokens.push(Token::Many);
            return;
        }
        self.next();
        let begins = match before {
            None | Some('/') => true,
            Some('{' | ',') => self.depth > 0,
            Some(_) => false,
        };
        let behind = self.chars.peek().copied();
        let ends = behind.is_none() || (self.depth > 0 && matches!(behind, Some(',' | '}')));
        if !begins || !(ends || behind == Some('/')) {
            tokens.push(Token::Many);
            return;
        }
        let slash_before = matches!(tokens.last(), Some(Token::Literal('/')));
        match (slash_before, ends) {
            // In braces this is `*`, as in globset.
            (false, true) if tokens.is_empty() && self.depth == 0 => tokens.push(Token::Everything),
            (false, true) => tokens.push(Token::Many),
            (false, false) => {
                self.next();
                match tokens.last() {
                    None => tokens.push(Token::LeadingLevels),
                    // `**/**/` says no more than `**/`.
                    Some(Token::LeadingLevels | Token::InnerLevels) => {}
                    Some(_) => tokens.extend([Token::Many, Token::Literal('/')]),
                }
            }
            (true, true) => {
                tokens.pop();
                tokens.push(Token::TrailingLevels);
            }
            (true, false) => {
                self.next();
                tokens.pop();
                tokens.push(Token::InnerLevels);
            }
        }
    }

    fn class(&mut self) -> Result<Token, TextError> {
        let negated = self.chars.next_if(|c| matches!(c, '!' | '^')).is_some();
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut in_range = false;
        let mut first = true;
        loop {
            let c = self.next().ok_or_else(|| broken("`[` without a `]`"))?;
            if is_reserved(c) {
                return Err(broken("a placeholder cannot stand in `[...]`"));
            }
            match (c, ranges.last_mut()) {
                (']', _) if !first => break,
                ('-', Some(_)) if !in_range && !first => in_range = true,
                (c, Some(range)) if in_range => {
                    if c < range.0 {
                        return Err(broken("a range in `[...]` runs backwards"));
                    }
                    range.1 = c;
                    in_range = false;
                }
                (c, _) => ranges.push((c, c)),
            }
            first = false;
        }
        if in_range {
            ranges.push(('-', '-'));
        }
        Ok(Token::Class { negated, ranges })
    }

    fn either(&mut self) -> Result<Token, TextError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(broken("its braces are too deep"));
        }
        let mut branches = Vec::new();
        loop {
            let branch = self.sequence()?;
            if branch.is_empty() {
                return Err(broken("a choice in `{...}` is empty")
                    .help("globset matches nothing with it; write one pattern with the braces and one without"));
            }
            branches.push(branch);
            match self.next() {
                Some(',') => {}
                Some('}') => break,
                Some(_) | None => return Err(broken("`{` without a `}`")),
            }
        }
        self.depth -= 1;
        Ok(Token::Either(branches))
    }
}

fn broken(what: &str) -> TextError {
    TextError::new(format!("this is no glob: {what}"))
}

impl Token {
    fn into_hir(self, separator: Separator) -> Hir {
        match self {
            Token::Literal(c) => Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Token::One => one(separator),
            Token::Many => many(one(separator)),
            Token::Class { negated, ranges } => {
                let ranges = ranges.into_iter().map(|(first, last)| ClassUnicodeRange::new(first, last));
                let mut class = ClassUnicode::new(ranges);
                if negated {
                    class.negate();
                }
                if separator == Separator::Slash {
                    class.difference(&ClassUnicode::new([ClassUnicodeRange::new('/', '/')]));
                }
                Hir::class(Class::Unicode(class))
            }
            Token::Either(branches) => Hir::alternation(
                branches
                    .into_iter()
                    .map(|branch| Hir::concat(branch.into_iter().map(|token| token.into_hir(separator)).collect()))
                    .collect(),
            ),
            Token::Everything => anything(),
            Token::LeadingLevels => optional(Hir::concat(vec![anything(), slash()])),
            Token::TrailingLevels => Hir::concat(vec![slash(), anything()]),
            Token::InnerLevels => Hir::concat(vec![slash(), optional(Hir::concat(vec![anything(), slash()]))]),
        }
    }
}

/// One character, within a level.
pub(crate) fn one(separator: Separator) -> Hir {
    match separator {
        Separator::None => Hir::dot(Dot::AnyChar),
        Separator::Slash => Hir::dot(Dot::AnyCharExcept('/')),
    }
}

/// Any text, levels included.
pub(crate) fn anything() -> Hir {
    many(Hir::dot(Dot::AnyChar))
}

/// The `/` between levels.
pub(crate) fn slash() -> Hir {
    Hir::literal(*b"/")
}

/// Any number of these.
pub(crate) fn many(hir: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(hir) })
}

/// This or nothing.
pub(crate) fn optional(hir: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub: Box::new(hir) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{hir, pieces};

    fn globset(glob: &str, separator: Separator) -> globset::GlobMatcher {
        let mut builder = globset::GlobBuilder::new(glob);
        builder.literal_separator(separator == Separator::Slash).backslash_escape(true);
        builder.build().unwrap().compile_matcher()
    }

    proptest! {
        /// Where bytes are characters and no class holds the separator, globs mean what they mean to globset.
        #[test]
        fn globs_mean_what_they_mean_to_globset(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("a"), Just("b"), Just("/"), Just("*"), Just("**"), Just("?"), Just("[ab]"), Just("[a-b]"),
                    Just("{a,b}"), Just("{a*,b/}"), Just("{a/**,b}"), Just("{**/a,b}"), Just("\\a"), Just("/**/"),
                ],
                0..6,
            ),
            texts in proptest::collection::vec("[ab/]{0,6}", 40),
        ) {
            let glob = parts.concat();
            // `**/` alone is `**` to globset; here it stands for topics that end in a `/`.
            prop_assume!(!glob.contains("**") || glob.contains(['a', 'b', '?']));
            for separator in [Separator::Slash, Separator::None] {
                let ours = hir::oracle(parse(&pieces(&glob).unwrap(), separator).unwrap());
                let theirs = globset(&glob, separator);
                for text in &texts {
                    prop_assert_eq!(ours(text), theirs.is_match(text), "{} on {:?}, {:?}", glob, text, separator);
                }
            }
        }
    }
}
