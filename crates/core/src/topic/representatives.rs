//! A finite set of topics that stands for all of them, as far as some sets of patterns tell topics apart.
//!
//! All sets are walked side by side, topic by topic in the order of their length, and each state that they may come to
//! is met once. Level by level where only filters are left, with the words that they name and one that is new to all; by
//! characters where a glob or a regex takes part. What is found is asked of the sets themselves, and of those that get
//! the same answers the shortest is kept.

use std::collections::{HashSet, VecDeque};

use super::Budget;
use super::patterns::Patterns;
use super::request::Request;
use super::rich::Rich;
use super::tracks::{State, Tracks, Word};
use super::walk::{Found, common_topic};
use crate::event::Action;
use crate::text::Identity;

/// Topics that stand for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representatives {
    /// Topic names or topic filters, without a prefix of the broker, each valid.
    pub topics: Vec<String>,
    /// For every topic there is one among them that all sets treat the same; but for topics so long that a set cannot
    /// settle them within the work that a request has.
    pub complete: bool,
}

/// Topics of which every other one is treated by all sets as one of them is: topic names for publishing, topic filters
/// for subscribing. The same means the same answer of [`Patterns::cover`] and of [`Patterns::touch`].
///
/// Where the budget ends the work, `complete` is false and the topics are those found so far and some that the patterns
/// suggest; it is false too where a regex looks around and so cannot be walked.
pub fn representatives(
    action: Action,
    sets: &[&Patterns],
    identity: Identity<'_>,
    budget: &mut Budget,
) -> Representatives {
    let mut found = Collected { action, topics: Vec::new(), known: HashSet::new() };
    let complete = budget.within(budget.left() / 8 * 7, |budget| {
        let tracks = Tracks::new(sets, action == Action::Publish, identity, budget);
        tracks.is_some_and(|tracks| Walk::new(tracks, &mut found).run())
    });
    if !complete {
        suggest(sets, identity, budget, &mut found);
    }
    Representatives { topics: found.topics, complete }
}

/// The topics that were found.
struct Collected {
    action: Action,
    topics: Vec<String>,
    known: HashSet<String>,
}

/// Of a topic that is like another one, so many levels are varied.
const VARIED: usize = 8;

impl Collected {
    /// Whether a client can ask for it as it is.
    fn is_topic(&self, topic: &str) -> bool {
        Request::parse(self.action, topic).is_some_and(|request| request.text() == topic)
    }

    /// Adds a topic where it is one.
    fn suggest(&mut self, topic: String) {
        if self.is_topic(&topic) && self.known.insert(topic.clone()) {
            self.topics.push(topic);
        }
    }

    /// Adds a topic name, and filters that receive it.
    fn suggest_alike(&mut self, topic: &str) {
        self.suggest(topic.to_owned());
        let levels: Vec<&str> = topic.split('/').collect();
        for at in 0..levels.len().min(VARIED) {
            let with_plus = levels.iter().enumerate().map(|(level, word)| if level == at { "+" } else { word });
            self.suggest(with_plus.collect::<Vec<_>>().join("/"));
            let above = levels.iter().take(at).chain([&"#"]);
            self.suggest(above.copied().collect::<Vec<_>>().join("/"));
        }
        self.suggest(format!("{topic}/#"));
    }
}

/// What was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Nothing.
    Start,
    /// Whole levels and a `/`.
    Level,
    /// A part of a level.
    Within,
    /// Whole levels.
    Edge,
    /// One empty level, which is no topic as long as nothing follows.
    EmptyEdge,
    /// `+`, which does not stand for the empty topic as long as nothing follows.
    PlusEdge,
}

#[derive(Debug, Clone, Copy)]
enum Read {
    Nothing,
    Char(char),
    Word(Word),
    Plus,
}

struct Walk<'w, 'p> {
    tracks: Tracks<'p>,
    found: &'w mut Collected,
    subscribe: bool,
    new_word: String,
    /// A topic is none that a client can ask for, though one with the same answers might be.
    lost: bool,
    /// Those of the topics that were found: the tracks that say yes.
    answers: HashSet<Vec<u32>>,
    seen: HashSet<(Kind, State)>,
    queue: VecDeque<(Kind, State, usize)>,
    /// Empty levels, which are met once nothing that reads better leads to new states.
    later: VecDeque<(Kind, State, usize)>,
    /// How the walk came to its places: the entry before, and what was read from there.
    trail: Vec<(usize, Read)>,
}

impl<'w, 'p> Walk<'w, 'p> {
    fn new(tracks: Tracks<'p>, found: &'w mut Collected) -> Self {
        Walk {
            new_word: tracks.new_word(),
            tracks,
            subscribe: found.action == Action::Subscribe,
            found,
            lost: false,
            answers: HashSet::new(),
            seen: HashSet::new(),
            queue: VecDeque::new(),
            later: VecDeque::new(),
            trail: vec![(0, Read::Nothing)],
        }
    }

    /// Whether everything was walked.
    fn run(mut self) -> bool {
        let start = self.tracks.start();
        self.queue.push_back((Kind::Start, start, 0));
        let mut ended = false;
        while !ended {
            ended = if let Some((kind, state, entry)) = self.queue.pop_front() {
                let step = match kind {
                    Kind::Start | Kind::Level => self.level(kind, &state, entry),
                    Kind::Within => self.within(&state, entry),
                    Kind::Edge | Kind::EmptyEdge | Kind::PlusEdge => self.edge(kind, &state, entry),
                };
                step.is_none()
            } else if let Some((kind, state, entry)) = self.later.pop_front() {
                self.meet(kind, state, entry, Read::Nothing).is_none()
            } else {
                break;
            };
        }
        !ended && !self.lost && !self.tracks.blind
    }

