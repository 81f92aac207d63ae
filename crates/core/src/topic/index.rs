//! Which of many sets of patterns may be about a request, found without trying them all.
//!
//! The patterns of all sets stand in one tree, a level of the topic for each level of the tree: words, `+`, words with
//! placeholders, and, of globs and regexes, the text that all their topics begin with. What a walk meets there may
//! match; what it does not meet surely does not. So the tree decides nothing: whoever asks it tries what it gives, and
//! its words can be hashes.
//!
//! The sets are known by numbers, and come in ascending order: of rules, the one that stands first is tried first. A
//! topic name is walked at once, since few branches fit it. A filter may fit them all, so that its walk is put off as
//! far as the next number needs it ([`Frontier`]).
//!
//! Where a single set is left there may be no need to tell more of it ([`Builder::thinned`]).
//!
//! A walk meets each node at most once, unless values with `/` in them lead to it from several levels. Without `+` in the patterns it meets one node a level; with `+` beside words
//! at every level it may double at each, as far as there are nodes.

mod build;
mod frontier;
mod thin;

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::{SmallVec, smallvec};

use super::filter::{Part, accepts};
use super::request::Request;
use crate::text::Identity;

pub(crate) use build::Builder;
pub(crate) use frontier::Frontier;

type NodeId = u32;

const ROOT: NodeId = 0;

/// The sets, by their patterns.
#[derive(Debug, Default)]
pub(crate) struct Index {
    nodes: Box<[IndexNode]>,
    edges: HashTable<IndexEdge>,
    branches: Box<[Branches]>,
    /// The numbers of all nodes.
    numbers: Box<[u32]>,
    /// The children of all nodes, each node's by their least number.
    children: Box<[NodeId]>,
}

#[derive(Debug, Clone, Copy)]
struct IndexNode {
    /// The least number at and below the node.
    least: u32,
    /// The child behind a `+`; the root is nobody's child, and stands for none.
    plus: NodeId,
    /// Among `Index::branches`, counted from 1; 0 where there are none.
    branches: u32,
    /// Sets with a pattern that ends here.
    ends: EdgeRun,
    /// Sets with a pattern that matches whatever follows, as far as this tree tells.
    open: EdgeRun,
    children: EdgeRun,
}

/// A part of a list that all nodes share.
#[derive(Debug, Clone, Copy, Default)]
struct EdgeRun {
    start: u32,
    count: u32,
}

/// From a node to a child by a word.
#[derive(Debug, Clone, Copy)]
struct IndexEdge {
    word: u64,
    node: NodeId,
    child: NodeId,
}

/// The children of a node that no single word leads to.
#[derive(Debug, Default)]
struct Branches {
    /// By words with placeholders.
    templates: Box<[(Box<[Part]>, NodeId)]>,
    /// By what a word begins with, in the order of the texts.
    beginnings: Box<[Beginning]>,
}

#[derive(Debug)]
struct Beginning {
    text: Box<str>,
    node: NodeId,
    /// The place of the longest other text that this one begins with.
    shorter: Option<u32>,
}

/// The hash by which a word is found.
pub(super) fn hash(word: &str) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(word.as_bytes());
    hasher.finish()
}

