//! The automaton of a small pattern without placeholders as a table, which reads a topic name with one look-up a
//! character.
//!
//! A large policy has thousands of globs and regexes, nearly all of them small. The engines of `regex_automata` cost a
//! hundred microseconds and tens of kilobytes for each; a table costs a few. What would make it large is left to
//! those engines.

use super::{Machine, Reads, State, StateId};

/// States of the machine that it is made of.
const MOST_STATES: usize = 512;
/// States of the machine that read a character: as many as a set of them has bits.
const MOST_READERS: usize = 64;
/// States of the table.
const MOST_ROWS: usize = 64;
/// Where the characters that a pattern tells apart begin and end. Unicode's letters have more than a thousand places.
const MOST_BOUNDS: usize = 256;

/// The row from which no topic matches.
const DEAD: u8 = 0;

/// A set of readers.
type Set = u64;

/// Tells what behind the machine's prefix matches.
#[derive(Debug)]
pub(in crate::topic) struct Table {
    /// The kind of each ASCII character.
    ascii: Box<[u8; 128]>,
    /// Where each run of characters of one kind begins, the first at 0, and their kind.
    runs: Box<[(char, u8)]>,
    kinds: usize,
    /// The next row, by row and kind.
    rows: Box<[u8]>,
    /// By row: whether the topic matches if it ends here.
    matches: Box<[bool]>,
    start: u8,
    /// The row from which every rest matches, where there is one.
    endless: Option<u8>,
}

impl Table {
    /// `None` where it would be large, or a placeholder stands in the pattern.
    pub(in crate::topic) fn of(machine: &Machine) -> Option<Self> {
        let readers = Readers::of(machine)?;
        let (runs, kinds) = readers.runs(machine)?;
        let mut sets = vec![(0, false), readers.start];
        let mut rows = Vec::new();
        let mut at = 0;
        while let Some(&(set, _)) = sets.get(at) {
            for kind in &kinds {
                let next = readers.next(set & kind);
                let row = match sets.iter().position(|known| *known == next) {
                    Some(row) => row,
                    None if sets.len() < MOST_ROWS => {
                        sets.push(next);
                        sets.len() - 1
                    }
                    None => return None,
                };
                rows.push(u8::try_from(row).ok()?);
            }
            at += 1;
        }
        let matches: Box<[bool]> = sets.iter().map(|(_, matches)| *matches).collect();
        let endless = (0..)
            .zip(rows.chunks(kinds.len()))
            .zip(&matches)
            .find_map(|((row, next), matches)| (*matches && next.iter().all(|next| *next == row)).then_some(row));
        let mut ascii = Box::new([0; 128]);
        for (c, kind) in ('\0'..='\x7f').zip(ascii.iter_mut()) {
            *kind = kind_of(&runs, c);
        }
        Some(Table { ascii, runs, kinds: kinds.len(), rows: rows.into(), matches, start: 1, endless })
    }

    /// Whether the topic matches whose text behind the machine's prefix this is.
    pub(in crate::topic) fn is_match(&self, rest: &str) -> bool {
        let mut row = self.start;
        for c in rest.chars() {
            if row == DEAD {
                return false;
            }
            if self.endless == Some(row) {
                return true;
            }
            let kind = self.ascii.get(c as usize).copied().unwrap_or_else(|| kind_of(&self.runs, c));
            let at = usize::from(row) * self.kinds + usize::from(kind);
            row = self.rows.get(at).copied().unwrap_or(DEAD);
        }
        self.matches.get(usize::from(row)).copied().unwrap_or(false)
    }
}

fn kind_of(runs: &[(char, u8)], c: char) -> u8 {
    let behind = runs.partition_point(|(from, _)| *from <= c);
    behind.checked_sub(1).and_then(|at| runs.get(at)).map_or(0, |(_, kind)| *kind)
}

/// The states that read a character, by their places in a set.
struct Readers {
    states: Vec<StateId>,
    /// By reader: what may read behind it, and whether the topic may end there.
    behind: Vec<(Set, bool)>,
    start: (Set, bool),
}

impl Readers {
    fn of(machine: &Machine) -> Option<Self> {
        if machine.states.len() > MOST_STATES {
            return None;
        }
        let (prefix, first) = machine.split_prefix();
        let mut readers = Readers { states: Vec::new(), behind: Vec::new(), start: (0, false) };
        readers.start = readers.closure(machine, first, prefix.is_empty())?;
        let mut at = 0;
        while let Some(&state) = readers.states.get(at) {
            let (State::Char(_, next) | State::Class(_, next)) = machine.state(state) else { return None };
            let behind = readers.closure(machine, *next, false)?;
            readers.behind.push(behind);
            at += 1;
        }
        Some(readers)
    }

