//! From patterns to the tree.

use std::collections::HashMap;

use hashbrown::HashTable;

use super::{Beginning, Branches, EdgeRun, Index, IndexEdge, IndexNode, NodeId, ROOT, hash, mix};
use crate::topic::filter::{Filter, Level, Part};
use crate::topic::patterns::Patterns;
use crate::topic::rich::Rich;

/// Takes the sets one by one.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(super) nodes: Vec<Draft>,
    pub(super) edges: HashTable<IndexEdge>,
    pub(super) templates: HashMap<(NodeId, Box<[Part]>), NodeId>,
    pub(super) beginnings: HashMap<(NodeId, Box<str>), NodeId>,
    /// Node and number.
    pub(super) ends: Vec<(NodeId, u32)>,
    pub(super) open: Vec<(NodeId, u32)>,
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) parent: NodeId,
    pub(super) plus: NodeId,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            nodes: vec![Draft::default()],
            edges: HashTable::new(),
            templates: HashMap::new(),
            beginnings: HashMap::new(),
            ends: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl Builder {
    /// Adds the patterns of a set. The numbers must not descend.
    pub(crate) fn add(&mut self, number: u32, patterns: &Patterns) {
        patterns.filters().iter().for_each(|filter| self.add_filter(number, filter));
        patterns.rich().iter().for_each(|rich| self.add_rich(number, rich));
    }

    /// Adds a filter of a set.
    pub(in crate::topic) fn add_filter(&mut self, number: u32, filter: &Filter) {
        let mut node = ROOT;
        for level in filter.levels() {
            node = match level {
                Level::Plus => self.plus(node),
                Level::Word(word) => self.word(node, word),
                Level::Template(parts) => self.template(node, parts),
            };
        }
        if filter.ends_in_hash() { &mut self.open } else { &mut self.ends }.push((node, number));
    }

    /// Adds a glob or a regex of a set: all that is known of its topics is what they begin with.
    pub(in crate::topic) fn add_rich(&mut self, number: u32, rich: &Rich) {
        let (levels, beginning) = match rich.prefix().rsplit_once('/') {
            Some((levels, beginning)) => (Some(levels), beginning),
            None => (None, rich.prefix()),
        };
        let node =
            levels.into_iter().flat_map(|levels| levels.split('/')).fold(ROOT, |node, word| self.word(node, word));
        let node = self.beginning(node, beginning);
        self.open.push((node, number));
    }

    fn child_of(&mut self, parent: NodeId) -> NodeId {
        self.nodes.push(Draft { parent, plus: ROOT });
        // More nodes than a `u32` counts do not fit into memory, nor do more numbers.
        u32::try_from(self.nodes.len() - 1).unwrap_or(ROOT)
    }

    fn plus(&mut self, node: NodeId) -> NodeId {
        match self.nodes.get(node as usize).map(|node| node.plus) {
            Some(plus) if plus != ROOT => plus,
            Some(_) | None => {
                let child = self.child_of(node);
                if let Some(node) = self.nodes.get_mut(node as usize) {
                    node.plus = child;
                }
                child
            }
        }
    }

    fn word(&mut self, node: NodeId, word: &str) -> NodeId {
        let word = hash(word);
        let known = self.edges.find(mix(node, word), |edge| edge.word == word && edge.node == node);
        if let Some(edge) = known {
            return edge.child;
        }
        let child = self.child_of(node);
        let edge = IndexEdge { word, node, child };
        self.edges.insert_unique(mix(node, word), edge, |edge| mix(edge.node, edge.word));
        child
    }

    fn template(&mut self, node: NodeId, parts: &[Part]) -> NodeId {
        let key = (node, Box::from(parts));
        if let Some(child) = self.templates.get(&key) {
            return *child;
        }
        let child = self.child_of(node);
        self.templates.insert(key, child);
        child
    }

    fn beginning(&mut self, node: NodeId, text: &str) -> NodeId {
        let key = (node, Box::from(text));
        if let Some(child) = self.beginnings.get(&key) {
            return *child;
        }
        let child = self.child_of(node);
        self.beginnings.insert(key, child);
        child
    }

    /// The tree of all that was added.
    pub(crate) fn finish(self) -> Index {
        let Builder { nodes: drafts, mut edges, templates, beginnings, ends, open } = self;
        let mut numbers = Vec::with_capacity(ends.len() + open.len());
        let ends = runs(drafts.len(), ends, &mut numbers);
        let open = runs(drafts.len(), open, &mut numbers);
        let mut nodes: Vec<IndexNode> = drafts
            .iter()
            .zip(ends.into_iter().zip(open))
            .map(|(draft, (ends, open))| {
                let first = |run: EdgeRun| run.of(&numbers).first().copied().unwrap_or(u32::MAX);
                let least = first(ends).min(first(open));
                IndexNode { least, plus: draft.plus, branches: 0, ends, open, children: EdgeRun::default() }
            })
            .collect();
        // Every child stands behind its parent.
        for (at, draft) in drafts.iter().enumerate().skip(1).rev() {
            let least = nodes.get(at).map_or(u32::MAX, |node| node.least);
            if let Some(parent) = nodes.get_mut(draft.parent as usize) {
                parent.least = parent.least.min(least);
            }
        }
        let mut by_least: Vec<(NodeId, NodeId)> =
            (0..).zip(&drafts).skip(1).map(|(at, draft)| (draft.parent, at)).collect();
        by_least.sort_by_key(|(_, child)| nodes.get(*child as usize).map(|child| child.least));
        let mut children = Vec::with_capacity(by_least.len());
        for (node, run) in nodes.iter_mut().zip(runs(drafts.len(), by_least, &mut children)) {
            node.children = run;
        }
        let branches = branches(templates, beginnings, &mut nodes);
        edges.shrink_to_fit(|edge| mix(edge.node, edge.word));
        Index { nodes: nodes.into(), edges, branches, numbers: numbers.into(), children: children.into() }
    }
}

