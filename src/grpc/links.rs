//! Which brokers are connected.
//!
//! A broker whose last connection is gone is stopped, or cannot reach this server: what it has to tell from then on is missed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::net::sockopt;

use crate::clock::now_ms;
use crate::event::Origin;

/// Brokers that are kept in mind. What would be more is no broker.
const MOST: usize = 1024;

/// Connections by the broker that they are of.
pub(super) struct Links {
    state: Mutex<State>,
    gone: Box<dyn Fn(Origin<'_>) + Send + Sync>,
}

#[derive(Default)]
struct State {
    counts: HashMap<Named, usize>,
    /// Those that called since this server was started.
    known: HashSet<Named>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Named {
    cluster: Option<Box<str>>,
    node: Box<str>,
}

impl Links {
    /// `gone` is told of a broker whose last connection is closed.
    pub(super) fn new(gone: impl Fn(Origin<'_>) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Links { state: Mutex::default(), gone: Box::new(gone) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this broker calls for the first time since this server was started.
    fn opened(&self, named: &Named) -> bool {
        let State { counts, known } = &mut *self.state();
        *counts.entry(named.clone()).or_default() += 1;
        known.len() < MOST && known.insert(named.clone())
    }

    fn closed(&self, named: &Named) {
        let State { counts, .. } = &mut *self.state();
        if let Some(count) = counts.get_mut(named) {
            *count -= 1;
            if *count > 0 {
                return;
            }
        }
        counts.remove(named);
        // Under the lock: a broker that comes back now is told of later.
        (self.gone)(Origin { cluster: named.cluster.as_deref(), node: &named.node });
    }
}

/// One connection, and whose it is.
pub(super) struct Link {
    /// Where it comes from.
    pub(super) address: IpAddr,
    /// When it was opened, Unix milliseconds.
    pub(super) opened_at: i64,
    /// Another handle of its socket.
    socket: Option<OwnedFd>,
    broker: OnceLock<Named>,
    links: Arc<Links>,
}

impl Link {
    pub(super) fn new(address: IpAddr, socket: Option<OwnedFd>, links: Arc<Links>) -> Arc<Self> {
        Arc::new(Link { address, opened_at: now_ms(), socket, broker: OnceLock::new(), links })
    }

    /// A call came that is this broker's. The first tells whose the connection is. Whether it is the first of the broker's since
    /// this server was started.
    pub(super) fn is_of(&self, origin: Origin<'_>) -> bool {
        let mut first = false;
        self.broker.get_or_init(|| {
            let named = Named { cluster: origin.cluster.map(Box::from), node: origin.node.into() };
            first = self.links.opened(&named);
            named
        });
        first
    }

    /// Acknowledges now what came. EMQX's client up to 4.3.15, 4.4.4 and 5.0.3 sends a call in two pieces and holds the second
    /// back, as it does the next call, until what it sent is acknowledged. An answer does that too, but where there is
    /// none yet, the kernel waits 40 ms for one.
    pub(super) fn acknowledge(&self) {
        if let Some(socket) = &self.socket {
            // Where it cannot be done, it is only slow.
            let _ = sockopt::set_tcp_quickack(socket, true);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(named) = self.broker.get() {
            self.links.closed(named);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_gone_with_its_last_connection() {
        let gone = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&gone);
        let links = Links::new(move |origin| said.lock().unwrap().push(origin.to_string()));
        let open = |cluster, node| {
            let link = Link::new([10, 0, 0, 1].into(), None, Arc::clone(&links));
            let first = link.is_of(Origin { cluster, node });
            (link, first)
        };
        let ((one, first), (two, second), (other, third)) = (open(None, "a"), open(None, "a"), open(Some("k"), "a"));
        assert_eq!([first, second, third], [true, false, true]);
        // Whose it is, is settled.
        assert!(!one.is_of(Origin { cluster: None, node: "b" }));
        drop(Link::new([10, 0, 0, 1].into(), None, Arc::clone(&links)));
        drop(one);
        assert_eq!(*gone.lock().unwrap(), [""; 0]);
        drop(two);
        assert_eq!(*gone.lock().unwrap(), ["node=\"a\""]);
        drop((open(None, "a"), other));
        assert_eq!(*gone.lock().unwrap(), ["node=\"a\"", "node=\"a\"", "node=\"a\" cluster=\"k\""]);
    }
}