    /// Takes a topic that the tracks came to this state with, where no other one has its answers.
    fn take(&mut self, topic: String, state: &State) -> Option<()> {
        if !self.found.is_topic(&topic) {
            self.lost = true;
        } else if self.answers.insert(self.tracks.answers(self.found.action, &topic, state)?) {
            self.found.suggest(topic);
        }
        Some(())
    }

    fn meet(&mut self, kind: Kind, state: State, before: usize, read: Read) -> Option<()> {
        self.tracks.spend(MEET + state.len())?;
        if self.seen.insert((kind, State::clone(&state))) {
            self.trail.push((before, read));
            self.queue.push_back((kind, state, self.trail.len() - 1));
        }
        Some(())
    }

    fn level(&mut self, kind: Kind, state: &State, entry: usize) -> Option<()> {
        let first = kind == Kind::Start;
        let empty = self.tracks.finish(state)?;
        self.later.push_back((if first { Kind::EmptyEdge } else { Kind::Edge }, empty, entry));
        if self.tracks.has_threads(state) {
            self.characters(state, entry, first)?;
        } else {
            for (word, next) in self.tracks.words(state, first)? {
                let empty = matches!(word, Word::Known(word) if self.tracks.text(word).is_empty());
                if !empty {
                    self.meet(Kind::Edge, next, entry, Read::Word(word))?;
                }
            }
        }
        if self.subscribe {
            if first {
                self.take("#".to_owned(), state)?;
            }
            let next = self.tracks.plus(state, first)?;
            self.meet(if first { Kind::PlusEdge } else { Kind::Edge }, next, entry, Read::Plus)?;
        }
        Some(())
    }

    fn within(&mut self, state: &State, entry: usize) -> Option<()> {
        let finished = self.tracks.finish(state)?;
        self.meet(Kind::Edge, finished, entry, Read::Nothing)?;
        self.characters(state, entry, false)
    }

    fn characters(&mut self, state: &State, entry: usize, first: bool) -> Option<()> {
        for c in self.tracks.characters(state)? {
            let next = self.tracks.read(state, c, first)?;
            self.meet(Kind::Within, next, entry, Read::Char(c))?;
        }
        Some(())
    }

    fn edge(&mut self, kind: Kind, state: &State, entry: usize) -> Option<()> {
        let topic = self.text(entry)?;
        let below = self.subscribe.then(|| format!("{topic}/#"));
        if kind != Kind::EmptyEdge {
            self.take(topic, state)?;
        }
        if let Some(below) = below {
            self.take(below, state)?;
        }
        let next = self.tracks.slash(state)?;
        self.meet(Kind::Level, next, entry, Read::Char('/'))
    }

    /// What was read on the way to an entry.
    fn text(&mut self, mut at: usize) -> Option<String> {
        let mut reads = Vec::new();
        while let Some((before, read)) = self.trail.get(at).filter(|_| at > 0) {
            reads.push(*read);
            at = *before;
        }
        self.tracks.spend(reads.len())?;
        let mut text = String::new();
        for read in reads.into_iter().rev() {
            match read {
                Read::Nothing => {}
                Read::Char(c) => text.push(c),
                Read::Word(Word::New) => text.push_str(&self.new_word),
                Read::Word(Word::NewDollar) => {
                    text.push('$');
                    text.push_str(&self.new_word);
                }
                Read::Word(Word::Known(word)) => text.push_str(self.tracks.text(word)),
                Read::Plus => text.push('+'),
            }
        }
        // It is split and checked as well.
        self.tracks.spend(4 * text.len())?;
        Some(text)
    }
}

/// Steps that meeting a state counts for, beside those of its tracks.
const MEET: usize = 20;

/// Topics that the patterns suggest, for where not all can be walked.
fn suggest(sets: &[&Patterns], identity: Identity<'_>, budget: &mut Budget, found: &mut Collected) {
    for set in sets {
        for filter in set.filters().iter().filter(|filter| filter.uses().possible(identity)) {
            let (levels, hash) = filter.expanded(identity);
            if !budget.spend(20 * (1 + levels.len())) {
                return;
            }
            let with = |plus: &str| {
                let words = levels.iter().map(|level| level.as_deref().unwrap_or(plus));
                words.chain(levels.is_empty().then_some(plus)).collect::<Vec<_>>().join("/")
            };
            found.suggest(with("x"));
            found.suggest(with("x") + "/x");
            found.suggest(with("+"));
            if hash {
                found.suggest(with("+") + "/#");
            }
        }
        for rich in set.rich() {
            if budget.is_spent() {
                return;
            }
            if let Some(topic) = shortest_topic(rich, identity, budget) {
                found.suggest_alike(&topic);
            }
        }
    }
}

/// The shortest topic that a glob or a regex matches; of one that begins with `$`, where its first level is literal.
fn shortest_topic(rich: &Rich, identity: Identity<'_>, budget: &mut Budget) -> Option<String> {
    let first = rich.prefix().split_once('/').map(|(first, _)| first).filter(|first| first.starts_with('$'));
    let filter = first.map_or_else(|| "#".to_owned(), |first| format!("{first}/#"));
    let request = Request::parse(Action::Subscribe, &filter)?;
    let found = common_topic(rich.machine()?, &request, identity);
    budget.spend(request.spent());
    match found {
        Found::Topic(topic) => Some(topic),
        Found::Nothing | Found::Unsettled => None,
    }
}