    /// What may read where the machine stands, and whether the topic may end there.
    fn closure(&mut self, machine: &Machine, from: StateId, at_start: bool) -> Option<(Set, bool)> {
        let (mut set, mut matches) = (0, false);
        // What follows the end of the topic may still match, and reads nothing.
        let mut met = Vec::new();
        let mut stack = vec![(from, false)];
        while let Some((state, at_end)) = stack.pop() {
            if met.contains(&(state, at_end)) {
                continue;
            }
            met.push((state, at_end));
            match machine.state(state) {
                State::Char(..) | State::Class(..) if at_end => {}
                State::Char(..) | State::Class(..) => set |= 1 << self.place(state)?,
                State::Value(..) => return None,
                State::Split(ways) => stack.extend(ways.iter().map(|way| (*way, at_end))),
                State::Start(next) => stack.extend(at_start.then_some((*next, at_end))),
                State::End(next) => stack.push((*next, true)),
                State::Match => matches = true,
            }
        }
        Some((set, matches))
    }

    fn place(&mut self, state: StateId) -> Option<usize> {
        let known = self.states.iter().position(|known| *known == state);
        if known.is_none() {
            self.states.push(state);
        }
        known.or(self.states.len().checked_sub(1)).filter(|place| *place < MOST_READERS)
    }

    /// Where the runs of characters begin between which no reader tells a difference, with the kind of each; and by
    /// kind, who reads it.
    #[expect(clippy::type_complexity, reason = "two parts of one answer")]
    fn runs(&self, machine: &Machine) -> Option<(Box<[(char, u8)]>, Vec<Set>)> {
        let mut bounds = vec!['\0'];
        let reads: Vec<Reads<'_>> = self.states.iter().map(|state| machine.reads_alone(*state)).collect();
        for reads in &reads {
            let ranges = match reads {
                Reads::Nothing => &[],
                Reads::Only(c) => &[(*c, *c)][..],
                Reads::AnyOf(class) => &class.ranges,
            };
            if ranges.len() > MOST_BOUNDS {
                return None;
            }
            for (low, high) in ranges {
                bounds.push(*low);
                bounds.extend((*high..=char::MAX).nth(1));
            }
        }
        bounds.sort_unstable();
        bounds.dedup();
        if bounds.len() > MOST_BOUNDS {
            return None;
        }
        let mut kinds: Vec<Set> = Vec::new();
        let mut runs = Vec::with_capacity(bounds.len());
        for from in bounds {
            let readers =
                (0..).zip(&reads).filter(|(_, reads)| reads.takes(from)).fold(0, |set, (at, _)| set | 1 << at);
            let kind = kinds.iter().position(|kind| *kind == readers).unwrap_or_else(|| {
                kinds.push(readers);
                kinds.len() - 1
            });
            runs.push((from, u8::try_from(kind).ok()?));
        }
        Some((runs.into(), kinds))
    }

    /// Where these readers lead.
    fn next(&self, mut readers: Set) -> (Set, bool) {
        let (mut set, mut matches) = (0, false);
        while readers != 0 {
            let place = readers.trailing_zeros() as usize;
            if let Some(behind) = self.behind.get(place) {
                set |= behind.0;
                matches |= behind.1;
            }
            readers &= readers - 1;
        }
        (set, matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::glob::{self, Separator};
    use crate::text::{hir, pieces};
    use proptest::prelude::*;

    fn machine_of_glob(text: &str) -> Machine {
        Machine::build(&glob::parse(&pieces(text).unwrap(), Separator::Slash).unwrap()).unwrap()
    }

    fn machine_of_regex(text: &str) -> Machine {
        Machine::build(&hir::parse_regex(&pieces(text).unwrap()).unwrap()).unwrap()
    }

    #[track_caller]
    fn matches(machine: &Machine, topic: &str) -> bool {
        let table = Table::of(machine).unwrap();
        topic.strip_prefix(&*machine.prefix()).is_some_and(|rest| table.is_match(rest))
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
        assert!(table.rows.contains(&endless) && table.is_match("b/c") && table.is_match("\u{10fffe}"));
        assert!(Table::of(&machine_of_glob("a/*")).unwrap().endless.is_none());
    }

    #[test]
    fn what_would_be_large_has_no_table() {
        for text in ["\\w+", "[ab]*a[ab]{12}", "(a|bc?){40}"] {
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
            let (machine, regex) = (Machine::build(&parsed).unwrap(), hir::compile(parsed).unwrap());
            prop_assume!(Table::of(&machine).is_some());
            for topic in &topics {
                prop_assert_eq!(matches(&machine, topic), hir::is_match(&regex, topic), "{} on {:?}", text, topic);
            }
        }
    }
}
