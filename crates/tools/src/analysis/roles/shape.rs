//! The levels of a topic pattern, as far as they can be told from its text.

use std::borrow::Cow;

use super::Simple;
use exhook_policy_core::text::{Placeholder, pieces};
use exhook_policy_core::topic::{Pattern, Syntax};

/// A pattern by its levels.
#[derive(Debug)]
pub(super) struct Shape<'p> {
    pub(super) levels: Vec<Level<'p>>,
    /// Levels from here on may stand at other places: behind a `**` of a glob.
    floating: usize,
    /// Which placeholders stand where they are not told apart from what is around them.
    hidden: [bool; 2],
}

/// What stands in a level.
#[derive(Debug)]
pub(super) enum Level<'p> {
    /// This word.
    Word(Cow<'p, str>),
    /// A value, with a text before and behind it.
    Value(Simple<'p>),
    /// Any word.
    Any,
    /// A part of a glob.
    Hidden,
    /// Anything, from here on: a part of a regex.
    Rest,
}

/// What one pattern has where another has a placeholder.
pub(super) struct Met<'s, 'p> {
    pub(super) levels: Vec<&'s Level<'p>>,
    /// Some topic may be matched by both.
    pub(super) possible: bool,
}

impl<'p> Shape<'p> {
    pub(super) fn of(pattern: &'p Pattern) -> Self {
        let mut shape = Shape { levels: Vec::new(), floating: usize::MAX, hidden: [false; 2] };
        match pattern.syntax() {
            Syntax::Filter => shape.filter(pattern.source()),
            Syntax::Glob => shape.glob(pattern.source()),
            Syntax::Regex => shape.regex(pattern.source()),
        }
        for (number, placeholder) in Placeholder::ALL.into_iter().enumerate() {
            if let Some(hidden) = shape.hidden.get_mut(number) {
                let told =
                    shape.levels.iter().any(|level| matches!(level, Level::Value(v) if v.placeholder == placeholder));
                *hidden |= pattern.has(placeholder) && !told;
            }
        }
        shape
    }

    fn filter(&mut self, source: &'p str) {
        for level in source.split('/') {
            match level {
                // What is left of the topic is any.
                "#" => {}
                "+" => self.levels.push(Level::Any),
                level => self.words(level),
            }
        }
    }

    fn glob(&mut self, source: &'p str) {
        for level in source.strip_prefix('\\').filter(|rest| rest.starts_with('$')).unwrap_or(source).split('/') {
            match level {
                "**" => self.floating = self.floating.min(self.levels.len()),
                "*" => self.levels.push(Level::Any),
                level if without_placeholders(level).contains(['*', '?', '[', ']', '{', '}', '\\', ',']) => {
                    self.hide(level);
                    self.levels.push(Level::Hidden);
                    // Braces may hold a `/`.
                    if level.contains(['{', '}']) {
                        self.levels.push(Level::Rest);
                    }
                }
                level => self.words(level),
            }
        }
    }

    fn regex(&mut self, source: &'p str) {
        let text = source.strip_prefix('^').unwrap_or(source);
        let text = text.strip_suffix('$').filter(|text| !text.ends_with('\\')).unwrap_or(text);
        if text.contains('|') {
            self.hide(text);
            self.levels.push(Level::Rest);
            return;
        }
        let mut rest = Some(text);
        while let Some(behind) = rest {
            let (level, next) = behind.split_once('/').map_or((behind, None), |(level, next)| (level, Some(next)));
            rest = next;
            let plain = without_placeholders(level);
            let escaped = plain.replace("\\$", "").replace("\\.", "").replace("\\-", "");
            if escaped.contains(['.', '*', '+', '?', '(', ')', '[', ']', '{', '}', '\\', '^', '$']) {
                // What repeats the `/` before it makes that one unsure, too.
                let unsure = escaped.starts_with(['*', '+', '?', '{']) && self.levels.pop().is_some();
                self.hide(if unsure { text } else { behind });
                self.levels.push(Level::Rest);
                return;
            }
            if plain.contains('\\') && plain == level {
                let word = level.replace("\\$", "$").replace("\\.", ".").replace("\\-", "-");
                self.levels.push(Level::Word(word.into()));
            } else if plain.contains('\\') {
                self.hide(level);
                self.levels.push(Level::Hidden);
            } else {
                self.words(level);
            }
        }
    }

    /// A level without wildcards.
    fn words(&mut self, level: &'p str) {
        let Ok(pieces) = pieces(level) else {
            self.levels.push(Level::Hidden);
            return;
        };
        if !level.contains("${") {
            self.levels.push(Level::Word(level.into()));
        } else if let Some(simple) = Simple::of(pieces.into_iter()) {
            self.levels.push(Level::Value(simple));
        } else {
            self.hide(level);
            self.levels.push(Level::Hidden);
        }
    }

    fn hide(&mut self, text: &str) {
        for (placeholder, hidden) in Placeholder::ALL.into_iter().zip(&mut self.hidden) {
            *hidden |= text.contains(&format!("${{{}}}", placeholder.name()));
        }
    }

    /// The levels that are made of this placeholder.
    pub(super) fn places_of(&self, placeholder: Placeholder) -> impl Iterator<Item = usize> {
        self.levels.iter().enumerate().filter_map(move |(at, level)| match level {
            Level::Value(value) => (value.placeholder == placeholder).then_some(at),
            Level::Word(_) | Level::Any | Level::Hidden | Level::Rest => None,
        })
    }

    /// Whether the placeholder stands somewhere else, too.
    pub(super) fn is_hidden(&self, placeholder: Placeholder) -> bool {
        Placeholder::ALL.iter().zip(self.hidden).any(|(one, hidden)| *one == placeholder && hidden)
    }

    /// Whether the pattern may begin with the placeholder.
    pub(super) fn begins_with(&self, placeholder: Placeholder) -> bool {
        match self.levels.first() {
            Some(Level::Value(value)) => value.before.is_empty() && value.placeholder == placeholder,
            Some(Level::Word(_) | Level::Any) => self.floating == 0 && self.is_hidden(placeholder),
            Some(Level::Hidden | Level::Rest) | None => self.is_hidden(placeholder),
        }
    }

    /// What the other pattern has where this one has a placeholder, at this level.
    pub(super) fn met<'s>(&self, at: usize, other: &'s Shape<'p>) -> Met<'s, 'p> {
        let end = at.min(self.floating).min(other.floating);
        if !self.alike(other, end) {
            return Met { levels: Vec::new(), possible: false };
        }
        let rest = other.levels.iter().take(at + 1).rev().find(|level| matches!(level, Level::Rest));
        let levels = match rest {
            Some(rest) => vec![rest],
            None if at >= self.floating || at >= other.floating => other.levels.iter().skip(end).collect(),
            None => other.levels.get(at).into_iter().collect(),
        };
        Met { levels, possible: true }
    }

    /// Whether a topic may be matched by both, as far as their levels tell.
    pub(super) fn meets(&self, other: &Shape<'_>) -> bool {
        self.alike(other, self.floating.min(other.floating))
    }

    /// Whether the levels before `end` fit each other.
    fn alike(&self, other: &Shape<'_>, end: usize) -> bool {
        let mut pairs = self.levels.iter().zip(&other.levels).take(end);
        loop {
            match pairs.next() {
                Some((Level::Word(own), Level::Word(others))) if own != others => return false,
                Some((Level::Rest, _) | (_, Level::Rest)) | None => return true,
                Some(_) => {}
            }
        }
    }
}

/// The text without its placeholders, whose braces are no pattern's.
fn without_placeholders(text: &str) -> String {
    let mut text = text.to_owned();
    for placeholder in Placeholder::ALL {
        text = text.replace(&format!("${{{}}}", placeholder.name()), "");
    }
    text
}
