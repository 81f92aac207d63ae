//! Which brokers are connected.
//!
//! A broker whose last connection is gone is stopped, or cannot reach this server: what it has to tell from then on is missed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::places::ConnectionPlace;
use crate::clock::now_ms;
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::event::Origin;

/// Brokers that are kept of one connection. It has one, but for a proxy that lets the brokers of a
/// cluster share it. Each takes a place among the brokers of which the server keeps the hooks.
const MOST: usize = 32;

/// Connections by the brokers that they are of.
pub(super) struct Links {
    state: Mutex<LinksState>,
    gone: Box<Gone>,
}

type Gone = dyn Fn(&BrokerId) + Send + Sync;

#[derive(Default)]
struct LinksState {
    /// Connections by the broker that they are of: by its name, and all by their address too,
    /// also those of brokers that did not say their name.
    counts: HashMap<BrokerId, usize>,
}

impl Links {
    /// `gone` hears of each broker whose last connection is closed, and of the address when no
    /// broker has a connection from there any more.
    pub(super) fn new(gone: impl Fn(&BrokerId) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Links { state: Mutex::default(), gone: Box::new(gone) })
    }

    fn state(&self) -> MutexGuard<'_, LinksState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection as one of this broker, and tells whether that is its only one.
    fn opened(&self, broker: &BrokerId) -> bool {
        let mut state = self.state();
        let count = state.counts.entry(broker.clone()).or_default();
        *count += 1;
        *count == 1
    }

    fn closed(&self, Owners { named, is_from_there }: &Owners, address: IpAddr) {
        let state = &mut *self.state();
        let at_address = is_from_there.then_some(BrokerId::At(address));
        // Under the lock: a broker that comes back now is told of later.
        for broker in named.iter().chain(&at_address) {
            if state.was_last(broker) {
                (self.gone)(broker);
            }
        }
    }
}

impl LinksState {
    /// Counts one less, and tells whether none is left.
    fn was_last(&mut self, broker: &BrokerId) -> bool {
        if let Some(count) = self.counts.get_mut(broker) {
            *count -= 1;
            if *count > 0 {
                return false;
            }
        }
        self.counts.remove(broker);
        true
    }
}

/// What a connection knows of a broker that calls by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownBroker {
    /// It had no connection until now, or there was none from its address.
    Back,
    /// It has another connection, or has called by this one.
    Here,
    /// Its name is not kept: it is too long, or the connection has too many.
    Unkept,
}

/// One connection, and whose it is.
pub(super) struct Link {
    /// Where it comes from.
    pub(super) address: IpAddr,
    /// When it was opened, Unix milliseconds.
    pub(super) opened_at: i64,
    /// Its place among the connections.
    pub(super) place: Arc<ConnectionPlace>,
    owners: Mutex<Owners>,
    links: Arc<Links>,
}

/// Whose a connection is.
#[derive(Default)]
struct Owners {
    /// At most [`MOST`].
    named: Vec<BrokerId>,
    /// It counts as a connection of its address.
    is_from_there: bool,
}

impl Owners {
    /// Counts the connection as one from its address, once. True if that is the only one.
    fn come_from(&mut self, address: IpAddr, links: &Links) -> bool {
        !std::mem::replace(&mut self.is_from_there, true) && links.opened(&BrokerId::At(address))
    }
}

