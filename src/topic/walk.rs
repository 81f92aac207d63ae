//! Sets of topics with globs and regexes among them.
//!
//! The asked filter is walked byte by byte, as an automaton of its own that makes valid UTF-8 and nothing
//! that no topic name can hold. A second automaton, built as far as the walk needs it, follows with the patterns. Every
//! pair of states is visited once, and only so many: beyond that it is not settled.

use std::borrow::Cow;
use std::collections::HashSet;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::Hir;

use super::filter::{Filter, Level};
use super::request::Request;
use super::rich::Rich;
use crate::text::glob::{Separator, anything, many, one, optional, slash};
use crate::text::{Identity, hir};

/// What the patterns' automaton may take, in bytes.
const AUTOMATON: usize = 4 << 20;
/// How many patterns are joined at most.
const PATTERNS: usize = 256;

/// Whether the patterns together match every topic of the asked filter. False where it is not settled.
pub(super) fn cover<'p>(
    filters: impl Iterator<Item = &'p Filter>,
    rich: impl Iterator<Item = &'p Rich>,
    request: &Request<'_>,
    identity: Identity<'_>,
) -> bool {
    let filled = |rich: &'p Rich| rich.pay(request, identity).and_then(|()| rich.filled(identity));
    let mut patterns: Vec<Cow<'_, Hir>> = rich.take(PATTERNS).filter_map(filled).collect();
    // Filters alone do not cover it, or nobody would ask.
    if patterns.is_empty() {
        return false;
    }
    let overlapping = filters.filter(|filter| filter.overlaps(request, identity));
    patterns.extend(overlapping.take(PATTERNS).map(|filter| Cow::Owned(filter_hir(filter, identity))));
    walk(&patterns, request, Search::Uncovered) == Some(false)
}

/// Whether the pattern matches any topic of the asked filter. True where it is not settled.
pub(super) fn touch(rich: &Rich, request: &Request<'_>, identity: Identity<'_>) -> bool {
    match rich.pay(request, identity).and_then(|()| rich.filled(identity)) {
        Some(pattern) => walk(&[pattern], request, Search::Covered) != Some(false),
        None => true,
    }
}

/// Which topic of the asked filter is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// One that no pattern matches.
    Uncovered,
    /// One that a pattern matches.
    Covered,
}

/// Whether there is such a topic. `None` where it is not settled.
fn walk(patterns: &[Cow<'_, Hir>], request: &Request<'_>, search: Search) -> Option<bool> {
    let dfa = automaton(patterns)?;
    let mut cache = dfa.create_cache();
    let bytes = representatives(&dfa);
    let asked = Asked { request };
    let start = dfa.start_state_forward(&mut cache, &Input::new("").anchored(Anchored::Yes)).ok()?;
    let mut seen: HashSet<(Place, LazyStateID)> = HashSet::new();
    let mut waiting = Vec::new();
    // The start is not among the states seen: the empty text is no topic.
    let mut next = Some((asked.start(), start));
    let mut first = true;
    while let Some((place, state)) = next {
        let literal = asked.literal_byte(place);
        let choices = match &literal {
            Some(byte) => std::slice::from_ref(byte),
            None => bytes.as_slice(),
        };
        for &byte in choices {
            request.pay(1)?;
            if first && byte == b'$' && literal.is_none() {
                continue;
            }
            let Some(place) = asked.step(place, byte) else { continue };
            let state = dfa.next_state(&mut cache, state, byte).ok()?;
            if state.is_quit() {
                return None;
            }
            if state.is_dead() {
                // Every place leads on to some topic, which no pattern matches any more.
                match search {
                    Search::Uncovered => return Some(true),
                    Search::Covered => continue,
                }
            }
            if !seen.insert((place, state)) {
                continue;
            }
            if asked.is_topic(place) {
                let matched = dfa.next_eoi_state(&mut cache, state).ok()?.is_match();
                if matched == (search == Search::Covered) {
                    return Some(true);
                }
            }
            waiting.push((place, state));
        }
        first = false;
        next = waiting.pop();
    }
    Some(false)
}

fn automaton(patterns: &[Cow<'_, Hir>]) -> Option<DFA> {
    let whole: Vec<Hir> = patterns.iter().map(|pattern| hir::whole(pattern.as_ref().clone())).collect();
    let config =
        thompson::Config::new().nfa_size_limit(Some(hir::SIZE_LIMIT)).which_captures(thompson::WhichCaptures::None);
    let nfa = NFA::compiler().configure(config).build_many_from_hir(&whole).ok()?;
    let config = DFA::config().match_kind(MatchKind::All).cache_capacity(AUTOMATON).minimum_cache_clear_count(Some(0));
    DFA::builder().configure(config).build_from_nfa(nfa).ok()
}

fn filter_hir(filter: &Filter, identity: Identity<'_>) -> Hir {
    let mut parts = Vec::new();
    for (place, level) in filter.levels().iter().enumerate() {
        if place > 0 {
            parts.push(slash());
        }
        match level {
            Level::Plus => parts.push(many(one(Separator::Slash))),
            Level::Word(word) => parts.push(Hir::literal(word.as_bytes())),
            Level::Template(template) => {
                parts.extend(template.iter().map(|part| Hir::literal(part.text(identity).as_bytes())));
            }
        }
    }
    match (filter.ends_in_hash(), parts.is_empty()) {
        (false, _) => {}
        (true, true) => parts.push(anything()),
        (true, false) => parts.push(optional(Hir::concat(vec![slash(), anything()]))),
    }
    Hir::concat(parts)
}

/// One byte of each kind that neither automaton tells from another.
fn representatives(dfa: &DFA) -> Vec<u8> {
    let mut kinds = HashSet::new();
    (0..=u8::MAX).filter(|byte| kinds.insert((dfa.byte_classes().get(*byte), kind(*byte)))).collect()
}

/// The kinds of bytes that the walk over the asked filter itself tells apart.
fn kind(byte: u8) -> u8 {
    match byte {
        0 | b'+' | b'#' => 0,
        b'/' => 1,
        b'$' => 2,
        0x01..=0x7F => 3,
        0x80..=0x8F => 4,
        0x90..=0x9F => 5,
        0xA0..=0xBF => 6,
        0xC2..=0xDF => 7,
        0xE0 => 8,
        0xE1..=0xEC | 0xEE..=0xEF => 9,
        0xED => 10,
        0xF0 => 11,
        0xF1..=0xF3 => 12,
        0xF4 => 13,
        0xC0..=0xC1 | 0xF5..=0xFF => 14,
    }
}

/// The topics of a filter, as an automaton over bytes.
struct Asked<'r, 't> {
    request: &'r Request<'t>,
}

/// A state of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    level: usize,
    within: Within,
}

/// Where in a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Within {
    /// So many bytes of a word.
    Word(usize),
    /// A level that may be any word, or the levels under `#`.
    Free(Utf8),
}

