//! Texts that globs and regexes tell apart, found by walking their automata side by side.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Class, Hir, HirKind};

use exhook_policy_core::text::Matcher;
use exhook_policy_core::topic::Budget;

/// What one automaton may take, in bytes, when it is done and while it is built.
const SIZE: usize = 256 << 10;
const WORKING_SIZE: usize = 1 << 20;
/// More classes of characters than this are not told apart.
const MOST_CLASSES: usize = 512;
/// So many more words than are wanted are looked at, for those that people like to read.
const SPARE: usize = 3;
/// Of groups of so many characters, all are read.
const SMALL: usize = 16;
/// Steps that meeting a state counts for, beside those of the automata.
const MEET: usize = 30;

type Range = (char, char);

/// The automaton of a glob or a regex over whole values.
#[derive(Debug)]
pub(super) struct ValueAutomaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
    /// The sets of characters that it tells apart.
    classes: HashSet<Vec<Range>>,
}

impl ValueAutomaton {
    /// `None` where it is too large, or looks around in ways that an automaton cannot.
    pub(super) fn build(matcher: &Matcher) -> Option<Self> {
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(SIZE))
            .determinize_size_limit(Some(WORKING_SIZE));
        let dfa = dense::Builder::new().configure(config).build(matcher.anchored()).ok()?;
        let start = dfa.start_state_forward(&Input::new("").anchored(Anchored::Yes)).ok()?;
        let mut classes = HashSet::new();
        collect(&regex_syntax::parse(matcher.anchored()).ok()?, &mut classes);
        Some(ValueAutomaton { dfa, start, classes })
    }

    fn read(&self, mut state: StateID, text: &str) -> StateID {
        for byte in text.bytes() {
            state = self.dfa.next_state(state, byte);
        }
        state
    }

    fn accepts(&self, state: StateID) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }
}

fn collect(hir: &Hir, classes: &mut HashSet<Vec<Range>>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => {
            classes.extend(String::from_utf8_lossy(&literal.0).chars().map(|c| vec![(c, c)]));
        }
        HirKind::Class(Class::Unicode(class)) => {
            classes.insert(class.iter().map(|range| (range.start(), range.end())).collect());
        }
        HirKind::Class(Class::Bytes(class)) => {
            classes.insert(class.iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect());
        }
        HirKind::Repetition(repetition) => collect(&repetition.sub, classes),
        HirKind::Capture(capture) => collect(&capture.sub, classes),
        HirKind::Concat(all) | HirKind::Alternation(all) => all.iter().for_each(|one| collect(one, classes)),
    }
}

/// An automaton that reads a value with a text before and behind it.
pub(super) struct AffixedAutomaton {
    pub(super) automaton: Rc<ValueAutomaton>,
    pub(super) before: String,
    pub(super) behind: String,
    /// Only values that it matches are looked for.
    pub(super) needed: bool,
}

impl AffixedAutomaton {
    /// The value itself.
    pub(super) fn new(automaton: Rc<ValueAutomaton>, needed: bool) -> Self {
        AffixedAutomaton { automaton, before: String::new(), behind: String::new(), needed }
    }
}

/// What is looked for.
pub(super) struct WordRequest<'k> {
    /// So many words of each kind.
    pub(super) count: usize,
    /// Words that do not count.
    pub(super) known: &'k dyn Fn(&str) -> bool,
    /// Characters that make words differ too: those of topics with a meaning.
    pub(super) topics: bool,
}

/// What was found.
pub(super) struct FoundWords {
    pub(super) words: Vec<String>,
    /// There are as many of each kind as were wanted, or all that there are.
    pub(super) complete: bool,
}

/// Where the automata are, and which characters of topics were read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WalkState {
    at: Box<[StateID]>,
    marks: u8,
}

const WILD: u8 = 1;
const SLASH: u8 = 2;
const DOLLAR: u8 = 4;
const STARTED: u8 = 8;

#[derive(Debug)]
struct VisitedState {
    times: usize,
    kind: usize,
}

/// Words that the same automata match.
#[derive(Debug, Default)]
struct WordClass {
    words: Vec<String>,
    /// There may be others.
    more: bool,
}

/// Words such that every other one is treated by all automata as one of them is, the short ones
/// first.
pub(super) fn find_words(automata: &[AffixedAutomaton], wanted: &WordRequest<'_>, budget: &mut Budget) -> FoundWords {
    let Some(letters) = alphabet(automata, wanted, budget) else {
        return FoundWords { words: Vec::new(), complete: false };
    };
    let most = wanted.count + SPARE;
    let mut met: HashMap<WalkState, VisitedState> = HashMap::new();
    let mut kinds: HashMap<(Vec<bool>, u8), usize> = HashMap::new();
    let mut found: Vec<WordClass> = Vec::new();
    let start =
        automata.iter().map(|affixed| affixed.automaton.read(affixed.automaton.start, &affixed.before)).collect();
    let mut queue = VecDeque::from([(WalkState { at: start, marks: 0 }, String::new(), false)]);
    let mut ended = false;
    while let Some((state, word, sampled)) = queue.pop_front().filter(|_| !ended) {
        ended = !budget.spend(MEET + (1 + letters.len()) * automata.len() + word.len());
        let known = (wanted.known)(&word);
        let entry = met.entry(state.clone()).or_insert_with(|| {
            let next = found.len();
            let kind = *kinds.entry((accepting(automata, &state), state.marks & !STARTED)).or_insert(next);
            if kind == next {
                found.push(WordClass::default());
            }
            VisitedState { times: 0, kind }
        });
        let Some(kind) = found.get_mut(entry.kind) else { continue };
        kind.more |= sampled || entry.times == most;
        if entry.times == most {
            continue;
        }
        if !known {
            entry.times += 1;
            if kind.words.len() < most {
                kind.words.push(word.clone());
            }
        }
        for (c, others) in &letters {
            if let Some(next) = read(automata, &state, *c, wanted.topics) {
                let settled =
                    |met: &VisitedState| met.times == most && found.get(met.kind).is_some_and(|kind| kind.more);
                if !met.get(&next).is_some_and(settled) {
                    let mut word = word.clone();
                    word.push(*c);
                    queue.push_back((next, word, sampled || *others));
                }
            }
        }
    }
    let complete = !ended && found.iter().all(|kind| kind.words.len() >= wanted.count || !kind.more);
    let nice = |WordClass { mut words, .. }: WordClass| {
        words.sort_by_key(|word| oddness(word));
        words.truncate(wanted.count);
        words
    };
    FoundWords { words: found.into_iter().flat_map(nice).collect(), complete }
}

