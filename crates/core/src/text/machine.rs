//! A glob or a regex as an automaton over characters, in which a placeholder is one state: it is built
//! once, and reads the client's value where that stands.

mod build;
mod cost;
mod matching;
mod table;

use regex_syntax::hir::{Hir, Look};
use smallvec::{SmallVec, smallvec};

use super::{Identity, Placeholder, TextError};
use build::Builder;
pub(crate) use cost::Cost;
pub(crate) use table::Table;

/// The characters that no topic name holds.
pub(crate) const NEVER: [char; 3] = ['+', '#', '\0'];

/// How large an automaton may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// For topics, whose automata are also compared with subscriptions.
    Topic,
    /// For fields of the client. Their patterns have a limit of their own, see [`super::hir::SIZE_LIMIT`].
    Field,
}

impl Limit {
    fn states(self) -> usize {
        match self {
            Limit::Topic => 20_000,
            Limit::Field => 400_000,
        }
    }
}

pub(crate) type StateId = u32;

#[derive(Debug, Clone)]
enum MatchState {
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
    /// Goes on where the assertion holds, for example at a word boundary.
    Around(Look, StateId),
    /// The topic matches if it ends here.
    Match,
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CharClass {
    /// Ascending, apart from each other, both ends included.
    pub(crate) ranges: Box<[(char, char)]>,
}

impl CharClass {
    pub(crate) fn contains(&self, c: char) -> bool {
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
    pub(crate) fn pick(&self, none_of: &[char]) -> Option<char> {
        let readable = "xyzabcdefghijklmnopqrstuvw0123456789-_".chars().filter(|c| self.contains(*c));
        let all = self.ranges.iter().flat_map(|(low, high)| *low..=*high);
        readable.chain(all).find(|c| !none_of.contains(c))
    }
}

/// Where reading stands: a state, and how many bytes of a value were read in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Thread {
    state: StateId,
    offset: u32,
}

/// The threads of a place in the topic: in most patterns a few, for which no memory is taken.
pub(crate) type Threads = SmallVec<[Thread; 16]>;

/// Which states were met, so that none is followed twice; and how many, as a measure of work.
#[derive(Debug)]
pub(crate) struct Marks {
    seen: SmallVec<[u32; 64]>,
    generation: u32,
    stack: SmallVec<[StateId; 16]>,
    pub(crate) met: usize,
}

impl Marks {
    pub(crate) fn new(machine: &Machine) -> Self {
        Marks { seen: smallvec![0; machine.states.len()], generation: 0, stack: SmallVec::new(), met: 0 }
    }

    /// Forgets the states that were met.
    pub(crate) fn clear(&mut self) {
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
pub(crate) enum Reads<'m> {
    Nothing,
    Only(char),
    AnyOf(&'m CharClass),
}

/// The automaton of a glob or a regex.
#[derive(Debug)]
pub(crate) struct Machine {
    states: Box<[MatchState]>,
    start: StateId,
    classes: Box<[CharClass]>,
    /// Class states from which every rest of a topic matches, if the topic so far does.
    endless: Box<[bool]>,
    looks_around: bool,
}

/// Why there is no automaton.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The pattern has too many states.
    TooBig,
    /// It holds what no text in UTF-8 holds.
    Unsupported,
}

impl Machine {
    pub(crate) fn build(hir: &Hir, limit: Limit) -> Result<Self, Refused> {
        let mut builder = Builder::new(limit);
        let end = builder.add(MatchState::Match)?;
        let start = builder.expression(hir, end)?;
        let Builder { states, classes, looks_around, .. } = builder;
        let mut machine =
            Machine { states: states.into(), start, classes: classes.into(), endless: Box::new([]), looks_around };
        machine.endless = (0..machine.states.len()).map(|state| machine.find_endless(state)).collect();
        Ok(machine)
    }

    fn state(&self, id: StateId) -> &MatchState {
        self.states.get(id as usize).unwrap_or(&MatchState::Match)
    }

    fn find_endless(&self, id: usize) -> bool {
        let Some(MatchState::Class(class, next)) = self.states.get(id) else { return false };
        if !self.class(*class).is_some_and(CharClass::is_full) {
            return false;
        }
        // Only what needs no client's value and no look around counts.
        let direct = match self.state(*next) {
            MatchState::Split(ways) => ways,
            MatchState::Char(..)
            | MatchState::Class(..)
            | MatchState::Value(..)
            | MatchState::Start(_)
            | MatchState::End(_)
            | MatchState::Around(..)
            | MatchState::Match => {
                return false;
            }
        };
        direct.iter().any(|way| *way as usize == id)
            && direct.iter().any(|way| matches!(self.state(*way), MatchState::Match))
    }

    fn class(&self, class: u32) -> Option<&CharClass> {
        self.classes.get(class as usize)
    }

    /// Whether it looks around, for example at word boundaries. Then it can be asked about names, but not be walked
    /// side by side with a subscription.
    pub(crate) fn looks_around(&self) -> bool {
        self.looks_around
    }

    /// How many states it has.
    pub(crate) fn size(&self) -> usize {
        self.states.len()
    }

    pub(crate) fn classes(&self) -> &[CharClass] {
        &self.classes
    }

    /// The text that every match begins with, as far as it is the same for every client.
    pub(crate) fn prefix(&self) -> String {
        self.split_prefix().0
    }