/// The hash of an edge.
fn mix(node: NodeId, word: u64) -> u64 {
    let mixed = word ^ u64::from(node).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

impl Index {
    /// Adds the sets that may match a topic name; of a filter, those that may cover it.
    ///
    /// A set covers a filter only if it matches the shortest topic of it whose wildcards are a word that stands in no
    /// pattern. That is a topic name too, with words that only `+`, `#` and patterns without a beginning match.
    pub(crate) fn cover<'i>(&'i self, found: &mut Frontier<'i, '_>) {
        self.walk(false, found);
    }

    /// As [`cover`](Self::cover), of single patterns: those that may cover a filter together with others, because they
    /// match topics of it that are longer.
    pub(crate) fn cover_together<'i>(&'i self, found: &mut Frontier<'i, '_>) {
        self.walk(true, found);
    }

    /// Adds the sets that may have a topic in common with a filter.
    pub(crate) fn touch<'i>(&'i self, found: &mut Frontier<'i, '_>) {
        found.add_touched(self);
    }

    fn walk<'i>(&'i self, longer: bool, found: &mut Frontier<'i, '_>) {
        let (request, identity) = (found.request(), found.identity());
        let depth = request.least_depth();
        let longer = longer && request.ends_in_hash();
        let mut stack: SmallVec<[(NodeId, usize); 16]> = smallvec![(ROOT, 0)];
        while let Some((id, level)) = stack.pop() {
            let Some(node) = self.node(id) else { continue };
            found.add(self.numbers(node.open));
            if level >= depth {
                found.add(self.numbers(node.ends));
                if longer && node.plus != ROOT {
                    stack.push((node.plus, level + 1));
                }
                continue;
            }
            if node.plus != ROOT {
                stack.push((node.plus, level + 1));
            }
            let branches = self.branches_of(node);
            match request.levels().get(level) {
                Some(word) if word != "+" => {
                    stack.extend(self.child(id, hash(word)).map(|child| (child, level + 1)));
                    for (parts, child) in branches.map_or(&[][..], |branches| &branches.templates) {
                        stack.extend(template_end(parts, request, level, identity).map(|level| (*child, level)));
                    }
                    for beginning in branches.into_iter().flat_map(|branches| branches.beginning(word)) {
                        found.add(self.numbers_open(beginning.node));
                    }
                }
                // A word that is new.
                Some(_) | None => {
                    let shortest = branches.and_then(|branches| branches.beginnings.first());
                    if let Some(beginning) = shortest.filter(|beginning| beginning.text.is_empty()) {
                        found.add(self.numbers_open(beginning.node));
                    }
                }
            }
        }
    }

    fn node(&self, id: NodeId) -> Option<&IndexNode> {
        self.nodes.get(id as usize)
    }

    fn child(&self, node: NodeId, word: u64) -> Option<NodeId> {
        self.edges.find(mix(node, word), |edge| edge.word == word && edge.node == node).map(|edge| edge.child)
    }

    fn branches_of(&self, node: &IndexNode) -> Option<&Branches> {
        self.branches.get((node.branches as usize).checked_sub(1)?)
    }

    fn numbers(&self, run: EdgeRun) -> &[u32] {
        run.of(&self.numbers)
    }

    fn numbers_open(&self, id: NodeId) -> &[u32] {
        self.node(id).map_or(&[], |node| self.numbers(node.open))
    }
}

/// Whether a value holds a `/`, so that the word spans levels.
fn is_spread(parts: &[Part], identity: Identity<'_>) -> bool {
    parts.iter().any(|part| part.text(identity).contains('/'))
}

/// At which level a word with placeholders ends that begins at this one; a value with `/` in it spans levels.
fn template_end(parts: &[Part], request: &Request<'_>, level: usize, identity: Identity<'_>) -> Option<usize> {
    if !is_spread(parts, identity) {
        return accepts(parts, request.levels().get(level)?, identity).then_some(level + 1);
    }
    let text: String = parts.iter().map(|part| part.text(identity)).collect();
    let mut level = level;
    for word in text.split('/') {
        match request.levels().get(level) {
            Some(asked) if asked == word || asked == "+" => level += 1,
            // Whatever follows is asked for.
            None if request.ends_in_hash() => return Some(level),
            Some(_) | None => return None,
        }
    }
    Some(level)
}

impl Branches {
    /// The texts that the word begins with, the longest first.
    fn beginning(&self, word: &str) -> impl Iterator<Item = &Beginning> {
        let behind = self.beginnings.partition_point(|beginning| *beginning.text <= *word);
        let at = |place: Option<usize>| self.beginnings.get(place?);
        let shorter = move |one: &&Beginning| at(one.shorter.map(|place| place as usize));
        // The last text that is not behind the word begins with every text that the word begins with.
        let nearest = at(behind.checked_sub(1));
        std::iter::successors(nearest, shorter).skip_while(|beginning| !word.starts_with(&*beginning.text))
    }
}

impl EdgeRun {
    fn of<T>(self, all: &[T]) -> &[T] {
        let start = self.start as usize;
        all.get(start..start + self.count as usize).unwrap_or_default()
    }
}
