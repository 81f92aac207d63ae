//! What is kept from one event to those that follow, in memory alone: after a start all that is
//! open is unsure anyway.

use std::cell::RefCell;
use std::mem;

use exhook_policy_core::event::owned::OwnedPeerhost;

/// An end may come so long before the beginning of its connection: milliseconds.
const OVERTAKES: i64 = 10_000;
/// So many ends are kept that came before their beginning; where there are more, the oldest are
/// forgotten.
const MOST: usize = 10_000;

/// Ends that came too soon, and clients to listen for.
#[derive(Debug, Default)]
pub(crate) struct BetweenEvents {
    ends: RefCell<Vec<EarlyEnd>>,
    listened_for: RefCell<Vec<(Box<str>, Box<str>)>>,
}

/// The end of a connection of whose beginning nothing was heard. Calls of one connection can
/// overtake each other where the broker has given up waiting for the first.
#[derive(Debug)]
struct EarlyEnd {
    at: i64,
    cluster: Box<str>,
    clientid: Box<str>,
    host: OwnedPeerhost,
    port: u16,
}

impl BetweenEvents {
    /// Notes the end of a client's connection that is not known; `of` is its cluster and clientid.
    pub(super) fn ends_before(&self, at: i64, of: (&str, &str), host: &OwnedPeerhost, port: u16) {
        let mut ends = self.ends.borrow_mut();
        if ends.len() >= MOST {
            ends.retain(|end| end.is_of(at));
            if ends.len() >= MOST {
                ends.drain(..MOST / 2);
            }
        }
        ends.push(EarlyEnd { at, cluster: of.0.into(), clientid: of.1.into(), host: host.clone(), port });
    }

    /// Whether the end of this connection, which begins now, was told before.
    pub(super) fn ended_before(&self, at: i64, of: (&str, &str), host: &OwnedPeerhost, port: Option<u16>) -> bool {
        let mut ends = self.ends.borrow_mut();
        if ends.is_empty() {
            return false;
        }
        ends.retain(|end| end.is_of(at));
        let is_this =
            |end: &EarlyEnd| (&*end.cluster, &*end.clientid) == of && end.host == *host && Some(end.port) == port;
        ends.iter().any(is_this)
    }

    pub(super) fn listen_for(&self, cluster: &str, clientid: &str) {
        self.listened_for.borrow_mut().push((cluster.into(), clientid.into()));
    }

    /// The clients, each with its cluster, whose connection became unsure.
    pub(crate) fn take_listened_for(&self) -> Vec<(Box<str>, Box<str>)> {
        mem::take(&mut *self.listened_for.borrow_mut())
    }
}

impl EarlyEnd {
    fn is_of(&self, at: i64) -> bool {
        at.saturating_sub(self.at).abs() <= OVERTAKES
    }
}
