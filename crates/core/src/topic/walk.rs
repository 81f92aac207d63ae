//! Walks through what a subscription receives and what globs and regexes match, at the same time.
//!
//! Each walk meets every reachable pair of states at most once, in the order of the topics' length, and
//! ends early when the request has no work left.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use super::names::{NEVER, Names, Next, Place};
use super::request::Request;
use crate::text::Identity;
use crate::text::machine::{CharClass, Cost as Steps, Machine, Marks, Reads, Thread, Threads};

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A topic that was looked for.
    Topic(String),
    /// There is none.
    Nothing,
    /// The work ended before that was known.
    Unsettled,
}

/// Steps that a new pair of states counts for, beside those of reading.
const PAIR: usize = 20;
/// States whose marks are cleared within one step.
const MARKED: usize = 16;

/// About what a walk over the machine takes, by the length of the filter.
pub(super) fn cost_of_walk(machine: &Machine) -> Steps {
    Steps { fixed: machine.size() / MARKED, eighths: machine.size().saturating_mul(8 * PAIR) }
}

/// How the walk came to its places.
#[derive(Debug, Default)]
struct Trail {
    /// The entry before, and the character read from there.
    entries: Vec<(usize, Option<char>)>,
}

impl Trail {
    fn add(&mut self, before: usize, read: Option<char>) -> usize {
        self.entries.push((before, read));
        self.entries.len() - 1
    }

    fn text(&self, mut at: usize) -> String {
        let mut chars = Vec::new();
        while let Some((before, Some(c))) = self.entries.get(at) {
            chars.push(*c);
            at = *before;
        }
        chars.iter().rev().collect()
    }
}

/// A topic that the subscription receives and the machine matches.
pub(super) fn common_topic(machine: &Machine, request: &Request<'_>, identity: Identity<'_>) -> Found {
    if !request.spend(machine.size() / MARKED) {
        return Found::Unsettled;
    }
    let names = Names::new(request.text());
    let mut marks = Marks::new(machine);
    let mut threads = Threads::new();
    let mut seen: HashSet<(Place, Thread)> = HashSet::new();
    let mut queue: VecDeque<(Place, Thread, usize)> = VecDeque::new();
    let mut trail = Trail::default();
    let root = trail.add(0, None);
    machine.begin(identity, &mut marks, &mut threads);
    queue.extend(threads.drain(..).map(|thread| (Place::START, thread, root)));
    while let Some((place, thread, entry)) = queue.pop_front() {
        if !request.spend(PAIR + std::mem::take(&mut marks.met)) {
            return Found::Unsettled;
        }
        if names.accepts(place) && machine.accepts(thread, identity, &mut marks) {
            return Found::Topic(trail.text(entry));
        }
        let reads = machine.reads(thread, identity);
        for c in common_characters(names.next(place), reads).into_iter().flatten() {
            let Some(next) = names.step(place, c) else { continue };
            marks.clear();
            machine.read(thread, c, identity, &mut marks, &mut threads);
            if threads.is_empty() {
                continue;
            }
            let entry = trail.add(entry, Some(c));
            let new = threads.drain(..).filter(|thread| seen.insert((next, *thread)));
            queue.extend(new.map(|thread| (next, thread, entry)));
        }
    }
    Found::Nothing
}

/// Characters that both may read: one for each pair of places that they may lead to.
fn common_characters(next: Next, reads: Reads<'_>) -> [Option<char>; 2] {
    match (next, reads) {
        (Next::End, _) | (_, Reads::Nothing) => [None, None],
        (Next::Only(c), Reads::Only(_) | Reads::AnyOf(_)) | (Next::Many, Reads::Only(c)) => [Some(c), None],
        (Next::Many, Reads::AnyOf(class)) => {
            // `$` is not read at the start, and elsewhere as every other character is.
            let [plus, hash, nul] = NEVER;
            let within = class.pick(&[plus, hash, nul, '/', '$']).or_else(|| class.contains('$').then_some('$'));
            [class.contains('/').then_some('/'), within]
        }
    }
}

