//! The ways to read one level: by words, by characters, or by a `+`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;

use smallvec::smallvec;

use super::{ConfigId, Configs, DEAD, PLACE, Side, State, TrackMember, TrackNode, Tracks, WordId};
use crate::text::machine::{Reads, Thread, Threads};
use crate::topic::names::NEVER;

/// A word in the place of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::topic) enum Word {
    /// One that no filter names.
    New,
    /// Another one, which begins with `$`.
    NewDollar,
    /// One of the filters'.
    Known(WordId),
}

/// What the filters of a configuration expect of a level.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// Whatever the word.
    always: Vec<TrackMember>,
    /// Where it is this word.
    words: BTreeMap<WordId, Vec<TrackMember>>,
}

impl<'p> Tracks<'p> {
    /// The characters that lead to all states that one more character within a level may lead to.
    pub(in crate::topic) fn characters(&mut self, state: &State) -> Option<Vec<char>> {
        self.characters_of(state.iter().flat_map(|(_, configs)| configs.iter().copied()))
    }

    fn characters_of(&mut self, configs: impl Iterator<Item = ConfigId>) -> Option<Vec<char>> {
        let mut special: BTreeSet<char> = BTreeSet::from(['$']);
        for config in configs {
            let members = self.members(config);
            self.spend(1 + members.len())?;
            special.extend(members.iter().filter_map(|member| self.only_character(*member)));
        }
        special.retain(|c| !NEVER.contains(c) && *c != '/');
        let none_of: Vec<char> = special.iter().copied().chain(NEVER).chain(['/']).collect();
        self.spend(none_of.len().saturating_mul(self.atoms.len()))?;
        let others = self.atoms.iter().filter_map(|atom| atom.pick(&none_of));
        // The ordinary characters first: they are the ones that no pattern names.
        Some(others.chain(special).collect())
    }

    /// The character that has to follow.
    fn only_character(&self, member: TrackMember) -> Option<char> {
        match member {
            TrackMember::Filter(node, read) => match self.node(node) {
                TrackNode::Word(word, _) => self.unread(word, read).chars().next(),
                TrackNode::End | TrackNode::Hash | TrackNode::Plus(_) => None,
            },
            TrackMember::Thread(number, thread) => match self.reads(number, thread) {
                Reads::Only(c) => Some(c),
                Reads::AnyOf(_) | Reads::Nothing => None,
            },
        }
    }

