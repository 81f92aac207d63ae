//! The brokers that events come from, each by a small number.

use std::collections::HashMap;
use std::sync::Arc;

use exhook_policy_core::event::Origin;

/// So many brokers are told apart: whoever reaches a server can make some up.
const MOST: usize = 10_000;

/// A broker, by the order in which it was first heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OriginId(u32);

impl OriginId {
    /// The broker that started this process: the one origin of a driver.
    pub(super) const PARENT: OriginId = OriginId(0);

    /// Its place in a list.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The names of a broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokerNames {
    /// Empty where it is not told.
    pub(super) cluster: Box<str>,
    pub(super) node: Box<str>,
}

/// Every broker that was heard of.
#[derive(Debug)]
pub(super) struct Origins {
    /// By cluster, then by node.
    ids: HashMap<Box<str>, HashMap<Box<str>, OriginId>>,
    named: Vec<Arc<BrokerNames>>,
    /// The one that was asked for last: the next event often comes from it too.
    last: OriginId,
}

impl Default for Origins {
    fn default() -> Self {
        let parent = BrokerNames { cluster: Box::default(), node: Box::default() };
        Origins { ids: HashMap::new(), named: vec![Arc::new(parent)], last: OriginId::PARENT }
    }
}

impl Origins {
    /// The broker's number; `None` where there are too many.
    pub(super) fn id(&mut self, origin: Origin<'_>) -> Option<OriginId> {
        let (cluster, node) = (origin.cluster.unwrap_or_default(), origin.node);
        if let Some(last) = self.named.get(self.last.index())
            && self.last != OriginId::PARENT
            && (&*last.node, &*last.cluster) == (node, cluster)
        {
            return Some(self.last);
        }
        self.last = match self.ids.get(cluster).and_then(|nodes| nodes.get(node)) {
            Some(&id) => id,
            None if origin.is_too_long() => return None,
            None => self.add(cluster, node)?,
        };
        Some(self.last)
    }

    fn add(&mut self, cluster: &str, node: &str) -> Option<OriginId> {
        if self.named.len() > MOST {
            return None;
        }
        let id = OriginId(u32::try_from(self.named.len()).unwrap_or(u32::MAX));
        self.named.push(Arc::new(BrokerNames { cluster: cluster.into(), node: node.into() }));
        self.ids.entry(cluster.into()).or_default().insert(node.into(), id);
        Some(id)
    }

    /// Those that were heard of since there were so many.
    pub(super) fn since(&self, known: usize) -> &[Arc<BrokerNames>] {
        self.named.get(known..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_keeps_its_number_and_clusters_are_told_apart() {
        let mut origins = Origins::default();
        let of = |cluster, node| Origin { cluster, node };
        let eu = origins.id(of(Some("eu"), "emqx@10.0.0.1"));
        let us = origins.id(of(Some("us"), "emqx@10.0.0.1"));
        let other = origins.id(of(Some("eu"), "emqx@10.0.0.2"));
        let nameless = origins.id(of(None, ""));
        assert_eq!([eu, us, other, nameless].map(|id| id.unwrap().index()), [1, 2, 3, 4]);
        assert_eq!(origins.id(of(Some(""), "")), nameless);
        assert_eq!(origins.id(of(Some("eu"), "emqx@10.0.0.1")), eu);
        assert_eq!(origins.id(of(Some("eu"), "emqx@10.0.0.1")), eu);
        assert_eq!(
            origins.since(3),
            [
                Arc::new(BrokerNames { cluster: "eu".into(), node: "emqx@10.0.0.2".into() }),
                Arc::new(BrokerNames { cluster: "".into(), node: "".into() })
            ]
        );
        assert!(origins.since(5).is_empty() && origins.since(50).is_empty());
    }

    #[test]
    fn there_is_an_end_to_names_that_are_made_up() {
        let mut origins = Origins::default();
        assert_eq!(origins.id(Origin { cluster: None, node: &"n".repeat(1_025) }), None);
        let kept = (0..20_000).filter(|n| origins.id(Origin { cluster: Some("c"), node: &n.to_string() }).is_some());
        assert_eq!(kept.count(), 10_000);
        assert!(origins.id(Origin { cluster: Some("c"), node: "7" }).is_some());
    }
}
