//! A glob or a regex as an automaton over characters, in which a placeholder is one state: it is built
//! once, and reads the client's value where that stands.

mod table;

use std::collections::HashMap;

use regex_syntax::hir::{Class, Hir, HirKind, Look};
use smallvec::{SmallVec, smallvec};

use super::names::NEVER;
use crate::text::{Identity, Placeholder, TextError};
pub(super) use table::Table;

/// States that one pattern may have.
const MAX_STATES: usize = 20_000;
/// Steps that building one may take: counted repetitions of nothing add steps and no states.
const MAX_STEPS: usize = 1_000_000;

pub(super) type StateId = u32;

#[derive(Debug, Clone)]
enum State {
    /// Reads this character.
    Char(char, StateId),
    /// Reads one character of the class.
    Class(u32, StateId),
    /// Reads the client's value.
    Value(Placeholder, StateId),
    /// Goes on in any of these.
    Split(Box<[StateId]>),
    /// Goes on at the start of the topic only.
    Start(StateId),
    /// Goes on at the end of the topic only.
    End(StateId),
    /// The topic matches if it ends here.
    Match,
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CharClass {
    /// Ascending, apart from each other, both ends included.
    pub(super) ranges: Box<[(char, char)]>,
}

impl CharClass {
    pub(super) fn contains(&self, c: char) -> bool {
        let after = self.ranges.partition_point(|range| range.0 <= c);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|range| c <= range.1)
    }

    /// Whether every character that a topic may hold is in it.
    fn is_full(&self) -> bool {
        let mut next = 0;
        for (low, high) in &self.ranges {
            if (next..u32::from(*low)).any(|c| char::from_u32(c).is_some_and(|c| !NEVER.contains(&c))) {
                return false;
            }
            next = u32::from(*high) + 1;
        }
        next > u32::from(char::MAX)
    }

    /// A character of the class that is none of these, a readable one if there is one.
    pub(super) fn pick(&self, none_of: &[char]) -> Option<char> {
        let readable = "xyzabcdefghijklmnopqrstuvw0123456789-_".chars().filter(|c| self.contains(*c));
        let all = self.ranges.iter().flat_map(|(low, high)| *low..=*high);
        readable.chain(all).find(|c| !none_of.contains(c))
    }
}

/// Where reading stands: a state, and how many bytes of a value were read in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Thread {
    state: StateId,
    offset: u32,
}

/// The threads of a place in the topic: in most patterns a few, for which no memory is taken.
pub(super) type Threads = SmallVec<[Thread; 16]>;

/// Which states were met, so that none is followed twice; and how many, as a measure of work.
#[derive(Debug)]
pub(super) struct Marks {
    seen: SmallVec<[u32; 64]>,
    generation: u32,
    stack: SmallVec<[StateId; 16]>,
    pub(super) met: usize,
}

impl Marks {
    pub(super) fn new(machine: &Machine) -> Self {
        Marks { seen: smallvec![0; machine.states.len()], generation: 0, stack: SmallVec::new(), met: 0 }
    }

    /// Forgets the states that were met.
    pub(super) fn clear(&mut self) {
        self.generation += 1;
    }

    fn is_new(&mut self, state: StateId) -> bool {
        self.met += 1;
        match self.seen.get_mut(state as usize) {
            Some(mark) if *mark != self.generation => {
                *mark = self.generation;
                true
            }
            Some(_) | None => false,
        }
    }
}

/// A character that a thread may read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reads<'m> {
    Nothing,
    Only(char),
    AnyOf(&'m CharClass),
}

impl Reads<'_> {
    fn takes(self, c: char) -> bool {
        match self {
            Reads::Nothing => false,
            Reads::Only(own) => own == c,
            Reads::AnyOf(class) => class.contains(c),
        }
    }
}

/// The automaton of a glob or a regex.
#[derive(Debug)]
pub(super) struct Machine {
    states: Box<[State]>,
    start: StateId,
    classes: Box<[CharClass]>,
    /// Class states from which every rest of a topic matches, if the topic so far does.
    endless: Box<[bool]>,
}