    fn reads(&self, number: u32, thread: Thread) -> Reads<'p> {
        let rival = self.machines.get(number as usize).and_then(Option::as_ref);
        rival.map_or(Reads::Nothing, |rival| rival.machine.reads(thread, self.identity))
    }

    /// Each way to read a whole level where only filters are left: by a word of theirs, or by one that is new.
    pub(in crate::topic) fn words(&mut self, state: &State, first: bool) -> Option<Vec<(Word, State)>> {
        let mut having: BTreeMap<WordId, BTreeMap<u32, &Configs>> = BTreeMap::new();
        let mut otherwise: BTreeMap<u32, Configs> = BTreeMap::new();
        for (track, configs) in state.iter() {
            let mut next = Configs::new();
            for config in configs {
                let level = self.level(*config)?;
                self.spend(1 + level.words.len())?;
                for word in level.words.keys() {
                    having.entry(*word).or_default().insert(*track, configs);
                }
                next.push(self.intern(level.always.clone(), true)?);
            }
            otherwise.extend(self.least(next)?.map(|next| (*track, next)));
        }
        let state_of = |tracks: BTreeMap<u32, Configs>| tracks.into_iter().collect();
        let mut ways = vec![(Word::New, state_of(otherwise.clone()))];
        if first {
            ways.push((Word::NewDollar, State::from([])));
        }
        for (word, tracks) in having {
            let root = first && self.text(word).starts_with('$');
            let mut all = if root { BTreeMap::new() } else { otherwise.clone() };
            self.spend(2 * all.len())?;
            for (track, configs) in tracks {
                let mut next = Configs::new();
                for config in configs {
                    let level = self.level(*config)?;
                    let mut members = if root { Vec::new() } else { level.always.clone() };
                    members.extend(level.words.get(&word).into_iter().flatten());
                    next.push(self.intern(members, true)?);
                }
                // With this word a track expects no less than with another one, but where that begins with no `$`.
                all.extend(self.least(next)?.map(|next| (track, next)));
            }
            ways.push((Word::Known(word), state_of(all)));
        }
        Some(ways)
    }

    fn level(&mut self, config: ConfigId) -> Option<Rc<Level>> {
        if let Some(known) = self.levels.get(&config) {
            return Some(Rc::clone(known));
        }
        let mut level = Level::default();
        for member in self.members(config).iter() {
            self.spend(4)?;
            let TrackMember::Filter(node, _) = *member else { continue };
            match self.node(node) {
                TrackNode::End => {}
                TrackNode::Hash => level.always.push(*member),
                TrackNode::Plus(next) => level.always.push(TrackMember::Filter(next, 0)),
                TrackNode::Word(word, next) => level.words.entry(word).or_default().push(TrackMember::Filter(next, 0)),
            }
        }
        let level = Rc::new(level);
        self.levels.insert(config, Rc::clone(&level));
        Some(level)
    }

    /// Reads a `+`, which stands for every word; at the start for every one that does not begin with `$`.
    pub(in crate::topic) fn plus(&mut self, state: &State, first: bool) -> Option<State> {
        let mut next = Vec::with_capacity(state.len());
        for (track, configs) in state.iter() {
            let side = self.side(*track);
            let mut all = Configs::new();
            for config in configs {
                all.extend(self.plus_config(side, *config, first)?);
            }
            next.extend(self.least(all)?.map(|configs| (*track, configs)));
        }
        Some(next.into())
    }

    fn plus_config(&mut self, side: Side, config: ConfigId, first: bool) -> Option<Configs> {
        if let Some(known) = self.pluses.get(&(side, config)).filter(|_| !first) {
            return Some(known.clone());
        }
        let next = match side {
            Side::Cover => self.after_each_word(config, first)?,
            Side::Touch => smallvec![self.after_any_word(config, first)?],
        };
        if !first {
            self.pluses.insert((side, config), next.clone());
        }
        Some(next)
    }

    fn after_each_word(&mut self, config: ConfigId, first: bool) -> Option<Configs> {
        if !self.configs.get(config as usize).is_some_and(|config| config.threads) {
            // A word that is new expects less than every other.
            let always = self.level(config)?.always.clone();
            return Some(smallvec![self.intern(always, true)?]);
        }
        let mut seen = HashSet::from([config]);
        let mut queue = vec![(config, first)];
        let mut after = Configs::new();
        while let Some((config, first)) = queue.pop() {
            after.push(self.finish_config(config)?);
            for c in self.characters_of(std::iter::once(config))? {
                if first && c == '$' {
                    continue;
                }
                let next = self.read_config(config, c, false)?;
                if seen.insert(next) {
                    queue.push((next, false));
                }
            }
        }
        self.least(after).map(|after| after.unwrap_or_else(|| smallvec![DEAD]))
    }

    fn after_any_word(&mut self, config: ConfigId, first: bool) -> Option<ConfigId> {
        let mut after: BTreeSet<TrackMember> = BTreeSet::new();
        let mut queue = Vec::new();
        for member in self.members(config).iter() {
            match *member {
                TrackMember::Thread(number, thread) => queue.push((number, thread, first)),
                TrackMember::Filter(node, _) => match self.node(node) {
                    TrackNode::End => {}
                    TrackNode::Hash => after.extend([*member]),
                    TrackNode::Word(word, _) if first && self.text(word).starts_with('$') => {}
                    TrackNode::Plus(next) | TrackNode::Word(_, next) => after.extend([TrackMember::Filter(next, 0)]),
                },
            }
        }
        after.extend(queue.iter().map(|(number, thread, _)| TrackMember::Thread(*number, *thread)));
        let mut threads = Threads::new();
        while let Some((number, thread, first)) = queue.pop() {
            let c = match self.reads(number, thread) {
                Reads::Nothing => None,
                Reads::Only(c) => Some(c).filter(|c| !NEVER.contains(c) && *c != '/'),
                Reads::AnyOf(class) => {
                    let [plus, hash, nul] = NEVER;
                    class.pick(&[plus, hash, nul, '/', '$']).or_else(|| class.contains('$').then_some('$'))
                }
            };
            let Some(c) = c.filter(|c| !(first && *c == '$')) else { continue };
            let identity = self.identity;
            let Some(Some(rival)) = self.machines.get_mut(number as usize) else { continue };
            rival.marks.clear();
            rival.machine.read(thread, c, identity, &mut rival.marks, &mut threads);
            let steps = std::mem::take(&mut rival.marks.met);
            self.spend(PLACE + steps)?;
            let new = threads.drain(..).filter(|thread| after.insert(TrackMember::Thread(number, *thread)));
            queue.extend(new.map(|thread| (number, thread, false)));
        }
        self.intern(after.into_iter().collect(), true)
    }
}