    /// The same text, and the state behind it.
    fn split_prefix(&self) -> (String, StateId) {
        let mut prefix = String::new();
        let mut at = self.start;
        loop {
            match self.state(at) {
                MatchState::Char(c, next) => {
                    prefix.push(*c);
                    at = *next;
                }
                MatchState::Start(next) if prefix.is_empty() => at = *next,
                MatchState::Class(..)
                | MatchState::Value(..)
                | MatchState::Split(_)
                | MatchState::Start(_)
                | MatchState::End(_)
                | MatchState::Around(..)
                | MatchState::Match => return (prefix, at),
            }
        }
    }

    /// The threads at the start of a topic.
    pub(crate) fn begin(&self, identity: Identity<'_>, marks: &mut Marks, threads: &mut Threads) {
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
                MatchState::Split(ways) => marks.stack.extend_from_slice(ways),
                MatchState::Start(next) => marks.stack.extend(at_start.then_some(*next)),
                MatchState::Value(placeholder, next) if identity.value(*placeholder).is_empty() => {
                    marks.stack.push(*next);
                }
                MatchState::Around(..) => {}
                MatchState::Value(..)
                | MatchState::Char(..)
                | MatchState::Class(..)
                | MatchState::End(_)
                | MatchState::Match => {
                    threads.push(Thread { state, offset: 0 });
                }
            }
        }
    }

    pub(crate) fn reads(&self, thread: Thread, identity: Identity<'_>) -> Reads<'_> {
        match self.state(thread.state) {
            MatchState::Value(placeholder, _) => {
                unread(*placeholder, thread, identity).chars().next().map_or(Reads::Nothing, Reads::Only)
            }
            MatchState::Char(..)
            | MatchState::Class(..)
            | MatchState::Split(_)
            | MatchState::Start(_)
            | MatchState::End(_)
            | MatchState::Around(..)
            | MatchState::Match => self.reads_alone(thread.state),
        }
    }

    /// What the state reads of any client's topic.
    fn reads_alone(&self, state: StateId) -> Reads<'_> {
        match self.state(state) {
            MatchState::Char(c, _) => Reads::Only(*c),
            MatchState::Class(class, _) => self.class(*class).map_or(Reads::Nothing, Reads::AnyOf),
            MatchState::Value(..)
            | MatchState::Split(_)
            | MatchState::Start(_)
            | MatchState::End(_)
            | MatchState::Around(..)
            | MatchState::Match => Reads::Nothing,
        }
    }

    /// Reads a character in one thread, and adds the threads that come of it. The marks must be cleared
    /// once a character.
    pub(crate) fn read(
        &self,
        thread: Thread,
        c: char,
        identity: Identity<'_>,
        marks: &mut Marks,
        threads: &mut Threads,
    ) {
        let next = match self.state(thread.state) {
            MatchState::Char(own, next) if *own == c => *next,
            MatchState::Class(class, next) if self.class(*class).is_some_and(|class| class.contains(c)) => *next,
            MatchState::Value(placeholder, next) => match unread(*placeholder, thread, identity).strip_prefix(c) {
                Some("") => *next,
                Some(_) => {
                    let offset = thread.offset.saturating_add(u32::try_from(c.len_utf8()).unwrap_or(u32::MAX));
                    threads.push(Thread { state: thread.state, offset });
                    return;
                }
                None => return,
            },
            MatchState::Char(..)
            | MatchState::Class(..)
            | MatchState::Split(_)
            | MatchState::Start(_)
            | MatchState::End(_)
            | MatchState::Around(..)
            | MatchState::Match => {
                return;
            }
        };
        self.follow(next, false, identity, marks, threads);
    }

    /// Whether the topic matches if it ends here.
    pub(crate) fn accepts(&self, thread: Thread, identity: Identity<'_>, marks: &mut Marks) -> bool {
        match self.state(thread.state) {
            MatchState::Match => true,
            MatchState::End(_) => self.accepts_at_end(thread.state, identity, marks),
            MatchState::Char(..)
            | MatchState::Class(..)
            | MatchState::Value(..)
            | MatchState::Split(_)
            | MatchState::Start(_)
            | MatchState::Around(..) => false,
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
                MatchState::Match => matched = true,
                MatchState::Split(ways) => marks.stack.extend_from_slice(ways),
                MatchState::End(next) => marks.stack.push(*next),
                MatchState::Value(placeholder, next) if identity.value(*placeholder).is_empty() => {
                    marks.stack.push(*next);
                }
                MatchState::Value(..)
                | MatchState::Char(..)
                | MatchState::Class(..)
                | MatchState::Start(_)
                | MatchState::Around(..) => {}
            }
        }
        matched
    }

    /// Whether every continuation matches, if the topic so far does.
    pub(crate) fn is_endless(&self, thread: Thread) -> bool {
        self.endless.get(thread.state as usize).copied().unwrap_or(false)
    }
}

fn unread(placeholder: Placeholder, thread: Thread, identity: Identity<'_>) -> &str {
    identity.value(placeholder).get(thread.offset as usize..).unwrap_or_default()
}

impl From<Refused> for TextError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooBig => TextError::new("this pattern is too big").help("split it into several smaller ones"),
            Refused::Unsupported => TextError::new("this pattern holds what is no text in UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests;
