//! What patterns expect of the rest of a topic, as automata that are built while they are walked.
//!
//! A track is one question about one set: do its patterns cover the request, or do they touch it. A configuration of a
//! track is what its patterns expect after some beginning of a topic. A name leads to one. A `+` leads to many, by the
//! word in its place: to be covered all of them must be, so those that expect less are kept and those that expect the
//! same and more are not; to be touched one of them must be, so they are kept together as one.

mod levels;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use smallvec::{SmallVec, smallvec};

use super::Budget;
use super::filter::Filter;
use super::patterns::Patterns;
use super::request::Request;
use super::walk::atoms;
use crate::event::Action;
use crate::text::Identity;
use crate::text::machine::{CharClass, Machine, Marks, Thread, Threads};
use levels::Level;
pub(in crate::topic) use levels::Word;

type NodeId = u32;
pub(super) type WordId = u32;
type ConfigId = u32;

/// The rest of a filter. Filters with the same rest share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TrackNode {
    /// Nothing more.
    End,
    /// Nothing more, or anything.
    Hash,
    /// Any word, then the rest.
    Plus(NodeId),
    /// This word, then the rest.
    Word(WordId, NodeId),
}

const END: NodeId = 0;
const HASH: NodeId = 1;

/// The configuration that expects nothing any more.
const DEAD: ConfigId = 0;

/// Steps that a new configuration counts for, beside those of its members.
const PLACE: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum TrackMember {
    /// The rest of a filter, and how many bytes of its first word were read.
    Filter(NodeId, u32),
    Thread(u32, Thread),
}

#[derive(Debug)]
struct Config {
    members: Rc<[TrackMember]>,
    /// Globs or regexes are among them.
    threads: bool,
}

/// Which question a track answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Side {
    Cover,
    Touch,
}

struct PatternTrack<'p> {
    set: &'p Patterns,
    side: Side,
    start: ConfigId,
}

type Configs = SmallVec<[ConfigId; 1]>;

/// Where all tracks stand; those that expect nothing any more are left out.
pub(super) type State = Rc<[(u32, Configs)]>;

struct Rival<'p> {
    machine: &'p Machine,
    marks: Marks,
    /// It reaches topics that begin with `$`.
    dollar: bool,
}

/// The tracks of some sets of patterns for one identity. A method that gives `None` has no work left.
pub(super) struct Tracks<'p> {
    identity: Identity<'p>,
    budget: &'p mut Budget,
    /// `None` for those without an automaton.
    machines: Vec<Option<Rival<'p>>>,
    atoms: Box<[CharClass]>,
    words: Vec<Rc<str>>,
    word_ids: HashMap<Rc<str>, WordId>,
    nodes: Vec<TrackNode>,
    node_ids: HashMap<TrackNode, NodeId>,
    configs: Vec<Config>,
    config_ids: HashMap<Rc<[TrackMember]>, ConfigId>,
    all: Vec<PatternTrack<'p>>,
    reads: HashMap<(ConfigId, char), ConfigId>,
    finished: HashMap<ConfigId, ConfigId>,
    levels: HashMap<ConfigId, Rc<Level>>,
    pluses: HashMap<(Side, ConfigId), Configs>,
    /// A glob or regex has no automaton, so that its part is not known.
    pub(super) blind: bool,
}

