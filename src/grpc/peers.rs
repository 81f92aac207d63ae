//! What brokers said of themselves when they loaded this provider.
//!
//! Before 4.3.14 a broker says its version and its uptime in that one call alone, and its name in the others alone. So what
//! was said is kept by the address that it came from.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Brokers that are kept in mind, and nodes of one address. There are a few of them; what would be more is no broker.
const MOST: usize = 1024;

/// What a broker said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    version: String,
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
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST {
            said.clear();
        }
        said.insert(address, Said { version: version.to_owned(), booted_at, passed_on: HashSet::new() });
    }

    /// The version of the broker at this address, given to `read`; and when it booted, where this node is the first of its
    /// calls that has its name.
    pub(super) fn recall<T>(
        &self,
        address: IpAddr,
        node: Option<&str>,
        read: impl FnOnce(Option<&str>) -> T,
    ) -> (T, Option<i64>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = said.get_mut(&address) else { return (read(None), None) };
        let booted_at = match (said.booted_at, node) {
            (Some(booted_at), Some(node)) if !said.passed_on.contains(node) && said.passed_on.len() < MOST => {
                said.passed_on.insert(node.to_owned());
                Some(booted_at)
            }
            _ => None,
        };
        (read(Some(&said.version)), booted_at)
    }
}

/// The milliseconds of an uptime as EMQX 4 says it: `1 days, 2 hours, 3 minutes, 4 seconds`, without leading zeros.
pub(super) fn uptime_of_text(text: &str) -> Option<i64> {
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
    use super::*;

    #[track_caller]
    fn check_uptime(text: &str, expected: Option<i64>) {
        assert_eq!(uptime_of_text(text), expected);
    }

    #[test]
    fn uptimes_are_read() {
        check_uptime("7 seconds", Some(7_000));
        check_uptime("2 minutes, 0 seconds", Some(120_000));
        check_uptime("1 days, 2 hours, 3 minutes, 4 seconds", Some(93_784_000));
        check_uptime("", None);
        check_uptime("soon", None);
        check_uptime("1 weeks", None);
        check_uptime("-1 seconds", None);
    }

    #[test]
    fn a_boot_is_passed_on_once_a_node_and_once_a_load() {
        let peers = Peers::default();
        let here: IpAddr = [127, 0, 0, 1].into();
        let recall = |node| peers.recall(here, node, |version| version.map(str::to_owned));
        assert_eq!(recall(Some("n")), (None, None));
        peers.loaded(here, "4.3.1", Some(5));
        assert_eq!(recall(None), (Some("4.3.1".to_owned()), None));
        assert_eq!(recall(Some("n")), (Some("4.3.1".to_owned()), Some(5)));
        assert_eq!(recall(Some("n")), (Some("4.3.1".to_owned()), None));
        assert_eq!(recall(Some("m")).1, Some(5));
        peers.loaded(here, "4.3.2", Some(9));
        assert_eq!(recall(Some("n")), (Some("4.3.2".to_owned()), Some(9)));
    }
}
