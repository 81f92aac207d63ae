//! MQTT topic filters, in which placeholders may stand.
//!
//! Between filters every question about sets has an exact answer. If each `+` of the asked filter is
//! replaced by a word that stands in no pattern, a pattern that matches this topic matches every topic in
//! its place: it can only have done so with a wildcard. So that one topic speaks for all.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::request::Request;
use super::{PlaceholderUses, TOPIC_MAX, holds_any};
use crate::text::{Identity, Piece, Placeholder, TextError, pieces};

/// A topic filter of the policy. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// The levels, without a trailing `#`.
    levels: Arc<[Level]>,
    hash: bool,
    uses: PlaceholderUses,
}

/// A level of a filter of the policy.
#[derive(Debug, Clone)]
pub(super) enum Level {
    Plus,
    /// Short ones stand here, so that they are near when they are compared.
    Word(SmolStr),
    /// A word with placeholders.
    Template(Box<[Part]>),
}

/// A piece of a word with placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Text(Box<str>),
    Value(Placeholder),
}

/// A level of what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AskedLevel<'t> {
    Word(&'t str),
    /// Stands for every word.
    Plus,
}

impl<'t> AskedLevel<'t> {
    fn of(level: &'t str) -> Self {
        if level == "+" { AskedLevel::Plus } else { AskedLevel::Word(level) }
    }
}

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::new("a topic filter cannot be empty"));
        }
        if text.len() > TOPIC_MAX {
            return Err(TextError::new(format!("a topic filter has at most {TOPIC_MAX} bytes")));
        }
        if let Some(at) = text.find('\0') {
            return Err(TextError::new("a topic filter cannot hold NUL").at(at..at + 1));
        }
        let uses = PlaceholderUses::of(&pieces(text)?);
        let mut levels = Vec::new();
        let mut hash = false;
        let mut at = 0;
        for level in text.split('/') {
            let span = at..at + level.len();
            at += level.len() + 1;
            match level {
                "#" if span.end == text.len() => hash = true,
                "#" => return Err(TextError::new("`#` can only be the last level").at(span)),
                "+" => levels.push(Level::Plus),
                word if word.contains(['+', '#']) => {
                    return Err(TextError::new("`+` and `#` stand for whole levels")
                        .help("give the wildcard a level of its own, or use a glob: `{ glob: \"...\" }`")
                        .at(span));
                }
                word => levels.push(Level::of(&pieces(word)?)),
            }
        }
        Ok(Filter { levels: levels.into(), hash, uses })
    }

    pub(super) fn uses(&self) -> PlaceholderUses {
        self.uses
    }

    /// The levels, without a trailing `#`.
    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Whether a `#` stands behind the levels.
    pub(super) fn ends_in_hash(&self) -> bool {
        self.hash
    }

    pub(super) fn has_root_wildcard(&self) -> bool {
        match self.levels.first() {
            Some(Level::Plus) => true,
            Some(Level::Word(_) | Level::Template(_)) => false,
            None => self.hash,
        }
    }

    /// Whether a topic name is matched; the client's values are safe.
    pub(super) fn matches(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        let asked = request.levels();
        let enough = if self.hash { asked.len() >= self.levels.len() } else { asked.len() == self.levels.len() };
        enough
            && !(request.begins_with_dollar() && self.has_root_wildcard())
            && self.levels.iter().zip(asked.iter()).all(|(level, word)| level.accepts(word, identity))
    }

    /// Whether a topic name is matched; a value with `/` in it spans levels.
    pub(super) fn matches_literally(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        match self.spread(identity) {
            Some(spread) => spread.matches(request, identity),
            None => self.matches(request, identity),
        }
    }

    /// Whether a topic of the asked filter is matched; a value with `/` in it spans levels.
    pub(super) fn touches(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        match self.spread(identity) {
            Some(spread) => spread.overlaps(request, identity),
            None => self.overlaps(request, identity),
        }
    }

    /// The filter with its values filled in, where one of them holds a `/`.
    fn spread(&self, identity: Identity<'_>) -> Option<Filter> {
        if !self.uses.values(identity).any(|value| holds_any(value, *b"/")) {
            return None;
        }
        let (levels, hash) = self.expanded(identity);
        let level = |level: Option<String>| level.map_or(Level::Plus, |word| Level::Word(word.into()));
        Some(Filter { levels: levels.into_iter().map(level).collect(), hash, uses: PlaceholderUses::default() })
    }

    /// Whether there is a topic that both filters receive.
    pub(super) fn overlaps(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        let asked = request.levels();
        let fits = match (self.hash, request.ends_in_hash()) {
            (true, true) => true,
            (true, false) => asked.len() >= self.levels.len(),
            (false, true) => self.levels.len() >= asked.len(),
            (false, false) => self.levels.len() == asked.len(),
        };
        // The only topic that both could receive is the empty one, which is none.
        let one_level = (!self.hash && self.levels.len() <= 1) || (!request.ends_in_hash() && asked.len() <= 1);
        let own_empty = self.levels.first().is_some_and(|level| level.is_word() && level.accepts("", identity));
        let empty = one_level && (own_empty || asked.get(0) == Some(""));
        fits && !empty
            && self.root_fits(request, identity)
            && self.levels.iter().zip(asked.iter()).all(|(level, word)| match AskedLevel::of(word) {
                AskedLevel::Plus => true,
                AskedLevel::Word(word) => level.accepts(word, identity),
            })
    }

    /// A topic of the asked filter that is matched; a value with `/` in it spans levels.
    pub(super) fn common_topic(&self, request: &Request<'_>, identity: Identity<'_>) -> Option<String> {
        if let Some(spread) = self.spread(identity) {
            return spread.common_topic(request, identity);
        }
        if !self.overlaps(request, identity) {
            return None;
        }
        let word = |at: usize| match (request.levels().get(at), self.levels.get(at)) {
            (Some("+") | None, Some(Level::Word(word))) => word.to_string(),
            (Some("+") | None, Some(Level::Template(parts))) => parts.iter().map(|part| part.text(identity)).collect(),
            (Some("+") | None, Some(Level::Plus) | None) => "x".to_owned(),
            (Some(asked), _) => asked.to_owned(),
        };
        let depth = self.levels.len().max(request.levels().len()).max(1);
        let mut topic = (0..depth).map(word).collect::<Vec<_>>().join("/");
        if topic.is_empty() {
            topic.push_str("/x");
        }
        Some(topic)
    }

    /// The filter with the client's values, which are safe.
    pub(super) fn filled(&self, identity: Identity<'_>) -> String {
        let word = |level: &Level| match level {
            Level::Plus => "+".to_owned(),
            Level::Word(word) => word.to_string(),
            Level::Template(parts) => parts.iter().map(|part| part.text(identity)).collect(),
        };
        let hash = self.hash.then(|| "#".to_owned());
        self.levels.iter().map(word).chain(hash).collect::<Vec<_>>().join("/")
    }

    /// The levels with the client's values, which may hold a `/` and then span levels: words, and `None` for each `+`.
    /// And whether a `#` stands behind them.
    pub(super) fn expanded(&self, identity: Identity<'_>) -> (Vec<Option<String>>, bool) {
        let mut levels = Vec::new();
        for level in self.levels.iter() {
            match level {
                Level::Plus => levels.push(None),
                Level::Word(word) => levels.push(Some(word.to_string())),
                Level::Template(parts) => {
                    let word: String = parts.iter().map(|part| part.text(identity)).collect();
                    levels.extend(word.split('/').map(|word| Some(word.to_owned())));
                }
            }
        }
        (levels, self.hash)
    }

    /// What all topics of it begin with, and whether that is the only topic.
    pub(super) fn beginning(&self) -> (String, bool) {
        let mut beginning = String::new();
        for (at, level) in self.levels.iter().enumerate() {
            if at > 0 {
                beginning.push('/');
            }
            match level {
                Level::Word(word) => beginning.push_str(word),
                Level::Template(parts) => {
                    if let Some(Part::Text(text)) = parts.first() {
                        beginning.push_str(text);
                    }
                    return (beginning, false);
                }
                Level::Plus => return (beginning, false),
            }
        }
        (beginning, !self.hash)
    }

    /// Whether some client's topics may lie in both; a placeholder may stand for anything.
    pub(super) fn may_overlap(&self, other: &Filter) -> bool {
        let dollar = |filter: &Filter| match filter.levels.first() {
            Some(Level::Word(word)) => word.starts_with('$'),
            Some(Level::Plus | Level::Template(_)) | None => false,
        };
        if (dollar(self) && other.has_root_wildcard()) || (dollar(other) && self.has_root_wildcard()) {
            return false;
        }
        for (own, theirs) in self.levels.iter().zip(other.levels.iter()) {
            match (own, theirs) {
                (Level::Template(_), _) | (_, Level::Template(_)) => return true,
                (Level::Word(own), Level::Word(theirs)) if *own != *theirs => return false,
                (Level::Word(_) | Level::Plus, Level::Word(_) | Level::Plus) => {}
            }
        }
        match self.levels.len().cmp(&other.levels.len()) {
            Ordering::Less => self.hash,
            Ordering::Equal => true,
            Ordering::Greater => other.hash,
        }
    }

    /// Whether a level is this very word.
    pub(super) fn has_word(&self, word: &str, identity: Identity<'_>) -> bool {
        self.levels.iter().any(|level| level.is_word() && level.accepts(word, identity))
    }

    /// Root wildcards, on either side, reach no topic that begins with `$`.
    fn root_fits(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        let asked_wildcard = request.levels().get(0).is_none_or(|level| level == "+");
        if request.begins_with_dollar() {
            !self.has_root_wildcard()
        } else if asked_wildcard {
            !self.levels.first().is_some_and(|level| level.begins_with_dollar(identity))
        } else {
            true
        }
    }

    /// How many levels the topics have that are matched among those of the asked filter, if the witness
    /// with fresh words in place of wildcards is matched at all.
    fn depths(&self, request: &Request<'_>, identity: Identity<'_>) -> Option<Depths> {
        let asked = request.levels();
        if (!self.hash && self.levels.len() < asked.len())
            || (request.begins_with_dollar() && self.has_root_wildcard())
            || (!request.ends_in_hash() && self.levels.len() > asked.len())
        {
            return None;
        }
        let words = asked.iter().map(AskedLevel::of).chain(std::iter::repeat(AskedLevel::Plus));
        let matched = self.levels.iter().zip(words).all(|(level, word)| match word {
            AskedLevel::Plus => matches!(level, Level::Plus),
            AskedLevel::Word(word) => level.accepts(word, identity),
        });
        let depth = self.levels.len();
        matched.then_some(if self.hash { Depths::From(depth) } else { Depths::Only(depth) })
    }
}