impl<'p> Tracks<'p> {
    /// The tracks of the sets. Where only names are asked, a set whose two tracks are the same has one.
    pub(super) fn new(
        sets: &[&'p Patterns],
        names: bool,
        identity: Identity<'p>,
        budget: &'p mut Budget,
    ) -> Option<Self> {
        let mut tracks = Tracks {
            identity,
            budget,
            machines: Vec::new(),
            atoms: Box::new([]),
            words: Vec::new(),
            word_ids: HashMap::new(),
            nodes: vec![TrackNode::End, TrackNode::Hash],
            node_ids: HashMap::from([(TrackNode::End, END), (TrackNode::Hash, HASH)]),
            configs: Vec::new(),
            config_ids: HashMap::new(),
            all: Vec::new(),
            reads: HashMap::new(),
            finished: HashMap::new(),
            levels: HashMap::new(),
            pluses: HashMap::new(),
            blind: false,
        };
        tracks.intern(Vec::new(), false)?;
        tracks.add_machines(sets)?;
        let mut known = HashSet::new();
        let mut number = 0;
        for set in sets {
            let machines = number..;
            number += u32::try_from(set.rich().len()).ok()?;
            for side in [Side::Touch, Side::Cover] {
                let config = tracks.begin(set, machines.start, side)?;
                if config != DEAD && known.insert((if names { Side::Touch } else { side }, config)) {
                    tracks.all.push(PatternTrack { set, side, start: config });
                }
            }
        }
        Some(tracks)
    }

    pub(super) fn spend(&mut self, steps: usize) -> Option<()> {
        self.budget.spend(steps).then_some(())
    }

    fn add_machines(&mut self, sets: &[&'p Patterns]) -> Option<()> {
        let mut classes: HashSet<&CharClass> = HashSet::new();
        for rich in sets.iter().flat_map(|set| set.rich()) {
            let rival = rich.machine().map(|machine| {
                let dollar = rich.reaches_dollar(self.identity);
                Rival { machine, marks: Marks::new(machine), dollar }
            });
            self.blind |= rival.is_none();
            if let Some(rival) = &rival {
                self.spend(rival.machine.size())?;
                classes.extend(rival.machine.classes());
            }
            self.machines.push(rival);
        }
        let ranges: usize = classes.iter().map(|class| class.ranges.len()).sum();
        self.spend(ranges.saturating_mul(classes.len()))?;
        self.atoms = atoms(self.machines.iter().flatten().map(|rival| rival.machine));
        Some(())
    }

    /// What a set expects at the start of a topic. Its globs and regexes have the numbers from `first`.
    fn begin(&mut self, set: &Patterns, first: u32, side: Side) -> Option<ConfigId> {
        let identity = self.identity;
        let mut members = Vec::new();
        for filter in set.filters() {
            let counts = match side {
                Side::Cover => filter.uses().safe(identity),
                Side::Touch => filter.uses().possible(identity),
            };
            if counts {
                members.push(TrackMember::Filter(self.filter(filter)?, 0));
            }
        }
        let mut threads = Threads::new();
        for (number, rich) in (first..).zip(set.rich()) {
            let Some(Some(rival)) = self.machines.get_mut(number as usize) else { continue };
            if side == Side::Cover && !rich.uses().safe(identity) {
                continue;
            }
            rival.machine.begin(identity, &mut rival.marks, &mut threads);
            let steps = std::mem::take(&mut rival.marks.met);
            self.spend(steps)?;
            members.extend(threads.drain(..).map(|thread| TrackMember::Thread(number, thread)));
        }
        self.intern(members, false)
    }

    /// The node that a filter begins with.
    fn filter(&mut self, filter: &Filter) -> Option<NodeId> {
        let (levels, hash) = filter.expanded(self.identity);
        self.spend(4 * levels.len())?;
        let mut next = if hash { HASH } else { END };
        for level in levels.into_iter().rev() {
            let node = match level {
                None => TrackNode::Plus(next),
                Some(word) => TrackNode::Word(self.word(&word)?, next),
            };
            let new = NodeId::try_from(self.nodes.len()).ok()?;
            next = *self.node_ids.entry(node).or_insert(new);
            if next == new {
                self.nodes.push(node);
            }
        }
        Some(next)
    }

    fn word(&mut self, word: &str) -> Option<WordId> {
        if let Some(known) = self.word_ids.get(word) {
            return Some(*known);
        }
        let new = WordId::try_from(self.words.len()).ok()?;
        let word: Rc<str> = word.into();
        self.words.push(Rc::clone(&word));
        self.word_ids.insert(word, new);
        Some(new)
    }

    fn intern(&mut self, mut members: Vec<TrackMember>, begun: bool) -> Option<ConfigId> {
        members.sort_unstable();
        members.dedup();
        self.spend(PLACE + members.len())?;
        if begun && self.takes_all(&members) {
            members = vec![TrackMember::Filter(HASH, 0)];
        }
        if let Some(known) = self.config_ids.get(members.as_slice()) {
            return Some(*known);
        }
        // To keep one costs more than to find it again.
        self.spend(PLACE + 4 * members.len())?;
        let new = ConfigId::try_from(self.configs.len()).ok()?;
        let threads = members.iter().any(|member| matches!(member, TrackMember::Thread(..)));
        let members: Rc<[TrackMember]> = members.into();
        self.config_ids.insert(Rc::clone(&members), new);
        self.configs.push(Config { members, threads });
        Some(new)
    }

    /// Whether the topic matches here and however it goes on.
    fn takes_all(&mut self, members: &[TrackMember]) -> bool {
        let mut rests = members.iter().filter_map(|member| match *member {
            TrackMember::Filter(..) => None,
            TrackMember::Thread(number, thread) => Some((number, thread)),
        });
        if members.contains(&TrackMember::Filter(HASH, 0)) {
            return true;
        }
        let rival = |number: u32| self.machines.get(number as usize).and_then(Option::as_ref);
        if !rests.clone().any(|(number, thread)| rival(number).is_some_and(|rival| rival.machine.is_endless(thread))) {
            return false;
        }
        let identity = self.identity;
        rests.any(|(number, thread)| {
            let rival = self.machines.get_mut(number as usize).and_then(Option::as_mut);
            rival.is_some_and(|rival| rival.machine.accepts(thread, identity, &mut rival.marks))
        })
    }

    fn members(&self, config: ConfigId) -> Rc<[TrackMember]> {
        self.configs.get(config as usize).map_or_else(|| Rc::from([]), |config| Rc::clone(&config.members))
    }

    fn node(&self, node: NodeId) -> TrackNode {
        self.nodes.get(node as usize).copied().unwrap_or(TrackNode::End)
    }

    /// The word itself.
    pub(super) fn text(&self, word: WordId) -> &str {
        self.words.get(word as usize).map_or("", |word| word)
    }

    /// What is left of a word of which so many bytes were read.
    fn unread(&self, word: WordId, read: u32) -> &str {
        self.text(word).get(read as usize..).unwrap_or_default()
    }

    /// A word that is no level of a filter, and neither is `$` with that word.
    pub(super) fn new_word(&self) -> String {
        let words = ["x", "y", "z"].into_iter().map(str::to_owned).chain((1..).map(|number: u32| format!("x{number}")));
        let is_new = |word: &String| {
            !self.word_ids.contains_key(word.as_str()) && !self.word_ids.contains_key(format!("${word}").as_str())
        };
        words.into_iter().find(is_new).unwrap_or_default()
    }

    /// Whether the globs and regexes tell characters apart here.
    pub(super) fn has_threads(&self, state: &State) -> bool {
        let mut configs = state.iter().flat_map(|(_, configs)| configs);
        configs.any(|config| self.configs.get(*config as usize).is_some_and(|config| config.threads))
    }

    /// Where all tracks stand before a topic.
    pub(super) fn start(&self) -> State {
        (0..).zip(&self.all).map(|(number, track)| (number, smallvec![track.start])).collect()
    }

    fn side(&self, track: u32) -> Side {
        self.all.get(track as usize).map_or(Side::Touch, |track| track.side)
    }

    /// Of the tracks that expect something here, those that the topic answers with yes; the others cannot.
    pub(super) fn answers(&mut self, action: Action, topic: &str, state: &State) -> Option<Vec<u32>> {
        let mut yes = Vec::new();
        for (number, _) in state.iter() {
            let Some(track) = self.all.get(*number as usize) else { continue };
            // One request each, so that no set takes the work of another.
            let Some(request) = Request::parse(action, topic) else { continue };
            let holds = match track.side {
                Side::Cover => track.set.cover(&request, self.identity),
                Side::Touch => track.set.touch(&request, self.identity),
            };
            let patterns = track.set.filters().len() + track.set.rich().len();
            self.spend(PLACE + topic.len() + 4 * patterns + request.spent())?;
            yes.extend(holds.then_some(*number));
        }
        Some(yes)
    }

    fn advance(
        &mut self,
        state: &State,
        mut step: impl FnMut(&mut Self, ConfigId) -> Option<ConfigId>,
    ) -> Option<State> {
        let mut next = Vec::with_capacity(state.len());
        self.spend(state.len())?;
        for (track, configs) in state.iter() {
            let configs = configs.iter().map(|config| step(self, *config)).collect::<Option<Configs>>()?;
            next.extend(self.least(configs)?.map(|configs| (*track, configs)));
        }
        Some(next.into())
    }

    /// Those that expect least: where they match, the others do. `None` where one expects nothing.
    #[expect(clippy::option_option, reason = "the outer one is the work")]
    fn least(&mut self, mut configs: Configs) -> Option<Option<Configs>> {
        configs.sort_unstable();
        configs.dedup();
        if configs.first().is_none_or(|config| *config == DEAD) {
            return Some(None);
        }
        if configs.len() == 1 {
            return Some(Some(configs));
        }
        let all: Vec<Rc<[TrackMember]>> = configs.iter().map(|config| self.members(*config)).collect();
        let size: usize = all.iter().map(|members| members.len()).sum();
        self.spend(size.saturating_mul(all.len()))?;
        let mut each = all.iter();
        configs.retain(|_| each.next().is_some_and(|one| !all.iter().any(|other| other != one && lies_in(other, one))));
        Some(Some(configs))
    }

    /// Reads a character within a level. `first` is whether it is the topic's first.
    pub(super) fn read(&mut self, state: &State, c: char, first: bool) -> Option<State> {
        self.advance(state, |tracks, config| tracks.read_config(config, c, first))
    }

    fn read_config(&mut self, config: ConfigId, c: char, first: bool) -> Option<ConfigId> {
        self.spend(1)?;
        let root = first && c == '$';
        if let Some(known) = self.reads.get(&(config, c)).filter(|_| !root) {
            return Some(*known);
        }
        let mut next = Vec::new();
        let mut threads = Threads::new();
        let mut cleared = None;
        for member in self.members(config).iter() {
            match *member {
                // The level was ended before, and filters with more levels stand before their next one.
                TrackMember::Filter(node, _) if c == '/' => next.extend((node != END).then_some(*member)),
                TrackMember::Filter(node, read) => match self.node(node) {
                    TrackNode::Hash | TrackNode::Plus(_) if !root => next.push(TrackMember::Filter(node, 0)),
                    TrackNode::Word(word, _) if self.unread(word, read).starts_with(c) => {
                        next.push(TrackMember::Filter(node, read.saturating_add(u32::try_from(c.len_utf8()).ok()?)));
                    }
                    TrackNode::Hash | TrackNode::Plus(_) | TrackNode::Word(..) | TrackNode::End => {}
                },
                TrackMember::Thread(number, thread) => {
                    let identity = self.identity;
                    let Some(Some(rival)) = self.machines.get_mut(number as usize) else { continue };
                    if root && !rival.dollar {
                        continue;
                    }
                    if cleared != Some(number) {
                        rival.marks.clear();
                        cleared = Some(number);
                    }
                    rival.machine.read(thread, c, identity, &mut rival.marks, &mut threads);
                    let steps = std::mem::take(&mut rival.marks.met);
                    self.spend(2 + steps)?;
                    next.extend(threads.drain(..).map(|thread| TrackMember::Thread(number, thread)));
                }
            }
        }
        let next = self.intern(next, true)?;
        if !root {
            self.reads.insert((config, c), next);
        }
        Some(next)
    }

    /// Ends the level that was read: what is left is expected behind it.
    pub(super) fn finish(&mut self, state: &State) -> Option<State> {
        self.advance(state, Self::finish_config)
    }

    fn finish_config(&mut self, config: ConfigId) -> Option<ConfigId> {
        if let Some(known) = self.finished.get(&config) {
            return Some(*known);
        }
        let members = self.members(config);
        let behind = members.iter().filter_map(|member| match *member {
            TrackMember::Thread(..) => Some(*member),
            TrackMember::Filter(node, read) => match self.node(node) {
                TrackNode::End => None,
                TrackNode::Hash => Some(*member),
                TrackNode::Plus(next) => Some(TrackMember::Filter(next, 0)),
                TrackNode::Word(word, next) => {
                    self.unread(word, read).is_empty().then_some(TrackMember::Filter(next, 0))
                }
            },
        });
        let behind = behind.collect();
        let finished = self.intern(behind, true)?;
        self.finished.insert(config, finished);
        Some(finished)
    }

    /// Reads the `/` behind a level.
    pub(super) fn slash(&mut self, state: &State) -> Option<State> {
        self.advance(state, |tracks, config| tracks.read_config(config, '/', false))
    }
}

/// Whether everything that the first matches is matched by the other; `HASH` alone matches everything.
fn lies_in(members: &[TrackMember], other: &[TrackMember]) -> bool {
    other == [TrackMember::Filter(HASH, 0)] || members.iter().all(|member| other.binary_search(member).is_ok())
}
