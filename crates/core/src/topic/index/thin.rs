//! A tree with fewer nodes, which tells less and is quicker to walk where it is larger than the caches.

use std::collections::HashMap;
use std::hash::Hash;

use hashbrown::HashTable;

use super::build::{Builder, Draft};
use super::{IndexEdge, NodeId, ROOT, mix};

impl Builder {
    /// Takes away what stands below a node where a single set is left. That set is then found by any topic that comes
    /// so far, and asked for itself as every other.
    pub(crate) fn thinned(self) -> Self {
        let sole = self.sole();
        let is_sole = |id: NodeId| sole.get(id as usize).copied().flatten().is_some();
        // New ids in the old order, so that parents stay before their children.
        let mut ids: Vec<Option<NodeId>> = Vec::with_capacity(self.nodes.len());
        let mut nodes: Vec<Draft> = Vec::new();
        for (old, draft) in (0..).zip(&self.nodes) {
            let parent =
                if old == ROOT { Some(ROOT) } else { of(&ids, draft.parent).filter(|_| !is_sole(draft.parent)) };
            ids.push(parent.map(|parent| {
                nodes.push(Draft { parent, plus: ROOT });
                NodeId::try_from(nodes.len() - 1).unwrap_or(ROOT)
            }));
        }
        for (draft, id) in self.nodes.iter().zip(&ids) {
            if let (Some(plus), Some(id)) = (of(&ids, draft.plus).filter(|_| draft.plus != ROOT), id)
                && let Some(node) = nodes.get_mut(*id as usize)
            {
                node.plus = plus;
            }
        }
        let mut edges = HashTable::with_capacity(nodes.len());
        for edge in &self.edges {
            if let (Some(node), Some(child)) = (of(&ids, edge.node), of(&ids, edge.child)) {
                let edge = IndexEdge { node, child, ..*edge };
                edges.insert_unique(mix(edge.node, edge.word), edge, |edge: &IndexEdge| mix(edge.node, edge.word));
            }
        }
        let kept = |(node, number): &(NodeId, u32)| Some((of(&ids, *node).filter(|_| !is_sole(*node))?, *number));
        let soles = ids.iter().zip(&sole).filter_map(|(id, sole)| Some(((*id)?, (*sole)?)));
        Builder {
            nodes,
            edges,
            ends: self.ends.iter().filter_map(kept).collect(),
            open: self.open.iter().filter_map(kept).chain(soles).collect(),
            templates: moved(self.templates, &ids),
            beginnings: moved(self.beginnings, &ids),
        }
    }

    /// Of each node the set that stands at and below it, where that is one.
    fn sole(&self) -> Vec<Option<u32>> {
        // The least and the greatest number.
        let mut bounds = vec![(u32::MAX, 0); self.nodes.len()];
        let mut widen = |node: NodeId, (least, most): (u32, u32)| {
            if let Some(bounds) = bounds.get_mut(node as usize) {
                *bounds = (bounds.0.min(least), bounds.1.max(most));
            }
            bounds.get(node as usize).copied()
        };
        for (node, number) in self.ends.iter().chain(&self.open) {
            widen(*node, (*number, *number));
        }
        for (id, draft) in self.nodes.iter().enumerate().skip(1).rev() {
            let id = NodeId::try_from(id).unwrap_or(ROOT);
            if let Some(found) = widen(id, (u32::MAX, 0)) {
                widen(draft.parent, found);
            }
        }
        bounds.into_iter().map(|(least, most)| (least == most).then_some(least)).collect()
    }
}

fn of(ids: &[Option<NodeId>], old: NodeId) -> Option<NodeId> {
    ids.get(old as usize).copied().flatten()
}

type ByText<K> = HashMap<(NodeId, K), NodeId>;

fn moved<K: Eq + Hash>(branches: ByText<K>, ids: &[Option<NodeId>]) -> ByText<K> {
    let ours = branches.into_iter();
    ours.filter_map(|((node, key), child)| Some(((of(ids, node)?, key), of(ids, child)?))).collect()
}
