//! The rules that let clients in which are not connected yet.
//!
//! A login is decided before its connection begins, and the row of the connection names the rule.
//! What is in between is kept for a while and within a bound: if it is lost, the rule is not
//! known.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState as FastState;

use exhook_policy_core::event::short::short;
use exhook_policy_core::event::{Client, Peerhost};

/// A client is connected no later than this after its login, in milliseconds. The broker says so
/// within milliseconds.
const WITHIN: i64 = 60_000;
/// Logins of the younger half; there are as many of the older one at most.
const HALF: usize = 16_384;

/// Logins that were let in, and whose connections have not begun.
#[derive(Default)]
pub(super) struct LetIn {
    /// Of this process, so that no client can choose a name for which another client's rule is
    /// kept.
    keys: RandomState,
    halves: Mutex<Halves>,
}

/// When the younger half is full it becomes the older one, and what that had is forgotten. So the
/// oldest are, and it costs nothing to find them. The keys are hashes that cannot be guessed already,
/// so that the maps need no second one.
#[derive(Default)]
struct Halves {
    young: HashMap<u64, LetInBy, FastState>,
    old: HashMap<u64, LetInBy, FastState>,
}

struct LetInBy {
    /// Unix milliseconds.
    at: i64,
    rule: Box<str>,
}

impl LetIn {
    /// The rule let the client in.
    pub(super) fn put(&self, at: i64, client: &Client<'_>, rule: &str) {
        let (key, rule) = (self.key(client), short(rule).into());
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.young.len() >= HALF {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(key, LetInBy { at, rule });
    }

    /// The client is connected: the rule that let it in, which is then forgotten. Empty if that is
    /// not known.
    pub(super) fn take(&self, at: i64, client: &Client<'_>) -> Box<str> {
        let key = self.key(client);
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let found = halves.young.remove(&key).or_else(|| halves.old.remove(&key));
        let recent = found.filter(|found| at.saturating_sub(found.at).abs() <= WITHIN);
        recent.map(|found| found.rule).unwrap_or_default()
    }

    /// What a login and its connection have in common, and another client has not.
    fn key(&self, client: &Client<'_>) -> u64 {
        let mut hasher = self.keys.build_hasher();
        client.clientid.hash(&mut hasher);
        client.username.hash(&mut hasher);
        match client.peerhost {
            Peerhost::Addr(address) => address.hash(&mut hasher),
            Peerhost::Other(text) => text.hash(&mut hasher),
        }
        (client.extra.cluster, client.extra.peerport).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exhook_policy_core::event::owned::OwnedClient;

    #[test]
    fn the_rule_is_told_once_and_to_the_same_client() {
        let (let_in, a) = (LetIn::default(), OwnedClient::named("a"));
        let elsewhere = OwnedClient { username: "u".into(), ..OwnedClient::named("a") };
        let_in.put(5, &a.as_client(), "fleet");
        assert_eq!(&*let_in.take(6, &elsewhere.as_client()), "");
        assert_eq!(&*let_in.take(6, &a.as_client()), "fleet");
        assert_eq!(&*let_in.take(6, &a.as_client()), "");
        // The last login counts.
        let_in.put(5, &a.as_client(), "fleet");
        let_in.put(6, &a.as_client(), "staff");
        assert_eq!(&*let_in.take(7, &a.as_client()), "staff");
    }

    #[test]
    fn a_login_of_long_ago_let_nobody_in() {
        let (let_in, a) = (LetIn::default(), OwnedClient::named("a"));
        let_in.put(5, &a.as_client(), "fleet");
        assert_eq!(&*let_in.take(5 + WITHIN + 1, &a.as_client()), "");
    }

    #[test]
    fn logins_without_a_connection_are_forgotten_the_oldest_first() {
        let let_in = LetIn::default();
        let client = |n: usize| OwnedClient::named(&n.to_string());
        for n in 0..=2 * HALF {
            let_in.put(0, &client(n).as_client(), "r");
        }
        let halves = let_in.halves.lock().unwrap();
        assert_eq!((halves.old.len(), halves.young.len()), (HALF, 1));
        drop(halves);
        let known = |n| &*let_in.take(0, &client(n).as_client()) == "r";
        assert!(!known(0) && !known(HALF - 1) && known(HALF) && known(2 * HALF));
    }
}
