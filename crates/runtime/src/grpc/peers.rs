//! What brokers said of themselves when they loaded this provider.
//!
//! Before 4.3.14 a broker says its version and its uptime in that one call alone, and its name in the others alone. So what
//! was said is kept by the address that it came from.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::dialect::Dialect;
use super::links::Link;
use exhook_policy_core::emqx::Package;

/// Addresses that are kept in mind, and nodes of one address. There are a few of them; what would
/// be more is no broker.
const MOST: usize = 1024;
const NODES: usize = 64;

/// The longest version, and the longest name of a node, in bytes.
const LONGEST: usize = 256;
/// A broker that was started anew has connections that are no older than that, but for the rounding of its uptime: milliseconds.
const ROUNDING: i64 = 2_000;

/// What a broker said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    version: String,
    /// Whether any that spoke from there does not tell of certificates.
    untold_certificates: bool,
    /// Unix milliseconds.
    booted_at: Option<i64>,
    /// The nodes of which this was passed on.
    passed_on: HashSet<String>,
}

/// All of it, by address.
#[derive(Debug, Default)]
pub(super) struct Peers {
    said: Mutex<HashMap<IpAddr, Said>>,
}

impl Peers {
    /// Keeps what a broker said that did not say its name.
    pub(super) fn loaded(&self, address: IpAddr, version: &str, booted_at: Option<i64>) {
        if version.len() > LONGEST {
            return;
        }
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        let tells = Dialect::of(Package::V1, Some(version)).tells_certificates();
        let untold_certificates = !tells || all.get(&address).is_some_and(|said| said.untold_certificates);
        let version = version.to_owned();
        all.insert(address, Said { version, untold_certificates, booted_at, passed_on: HashSet::new() });
    }

    /// How the broker at this address is to be understood; and when it booted, where this is its first call that has the node's
    /// name. Several brokers may be behind one address: one that has a connection from before that time did not boot then,
    /// and where one of them does not tell of certificates, none is taken to.
    pub(super) fn recall(&self, link: &Link, node: Option<&str>) -> (Dialect, Option<i64>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = said.get_mut(&link.address) else { return (Dialect::of(Package::V1, None), None) };
        let node = node.filter(|node| node.len() <= LONGEST);
        let booted_at = match (said.booted_at, node) {
            (Some(booted_at), Some(node))
                if link.opened_at >= booted_at - ROUNDING
                    && said.passed_on.len() < NODES
                    && said.passed_on.insert(node.to_owned()) =>
            {
                Some(booted_at)
            }
            _ => None,
        };
        let dialect = Dialect::of(Package::V1, Some(&said.version));
        let untold = Dialect::Oldest { tells_certificates: false };
        (if said.untold_certificates { untold } else { dialect }, booted_at)
    }
}

/// The milliseconds of an uptime as EMQX 4 says it: `1 days, 2 hours, 3 minutes, 4 seconds`,
/// without leading zeros. So one of less than a second is empty.
pub(super) fn uptime_of_text(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let mut seconds: i64 = 0;
    for part in text.split(',') {
        let (count, unit) = part.trim().split_once(' ')?;
        let unit = match unit {
            "days" => 86_400,
            "hours" => 3_600,
            "minutes" => 60,
            "seconds" => 1,
            _ => return None,
        };
        let count: u32 = count.parse().ok()?;
        seconds = seconds.checked_add(i64::from(count) * unit)?;
    }
    seconds.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::grpc::links::Links;
    use crate::grpc::places::ConnectionPlaces;
    use crate::log::Log;

    #[track_caller]
    fn check_uptime(text: &str, expected: Option<i64>) {
        assert_eq!(uptime_of_text(text), expected);
    }

    #[test]
    fn uptimes_are_read() {
        check_uptime("7 seconds", Some(7_000));
        check_uptime("2 minutes, 0 seconds", Some(120_000));
        check_uptime("1 days, 2 hours, 3 minutes, 4 seconds", Some(93_784_000));
        check_uptime("", Some(0));
        check_uptime("soon", None);
        check_uptime("1 weeks", None);
        check_uptime("-1 seconds", None);
    }

    /// As EMQX 4 writes it: whole seconds, and no part before the first that is not zero.
    fn uptime_as_written(seconds: u64) -> String {
        let parts = [(seconds / 86_400, "days"), (seconds / 3_600 % 24, "hours"), (seconds / 60 % 60, "minutes")];
        let parts = parts.into_iter().chain([(seconds % 60, "seconds")]).skip_while(|(count, _)| *count == 0);
        parts.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(", ")
    }

    proptest::proptest! {
        #[test]
        fn every_uptime_that_a_broker_writes_is_read(seconds in proptest::prop_oneof![0_u64..3, 0_u64..1_000_000]) {
            let expected = i64::try_from(seconds).ok().map(|seconds| seconds * 1_000);
            proptest::prop_assert_eq!(uptime_of_text(&uptime_as_written(seconds)), expected);
        }
    }

    #[test]
    fn a_boot_is_passed_on_once_a_node_and_once_a_load() {
        let peers = Peers::default();
        let place = ConnectionPlaces::new(9, Log::stderr()).take([127, 0, 0, 1].into(), Weak::new()).unwrap();
        let link = Link::new(place, Links::new(|_| {}));
        let recall = |node| peers.recall(&link, node);
        let old = Dialect::Oldest { tells_certificates: true };
        assert_eq!(recall(Some("n")), (Dialect::Old { tells_certificates: false }, None));
        peers.loaded(link.address, "4.3.1", Some(5));
        assert_eq!(recall(None), (old, None));
        assert_eq!(recall(Some("n")), (old, Some(5)));
        assert_eq!(recall(Some("n")), (old, None));
        assert_eq!(recall(Some("m")).1, Some(5));
        peers.loaded(link.address, "4.3.3", Some(9));
        assert_eq!(recall(Some("n")), (Dialect::V1, Some(9)));
        // Another broker behind the same address, which booted while this one was connected.
        peers.loaded(link.address, "4.2.6", Some(link.opened_at + 60_000));
        let untold = Dialect::Oldest { tells_certificates: false };
        assert_eq!(recall(Some("n")), (untold, None));
        peers.loaded(link.address, "4.3.3", None);
        assert_eq!(recall(Some("n")), (untold, None));
    }
}
