//! The levels of a topic pattern, as far as they can be told from its text.

use std::borrow::Cow;

use crate::analysis::placeholders::SinglePlaceholder;
use exhook_policy_core::text::{Placeholder, pieces};
use exhook_policy_core::topic::{Pattern, Syntax};

/// A pattern by its levels.
#[derive(Debug)]
pub(super) struct PatternLevels<'p> {
    pub(super) levels: Vec<PatternLevel<'p>>,
    /// Levels from here on may stand at other places: behind a `**` of a glob.
    floating: usize,
    /// Which placeholders stand where they are not told apart from what is around them.
    hidden: [bool; 2],
}

/// What stands in a level.
#[derive(Debug)]
pub(super) enum PatternLevel<'p> {
    /// This word.
    Word(Cow<'p, str>),
    /// A value, with a text before and behind it.
    Value(SinglePlaceholder<'p>),
    /// Any word.
    Any,
    /// A part of a glob.
    PartOfGlob,
    /// Anything, from here on: a part of a regex.
    Rest,
}

/// What one pattern has where another has a placeholder.
pub(super) struct MatchingLevels<'s, 'p> {
    pub(super) levels: Vec<&'s PatternLevel<'p>>,
    /// Some topic may be matched by both.
    pub(super) possible: bool,
}

impl<'p> PatternLevels<'p> {
    pub(super) fn of(pattern: &'p Pattern) -> Self {
        let mut levels = PatternLevels { levels: Vec::new(), floating: usize::MAX, hidden: [false; 2] };
        match pattern.syntax() {
            Syntax::Filter => levels.filter(pattern.source()),
            Syntax::Glob => levels.glob(pattern.source()),
            Syntax::Regex => levels.regex(pattern.source()),
        }
        for (number, placeholder) in Placeholder::ALL.into_iter().enumerate() {
            if let Some(hidden) = levels.hidden.get_mut(number) {
                let told = levels
                    .levels
                    .iter()
                    .any(|level| matches!(level, PatternLevel::Value(v) if v.placeholder == placeholder));
                *hidden |= pattern.has(placeholder) && !told;
            }
        }
        levels
    }

    fn filter(&mut self, source: &'p str) {
        for level in source.split('/') {
            match level {
                // What is left of the topic is any.
                "#" => {}
                "+" => self.levels.push(PatternLevel::Any),
                level => self.words(level),
            }
        }
    }

    fn glob(&mut self, source: &'p str) {
        for level in source.strip_prefix('\\').filter(|rest| rest.starts_with('$')).unwrap_or(source).split('/') {
            match level {
                "**" => self.floating = self.floating.min(self.levels.len()),
                "*" => self.levels.push(PatternLevel::Any),
                level if without_placeholders(level).contains(['*', '?', '[', ']', '{', '}', '\\', ',']) => {
                    self.mark_hidden(level);
                    self.levels.push(PatternLevel::PartOfGlob);
                    // Braces may hold a `/`.
                    if level.contains(['{', '}']) {
                        self.levels.push(PatternLevel::Rest);
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
            self.mark_hidden(text);
            self.levels.push(PatternLevel::Rest);
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
                self.mark_hidden(if unsure { text } else { behind });
                self.levels.push(PatternLevel::Rest);
                return;
            }
            if plain.contains('\\') && plain == level {
                let word = level.replace("\\$", "$").replace("\\.", ".").replace("\\-", "-");
                self.levels.push(PatternLevel::Word(word.into()));
            } else if plain.contains('\\') {
                self.mark_hidden(level);
                self.levels.push(PatternLevel::PartOfGlob);
            } else {
                self.words(level);
            }
        }
    }

    /// A level without wildcards.
    fn words(&mut self, level: &'p str) {
        let Ok(pieces) = pieces(level) else {
            self.levels.push(PatternLevel::PartOfGlob);
            return;
        };
        if !level.contains("${") {
            self.levels.push(PatternLevel::Word(level.into()));
        } else if let Some(simple) = SinglePlaceholder::of(pieces.into_iter()) {
            self.levels.push(PatternLevel::Value(simple));
        } else {
            self.mark_hidden(level);
            self.levels.push(PatternLevel::PartOfGlob);
        }
    }

    fn mark_hidden(&mut self, text: &str) {
        for (placeholder, hidden) in Placeholder::ALL.into_iter().zip(&mut self.hidden) {
            *hidden |= text.contains(&format!("${{{}}}", placeholder.name()));
        }
    }

    /// The levels that are made of this placeholder.
    pub(super) fn places_of(&self, placeholder: Placeholder) -> impl Iterator<Item = usize> {
        self.levels.iter().enumerate().filter_map(move |(at, level)| match level {
            PatternLevel::Value(value) => (value.placeholder == placeholder).then_some(at),
            PatternLevel::Word(_) | PatternLevel::Any | PatternLevel::PartOfGlob | PatternLevel::Rest => None,
        })
    }

    /// Whether the placeholder stands somewhere else, too.
    pub(super) fn is_hidden(&self, placeholder: Placeholder) -> bool {
        Placeholder::ALL.iter().zip(self.hidden).any(|(one, hidden)| *one == placeholder && hidden)
    }

    /// Whether the pattern may begin with the placeholder.
    pub(super) fn begins_with(&self, placeholder: Placeholder) -> bool {
        match self.levels.first() {
            Some(PatternLevel::Value(value)) => value.before.is_empty() && value.placeholder == placeholder,
            Some(PatternLevel::Word(_) | PatternLevel::Any) => self.floating == 0 && self.is_hidden(placeholder),
            Some(PatternLevel::PartOfGlob | PatternLevel::Rest) | None => self.is_hidden(placeholder),
        }
    }

    /// What the other pattern has where this one has a placeholder, at this level.
    pub(super) fn matching_levels<'s>(&self, at: usize, other: &'s PatternLevels<'p>) -> MatchingLevels<'s, 'p> {
        let end = at.min(self.floating).min(other.floating);
        if !self.fit(other, end) {
            return MatchingLevels { levels: Vec::new(), possible: false };
        }
        let rest = other.levels.iter().take(at + 1).rev().find(|level| matches!(level, PatternLevel::Rest));
        let levels = match rest {
            Some(rest) => vec![rest],
            None if at >= self.floating || at >= other.floating => other.levels.iter().skip(end).collect(),
            None => other.levels.get(at).into_iter().collect(),
        };
        MatchingLevels { levels, possible: true }
    }

    /// Whether a topic may be matched by both, as far as their levels tell.
    pub(super) fn may_share_topic(&self, other: &PatternLevels<'_>) -> bool {
        self.fit(other, self.floating.min(other.floating))
    }

    /// Whether the levels before `end` fit each other.
    fn fit(&self, other: &PatternLevels<'_>, end: usize) -> bool {
        let mut pairs = self.levels.iter().zip(&other.levels).take(end);
        loop {
            match pairs.next() {
                Some((PatternLevel::Word(own), PatternLevel::Word(others))) if own != others => return false,
                Some((PatternLevel::Rest, _) | (_, PatternLevel::Rest)) | None => return true,
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