enum Depths {
    Only(usize),
    From(usize),
}

/// The least number of levels at which the filters together miss topics of the asked filter; `None` where
/// they match every one.
pub(super) fn missed_depth<'f>(
    filters: impl Iterator<Item = &'f Filter>,
    request: &Request<'_>,
    identity: Identity<'_>,
) -> Option<usize> {
    let first = request.least_depth();
    let mut from = usize::MAX;
    let mut depths: SmallVec<[usize; 16]> = SmallVec::new();
    for filter in filters {
        match filter.depths(request, identity) {
            Some(Depths::From(depth)) => from = from.min(depth),
            Some(Depths::Only(depth)) => depths.push(depth),
            None => {}
        }
    }
    depths.sort_unstable();
    let end = if request.ends_in_hash() { from } else { from.min(first + 1) };
    (first..end).find(|depth| depths.binary_search(depth).is_err())
}

/// The topic with so many levels that the asked filter receives, with this word for its wildcards.
pub(super) fn topic_of_depth(request: &Request<'_>, depth: usize, word: &str) -> String {
    let levels = request.levels().iter().map(|level| if level == "+" { word } else { level });
    levels.chain(std::iter::repeat(word)).take(depth).collect::<Vec<_>>().join("/")
}

impl Level {
    fn of(pieces: &[Piece<'_>]) -> Self {
        match pieces {
            [] => Level::Word("".into()),
            [Piece::Text(text)] => Level::Word((*text).into()),
            pieces => Level::Template(
                pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => Part::Text((*text).into()),
                        Piece::Value(placeholder) => Part::Value(*placeholder),
                    })
                    .collect(),
            ),
        }
    }

    fn is_word(&self) -> bool {
        match self {
            Level::Plus => false,
            Level::Word(_) | Level::Template(_) => true,
        }
    }

    fn accepts(&self, word: &str, identity: Identity<'_>) -> bool {
        match self {
            Level::Plus => true,
            Level::Word(own) => *own == word,
            Level::Template(parts) => accepts(parts, word, identity),
        }
    }

    fn begins_with_dollar(&self, identity: Identity<'_>) -> bool {
        match self {
            Level::Plus => false,
            Level::Word(word) => word.starts_with('$'),
            Level::Template(parts) => parts
                .iter()
                .map(|part| part.text(identity))
                .find(|text| !text.is_empty())
                .is_some_and(|text| text.starts_with('$')),
        }
    }
}

/// Whether a word with placeholders is this one.
pub(super) fn accepts(parts: &[Part], word: &str, identity: Identity<'_>) -> bool {
    let mut rest = word;
    for part in parts {
        match rest.strip_prefix(part.text(identity)) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty()
}

impl Part {
    pub(super) fn text<'a>(&'a self, identity: Identity<'a>) -> &'a str {
        match self {
            Part::Text(text) => text,
            Part::Value(placeholder) => identity.value(*placeholder),
        }
    }
}