impl Link {
    pub(super) fn new(place: Arc<ConnectionPlace>, links: Arc<Links>) -> Arc<Self> {
        let (address, opened_at, owners) = (place.address, now_ms(), Mutex::default());
        Arc::new(Link { address, opened_at, place, owners, links })
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call came that is this broker's.
    pub(super) fn is_of(&self, origin: Origin<'_>) -> KnownBroker {
        let owners = &mut *self.owners();
        if owners.named.iter().any(|named| named.origin() == Some(origin)) {
            return KnownBroker::Here;
        }
        let Some(broker) = BrokerId::of(origin) else {
            if self.place.is_first_badly_named() {
                self.place.all.lines().line(format_args!(
                    "a call from {} has names of {} bytes for its node and cluster, of {} at most: it is answered, and what it \
                     tells is in no history",
                    self.address,
                    origin.length(),
                    Origin::LONGEST
                ));
            }
            return KnownBroker::Unkept;
        };
        if owners.named.len() >= MOST {
            if self.place.is_first_badly_named() {
                self.place.all.lines().line(format_args!(
                    "a connection from {} has calls of more than {MOST} brokers: those of the others are answered, and \
                     `exhook-policy status` does not show which hooks the others lack",
                    self.address
                ));
            }
            return KnownBroker::Unkept;
        }
        // Both are counted.
        let is_only = [self.links.opened(&broker), owners.come_from(self.address, &self.links)];
        owners.named.push(broker);
        if is_only.contains(&true) { KnownBroker::Back } else { KnownBroker::Here }
    }

    /// A broker that did not say its name loads the provider.
    pub(super) fn is_of_a_nameless_broker(&self) {
        self.owners().come_from(self.address, &self.links);
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
        let owners = self.owners.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.links.closed(owners, self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::grpc::places::ConnectionPlaces;
    use crate::log::Log;

    struct Fixture {
        links: Arc<Links>,
        places: Arc<ConnectionPlaces>,
        gone: Arc<Mutex<Vec<String>>>,
    }

    impl Fixture {
        fn new() -> Self {
            let gone = Arc::new(Mutex::new(Vec::new()));
            let said = Arc::clone(&gone);
            let links = Links::new(move |broker| said.lock().unwrap().push(broker.to_string()));
            Fixture { links, places: ConnectionPlaces::new(9, Log::stderr()), gone }
        }

        fn connect(&self) -> Arc<Link> {
            let place = self.places.take([10, 0, 0, 1].into(), Weak::new()).unwrap();
            Link::new(place, Arc::clone(&self.links))
        }

        /// What went since the last time.
        fn gone(&self) -> Vec<String> {
            std::mem::take(&mut self.gone.lock().unwrap())
        }
    }

    fn node(node: &str) -> Origin<'_> {
        Origin { cluster: None, node }
    }

    #[test]
    fn a_broker_is_gone_with_its_last_connection() {
        let fixture = Fixture::new();
        let open = |origin| {
            let link = fixture.connect();
            let known = link.is_of(origin);
            (link, known)
        };
        let in_cluster = Origin { cluster: Some("k"), ..node("a") };
        let ((one, first), (two, second), (other, third)) = (open(node("a")), open(node("a")), open(in_cluster));
        assert_eq!([first, second, third], [KnownBroker::Back, KnownBroker::Here, KnownBroker::Back]);
        assert_eq!(one.is_of(node("a")), KnownBroker::Here);
        drop(fixture.connect());
        drop(one);
        assert_eq!(fixture.gone(), [""; 0]);
        drop(two);
        assert_eq!(fixture.gone(), ["node=\"a\""]);
        let (again, how) = open(node("a"));
        assert_eq!(how, KnownBroker::Back);
        drop((again, other));
        assert_eq!(fixture.gone(), ["node=\"a\"", "node=\"a\" cluster=\"k\"", "the broker at 10.0.0.1"]);
    }

    #[test]
    fn brokers_that_share_a_connection_are_gone_with_it() {
        let fixture = Fixture::new();
        let (shared, own) = (fixture.connect(), fixture.connect());
        assert_eq!(
            ["a", "b", "a"].map(|name| shared.is_of(node(name))),
            [KnownBroker::Back, KnownBroker::Back, KnownBroker::Here]
        );
        assert_eq!(own.is_of(node("b")), KnownBroker::Here);
        drop(shared);
        assert_eq!(fixture.gone(), ["node=\"a\""]);
        drop(own);
        assert_eq!(fixture.gone(), ["node=\"b\"", "the broker at 10.0.0.1"]);
    }

    #[test]
    fn a_connection_keeps_a_bounded_number_of_names() {
        let fixture = Fixture::new();
        let link = fixture.connect();
        let names: Vec<_> = (0..1_100).map(|number| format!("n{number}")).collect();
        let kept = names.iter().filter(|name| link.is_of(node(name)) == KnownBroker::Back).count();
        assert_eq!(kept, MOST);
        assert_eq!((link.is_of(node("n31")), link.is_of(node("n32"))), (KnownBroker::Here, KnownBroker::Unkept));
        assert_eq!(link.is_of(node(&"x".repeat(1_025))), KnownBroker::Unkept);
        drop(link);
        assert_eq!(fixture.gone().len(), MOST + 1);
        assert!(fixture.links.state().counts.is_empty());
    }

    #[test]
    fn a_nameless_broker_is_gone_with_the_last_connection() {
        let fixture = Fixture::new();
        let (one, two) = (fixture.connect(), fixture.connect());
        one.is_of_a_nameless_broker();
        one.is_of_a_nameless_broker();
        // Its name comes with the calls.
        assert_eq!(two.is_of(node("a")), KnownBroker::Back);
        drop(two);
        assert_eq!(fixture.gone(), ["node=\"a\""]);
        drop(one);
        assert_eq!(fixture.gone(), ["the broker at 10.0.0.1"]);
    }
}
