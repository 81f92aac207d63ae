//! The automaton of a small pattern without placeholders as a table, which reads a text with one look-up a
//! character.
//!
//! A large policy has thousands of globs and regexes, nearly all of them small. A table takes a few microseconds to
//! build and a few kilobytes; how long a text takes depends on nothing but its length. What would make it large is left
//! to the machine itself.

use std::collections::HashMap;

use super::{Cost, Machine, MatchState, Reads, StateId};
use crate::text::Work;

/// Steps that building one may take.
const MOST_STEPS: usize = 200_000;
/// Entries of the table, two bytes each.
const MOST_CELLS: usize = 1 << 15;
/// Where the characters that a pattern tells apart begin and end. Unicode's letters have more than a thousand places.
const MOST_BOUNDS: usize = 4096;
/// Bytes that are read in one step of work.
const READS: usize = super::cost::EIGHTHS;
/// Steps that it takes to find a table in the memory.
const FINDING: usize = 2;

/// The row from which no text matches.
const DEAD: u16 = 0;
/// The row at the start.
const START: u16 = 1;

/// Tells what behind the machine's prefix matches.
#[derive(Debug)]
pub(crate) struct Table {
    /// The kind of each ASCII character.
    ascii: Box<[u8; 128]>,
    /// Where each run of characters of one kind begins, the first at 0, and their kind.
    runs: Box<[(char, u8)]>,
    kinds: usize,
    /// The next row, by row and kind.
    rows: Box<[u16]>,
    /// By row: whether the text matches if it ends here.
    matches: Box<[bool]>,
    /// The row from which every rest matches, where there is one.
    endless: Option<u16>,
}

impl Table {
    /// What matching a text of ASCII takes.
    pub(crate) const COST: Cost = Cost { fixed: FINDING, eighths: 1 };

    /// `None` where it would be large, a placeholder stands in the pattern, or it looks around.
    pub(crate) fn of(machine: &Machine) -> Option<Self> {
        let mut steps = Steps(MOST_STEPS);
        let readers = Readers::of(machine, &mut steps)?;
        let kinds = CharacterKinds::of(&readers, machine, &mut steps)?;
        let mut known: HashMap<Set, u16> = HashMap::new();
        let mut sets: Vec<Set> = Vec::new();
        for (row, set) in [(DEAD, Set::default()), (START, readers.start.clone())] {
            known.entry(set.clone()).or_insert(row);
            sets.push(set);
        }
        let mut rows = Vec::new();
        let mut next = vec![Set::default(); kinds.count];
        let mut at = 0;
        while let Some(set) = sets.get(at) {
            for reader in &set.readers {
                let (behind, kinds) = (readers.behind.get(*reader as usize)?, kinds.of_reader.get(*reader as usize)?);
                steps.take(1 + kinds.len() * (1 + behind.readers.len()))?;
                for kind in kinds {
                    next.get_mut(usize::from(*kind))?.add(behind);
                }
            }
            steps.take(next.len())?;
            for set in &mut next {
                let set = std::mem::take(set).sorted();
                let row = if let Some(row) = known.get(&set) {
                    *row
                } else {
                    let row = u16::try_from(sets.len()).ok()?;
                    if sets.len().saturating_mul(kinds.count) >= MOST_CELLS {
                        return None;
                    }
                    known.insert(set.clone(), row);
                    sets.push(set);
                    row
                };
                rows.push(row);
            }
            at += 1;
        }
        let matches: Box<[bool]> = sets.iter().map(|set| set.matches).collect();
        let endless = (0..)
            .zip(rows.chunks(kinds.count))
            .zip(&matches)
            .find_map(|((row, next), matches)| (*matches && next.iter().all(|next| *next == row)).then_some(row));
        let mut ascii = Box::new([0; 128]);
        for (c, kind) in ('\0'..='\x7f').zip(ascii.iter_mut()) {
            *kind = kind_of(&kinds.runs, c);
        }
        Some(Table { ascii, runs: kinds.runs.into(), kinds: kinds.count, rows: rows.into(), matches, endless })
    }

    /// Whether the text matches whose part behind the machine's prefix this is. `None` if the question has no work
    /// left to settle that.
    pub(crate) fn is_match(&self, rest: &str, work: &Work) -> Option<bool> {
        let most = work.left().saturating_mul(READS);
        let within = if rest.len() > most {
            let end = (0..=most).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(0);
            rest.get(..end).unwrap_or_default()
        } else {
            rest
        };
        let mut row = START;
        // A character that is not ASCII takes a step of its own to look up.
        let mut others = 0;
        let mut chars = within.chars();
        let matched = loop {
            if row == DEAD {
                break false;
            }
            if self.endless == Some(row) {
                break true;
            }
            let Some(c) = chars.next() else {
                if within.len() < rest.len() {
                    work.spend(usize::MAX);
                    return None;
                }
                break self.matches.get(usize::from(row)).copied().unwrap_or(false);
            };
            let kind = if let Some(kind) = self.ascii.get(c as usize) {
                *kind
            } else {
                others += 1;
                kind_of(&self.runs, c)
            };
            let at = usize::from(row) * self.kinds + usize::from(kind);
            row = self.rows.get(at).copied().unwrap_or(DEAD);
        };
        let read = within.len() - chars.as_str().len();
        work.spend(FINDING + read / READS + others).then_some(matched)
    }
}