/// Something that covers topics: a filter or a machine.
#[derive(Debug)]
pub(super) enum Part<'p> {
    Filter(Names<'p>),
    Machine(&'p Machine),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum WalkMember {
    Filter(u32, Place),
    Machine(u32, Thread),
}

/// The members that a beginning of a topic leads to.
struct Set {
    members: Rc<[WalkMember]>,
    /// Whether a topic that ends here is covered.
    accepts: bool,
    /// Whether every longer topic is covered, apart from `$` at the start.
    endless: bool,
}

/// A topic that the subscription receives and none of the parts covers. `atoms` are the characters in
/// groups, such that every class of the machines holds a group wholly or not at all.
pub(super) fn uncovered_topic(
    parts: &[Part<'_>],
    atoms: &[CharClass],
    request: &Request<'_>,
    identity: Identity<'_>,
) -> Found {
    Cover {
        parts,
        atoms,
        request,
        identity,
        names: Names::new(request.text()),
        marks: parts
            .iter()
            .map(|part| match part {
                Part::Machine(machine) => Some(Marks::new(machine)),
                Part::Filter(_) => None,
            })
            .collect(),
        sets: Vec::new(),
        known: HashMap::new(),
        steps: 0,
    }
    .walk()
}

struct Cover<'a, 't> {
    parts: &'a [Part<'a>],
    atoms: &'a [CharClass],
    request: &'a Request<'t>,
    identity: Identity<'a>,
    names: Names<'a>,
    /// One for each machine among the parts.
    marks: Vec<Option<Marks>>,
    sets: Vec<Set>,
    known: HashMap<Rc<[WalkMember]>, usize>,
    steps: usize,
}

impl Cover<'_, '_> {
    fn walk(mut self) -> Found {
        let mut seen: HashSet<(Place, usize)> = HashSet::new();
        let mut queue: VecDeque<(Place, usize, usize)> = VecDeque::new();
        let mut trail = Trail::default();
        let root = trail.add(0, None);
        let start = self.start();
        queue.push_back((Place::START, start, root));
        let no_dollar = self.names.next(Place::START) == Next::Many;
        while let Some((place, at, entry)) = queue.pop_front() {
            let Some(set) = self.sets.get(at) else { continue };
            if set.members.is_empty() || (self.names.accepts(place) && !set.accepts) {
                let mut topic = trail.text(entry);
                self.names.finish(place, &mut topic);
                return Found::Topic(topic);
            }
            if set.endless && (place.started || no_dollar) {
                continue;
            }
            let members = Rc::clone(&set.members);
            for c in self.characters(place, &members) {
                let Some(next) = self.names.step(place, c) else { continue };
                let at = self.read(&members, c);
                if !self.request.spend(PAIR + std::mem::take(&mut self.steps)) {
                    return Found::Unsettled;
                }
                if seen.insert((next, at)) {
                    queue.push_back((next, at, trail.add(entry, Some(c))));
                }
            }
        }
        Found::Nothing
    }

    fn start(&mut self) -> usize {
        let mut members = Vec::new();
        let mut threads = Threads::new();
        for ((number, part), marks) in (0..).zip(self.parts).zip(&mut self.marks) {
            match (part, marks) {
                (Part::Machine(machine), Some(marks)) => {
                    machine.begin(self.identity, marks, &mut threads);
                    self.steps += std::mem::take(&mut marks.met);
                    members.extend(threads.drain(..).map(|thread| WalkMember::Machine(number, thread)));
                }
                (Part::Filter(_) | Part::Machine(_), _) => members.push(WalkMember::Filter(number, Place::START)),
            }
        }
        self.intern(members)
    }

    fn read(&mut self, members: &[WalkMember], c: char) -> usize {
        let mut next = Vec::with_capacity(members.len());
        let mut threads = Threads::new();
        for marks in self.marks.iter_mut().flatten() {
            marks.clear();
        }
        for member in members {
            match *member {
                WalkMember::Filter(number, place) => {
                    if let Some(Part::Filter(names)) = self.parts.get(number as usize) {
                        next.extend(names.step(place, c).map(|place| WalkMember::Filter(number, place)));
                    }
                }
                WalkMember::Machine(number, thread) => {
                    let marks = self.marks.get_mut(number as usize).and_then(Option::as_mut);
                    if let (Some(Part::Machine(machine)), Some(marks)) = (self.parts.get(number as usize), marks) {
                        machine.read(thread, c, self.identity, marks, &mut threads);
                        self.steps += std::mem::take(&mut marks.met);
                        next.extend(threads.drain(..).map(|thread| WalkMember::Machine(number, thread)));
                    }
                }
            }
        }
        self.steps += 2 * members.len() + self.parts.len();
        self.intern(next)
    }

    fn intern(&mut self, mut members: Vec<WalkMember>) -> usize {
        self.steps += 4 * members.len();
        members.sort_unstable();
        members.dedup();
        if let Some(known) = self.known.get(members.as_slice()) {
            return *known;
        }
        // To keep a set costs as much as to find it again.
        self.steps += 4 * members.len();
        let (mut accepts, mut endless) = (false, false);
        for member in &members {
            match *member {
                WalkMember::Filter(number, place) => {
                    if let Some(Part::Filter(names)) = self.parts.get(number as usize) {
                        accepts |= names.accepts(place);
                        endless |= names.takes_all(place);
                    }
                }
                WalkMember::Machine(number, thread) => {
                    let marks = self.marks.get_mut(number as usize).and_then(Option::as_mut);
                    if let (Some(Part::Machine(machine)), Some(marks)) = (self.parts.get(number as usize), marks) {
                        accepts |= machine.accepts(thread, self.identity, marks);
                        endless |= machine.is_endless(thread);
                    }
                }
            }
        }
        let members: Rc<[WalkMember]> = members.into();
        self.known.insert(Rc::clone(&members), self.sets.len());
        self.sets.push(Set { members, accepts, endless });
        self.sets.len() - 1
    }

    /// A character for each set of members that may be reached from these.
    fn characters(&mut self, place: Place, members: &[WalkMember]) -> Vec<char> {
        match self.names.next(place) {
            Next::End => return Vec::new(),
            Next::Only(c) => return vec![c],
            Next::Many => {}
        }
        let mut special: Vec<char> = members
            .iter()
            .filter_map(|member| match *member {
                WalkMember::Filter(number, place) => match self.parts.get(number as usize) {
                    Some(Part::Filter(names)) => match names.next(place) {
                        Next::Only(c) => Some(c),
                        Next::End | Next::Many => None,
                    },
                    Some(Part::Machine(_)) | None => None,
                },
                WalkMember::Machine(number, thread) => match self.parts.get(number as usize) {
                    Some(Part::Machine(machine)) => match machine.reads(thread, self.identity) {
                        Reads::Only(c) => Some(c),
                        Reads::AnyOf(_) | Reads::Nothing => None,
                    },
                    Some(Part::Filter(_)) | None => None,
                },
            })
            .chain(NEVER)
            .chain(['/', '$'])
            .collect();
        special.sort_unstable();
        special.dedup();
        self.steps += members.len() + special.len() * self.atoms.len();
        let others: Vec<char> = self.atoms.iter().filter_map(|atom| atom.pick(&special)).collect();
        // The ordinary characters first: they are the ones that no pattern names.
        others.into_iter().chain(special).collect()
    }
}

/// The groups of characters that no class tells apart, those in no class among them.
pub(super) fn atoms<'m>(machines: impl Iterator<Item = &'m Machine>) -> Box<[CharClass]> {
    let classes: HashSet<&CharClass> = machines.flat_map(Machine::classes).collect();
    let mut bounds: Vec<u32> = vec![0];
    for (low, high) in classes.iter().flat_map(|class| class.ranges.iter()) {
        bounds.extend([u32::from(*low), u32::from(*high) + 1]);
    }
    bounds.sort_unstable();
    bounds.dedup();
    let mut groups: HashMap<Vec<bool>, Vec<(char, char)>> = HashMap::new();
    let ends = bounds.iter().skip(1).copied().chain([u32::from(char::MAX) + 1]);
    for (start, end) in bounds.iter().copied().zip(ends) {
        // Surrogates are no characters: a range that begins or ends among them is cut short.
        let low = (start..end).find_map(char::from_u32);
        let high = (start..end).rev().find_map(char::from_u32);
        if let (Some(low), Some(high)) = (low, high) {
            let group = classes.iter().map(|class| class.contains(low)).collect();
            groups.entry(group).or_default().push((low, high));
        }
    }
    let mut atoms: Vec<CharClass> = groups.into_values().map(|ranges| CharClass { ranges: ranges.into() }).collect();
    atoms.sort_unstable_by_key(|atom| atom.ranges.first().copied());
    atoms.into()
}
