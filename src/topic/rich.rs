//! Globs and regexes over topics, in which placeholders may stand.

use std::borrow::Cow;

use regex_automata::meta::Regex;
use regex_syntax::hir::Hir;

use super::request::Request;
use super::{TOPIC_MAX, Uses};
use crate::text::glob::{self, Separator};
use crate::text::{Identity, Piece, TextError, hir, pieces};

/// A value longer than this is not filled into a pattern: the answer errs towards deny instead.
const VALUE_MAX: usize = 4096;

/// A glob or a regex of the policy.
#[derive(Debug, Clone)]
pub(super) struct Rich {
    hir: Hir,
    /// What it matches whatever the placeholders stand for.
    loose: Regex,
    /// Each topic that `loose` matches begins with one of these.
    prefixes: Option<Box<[Box<[u8]>]>>,
    uses: Uses,
    /// Its text begins with `$`, so that it reaches topics that do.
    dollar: bool,
}

impl Rich {
    pub(super) fn glob(text: &str) -> Result<Self, TextError> {
        let pieces = unescaped(text)?;
        let dollar = text.strip_prefix('\\').unwrap_or(text).starts_with('$') && !begins_with_value(&pieces);
        Rich::new(glob::parse(&pieces, Separator::Slash)?, Uses::of(&pieces), dollar)
    }

    pub(super) fn regex(text: &str) -> Result<Self, TextError> {
        let pieces = unescaped(text)?;
        let dollar = text.trim_start_matches('^').starts_with("\\$");
        let uses = match pieces.as_slice() {
            [Piece::Text("^"), rest @ ..] => Uses { first: Uses::of(rest).first, ..Uses::of(&pieces) },
            pieces => Uses::of(pieces),
        };
        Rich::new(hir::parse_regex(&pieces)?, uses, dollar)
    }

    fn new(hir: Hir, uses: Uses, dollar: bool) -> Result<Self, TextError> {
        // A policy that loads must not hold a pattern that is too big later.
        let sample = "x".repeat(128);
        if uses.any() {
            hir::compile(hir::fill(&hir, Identity { clientid: &sample, username: &sample }))?;
        }
        let loose = hir::replace(&hir, &|_| glob::anything());
        let prefixes = hir::prefixes(&loose);
        Ok(Rich { hir, loose: hir::compile(loose)?, prefixes, uses, dollar })
    }

    pub(super) fn uses(&self) -> Uses {
        self.uses
    }

    /// Whether the pattern can match topics of the request at all, as far as their beginning tells. Most
    /// patterns of a large policy are about other topics, and this is all that they cost.
    pub(super) fn may_reach(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        let begins = |prefix: &[u8]| {
            let asked = request.beginning().as_bytes();
            asked.starts_with(prefix) || prefix.starts_with(asked)
        };
        self.prefixes.as_deref().is_none_or(|prefixes| prefixes.iter().any(|prefix| begins(prefix)))
            && (!request.begins_with_dollar() || self.dollar || self.uses.begins_with_dollar(identity))
    }

    /// The pattern with the client's values in it; `None` where they are too long.
    pub(super) fn filled(&self, identity: Identity<'_>) -> Option<Cow<'_, Hir>> {
        if !self.uses.any() {
            return Some(Cow::Borrowed(&self.hir));
        }
        let short = self.uses.values(identity).all(|value| value.len() <= VALUE_MAX);
        short.then(|| Cow::Owned(hir::fill(&self.hir, identity)))
    }

    /// Takes what it costs to make an automaton of the pattern out of the request's bound of work. `None` where
    /// that is used up.
    pub(super) fn pay(&self, request: &Request<'_>, identity: Identity<'_>) -> Option<()> {
        const AUTOMATON: usize = 500;
        request.pay(AUTOMATON + self.uses.values(identity).map(str::len).sum::<usize>())
    }

    /// Whether it matches a topic name. `None` where that cannot be settled.
    pub(super) fn matches(&self, request: &Request<'_>, identity: Identity<'_>) -> Option<bool> {
        let loosely = hir::is_match(&self.loose, request.text());
        if !loosely || !self.uses.any() {
            return Some(loosely);
        }
        self.pay(request, identity)?;
        let regex = hir::compile(self.filled(identity)?.into_owned()).ok()?;
        Some(hir::is_match(&regex, request.text()))
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