fn read(automata: &[AffixedAutomaton], state: &WalkState, c: char, topics: bool) -> Option<WalkState> {
    let mut buffer = [0; 4];
    let text = c.encode_utf8(&mut buffer);
    let mut at = Vec::with_capacity(automata.len());
    for (affixed, state) in automata.iter().zip(&state.at) {
        let next = affixed.automaton.read(*state, text);
        if affixed.needed && affixed.automaton.dfa.is_dead_state(next) {
            return None;
        }
        at.push(next);
    }
    let mark = match c {
        '+' | '#' | '\0' => WILD,
        '/' => SLASH,
        '$' if state.marks & STARTED == 0 => DOLLAR,
        _ => 0,
    };
    let marks = if topics { state.marks | mark | STARTED } else { 0 };
    Some(WalkState { at: at.into(), marks })
}

fn accepting(automata: &[AffixedAutomaton], state: &WalkState) -> Vec<bool> {
    let accepts = |(affixed, state): (&AffixedAutomaton, &StateID)| {
        let end = affixed.automaton.read(*state, &affixed.behind);
        affixed.automaton.accepts(end)
    };
    automata.iter().zip(&state.at).map(accepts).collect()
}

/// How odd a word looks to people.
fn oddness(word: &str) -> (usize, bool, usize) {
    let odd = word.chars().filter(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c)).count();
    (odd, !word.ends_with(|c: char| c.is_ascii_alphanumeric()), word.len())
}

/// A character to read, and whether others are like it that are left out.
type Letter = (char, bool);

/// Some characters of each group that no automaton tells apart; all of those in a small group.
fn alphabet(automata: &[AffixedAutomaton], wanted: &WordRequest<'_>, budget: &mut Budget) -> Option<Vec<Letter>> {
    let mut classes: HashSet<Vec<Range>> =
        automata.iter().flat_map(|affixed| affixed.automaton.classes.clone()).collect();
    if wanted.topics {
        classes.extend([vec![('\0', '\0'), ('#', '#'), ('+', '+')], vec![('/', '/')], vec![('$', '$')]]);
    }
    if classes.len() > MOST_CLASSES {
        return None;
    }
    let mut bounds: Vec<u32> = vec![0, u32::from(char::MAX) + 1];
    for (low, high) in classes.iter().flatten() {
        bounds.extend([u32::from(*low), u32::from(*high) + 1]);
    }
    bounds.sort_unstable();
    bounds.dedup();
    if !budget.spend(bounds.len() * (1 + classes.len())) {
        return None;
    }
    let group_of = |c: char| classes.iter().map(|class| contains(class, c)).collect::<Vec<bool>>();
    let mut groups: HashMap<Vec<bool>, (u32, Vec<char>)> = HashMap::new();
    for (start, end) in bounds.iter().copied().zip(bounds.iter().skip(1).copied()) {
        let Some(first) = (start..end).find_map(char::from_u32) else { continue };
        let (size, members) = groups.entry(group_of(first)).or_default();
        *size += end - start;
        let plain = (start..end).filter_map(char::from_u32).filter(|c| !c.is_control());
        members.extend(plain.chain([first]).take(SMALL));
    }
    // Characters that people read easily come first.
    for c in ('1'..='9').chain('a'..='z').chain('A'..='Z').chain("0-_.".chars()).rev() {
        if let Some((_, members)) = groups.get_mut(&group_of(c)) {
            members.insert(0, c);
        }
    }
    let mut letters = Vec::new();
    for (_, (size, members)) in groups {
        let all = size as usize <= SMALL;
        let mut taken: Vec<char> = Vec::new();
        for c in members {
            if !taken.contains(&c) && (all || taken.len() < wanted.count + SPARE) {
                taken.push(c);
            }
        }
        letters.extend(taken.into_iter().map(|c| (c, !all)));
    }
    letters.sort_unstable_by_key(|(c, _)| (!c.is_ascii_digit() || *c == '0', !c.is_ascii_alphanumeric(), *c));
    Some(letters)
}

fn contains(class: &[Range], c: char) -> bool {
    let after = class.partition_point(|(low, _)| *low <= c);
    after.checked_sub(1).and_then(|at| class.get(at)).is_some_and(|(_, high)| c <= *high)
}