fn kind_of(runs: &[(char, u8)], c: char) -> u8 {
    let behind = runs.partition_point(|(from, _)| *from <= c);
    behind.checked_sub(1).and_then(|at| runs.get(at)).map_or(0, |(_, kind)| *kind)
}

/// What is left of the work that building may take.
struct Steps(usize);

impl Steps {
    fn take(&mut self, steps: usize) -> Option<()> {
        self.0 = self.0.checked_sub(steps)?;
        Some(())
    }
}

/// Readers by their places, and whether the text may end there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Set {
    readers: Vec<u32>,
    matches: bool,
}

impl Set {
    fn add(&mut self, other: &Set) {
        self.readers.extend_from_slice(&other.readers);
        self.matches |= other.matches;
    }

    fn sorted(mut self) -> Self {
        self.readers.sort_unstable();
        self.readers.dedup();
        self
    }
}

/// The states that read a character.
struct Readers {
    states: Vec<StateId>,
    /// By reader: what may read behind it.
    behind: Vec<Set>,
    start: Set,
    /// By state: its place among those that read.
    places: Vec<Option<u32>>,
    /// By state: the closure in which it was met last, before and at the end of the text.
    met: Vec<[u32; 2]>,
    closures: u32,
}

impl Readers {
    fn of(machine: &Machine, steps: &mut Steps) -> Option<Self> {
        if machine.looks_around {
            return None;
        }
        let count = machine.states.len();
        let mut readers = Readers {
            states: Vec::new(),
            behind: Vec::new(),
            start: Set::default(),
            places: vec![None; count],
            met: vec![[0; 2]; count],
            closures: 0,
        };
        let (prefix, first) = machine.split_prefix();
        readers.start = readers.closure(machine, first, prefix.is_empty(), steps)?;
        while let Some(&state) = readers.states.get(readers.behind.len()) {
            let (MatchState::Char(_, next) | MatchState::Class(_, next)) = machine.state(state) else { return None };
            let behind = readers.closure(machine, *next, false, steps)?;
            readers.behind.push(behind);
        }
        Some(readers)
    }

    /// What may read where the machine stands.
    fn closure(&mut self, machine: &Machine, from: StateId, at_start: bool, steps: &mut Steps) -> Option<Set> {
        let mut set = Set::default();
        self.closures += 1;
        // What follows the end of the text may still match, and reads nothing.
        let mut stack = vec![(from, false)];
        while let Some((state, at_end)) = stack.pop() {
            steps.take(1)?;
            let last = self.met.get_mut(state as usize)?.get_mut(usize::from(at_end))?;
            if std::mem::replace(last, self.closures) == self.closures {
                continue;
            }
            match machine.state(state) {
                MatchState::Char(..) | MatchState::Class(..) if at_end => {}
                MatchState::Char(..) | MatchState::Class(..) => {
                    let place = self.places.get_mut(state as usize)?;
                    if place.is_none() {
                        *place = Some(u32::try_from(self.states.len()).ok()?);
                        self.states.push(state);
                    }
                    set.readers.extend(*place);
                }
                MatchState::Value(..) | MatchState::Around(..) => return None,
                MatchState::Split(ways) => stack.extend(ways.iter().map(|way| (*way, at_end))),
                MatchState::Start(next) => stack.extend(at_start.then_some((*next, at_end))),
                MatchState::End(next) => stack.push((*next, true)),
                MatchState::Match => set.matches = true,
            }
        }
        Some(set.sorted())
    }
}

/// The characters in kinds between which no reader tells a difference.
struct CharacterKinds {
    /// Where each run of characters of one kind begins.
    runs: Vec<(char, u8)>,
    count: usize,
    /// By reader: the kinds that it reads.
    of_reader: Vec<Vec<u8>>,
}

