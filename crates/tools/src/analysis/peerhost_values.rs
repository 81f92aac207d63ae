//! Places that clients connect from, of which every other one is treated as one of them is.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use ipnet::IpNet;

use super::automata::{AffixedAutomaton, WordRequest, find_words};
use super::comparisons::HostComparisons;
use super::context::AnalysisContext;
use exhook_policy_core::event::Peerhost;
use exhook_policy_core::event::owned::OwnedPeerhost;
use exhook_policy_core::policy::lists::{canonical_network, parse_network};
use exhook_policy_core::policy::model::HostCondition;
use exhook_policy_core::text::Matcher;
use exhook_policy_core::topic::Budget;

/// Values of `peerhost`, plain ones first.
#[derive(Debug)]
pub(super) struct PeerhostValues {
    pub(super) hosts: Vec<OwnedPeerhost>,
    pub(super) complete: bool,
}

const PLAIN_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const PLAIN_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// The first address behind those that stand for IPv4 addresses.
const BEHIND_MAPPED: u128 = 1 << 48;
const OTHER: &str = "unknown";
/// Steps that one address counts for.
const ADDRESS: usize = 10;

/// Where a client connects from when nothing asks about it.
pub(super) fn plain() -> OwnedPeerhost {
    OwnedPeerhost::Addr(PLAIN_V4)
}

impl PeerhostValues {
    pub(super) fn of(comparisons: &HostComparisons<'_>, context: &AnalysisContext, budget: &mut Budget) -> Self {
        let mut networks: Vec<IpNet> = Vec::new();
        let mut matchers: Vec<&Matcher> = Vec::new();
        for condition in &comparisons.conditions {
            match condition {
                HostCondition::Address(address) => networks.push(IpNet::from(address.to_canonical())),
                HostCondition::Network(network) => networks.push(canonical_network(*network).trunc()),
                HostCondition::Matches(matcher) => matchers.push(matcher),
                HostCondition::In(_) | HostCondition::Not(_) | HostCondition::Any(_) => {}
            }
        }
        let mut complete = true;
        for (policy, list) in &comparisons.inline {
            for entry in context.lists.entries(*policy, *list).unwrap_or_default() {
                complete &= budget.spend(ADDRESS);
                networks.extend(parse_network(entry).map(|network| canonical_network(network).trunc()));
            }
        }
        networks.sort_unstable();
        networks.dedup();
        let mut hosts = PeerhostValues { hosts: Vec::new(), complete };
        let mut seen = HashSet::new();
        let mut add = |address: IpAddr| {
            if seen.insert(address.to_canonical()) {
                hosts.hosts.push(OwnedPeerhost::Addr(address.to_canonical()));
            }
        };
        [PLAIN_V4, PLAIN_V6].into_iter().for_each(&mut add);
        networks.iter().map(inside).for_each(&mut add);
        // Between the places where some network begins or ends, all addresses are alike.
        let first = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        networks.iter().flat_map(edges).chain(first).for_each(&mut add);
        add(IpAddr::V6(BEHIND_MAPPED.into()));
        hosts.hosts.push(OwnedPeerhost::Other(OTHER.into()));
        if !matchers.is_empty() {
            let wide = networks.iter().any(|network| network.prefix_len() < network.max_prefix_len());
            hosts.add_matched(&matchers, &networks, context, budget);
            hosts.complete &= !wide;
        }
        hosts
    }

    /// Addresses and other texts that globs and regexes tell apart.
    fn add_matched(&mut self, matchers: &[&Matcher], known: &[IpNet], context: &AnalysisContext, budget: &mut Budget) {
        let known: HashSet<String> = known.iter().map(|network| network.addr().to_string()).collect();
        let is_address =
            |text: &str| text.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().to_string() == text);
        let not_new = |text: &str| known.contains(text) || !is_address(text);
        let mut automata = Vec::new();
        let mut seen = HashSet::new();
        for matcher in matchers.iter().filter(|one| seen.insert(one.anchored())) {
            match context.automaton(matcher, budget) {
                Some(automaton) => automata.push(AffixedAutomaton::new(automaton, false)),
                None => self.complete = false,
            }
        }
        let mut words = |needed: Option<&str>, known: &dyn Fn(&str) -> bool| {
            let needed =
                needed.map(|regex| Matcher::regex(regex).ok().and_then(|matcher| context.automaton(&matcher, budget)));
            let mut all: Vec<AffixedAutomaton> =
                automata.iter().map(|affixed| AffixedAutomaton::new(Rc::clone(&affixed.automaton), false)).collect();
            match needed {
                Some(Some(automaton)) => all.push(AffixedAutomaton::new(automaton, true)),
                Some(None) => return Vec::new(),
                None => {}
            }
            let wanted = WordRequest { count: 1, known, topics: false };
            let found = budget.within(budget.left() / 8, |budget| find_words(&all, &wanted, budget));
            self.complete &= found.complete;
            found.words
        };
        let v4 = words(Some(&V4.replace('N', NUMBER)), &not_new);
        // Every text of an IPv6 address is like this, though not every text like this is one.
        let v6 = words(Some(V6), &|_| false);
        let others = words(None, &|text| text.parse::<IpAddr>().is_ok());
        let kinds: HashSet<Vec<bool>> =
            v6.iter().map(|text| matchers.iter().map(|matcher| matcher.is_match(text)).collect()).collect();
        self.complete &= kinds.len() <= 2;
        let texts = v4.into_iter().chain(v6).chain(others);
        let hosts = texts.map(|text| OwnedPeerhost::from(Peerhost::parse(&text)));
        self.hosts.extend(hosts);
    }
}

const NUMBER: &str = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const V4: &str = "N\\.N\\.N\\.N";
const V6: &str = "[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}(:[0-9]{1,3}(\\.[0-9]{1,3}){3})?";

/// An address of the network, not the first where there are others.
fn inside(network: &IpNet) -> IpAddr {
    let first = network.network();
    next(first).filter(|second| network.contains(second)).unwrap_or(first)
}

/// The first address of the network, and the neighbours outside.
fn edges(network: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let (first, last) = (network.network(), network.broadcast());
    [next(last), before(first), Some(first)].into_iter().flatten()
}

fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    }
}