/// Why there is no automaton.
#[derive(Debug)]
pub(super) enum Refused {
    /// The pattern has too many states.
    TooBig,
    /// It looks around, for example at word boundaries.
    Unsupported,
}

impl Machine {
    pub(super) fn build(hir: &Hir) -> Result<Self, Refused> {
        let mut builder = Builder::default();
        let end = builder.add(State::Match)?;
        let start = builder.expression(hir, end)?;
        let mut machine =
            Machine { states: builder.states.into(), start, classes: builder.classes.into(), endless: Box::new([]) };
        machine.endless = (0..machine.states.len()).map(|state| machine.find_endless(state)).collect();
        Ok(machine)
    }

    fn state(&self, id: StateId) -> &State {
        self.states.get(id as usize).unwrap_or(&State::Match)
    }

    fn find_endless(&self, id: usize) -> bool {
        let Some(State::Class(class, next)) = self.states.get(id) else { return false };
        if !self.class(*class).is_some_and(CharClass::is_full) {
            return false;
        }
        // Only what needs no client's value and no look around counts.
        let direct = match self.state(*next) {
            State::Split(ways) => ways,
            State::Char(..) | State::Class(..) | State::Value(..) | State::Start(_) | State::End(_) | State::Match => {
                return false;
            }
        };
        direct.iter().any(|way| *way as usize == id)
            && direct.iter().any(|way| matches!(self.state(*way), State::Match))
    }

    fn class(&self, class: u32) -> Option<&CharClass> {
        self.classes.get(class as usize)
    }

    /// How many states it has.
    pub(super) fn size(&self) -> usize {
        self.states.len()
    }

    pub(super) fn classes(&self) -> &[CharClass] {
        &self.classes
    }

    /// The text that every match begins with, as far as it is the same for every client.
    pub(super) fn prefix(&self) -> String {
        self.split_prefix().0
    }

    /// The same text, and the state behind it.
    fn split_prefix(&self) -> (String, StateId) {
        let mut prefix = String::new();
        let mut at = self.start;
        loop {
            match self.state(at) {
                State::Char(c, next) => {
                    prefix.push(*c);
                    at = *next;
                }
                State::Start(next) if prefix.is_empty() => at = *next,
                State::Class(..)
                | State::Value(..)
                | State::Split(_)
                | State::Start(_)
                | State::End(_)
                | State::Match => return (prefix, at),
            }
        }
    }

    /// The threads at the start of a topic.
    pub(super) fn begin(&self, identity: Identity<'_>, marks: &mut Marks, threads: &mut Threads) {
        marks.clear();
        self.follow(self.start, true, identity, marks, threads);
    }

    fn follow(&self, from: StateId, at_start: bool, identity: Identity<'_>, marks: &mut Marks, threads: &mut Threads) {
        marks.stack.push(from);
        while let Some(state) = marks.stack.pop() {
            if !marks.is_new(state) {
                continue;
            }
            match self.state(state) {
                State::Split(ways) => marks.stack.extend_from_slice(ways),
                State::Start(next) => marks.stack.extend(at_start.then_some(*next)),
                State::Value(placeholder, next) if identity.value(*placeholder).is_empty() => marks.stack.push(*next),
                State::Value(..) | State::Char(..) | State::Class(..) | State::End(_) | State::Match => {
                    threads.push(Thread { state, offset: 0 });
                }
            }
        }
    }

