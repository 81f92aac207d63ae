//! The sets that a filter may touch, found one after the other.

use smallvec::SmallVec;

use super::{Index, NodeId, ROOT, hash, template_end};
use crate::text::Identity;
use crate::topic::request::Request;

/// The numbers of the sets that may have a topic in common with a filter, each once, in ascending order.
///
/// What is still to be looked at lies in a heap, by the least number that may be found there.
#[derive(Debug)]
pub(crate) struct Touched<'i, 'r> {
    request: &'r Request<'r>,
    identity: Identity<'r>,
    heap: SmallVec<[Item<'i>; 24]>,
}

#[derive(Debug, Clone, Copy)]
struct Item<'i> {
    least: u32,
    work: Work<'i>,
}

#[derive(Debug, Clone, Copy)]
enum Work<'i> {
    Numbers(&'i [u32]),
    /// A node, and what of it is asked for.
    Node(&'i Index, NodeId, From),
    /// Children of a node, and what of each is asked for.
    Siblings(&'i Index, &'i [NodeId], From),
}

/// What of a node is asked for.
#[derive(Debug, Clone, Copy)]
enum From {
    /// What the filter says from this level on.
    Level(usize),
    /// Everything.
    Here,
}

impl<'i, 'r> Touched<'i, 'r> {
    /// Those of no index yet.
    #[inline]
    pub(crate) fn new(request: &'r Request<'r>, identity: Identity<'r>) -> Self {
        Touched { request, identity, heap: SmallVec::new() }
    }

    /// Those of this index besides.
    pub(crate) fn add(&mut self, index: &'i Index) {
        self.push_node(index, ROOT, From::Level(0));
    }

    /// The next number, which stays.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u32> {
        if self.heap.is_empty() { None } else { self.look() }
    }

    fn look(&mut self) -> Option<u32> {
        loop {
            let Item { least, work } = *self.heap.first()?;
            if matches!(work, Work::Numbers(_)) {
                return Some(least);
            }
            self.pop();
            self.expand(work);
        }
    }

    /// Passes over a number if it is the next.
    pub(crate) fn pass(&mut self, number: u32) {
        while self.peek() == Some(number)
            && let Some(Item { work: Work::Numbers(numbers), .. }) = self.pop()
        {
            self.push_numbers(numbers.get(1..).unwrap_or_default());
        }
    }

    fn expand(&mut self, work: Work<'i>) {
        match work {
            Work::Numbers(numbers) => self.push_numbers(numbers),
            Work::Node(index, id, from) => {
                let Some(node) = index.node(id) else { return };
                self.push_numbers(index.numbers(node.open));
                match from {
                    From::Level(level) if level < self.request.levels().len() => self.expand_level(index, id, level),
                    From::Level(_) if !self.request.ends_in_hash() => self.push_numbers(index.numbers(node.ends)),
                    From::Level(_) | From::Here => {
                        self.push_numbers(index.numbers(node.ends));
                        self.push_siblings(index, node.children.of(&index.children), From::Here);
                    }
                }
            }
            Work::Siblings(index, siblings, from) => {
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
            if let Some(level) = template_end(parts, self.request, level, self.identity) {
                self.push_node(index, *child, From::Level(level));
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
            self.push_numbers(index.numbers_open(beginning.node));
        }
    }

    fn push_node(&mut self, index: &'i Index, id: NodeId, from: From) {
        if let Some(node) = index.node(id) {
            self.push(Item { least: node.least, work: Work::Node(index, id, from) });
        }
    }

    fn push_numbers(&mut self, numbers: &'i [u32]) {
        if let Some(least) = numbers.first() {
            self.push(Item { least: *least, work: Work::Numbers(numbers) });
        }
    }

    fn push_siblings(&mut self, index: &'i Index, siblings: &'i [NodeId], from: From) {
        if let Some(first) = siblings.first().and_then(|first| index.node(*first)) {
            self.push(Item { least: first.least, work: Work::Siblings(index, siblings, from) });
        }
    }

    fn push(&mut self, item: Item<'i>) {
        let mut at = self.heap.len();
        self.heap.push(item);
        while at > 0 {
            let above = (at - 1) / 2;
            if self.least(above) <= self.least(at) {
                return;
            }
            self.heap.swap(above, at);
            at = above;
        }
    }

    fn pop(&mut self) -> Option<Item<'i>> {
        if self.heap.is_empty() {
            return None;
        }
        let first = self.heap.swap_remove(0);
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let below = if self.least(right) < self.least(left) { right } else { left };
            if self.least(at) <= self.least(below) {
                return Some(first);
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

impl Iterator for Touched<'_, '_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let next = self.peek()?;
        self.pass(next);
        Some(next)
    }
}