/// Appends what belongs to each node to a list of all, in the order in which it stands here, repetitions left out.
/// Gives where each node's part is.
fn runs(nodes: usize, mut pairs: Vec<(NodeId, u32)>, all: &mut Vec<u32>) -> Vec<EdgeRun> {
    pairs.sort_by_key(|(node, _)| *node);
    pairs.dedup();
    let mut runs = vec![EdgeRun::default(); nodes];
    for (node, value) in pairs {
        if let Some(run) = runs.get_mut(node as usize) {
            if run.count == 0 {
                run.start = u32::try_from(all.len()).unwrap_or(u32::MAX);
            }
            run.count += 1;
            all.push(value);
        }
    }
    runs
}

fn branches(
    templates: HashMap<(NodeId, Box<[Part]>), NodeId>,
    beginnings: HashMap<(NodeId, Box<str>), NodeId>,
    nodes: &mut [IndexNode],
) -> Box<[Branches]> {
    #[derive(Default)]
    struct Of {
        templates: Vec<(Box<[Part]>, NodeId)>,
        beginnings: Vec<(Box<str>, NodeId)>,
    }
    let mut of: HashMap<NodeId, Of> = HashMap::new();
    for ((node, parts), child) in templates {
        of.entry(node).or_default().templates.push((parts, child));
    }
    for ((node, text), child) in beginnings {
        of.entry(node).or_default().beginnings.push((text, child));
    }
    let mut all = Vec::with_capacity(of.len());
    for (node, Of { mut templates, mut beginnings }) in of {
        templates.sort_unstable_by_key(|(_, child)| *child);
        beginnings.sort_unstable();
        all.push(Branches { templates: templates.into(), beginnings: nested(beginnings) });
        if let Some(node) = nodes.get_mut(node as usize) {
            node.branches = u32::try_from(all.len()).unwrap_or(0);
        }
    }
    all.into()
}

/// Finds for each text the longest other one that it begins with. They are sorted, so that this stands before it, and
/// all between the two begin with it too.
fn nested(texts: Vec<(Box<str>, NodeId)>) -> Box<[Beginning]> {
    let mut nested: Vec<Beginning> = Vec::with_capacity(texts.len());
    let mut around: Vec<u32> = Vec::new();
    for (place, (text, node)) in (0..).zip(texts) {
        while let Some(last) = around.last()
            && !nested.get(*last as usize).is_some_and(|last| text.starts_with(&*last.text))
        {
            around.pop();
        }
        nested.push(Beginning { text, node, shorter: around.last().copied() });
        around.push(place);
    }
    nested.into()
}
