//! Topics as sets: what a pattern matches, what a subscription can receive, and whether one lies
//! within, or touches, the other.
//!
//! A topic name is a set of one; a topic filter is the set of all topic names that it receives. A rule
//! that allows must [cover](Patterns::cover) that set, and a rule that denies only has to
//! [touch](Patterns::touch) it.
//!
//! Where there are many patterns, an index tells which of them a request may be about (`index`), and only these are asked.
//!
//! Filters are compared with filters exactly, level by level (`filter`). Globs and regexes are automata
//! over characters (`text::machine`), built when the policy is loaded and walked side by side with what the
//! request receives (`names`, `walk`). A request has so much work for this and no more; where it ends, a
//! set is not covered and is touched, so that the answer errs towards refusal.

mod budget;
mod filter;
pub(crate) mod index;
mod levels;
mod names;
mod overlap;
mod patterns;
mod representatives;
mod request;
mod rich;
mod tracks;
mod walk;

pub use budget::Budget;
pub use levels::Levels;
pub use overlap::may_overlap;
pub use patterns::{Cover, Patterns, Touch};
pub use representatives::{Representatives, representatives};
pub use request::Request;

use crate::text::machine::Cost;
use crate::text::{Identity, Placeholder, TextError};
use filter::Filter;
use rich::Rich;

/// The longest topic that MQTT can carry, in bytes.
pub(crate) const TOPIC_MAX: usize = 65_535;

/// The prefixes that EMQX takes off a topic before it means one.
// Public for the tests against a live broker.
#[doc(hidden)]
pub const PREFIXES: [&str; 4] = ["$share/", "$queue/", "$exclusive/", "$delayed/"];

/// How a pattern is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// An MQTT topic filter.
    Filter,
    /// A glob with `/` as the separator.
    Glob,
    /// A regex over the whole topic.
    Regex,
}

/// A topic pattern of the policy: an MQTT filter, a glob or a regex, placeholders not yet filled in.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: Box<str>,
    syntax: Syntax,
    kind: PatternKind,
}

#[derive(Debug, Clone)]
enum PatternKind {
    Filter(Filter),
    Rich(Rich),
}

impl Pattern {
    /// Reads an MQTT topic filter.
    ///
    /// # Errors
    /// It is no topic filter, begins with a prefix that the broker takes off, or holds an unknown placeholder.
    pub fn filter(text: &str) -> Result<Self, TextError> {
        refuse_prefix(text)?;
        Ok(Pattern { source: text.into(), syntax: Syntax::Filter, kind: PatternKind::Filter(Filter::parse(text)?) })
    }

    /// Reads a glob with `/` as the separator.
    ///
    /// # Errors
    /// It is no glob, is too big, begins with a prefix that the broker takes off, or holds an unknown placeholder.
    pub fn glob(text: &str) -> Result<Self, TextError> {
        refuse_prefix(text.strip_prefix('\\').unwrap_or(text))?;
        Ok(Pattern { source: text.into(), syntax: Syntax::Glob, kind: PatternKind::Rich(Rich::glob(text)?) })
    }

