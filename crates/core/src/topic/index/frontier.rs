//! The sets that a request may be about, found one after the other.

use std::collections::HashSet;
use std::ptr;

use smallvec::SmallVec;

use super::{Index, NodeId, ROOT, hash, is_spread, template_end};
use crate::text::Identity;
use crate::topic::request::Request;

/// The numbers of sets, each once, in ascending order: those of lists, and those that a filter may touch.
///
/// What is still to be looked at lies in a heap, by the least number that may be found there. It is large, and is
/// filled where it stands.
#[derive(Debug)]
pub(crate) struct Frontier<'i, 'r> {
    request: &'r Request<'r>,
    identity: Identity<'r>,
    heap: SmallVec<[FrontierItem<'i>; 24]>,
    /// Whether the heap is one. It is not before the first number is asked for, since all that is found until then is
    /// put in order at once.
    ordered: bool,
    /// The nodes that were met, by their index and from which level on, where one may be met by several ways.
    met: Option<HashSet<(usize, NodeId, From)>>,
}

#[derive(Debug, Clone, Copy)]
struct FrontierItem<'i> {
    least: u32,
    work: FrontierWork<'i>,
}

#[derive(Debug, Clone, Copy)]
enum FrontierWork<'i> {
    Numbers(&'i [u32]),
    /// A node, and what of it is asked for.
    Node(&'i Index, NodeId, From),
    /// Children of a node, and what of each is asked for.
    Siblings(&'i Index, &'i [NodeId], From),
}

/// What of a node is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum From {
    /// What the filter says from this level on.
    Level(usize),
    /// Everything.
    Here,
}

impl<'i, 'r> Frontier<'i, 'r> {
    /// Nothing yet, for a request of this identity.
    #[inline]
    pub(crate) fn new(request: &'r Request<'r>, identity: Identity<'r>) -> Self {
        Frontier { request, identity, heap: SmallVec::new(), ordered: false, met: None }
    }

    /// The request that the numbers are found for.
    pub(crate) fn request(&self) -> &'r Request<'r> {
        self.request
    }

    /// Whose request it is.
    pub(super) fn identity(&self) -> Identity<'r> {
        self.identity
    }

    /// Adds the numbers of a list, which ascend.
    #[inline]
    pub(crate) fn add(&mut self, numbers: &'i [u32]) {
        if let Some(least) = numbers.first() {
            self.push(FrontierItem { least: *least, work: FrontierWork::Numbers(numbers) });
        }
    }

    /// Adds the sets of an index that may have a topic in common with the filter.
    pub(super) fn add_touched(&mut self, index: &'i Index) {
        self.push_node(index, ROOT, From::Level(0));
    }

    /// The next number, which stays first.
    #[inline]
    fn peek(&mut self) -> Option<u32> {
        if !self.ordered {
            self.ordered = true;
            (0..self.heap.len() / 2).rev().for_each(|at| self.sink(at));
        }
        loop {
            let FrontierItem { least, work } = *self.heap.first()?;
            if matches!(work, FrontierWork::Numbers(_)) {
                return Some(least);
            }
            self.pop();
            self.expand(work);
        }
    }

    /// Passes over the first number of the first list.
    fn pass(&mut self) {
        let Some(FrontierItem { least, work: FrontierWork::Numbers(numbers) }) = self.heap.first_mut() else { return };
        match numbers.get(1..).and_then(|rest| Some((rest, *rest.first()?))) {
            Some((rest, next)) => {
                (*numbers, *least) = (rest, next);
                self.sink(0);
            }
            None => drop(self.pop()),
        }
    }

    fn expand(&mut self, work: FrontierWork<'i>) {
        match work {
            FrontierWork::Numbers(numbers) => self.add(numbers),
            FrontierWork::Node(index, id, from) => {
                let key = (ptr::from_ref(index).addr(), id, from);
                if self.met.as_mut().is_some_and(|met| !met.insert(key)) {
                    return;
                }
                let Some(node) = index.node(id) else { return };
                self.add(index.numbers(node.open));
                match from {
                    From::Level(level) if level < self.request.levels().len() => self.expand_level(index, id, level),
                    From::Level(_) if !self.request.ends_in_hash() => self.add(index.numbers(node.ends)),
                    From::Level(_) | From::Here => {
                        self.add(index.numbers(node.ends));
                        self.push_siblings(index, node.children.of(&index.children), From::Here);
                    }
                }
            }
            FrontierWork::Siblings(index, siblings, from) => {
                if let Some((first, rest)) = siblings.split_first() {
                    self.push_node(index, *first, from);
                    self.push_siblings(index, rest, from);
                }
            }
        }
    }

    /// The children of a node to which a level of the filter leads.
    fn expand_level(&mut self, index: &'i Index, id: NodeId, level: usize) {
        let (Some(node), Some(asked)) = (index.node(id), self.request.levels().get(level)) else { return };
        let branches = index.branches_of(node);
        for (parts, child) in branches.map_or(&[][..], |branches| &branches.templates) {
            if is_spread(parts, self.identity) {
                self.met.get_or_insert_default();
            }
            if let Some(end) = template_end(parts, self.request, level, self.identity)
                // Where every word is asked for, the child is one of the siblings.
                && (asked != "+" || end != level + 1)
            {
                self.push_node(index, *child, From::Level(end));
            }
        }
        if asked == "+" {
            self.push_siblings(index, node.children.of(&index.children), From::Level(level + 1));
            return;
        }
        if let Some(child) = index.child(id, hash(asked)) {
            self.push_node(index, child, From::Level(level + 1));
        }
        if node.plus != ROOT {
            self.push_node(index, node.plus, From::Level(level + 1));
        }
        for beginning in branches.into_iter().flat_map(|branches| branches.beginning(asked)) {
            self.add(index.numbers_open(beginning.node));
        }
    }

    fn push_node(&mut self, index: &'i Index, id: NodeId, from: From) {
        if let Some(node) = index.node(id) {
            self.push(FrontierItem { least: node.least, work: FrontierWork::Node(index, id, from) });
        }
    }

    fn push_siblings(&mut self, index: &'i Index, siblings: &'i [NodeId], from: From) {
        if let Some(first) = siblings.first().and_then(|first| index.node(*first)) {
            self.push(FrontierItem { least: first.least, work: FrontierWork::Siblings(index, siblings, from) });
        }
    }

    #[inline]
    fn push(&mut self, item: FrontierItem<'i>) {
        let mut at = self.heap.len();
        self.heap.push(item);
        while self.ordered && at > 0 {
            let above = (at - 1) / 2;
            if self.least(above) <= self.least(at) {
                return;
            }
            self.heap.swap(above, at);
            at = above;
        }
    }

    fn pop(&mut self) -> Option<FrontierItem<'i>> {
        if self.heap.is_empty() {
            return None;
        }
        let first = self.heap.swap_remove(0);
        self.sink(0);
        Some(first)
    }

    /// Brings an item down to where it belongs.
    #[inline]
    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let below = if self.least(right) < self.least(left) { right } else { left };
            if self.least(at) <= self.least(below) {
                return;
            }
            self.heap.swap(at, below);
            at = below;
        }
    }

    /// Past the end of the heap everything is greater.
    fn least(&self, at: usize) -> u64 {
        self.heap.get(at).map_or(u64::MAX, |item| item.least.into())
    }
}

impl Iterator for Frontier<'_, '_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let next = self.peek()?;
        // Several lists may have it.
        while self.peek() == Some(next) {
            self.pass();
        }
        Some(next)
    }
}