/// How a character goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Utf8 {
    Whole,
    One,
    Two,
    Three,
    AfterE0,
    AfterEd,
    AfterF0,
    AfterF4,
}

impl Asked<'_, '_> {
    fn start(&self) -> Place {
        self.at_level(0)
    }

    fn at_level(&self, level: usize) -> Place {
        let within = match self.request.levels().get(level) {
            Some(&"+") | None => Within::Free(Utf8::Whole),
            Some(_) => Within::Word(0),
        };
        Place { level, within }
    }

    fn word(&self, level: usize) -> &[u8] {
        self.request.levels().get(level).map_or(b"", |word| word.as_bytes())
    }

    /// The levels under `#`.
    fn is_tail(&self, place: Place) -> bool {
        place.level >= self.request.levels().len()
    }

    /// The only byte that can follow, where there is only one.
    fn literal_byte(&self, place: Place) -> Option<u8> {
        match place.within {
            Within::Word(at) => Some(self.word(place.level).get(at).copied().unwrap_or(b'/')),
            Within::Free(_) => None,
        }
    }

    fn step(&self, place: Place, byte: u8) -> Option<Place> {
        match place.within {
            Within::Word(at) if self.word(place.level).get(at) == Some(&byte) => {
                Some(Place { within: Within::Word(at + 1), ..place })
            }
            Within::Word(at) => {
                (at == self.word(place.level).len() && byte == b'/').then(|| self.next_level(place.level))?
            }
            Within::Free(Utf8::Whole) if byte == b'/' => {
                if self.is_tail(place) {
                    Some(place)
                } else {
                    self.next_level(place.level)
                }
            }
            Within::Free(utf8) => Some(Place { within: Within::Free(utf8.step(byte)?), ..place }),
        }
    }

    fn next_level(&self, level: usize) -> Option<Place> {
        let exists = level + 1 < self.request.levels().len() || self.request.ends_in_hash();
        exists.then(|| self.at_level(level + 1))
    }

    /// Whether the bytes so far are a topic that the filter receives.
    fn is_topic(&self, place: Place) -> bool {
        let level_ends = match place.within {
            Within::Word(at) => at == self.word(place.level).len(),
            Within::Free(utf8) => utf8 == Utf8::Whole,
        };
        level_ends && place.level + 1 >= self.request.levels().len()
    }
}

impl Utf8 {
    fn step(self, byte: u8) -> Option<Utf8> {
        match (self, byte) {
            (Utf8::Whole, 0 | b'+' | b'#') => None,
            (Utf8::Whole, 0x01..=0x7F) | (Utf8::One, 0x80..=0xBF) => Some(Utf8::Whole),
            (Utf8::Whole, 0xC2..=0xDF)
            | (Utf8::Two, 0x80..=0xBF)
            | (Utf8::AfterE0, 0xA0..=0xBF)
            | (Utf8::AfterEd, 0x80..=0x9F) => Some(Utf8::One),
            (Utf8::Whole, 0xE0) => Some(Utf8::AfterE0),
            (Utf8::Whole, 0xED) => Some(Utf8::AfterEd),
            (Utf8::Whole, 0xE1..=0xEF)
            | (Utf8::Three, 0x80..=0xBF)
            | (Utf8::AfterF0, 0x90..=0xBF)
            | (Utf8::AfterF4, 0x80..=0x8F) => Some(Utf8::Two),
            (Utf8::Whole, 0xF0) => Some(Utf8::AfterF0),
            (Utf8::Whole, 0xF4) => Some(Utf8::AfterF4),
            (Utf8::Whole, 0xF1..=0xF3) => Some(Utf8::Three),
            (
                Utf8::Whole
                | Utf8::One
                | Utf8::Two
                | Utf8::Three
                | Utf8::AfterE0
                | Utf8::AfterEd
                | Utf8::AfterF0
                | Utf8::AfterF4,
                _,
            ) => None,
        }
    }
}
