//! Globs and regexes over topics, in which placeholders may stand.

use std::sync::Arc;

use regex_syntax::hir::Hir;

use super::request::Request;
use super::{PlaceholderUses, TOPIC_MAX};
use crate::text::glob::{self, Separator};
use crate::text::machine::{Cost, Limit, Machine};
use crate::text::{Automaton, Identity, Piece, TextError, hir, pieces};

/// A glob or a regex of the policy. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Rich {
    automaton: Arc<Automaton>,
    /// What every topic of it begins with, for every client.
    prefix: Box<str>,
    uses: PlaceholderUses,
    /// Its text begins with `$`, so that it reaches topics that do.
    dollar: bool,
}

impl Rich {
    pub(super) fn glob(text: &str) -> Result<Self, TextError> {
        let pieces = unescaped(text)?;
        let dollar = text.strip_prefix('\\').unwrap_or(text).starts_with('$') && !begins_with_value(&pieces);
        Rich::new(&glob::parse(&pieces, Separator::Slash)?, PlaceholderUses::of(&pieces), dollar)
    }

    pub(super) fn regex(text: &str) -> Result<Self, TextError> {
        let pieces = unescaped(text)?;
        let dollar = text.trim_start_matches('^').starts_with("\\$");
        let uses = match pieces.as_slice() {
            [Piece::Text("^"), rest @ ..] => {
                PlaceholderUses { first: PlaceholderUses::of(rest).first, ..PlaceholderUses::of(&pieces) }
            }
            pieces => PlaceholderUses::of(pieces),
        };
        Rich::new(&hir::parse_regex(&pieces)?, uses, dollar)
    }

    fn new(hir: &Hir, uses: PlaceholderUses, dollar: bool) -> Result<Self, TextError> {
        let automaton = Automaton::new(hir, Limit::Topic)?;
        if uses.any() && automaton.machine().looks_around() {
            return Err(TextError::new("word boundaries and line anchors cannot stand beside a placeholder")
                .help("say what may stand there: a class such as `[^a-z]`, or the end of the topic"));
        }
        let prefix = automaton.machine().prefix().into();
        Ok(Rich { automaton: Arc::new(automaton), prefix, uses, dollar })
    }

    pub(super) fn uses(&self) -> PlaceholderUses {
        self.uses
    }

    /// Whether the pattern can match topics of the request at all, as far as their beginning tells. Most
    /// patterns of a large policy are about other topics, and this is all that they cost.
    pub(super) fn may_reach(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        let asked = request.beginning();
        if !asked.starts_with(&*self.prefix) && !self.prefix.starts_with(asked) {
            return false;
        }
        !request.begins_with_dollar() || self.reaches_dollar(identity)
    }

    /// Whether topics that begin with `$` are among those that it may match.
    pub(super) fn reaches_dollar(&self, identity: Identity<'_>) -> bool {
        self.dollar || self.uses.begins_with_dollar(identity)
    }

    /// Whether topics that begin with `$` are among those that it may match for some client.
    pub(super) fn may_reach_dollar(&self) -> bool {
        self.dollar || self.uses.first[0].is_some()
    }

    /// What every topic of it begins with, for every client.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it matches a topic name. `None` where the request has no work left to settle that.
    pub(super) fn matches(&self, topic: &str, request: &Request<'_>, identity: Identity<'_>) -> Option<bool> {
        let Some(rest) = topic.strip_prefix(&*self.prefix) else { return Some(false) };
        self.automaton.matches(topic, rest, identity, request.work())
    }

    /// The automaton to walk side by side with a subscription. A regex that looks around has none: no subscription
    /// with wildcards can be compared with it.
    pub(super) fn machine(&self) -> Option<&Machine> {
        Some(self.automaton.machine()).filter(|machine| !machine.looks_around())
    }

    /// How many states its automaton has.
    pub(super) fn states(&self) -> usize {
        self.automaton.machine().size()
    }

    /// What matching a topic name takes at most.
    pub(super) fn cost(&self) -> Cost {
        self.automaton.cost()
    }
}

/// Splits a glob or a regex at its placeholders, before which no `\` may stand: it would be taken for the
/// beginning of a literal `$`, and the pattern for one that the author wrote for `$` topics.
fn unescaped(text: &str) -> Result<Vec<Piece<'_>>, TextError> {
    if text.len() > TOPIC_MAX {
        return Err(TextError::new(format!("a topic pattern has at most {TOPIC_MAX} bytes")));
    }
    let pieces = pieces(text)?;
    let mut at = 0;
    let mut escapes = false;
    for piece in &pieces {
        match piece {
            Piece::Text(text) => {
                escapes = (text.len() - text.trim_end_matches('\\').len()) % 2 == 1;
                at += text.len();
            }
            Piece::Value(_) if escapes => {
                return Err(TextError::new("a placeholder cannot be escaped")
                    .help("take the `\\` before it away; the client's value is always literal text")
                    .at(at - 1..at));
            }
            Piece::Value(placeholder) => {
                escapes = false;
                at += "${}".len() + placeholder.name().len();
            }
        }
    }
    Ok(pieces)
}

fn begins_with_value(pieces: &[Piece<'_>]) -> bool {
    matches!(pieces.first(), Some(Piece::Value(_)))
}
