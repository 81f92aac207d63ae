//! Refusals, folded: the same one within a minute is one row that counts.

use std::collections::HashMap;
use std::sync::Arc;

use super::origins::OriginId;
use crate::limits::Peer;
use exhook_policy_core::decision::{DenialReason, Mode};
use exhook_policy_core::event::short::short;
use exhook_policy_core::event::{Action, Client, Peerhost};

/// What stands in the columns of a row without names.
const REST: &str = "...";

/// Denials that wait for the database, on their way to the writer and in it.
pub(super) const MAX_WAITING: Bound = Bound { count: 20_000, bytes: 16 << 20 };

/// How many there may be, and how big all of them together: a client chooses its names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    count: usize,
    bytes: usize,
}

impl Bound {
    pub(super) fn allows(self, count: usize, bytes: usize) -> bool {
        count <= self.count && bytes <= self.bytes
    }
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// To log in.
    Connect,
    /// To publish to, or subscribe to, the topic.
    Topic(Action, &'a str),
}

/// A refusal: carried out, or in audit mode only said.
#[derive(Debug, Clone)]
pub struct Denial<'a> {
    /// Who asked.
    pub client: Client<'a>,
    /// For what.
    pub asked: Asked<'a>,
    /// The id of the rule that decided, or a reserved one.
    pub rule: &'a str,
    /// Why.
    pub reason: DenialReason,
    /// The beginning of the hash of the policy that decided.
    pub policy: Arc<str>,
    /// Whether it was carried out.
    pub mode: Mode,
}

/// A row of `denials` without its time and count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DenialKey {
    pub(super) clientid: Box<str>,
    pub(super) username: Box<str>,
    pub(super) peerhost: Box<str>,
    pub(super) action: &'static str,
    pub(super) topic: Box<str>,
    pub(super) rule: Box<str>,
    pub(super) reason: &'static str,
    pub(super) policy: Arc<str>,
    pub(super) mode: &'static str,
    pub(super) cluster: Box<str>,
}

#[derive(Debug, Clone)]
pub(super) struct OwnedDenial {
    pub(super) at: i64,
    /// The broker that asked.
    pub(super) origin: OriginId,
    /// Whose share of a minute it takes.
    pub(super) peer: Option<Peer>,
    pub(super) key: DenialKey,
    pub(super) count: u64,
}

impl OwnedDenial {
    pub(super) fn of(at: i64, denial: &Denial<'_>) -> Self {
        let (action, topic) = match denial.asked {
            Asked::Connect => ("connect", ""),
            Asked::Topic(action, topic) => (action.as_str(), topic),
        };
        let peer = match denial.client.peerhost {
            Peerhost::Addr(address) => Some(Peer::from(address)),
            Peerhost::Other(_) => None,
        };
        OwnedDenial {
            at,
            origin: OriginId::PARENT,
            peer,
            key: DenialKey {
                clientid: short(denial.client.clientid).into(),
                username: short(denial.client.username).into(),
                peerhost: denial.client.peerhost.to_string().into(),
                action,
                topic: short(topic).into(),
                rule: denial.rule.into(),
                reason: denial.reason.as_str(),
                policy: Arc::clone(&denial.policy),
                mode: denial.mode.as_str(),
                cluster: short(denial.client.extra.cluster.unwrap_or_default()).into(),
            },
            count: 1,
        }
    }

    /// What it takes in memory, in bytes, about.
    pub(super) fn size(&self) -> usize {
        size_of::<OwnedDenial>() + self.key.texts()
    }

    /// Refusals of which nothing but their number is known.
    pub(super) fn nameless(at: i64, count: u64) -> Self {
        OwnedDenial { at, origin: OriginId::PARENT, peer: None, key: DenialKey::rest(REST, None), count }
    }
}

impl DenialKey {
    pub(super) fn texts(&self) -> usize {
        // All rows of a policy share its hash.
        let DenialKey { clientid, username, peerhost, action: _, topic, rule, reason: _, policy: _, mode: _, cluster } =
            self;
        [clientid, username, peerhost, topic, rule, cluster].into_iter().map(|text| text.len()).sum()
    }

    pub(super) fn is_rest(&self) -> bool {
        self.action == REST
    }

    /// Of this peer, or of all.
    pub(super) fn rest(mode: &'static str, peer: Option<Peer>) -> Self {
        let rest = || Box::from(REST);
        DenialKey {
            clientid: rest(),
            username: rest(),
            peerhost: peer.map_or_else(rest, |peer| peer.to_string().into()),
            action: REST,
            topic: rest(),
            rule: rest(),
            reason: REST,
            policy: REST.into(),
            mode,
            cluster: rest(),
        }
    }
}

/// Adds equal refusals up, in the order in which they came first.
pub(super) fn fold(denials: Vec<OwnedDenial>) -> Vec<OwnedDenial> {
    let mut places: HashMap<DenialKey, usize> = HashMap::with_capacity(denials.len());
    let mut folded: Vec<OwnedDenial> = Vec::new();
    for denial in denials {
        if let Some(first) = places.get(&denial.key).and_then(|&place| folded.get_mut(place)) {
            first.count += denial.count;
        } else {
            places.insert(denial.key.clone(), folded.len());
            folded.push(denial);
        }
    }
    folded
}

/// Takes the refusals off that are more than may wait, and returns their number.
pub(super) fn shorten(denials: &mut Vec<OwnedDenial>) -> u64 {
    let mut bytes = 0;
    let mut count = 0;
    let fits = |denial: &&OwnedDenial| {
        bytes += denial.size();
        count += 1;
        MAX_WAITING.allows(count, bytes)
    };
    let kept = denials.iter().take_while(fits).count();
    denials.drain(kept..).map(|denial| denial.count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::queue::HistoryQueue;
    use exhook_policy_core::event::{Extra, Origin, Peerhost};
    use std::time::Duration;

    fn denial(name: &str) -> OwnedDenial {
        let client = Client {
            clientid: name,
            username: name,
            peerhost: Peerhost::parse("10.0.0.1"),
            sockport: 1883,
            protocol: "mqtt",
            mountpoint: "",
            node: "n",
            is_superuser: false,
            anonymous: true,
            extra: Extra::NONE,
        };
        let reason = DenialReason::Rule;
        let asked = Asked::Connect;
        OwnedDenial::of(0, &Denial { client, asked, rule: "r", reason, policy: "p".into(), mode: Mode::Enforce })
    }

    /// Clients choose their names, and a locked database must not turn them into memory.
    #[test]
    fn denials_that_wait_are_bounded_in_bytes_and_the_rest_is_counted() {
        let queue = HistoryQueue::new(Duration::from_secs(1), false);
        for n in 0..18_000 {
            queue.push_denial(Origin { cluster: None, node: "n" }, denial(&format!("{n:01000}")));
        }
        let (mut waiting, dropped) = queue.take_denials();
        assert_eq!(waiting.len() as u64 + dropped, 18_000);
        let bytes: usize = waiting.iter().map(OwnedDenial::size).sum();
        assert!(bytes <= 16 << 20 && waiting.len() > 5_000 && dropped > 1_000, "{bytes} bytes of {}", waiting.len());

        let more = (0..1000).map(|n| denial(&format!("x{n:0999}")));
        waiting.extend(more);
        let before = waiting.len() as u64;
        let taken_off = shorten(&mut waiting);
        assert_eq!(waiting.len() as u64 + taken_off, before);
        assert!(waiting.iter().map(OwnedDenial::size).sum::<usize>() <= 16 << 20);
    }
}
