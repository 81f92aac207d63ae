//! Which brokers are connected.
//!
//! A broker whose last connection is gone is stopped, or cannot reach this server: what it has to tell from then on is missed.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::places::Place;
use crate::clock::now_ms;
use crate::event::Origin;

/// Connections by the broker that they are of.
pub(super) struct Links {
    state: Mutex<State>,
    gone: Box<Gone>,
}

type Gone = dyn Fn(Origin<'_>, Option<IpAddr>) + Send + Sync;

#[derive(Default)]
struct State {
    counts: HashMap<Named, usize>,
    /// By address, of whichever brokers.
    addresses: HashMap<IpAddr, usize>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Named {
    cluster: Option<Box<str>>,
    node: Box<str>,
}

impl Links {
    /// `gone` is told of a broker whose last connection is closed, and of the address where no broker has one from there any more.
    pub(super) fn new(gone: impl Fn(Origin<'_>, Option<IpAddr>) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Links { state: Mutex::default(), gone: Box::new(gone) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, named: &Named, address: IpAddr) -> Opened {
        let State { counts, addresses } = &mut *self.state();
        let (of_broker, from_there) = (counts.entry(named.clone()).or_default(), addresses.entry(address).or_default());
        *of_broker += 1;
        *from_there += 1;
        Opened { is_back: *of_broker == 1 || *from_there == 1 }
    }

    fn closed(&self, named: &Named, address: IpAddr) {
        let State { counts, addresses } = &mut *self.state();
        let was_last_from_there = was_last(addresses, &address);
        if was_last(counts, named) {
            // Under the lock: a broker that comes back now is told of later.
            let origin = Origin { cluster: named.cluster.as_deref(), node: &named.node };
            (self.gone)(origin, was_last_from_there.then_some(address));
        }
    }
}

/// Counts one less, and tells whether none is left.
fn was_last<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) -> bool {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count > 0 {
            return false;
        }
    }
    counts.remove(key);
    true
}

/// A connection of which it has just been learned whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// It had no connection, or nobody had one from its address.
    pub(super) is_back: bool,
}

/// One connection, and whose it is.
pub(super) struct Link {
    /// Where it comes from.
    pub(super) address: IpAddr,
    /// When it was opened, Unix milliseconds.
    pub(super) opened_at: i64,
    /// Its place among the connections.
    pub(super) place: Arc<Place>,
    broker: OnceLock<Named>,
    links: Arc<Links>,
}

impl Link {
    pub(super) fn new(place: Arc<Place>, links: Arc<Links>) -> Arc<Self> {
        Arc::new(Link { address: place.address, opened_at: now_ms(), place, broker: OnceLock::new(), links })
    }

    /// A call came that is this broker's. The first tells whose the connection is. A name that is
    /// too long is no broker's, and is not kept.
    pub(super) fn is_of(&self, origin: Origin<'_>) -> Option<Opened> {
        if origin.is_too_long() {
            if self.place.is_first_badly_named() {
                self.place.all.lines().line(format_args!(
                    "a call from {} has names of {} bytes for its node and cluster, of {} at most: it is answered, and what it \
                     tells is in no history",
                    self.address,
                    origin.length(),
                    Origin::LONGEST
                ));
            }
            return None;
        }
        let mut first = None;
        self.broker.get_or_init(|| {
            let named = Named { cluster: origin.cluster.map(Box::from), node: origin.node.into() };
            first = Some(self.links.opened(&named, self.address));
            named
        });
        first
    }

    /// Acknowledges now what came. EMQX's client up to 4.3.15, 4.4.4 and 5.0.3 sends a call in two pieces and holds the second
    /// back, as it does the next call, until what it sent is acknowledged. An answer does that too, but where there is
    /// none yet, the kernel waits 40 ms for one.
    pub(super) fn acknowledge(&self) {
        self.place.acknowledge();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(named) = self.broker.get() {
            self.links.closed(named, self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::grpc::places::Places;
    use crate::log::Log;

    #[test]
    fn a_broker_is_gone_with_its_last_connection() {
        let gone = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&gone);
        let links = Links::new(move |origin, address| {
            let from = address.map(|address| format!(" {address}")).unwrap_or_default();
            said.lock().unwrap().push(format!("{origin}{from}"));
        });
        let places = Places::new(9, Log::stderr());
        let place = || places.take([10, 0, 0, 1].into(), Weak::new()).unwrap();
        let open = |cluster, node| {
            let link = Link::new(place(), Arc::clone(&links));
            let opened = link.is_of(Origin { cluster, node }).unwrap();
            (link, opened.is_back)
        };
        let ((one, first), (two, second), (other, third)) = (open(None, "a"), open(None, "a"), open(Some("k"), "a"));
        assert_eq!([first, second, third], [true, false, true]);
        // Whose it is, is settled.
        assert_eq!(one.is_of(Origin { cluster: None, node: "b" }), None);
        drop(Link::new(place(), Arc::clone(&links)));
        drop(one);
        assert_eq!(*gone.lock().unwrap(), [""; 0]);
        drop(two);
        assert_eq!(*gone.lock().unwrap(), ["node=\"a\""]);
        let (again, how) = open(None, "a");
        assert!(how);
        drop((again, other));
        assert_eq!(*gone.lock().unwrap(), ["node=\"a\"", "node=\"a\"", "node=\"a\" cluster=\"k\" 10.0.0.1"]);
    }
}