    pub(super) fn reads(&self, thread: Thread, identity: Identity<'_>) -> Reads<'_> {
        match self.state(thread.state) {
            State::Value(placeholder, _) => {
                unread(*placeholder, thread, identity).chars().next().map_or(Reads::Nothing, Reads::Only)
            }
            State::Char(..) | State::Class(..) | State::Split(_) | State::Start(_) | State::End(_) | State::Match => {
                self.reads_alone(thread.state)
            }
        }
    }

    /// What the state reads of any client's topic.
    fn reads_alone(&self, state: StateId) -> Reads<'_> {
        match self.state(state) {
            State::Char(c, _) => Reads::Only(*c),
            State::Class(class, _) => self.class(*class).map_or(Reads::Nothing, Reads::AnyOf),
            State::Value(..) | State::Split(_) | State::Start(_) | State::End(_) | State::Match => Reads::Nothing,
        }
    }

    /// Reads a character in one thread, and adds the threads that come of it. The marks must be cleared
    /// once a character.
    pub(super) fn read(
        &self,
        thread: Thread,
        c: char,
        identity: Identity<'_>,
        marks: &mut Marks,
        threads: &mut Threads,
    ) {
        let next = match self.state(thread.state) {
            State::Char(own, next) if *own == c => *next,
            State::Class(class, next) if self.class(*class).is_some_and(|class| class.contains(c)) => *next,
            State::Value(placeholder, next) => match unread(*placeholder, thread, identity).strip_prefix(c) {
                Some("") => *next,
                Some(_) => {
                    let offset = thread.offset.saturating_add(u32::try_from(c.len_utf8()).unwrap_or(u32::MAX));
                    threads.push(Thread { state: thread.state, offset });
                    return;
                }
                None => return,
            },
            State::Char(..) | State::Class(..) | State::Split(_) | State::Start(_) | State::End(_) | State::Match => {
                return;
            }
        };
        self.follow(next, false, identity, marks, threads);
    }

    /// Whether the topic matches if it ends here.
    pub(super) fn accepts(&self, thread: Thread, identity: Identity<'_>, marks: &mut Marks) -> bool {
        match self.state(thread.state) {
            State::Match => true,
            State::End(_) => self.accepts_at_end(thread.state, identity, marks),
            State::Char(..) | State::Class(..) | State::Value(..) | State::Split(_) | State::Start(_) => false,
        }
    }

    fn accepts_at_end(&self, end: StateId, identity: Identity<'_>, marks: &mut Marks) -> bool {
        marks.clear();
        let mut matched = false;
        marks.stack.push(end);
        while let Some(state) = marks.stack.pop() {
            if !marks.is_new(state) {
                continue;
            }
            match self.state(state) {
                State::Match => matched = true,
                State::Split(ways) => marks.stack.extend_from_slice(ways),
                State::End(next) => marks.stack.push(*next),
                State::Value(placeholder, next) if identity.value(*placeholder).is_empty() => marks.stack.push(*next),
                State::Value(..) | State::Char(..) | State::Class(..) | State::Start(_) => {}
            }
        }
        matched
    }

    /// Whether every continuation matches, if the topic so far does.
    pub(super) fn is_endless(&self, thread: Thread) -> bool {
        self.endless.get(thread.state as usize).copied().unwrap_or(false)
    }

    /// Whether the topic matches. `spend` takes the steps of each character and may end the work: `None`.
    pub(super) fn matches(&self, topic: &str, identity: Identity<'_>, spend: impl Fn(usize) -> bool) -> Option<bool> {
        let mut marks = Marks::new(self);
        let (mut threads, mut next) = (Threads::new(), Threads::new());
        self.begin(identity, &mut marks, &mut threads);
        for c in topic.chars() {
            if threads.is_empty() {
                return Some(false);
            }
            if !spend(threads.len() + std::mem::take(&mut marks.met)) {
                return None;
            }
            marks.clear();
            for thread in threads.drain(..) {
                self.read(thread, c, identity, &mut marks, &mut next);
            }
            std::mem::swap(&mut threads, &mut next);
        }
        Some(threads.into_iter().any(|thread| self.accepts(thread, identity, &mut marks)))
    }
}

fn unread(placeholder: Placeholder, thread: Thread, identity: Identity<'_>) -> &str {
    identity.value(placeholder).get(thread.offset as usize..).unwrap_or_default()
}