impl CharacterKinds {
    fn of(readers: &Readers, machine: &Machine, steps: &mut Steps) -> Option<Self> {
        let one = |c: char| [(c, c)];
        let mut singles = Vec::with_capacity(readers.states.len());
        for state in &readers.states {
            singles.push(match machine.reads_alone(*state) {
                Reads::Only(c) => Some(one(c)),
                Reads::AnyOf(_) | Reads::Nothing => None,
            });
        }
        let ranges = |place: usize| match (singles.get(place), readers.states.get(place)) {
            (Some(Some(single)), _) => &single[..],
            (_, Some(state)) => match machine.reads_alone(*state) {
                Reads::AnyOf(class) => &class.ranges[..],
                Reads::Only(_) | Reads::Nothing => &[],
            },
            (_, None) => &[],
        };
        let mut bounds = vec!['\0'];
        for place in 0..readers.states.len() {
            steps.take(ranges(place).len())?;
            for (low, high) in ranges(place) {
                bounds.push(*low);
                bounds.extend((*high..=char::MAX).nth(1));
            }
        }
        bounds.sort_unstable();
        bounds.dedup();
        if bounds.len() > MOST_BOUNDS {
            return None;
        }
        let mut read_by: Vec<Vec<u32>> = vec![Vec::new(); bounds.len()];
        for (number, place) in (0..).zip(0..readers.states.len()) {
            for (low, high) in ranges(place) {
                let from = bounds.partition_point(|bound| bound < low);
                let behind = bounds.partition_point(|bound| bound <= high);
                steps.take(1 + behind - from)?;
                read_by.get_mut(from..behind)?.iter_mut().for_each(|readers| readers.push(number));
            }
        }
        let mut known: HashMap<Vec<u32>, u8> = HashMap::new();
        let mut runs = Vec::with_capacity(bounds.len());
        let mut of_reader = vec![Vec::new(); readers.states.len()];
        for (from, readers) in bounds.into_iter().zip(read_by) {
            let count = known.len();
            let kind = if let Some(kind) = known.get(&readers) {
                *kind
            } else {
                let kind = u8::try_from(count).ok()?;
                for reader in &readers {
                    of_reader.get_mut(*reader as usize)?.push(kind);
                }
                known.insert(readers, kind);
                kind
            };
            runs.push((from, kind));
        }
        Some(CharacterKinds { count: known.len(), runs, of_reader })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limit;
    use super::*;
    use crate::text::glob::{self, Separator};
    use crate::text::{hir, pieces};
    use proptest::prelude::*;

    fn machine_of_glob(text: &str) -> Machine {
        Machine::build(&glob::parse(&pieces(text).unwrap(), Separator::Slash).unwrap(), Limit::Topic).unwrap()
    }

    fn machine_of_regex(text: &str) -> Machine {
        Machine::build(&hir::parse_regex(&pieces(text).unwrap()).unwrap(), Limit::Topic).unwrap()
    }

    #[track_caller]
    fn matches(machine: &Machine, topic: &str) -> bool {
        let table = Table::of(machine).unwrap();
        let rest = topic.strip_prefix(&*machine.prefix());
        rest.is_some_and(|rest| table.is_match(rest, &Work::unbounded()).unwrap())
    }

    #[test]
    fn a_table_reads_what_is_behind_the_prefix() {
        let glob = machine_of_glob("site/7/*-log/**/*.txt");
        assert_eq!(glob.prefix(), "site/7/");
        for (topic, expected) in [
            ("site/7/a-log/x.txt", true),
            ("site/7/a-log/b/c/x.txt", true),
            ("site/7/é-log/ü.txt", true),
            ("site/7/a/b-log/x.txt", false),
            ("site/7/a-log/x.txtx", false),
            ("site/7/", false),
            ("site/8/a-log/x.txt", false),
        ] {
            assert_eq!(matches(&glob, topic), expected, "{topic}");
        }
        let whole = machine_of_regex("^a/b$");
        assert!(matches(&whole, "a/b") && !matches(&whole, "a/b/") && !matches(&whole, "a/"));
        let never = machine_of_regex("a/^b|a$c");
        assert!(!matches(&never, "a/b") && !matches(&never, "ac"));
        let class = machine_of_regex("[à-ü\u{10ffff}x]?");
        assert!(matches(&class, "") && matches(&class, "é") && matches(&class, "\u{10ffff}") && !matches(&class, "y"));
    }

    #[test]
    fn what_matches_every_rest_is_not_read_to_its_end() {
        let table = Table::of(&machine_of_glob("a/**")).unwrap();
        let endless = table.endless.unwrap();
        // One character is read, whatever follows.
        let few = Work::of(FINDING);
        assert!(table.rows.contains(&endless) && table.is_match("b/c", &few) == Some(true));
        assert!(Table::of(&machine_of_glob("a/*")).unwrap().endless.is_none());
    }

    #[test]
    fn what_would_be_large_has_no_table() {
        for text in ["[ab]*a[ab]{16}", ".*a.{900}b", "a\\b.*"] {
            assert!(Table::of(&machine_of_regex(text)).is_none(), "{text}");
        }
        assert!(Table::of(&machine_of_glob("a/${clientid}/**")).is_none());
    }

    proptest! {
        #[test]
        fn a_table_says_what_the_engines_say(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("a"), Just("b"), Just("/"), Just("."), Just("[^/]"), Just("[a-é]"), Just("(a|b/)"), Just("a*"),
                    Just("(ab|[^a])+"), Just("b?"), Just(".*"), Just("^"), Just("$"), Just("(^a|b$)"), Just("[0-9]{2,3}"),
                ],
                0..7,
            ),
            topics in proptest::collection::vec("[ab/é0-9]{0,7}", 40),
        ) {
            let text = parts.concat();
            let parsed = hir::parse_regex(&pieces(&text).unwrap()).unwrap();
            let (machine, oracle) = (Machine::build(&parsed, Limit::Topic).unwrap(), hir::oracle(parsed));
            prop_assume!(Table::of(&machine).is_some());
            for topic in &topics {
                prop_assert_eq!(matches(&machine, topic), oracle(topic), "{} on {:?}", text, topic);
            }
        }
    }
}