    /// Reads a regex that must match the whole topic.
    ///
    /// # Errors
    /// It is no regex, is too big, begins with a prefix that the broker takes off, or holds an unknown placeholder.
    pub fn regex(text: &str) -> Result<Self, TextError> {
        refuse_prefix(text.trim_start_matches('^').strip_prefix('\\').unwrap_or(text))?;
        Ok(Pattern { source: text.into(), syntax: Syntax::Regex, kind: PatternKind::Rich(Rich::regex(text)?) })
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How it is written.
    pub fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Whether it is of use in a rule that allows: the client's values in it are such that they reach no further than
    /// the author meant.
    pub fn is_safe(&self, identity: Identity<'_>) -> bool {
        match &self.kind {
            PatternKind::Filter(filter) => filter.uses().safe(identity),
            PatternKind::Rich(rich) => rich.uses().safe(identity),
        }
    }

    /// The topic filter with the client's values in it; `None` for a glob or a regex.
    pub fn filled(&self, identity: Identity<'_>) -> Option<String> {
        match &self.kind {
            PatternKind::Filter(filter) => Some(filter.filled(identity)),
            PatternKind::Rich(_) => None,
        }
    }

    /// What matching a topic name takes at most, and the states of its automaton; `None` for a filter.
    pub(crate) fn cost(&self) -> Option<(Cost, usize)> {
        match &self.kind {
            PatternKind::Filter(_) => None,
            PatternKind::Rich(rich) => Some((rich.cost(), rich.states())),
        }
    }

    /// Whether the placeholder stands in it.
    pub fn has(&self, placeholder: Placeholder) -> bool {
        match &self.kind {
            PatternKind::Filter(filter) => filter.uses().stands_in(placeholder),
            PatternKind::Rich(rich) => rich.uses().stands_in(placeholder),
        }
    }
}

fn refuse_prefix(text: &str) -> Result<(), TextError> {
    match PREFIXES.into_iter().find(|prefix| text.starts_with(prefix)) {
        Some(prefix) => Err(TextError::new(format!("a pattern cannot begin with `{prefix}`"))
            .help("the broker takes this prefix off; write the pattern for the topic behind it")
            .at(0..prefix.len())),
        None => Ok(()),
    }
}

/// Which placeholders stand in a pattern.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PlaceholderUses {
    clientid: bool,
    username: bool,
    /// The one that the pattern begins with, and another one directly behind it.
    first: [Option<Placeholder>; 2],
}

impl PlaceholderUses {
    fn of(pieces: &[crate::text::Piece<'_>]) -> Self {
        use crate::text::Piece;
        let stands_in = |placeholder| pieces.contains(&Piece::Value(placeholder));
        let mut leading = pieces.iter().map_while(|piece| match piece {
            Piece::Value(placeholder) => Some(*placeholder),
            Piece::Text(_) => None,
        });
        let first = leading.next();
        let first = [first, first.and_then(|first| leading.find(|placeholder| *placeholder != first))];
        PlaceholderUses {
            clientid: stands_in(Placeholder::Clientid),
            username: stands_in(Placeholder::Username),
            first,
        }
    }

    fn stands_in(self, placeholder: Placeholder) -> bool {
        match placeholder {
            Placeholder::Clientid => self.clientid,
            Placeholder::Username => self.username,
        }
    }

    fn any(self) -> bool {
        self.clientid || self.username
    }

    fn values(self, identity: Identity<'_>) -> impl Iterator<Item = &str> {
        Placeholder::ALL.into_iter().filter(move |one| self.stands_in(*one)).map(move |one| identity.value(one))
    }

    /// Whether the client's values reach no further than the author meant.
    fn safe(self, identity: Identity<'_>) -> bool {
        self.values(identity).all(|value| !value.is_empty() && !holds_any(value, *b"+#/\0"))
            && !self.begins_with_dollar(identity)
    }

    /// Whether any topic name can hold the client's values as literal text. A filter is made of them; a glob or a
    /// regex may also match without them.
    fn possible(self, identity: Identity<'_>) -> bool {
        self.values(identity).all(|value| !holds_any(value, *b"+#\0"))
    }

    fn begins_with_dollar(self, identity: Identity<'_>) -> bool {
        let mut values = self.first.into_iter().flatten().map(|first| identity.value(first));
        values.find(|value| !value.is_empty()).is_some_and(|value| value.starts_with('$'))
    }
}

/// Whether one of these bytes stands in the value.
fn holds_any<const N: usize>(value: &str, bytes: [u8; N]) -> bool {
    // All of it is gone through, which is quicker than to look for an end.
    value.bytes().fold(false, |found, byte| found | bytes.contains(&byte))
}

#[cfg(test)]
mod tests;
