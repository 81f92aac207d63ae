//! Which broker.

use std::fmt;
use std::net::IpAddr;

use crate::event::Origin;

/// A broker that asks this program. [`Display`](fmt::Display) is for people: two different brokers
/// may look the same in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrokerId {
    /// The one that started this process as its port driver.
    Port,
    /// One that says its name.
    Named {
        /// Its cluster, where it says that too.
        cluster: Option<String>,
        /// Its node. Both names together have [`Origin::LONGEST`] bytes at most.
        node: String,
    },
    /// One that does not say its name when it loads the provider, as EMQX before 4.3.14: all of
    /// them at this address.
    At(IpAddr),
}

impl BrokerId {
    /// The broker of these names; `None` where they are longer than any broker's, and so must not
    /// be kept.
    pub fn of(origin: Origin<'_>) -> Option<Self> {
        let named = || BrokerId::Named { cluster: origin.cluster.map(str::to_owned), node: origin.node.to_owned() };
        (!origin.is_too_long()).then(named)
    }

    /// The broker's names, where it says them.
    pub fn origin(&self) -> Option<Origin<'_>> {
        match self {
            BrokerId::Named { cluster, node } => Some(Origin { cluster: cluster.as_deref(), node }),
            BrokerId::Port | BrokerId::At(_) => None,
        }
    }
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerId::Port => f.write_str("the broker"),
            BrokerId::Named { cluster, node } => Origin { cluster: cluster.as_deref(), node }.fmt(f),
            BrokerId::At(address) => write!(f, "the broker at {address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_shown_by_what_it_says_of_itself() {
        let named = |cluster| BrokerId::of(Origin { cluster, node: "a\"b" }).unwrap().to_string();
        assert_eq!(named(None), r#"node="a\"b""#);
        assert_eq!(named(Some("k")), r#"node="a\"b" cluster="k""#);
        assert_eq!(BrokerId::At([10, 0, 0, 1].into()).to_string(), "the broker at 10.0.0.1");
        assert_eq!(BrokerId::Port.to_string(), "the broker");
    }

    #[test]
    fn names_that_no_broker_has_are_not_kept() {
        let node = "n".repeat(Origin::LONGEST);
        let origin = |cluster| Origin { cluster, node: &node };
        assert_eq!(BrokerId::of(origin(None)).unwrap().origin(), Some(origin(None)));
        assert_eq!(BrokerId::of(origin(Some("k"))), None);
    }
}