impl From<Refused> for TextError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooBig => TextError::new("this pattern is too big").help("split it into several smaller ones"),
            Refused::Unsupported => {
                TextError::new("word boundaries and line anchors cannot stand beside a placeholder")
                    .help("say what may stand there: a class such as `[^a-z]`, or the end of the topic")
            }
        }
    }
}

/// Builds the states from the end of the expression to its start.
#[derive(Default)]
struct Builder {
    states: Vec<State>,
    classes: Vec<CharClass>,
    known: HashMap<CharClass, u32>,
    steps: usize,
}

impl Builder {
    fn add(&mut self, state: State) -> Result<StateId, Refused> {
        if self.states.len() >= MAX_STATES {
            return Err(Refused::TooBig);
        }
        self.states.push(state);
        StateId::try_from(self.states.len() - 1).map_err(|_| Refused::TooBig)
    }

    fn set(&mut self, id: StateId, state: State) {
        if let Some(slot) = self.states.get_mut(id as usize) {
            *slot = state;
        }
    }

    /// The state that reads the expression and then goes on in `next`.
    fn expression(&mut self, hir: &Hir, next: StateId) -> Result<StateId, Refused> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Refused::TooBig);
        }
        match hir.kind() {
            HirKind::Empty => Ok(next),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| Refused::Unsupported)?;
                self.literal(text, next)
            }
            HirKind::Class(class) => {
                let class = self.class(class)?;
                self.add(State::Class(class, next))
            }
            HirKind::Look(Look::Start) => self.add(State::Start(next)),
            HirKind::Look(Look::End) => self.add(State::End(next)),
            HirKind::Look(_) => Err(Refused::Unsupported),
            HirKind::Capture(capture) => self.expression(&capture.sub, next),
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.expression(part, next)),
            HirKind::Alternation(ways) => {
                let ways = ways.iter().map(|way| self.expression(way, next)).collect::<Result<Vec<_>, _>>()?;
                self.add(State::Split(ways.into()))
            }
            HirKind::Repetition(repetition) => {
                let mut at = match repetition.max {
                    None => {
                        let again = self.add(State::Match)?;
                        let body = self.expression(&repetition.sub, again)?;
                        self.set(again, State::Split(Box::new([body, next])));
                        again
                    }
                    Some(max) => {
                        let mut at = next;
                        for _ in repetition.min..max {
                            let body = self.expression(&repetition.sub, at)?;
                            at = self.add(State::Split(Box::new([body, next])))?;
                        }
                        at
                    }
                };
                for _ in 0..repetition.min {
                    at = self.expression(&repetition.sub, at)?;
                }
                Ok(at)
            }
        }
    }

    fn literal(&mut self, text: &str, mut next: StateId) -> Result<StateId, Refused> {
        let mut rest = text;
        while let Some(last) = rest.chars().next_back() {
            if let Some((before, placeholder)) =
                Placeholder::ALL.into_iter().find_map(|p| Some((rest.strip_suffix(p.stand_in())?, p)))
            {
                next = self.add(State::Value(placeholder, next))?;
                rest = before;
            } else {
                next = self.add(State::Char(last, next))?;
                rest = rest.strip_suffix(last).unwrap_or_default();
            }
        }
        Ok(next)
    }

    fn class(&mut self, class: &Class) -> Result<u32, Refused> {
        let ranges: Box<[(char, char)]> = match class {
            Class::Unicode(class) => class.iter().map(|range| (range.start(), range.end())).collect(),
            Class::Bytes(class) if class.is_ascii() => {
                class.iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
            }
            Class::Bytes(_) => return Err(Refused::Unsupported),
        };
        let class = CharClass { ranges };
        if let Some(known) = self.known.get(&class) {
            return Ok(*known);
        }
        let id = u32::try_from(self.classes.len()).map_err(|_| Refused::TooBig)?;
        self.classes.push(class.clone());
        self.known.insert(class, id);
        Ok(id)
    }
}
