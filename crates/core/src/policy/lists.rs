//! The contents of the policy's lists at one moment.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use prefix_trie::joint::JointPrefixSet;

use super::model::{ListDef, ListId};
use super::strings::{Refused, Strings};

/// The entries of one list, kept in the forms in which the policy uses them.
#[derive(Default)]
pub struct List {
    texts: Strings,
    networks: JointPrefixSet<IpNet>,
}

/// What the conditions of a policy compare a list's entries with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// Text fields.
    pub text: bool,
    /// `peerhost`: every entry must be an address or a network.
    pub networks: bool,
}

/// An entry that does not fit the uses of its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// Its line or row, from 1.
    pub at: usize,
    /// The entry, or its beginning where it is long.
    pub text: String,
    /// What is wrong with it: `is no IP address or network`, say. Reads on from the entry.
    pub message: &'static str,
}

/// The entries for which a list was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntries {
    /// The first of them, at least one and at most [`BadEntries::SHOWN`].
    pub first: Vec<BadEntry>,
    /// How many there are beyond those.
    pub more: usize,
}

impl ListDef {
    /// What the policy's conditions compare the list's entries with.
    pub fn uses(&self) -> Uses {
        Uses { text: self.used_as_text, networks: self.used_as_networks }
    }
}

impl List {
    /// Builds a list of entries, each with its line or row from 1. Entries may repeat.
    ///
    /// # Errors
    /// The entries that do not fit the uses.
    pub fn build<'e>(uses: Uses, entries: impl IntoIterator<Item = (usize, &'e str)>) -> Result<List, BadEntries> {
        let mut builder = ListBuilder::new(uses);
        for (at, text) in entries {
            builder.push(at, text);
        }
        builder.finish()
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.texts.len() == 0 && self.networks.is_empty()
    }

    /// Whether the text is an entry.
    pub fn contains_text(&self, text: &str) -> bool {
        self.texts.contains(text)
    }

    /// Whether the address is an entry or inside one.
    pub fn contains_address(&self, address: IpAddr) -> bool {
        self.networks.get_spm(&IpNet::from(address.to_canonical())).is_some()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List({} texts, {} networks)", self.texts.len(), self.networks.len())
    }
}

/// Takes the entries of a list one by one, so that they need not be in memory together.
#[derive(Debug)]
pub struct ListBuilder {
    uses: Uses,
    list: List,
    bad: BadEntries,
}

impl ListBuilder {
    /// Begins an empty list.
    pub fn new(uses: Uses) -> Self {
        ListBuilder { uses, list: List::default(), bad: BadEntries { first: Vec::new(), more: 0 } }
    }

    /// Adds the entry of this line or row.
    pub fn push(&mut self, at: usize, text: &str) {
        if self.uses.networks {
            match parse_network(text) {
                Some(network) => {
                    self.list.networks.insert(canonical_network(network).trunc());
                }
                None => return self.refuse(at, text, "is no IP address or network"),
            }
        }
        if self.uses.text {
            match self.list.texts.insert(text) {
                Ok(()) => {}
                Err(Refused::TooLong) => {
                    self.refuse(at, text, "is longer than 65535 bytes, the most that MQTT can carry");
                }
                Err(Refused::Full) => self.refuse(at, text, "is past the first 4 GiB of the list"),
            }
        }
    }

    /// Notes an entry that could not even be handed to [`ListBuilder::push`].
    pub fn refuse(&mut self, at: usize, text: &str, message: &'static str) {
        if self.bad.first.len() < BadEntries::SHOWN {
            self.bad.first.push(BadEntry { at, text: shortened(text), message });
        } else {
            self.bad.more += 1;
        }
    }

    /// The list, unless an entry did not fit.
    ///
    /// # Errors
    /// The entries that do not fit the uses.
    pub fn finish(mut self) -> Result<List, BadEntries> {
        if !self.bad.first.is_empty() {
            return Err(self.bad);
        }
        self.list.texts.shrink();
        Ok(self.list)
    }
}

impl BadEntries {
    /// The most entries that are told apart.
    pub const SHOWN: usize = 20;
}

fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Reads an address, which is a network of its own, or a network like `10.0.0.0/8`. Bits of the
/// address beyond the network's length are allowed and mean nothing. Nothing else is: no spaces, no
/// leading zeros, no zone.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let plain = length == "0" || length.starts_with(|c: char| ('1'..='9').contains(&c));
    if !plain {
        return None;
    }
    IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()
}

/// The IPv4 network that an IPv6 network of mapped addresses stands for; any other as it is.
pub fn canonical_network(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = network else {
        return network;
    };
    let mapped = v6.prefix_len().checked_sub(MAPPED).zip(v6.addr().to_ipv4_mapped());
    let v4 = mapped.and_then(|(length, address)| Ipv4Net::new(address, length).ok());
    v4.map_or(network, IpNet::V4)
}

/// Every list of a policy, by [`ListId`]; `None` where it could not be read yet.
#[derive(Debug, Clone, Default)]
pub struct Lists(Vec<Option<Arc<List>>>);

impl Lists {
    /// The lists in the order of [`Model::lists`](super::model::Model::lists).
    pub fn new(lists: Vec<Option<Arc<List>>>) -> Self {
        Lists(lists)
    }

    /// No lists, for policies without any.
    pub const fn none() -> Self {
        Lists(Vec::new())
    }

    /// The list, or `None` where its source could not be read.
    pub fn get(&self, id: ListId) -> Option<&List> {
        self.0.get(id.0)?.as_deref()
    }

    /// As [`get`](Self::get), to be kept.
    pub fn share(&self, id: ListId) -> Option<Arc<List>> {
        self.0.get(id.0)?.clone()
    }

    /// The same lists with this one put in place of what was there. Other lists are not copied.
    #[must_use]
    pub fn with(&self, id: ListId, list: Arc<List>) -> Self {
        let mut lists = self.0.clone();
        if lists.len() <= id.0 {
            lists.resize(id.0 + 1, None);
        }
        if let Some(place) = lists.get_mut(id.0) {
            *place = Some(list);
        }
        Lists(lists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Uses = Uses { text: true, networks: false };
    const NETWORKS: Uses = Uses { text: false, networks: true };
    const BOTH: Uses = Uses { text: true, networks: true };

    fn build(uses: Uses, entries: &[&str]) -> Result<List, BadEntries> {
        List::build(uses, entries.iter().enumerate().map(|(at, text)| (at + 1, *text)))
    }

    #[test]
    fn texts_are_equal_byte_for_byte() {
        let list = build(TEXT, &["dev-1", " dev-2", "", "é", "10.0.0.0/8", "dev-1"]).unwrap();
        for (text, expected) in [
            ("dev-1", true),
            ("dev-2", false),
            (" dev-2", true),
            ("", true),
            ("DEV-1", false),
            ("e\u{301}", false),
            ("10.0.0.0/8", true),
            ("10.1.1.1", false),
        ] {
            assert_eq!(list.contains_text(text), expected, "{text:?}");
        }
        assert!(!list.contains_address("10.1.1.1".parse().unwrap()));
    }

    #[track_caller]
    fn check_network(entry: &str, address: &str, expected: bool) {
        let list = build(NETWORKS, &["192.0.2.1", entry]).unwrap();
        assert_eq!(list.contains_address(address.parse().unwrap()), expected, "{address} in {entry}");
        assert!(!list.contains_text(entry));
    }

    #[test]
    fn addresses_are_inside_networks() {
        for (entry, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:10.0.0.0/104", "11.0.0.0", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:0:0/96", "8.8.8.8", true),
            ("::ffff:0:0/96", "::1", false),
            ("::1", "::1", true),
            ("::1", "0.0.0.1", false),
        ] {
            check_network(entry, address, expected);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            " 10.0.0.1",
            "10.0.0.1 ",
            "10.0.0.1/",
            "10.0.0.1/33",
            "10.0.0.1/08",
            "10.0.0.1/+8",
            "10.0.0.1/8/8",
            "010.0.0.1",
            "010.0.0.0/8",
            "10.0.0",
            "10.0.0/24",
            "::1/129",
            "fe80::1%eth0",
            "[::1]",
            "localhost",
            "#",
        ] {
            let bad = build(NETWORKS, &["10.0.0.1", text]).unwrap_err();
            let expected = BadEntry { at: 2, text: text.to_owned(), message: "is no IP address or network" };
            assert_eq!(bad, BadEntries { first: vec![expected], more: 0 }, "{text:?}");
            assert!(build(TEXT, &[text]).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_list_for_both_uses_holds_both() {
        let list = build(BOTH, &["10.0.0.0/8", "::1"]).unwrap();
        assert!(list.contains_text("10.0.0.0/8") && list.contains_address("10.0.0.1".parse().unwrap()));
        assert!(build(BOTH, &["dev-1"]).is_err());
    }

    #[test]
    fn the_first_20_bad_entries_are_told_and_the_rest_counted() {
        let entries: Vec<String> =
            (1..=30).map(|n| if n % 10 == 0 { "::1".to_owned() } else { format!("bad {n}") }).collect();
        let bad = List::build(BOTH, entries.iter().enumerate().map(|(at, text)| (at + 1, text.as_str()))).unwrap_err();
        assert_eq!((bad.first.len(), bad.more), (20, 7));
        assert_eq!((bad.first[0].at, bad.first[0].text.as_str()), (1, "bad 1"));
        assert_eq!((bad.first[19].at, bad.first[19].text.as_str()), (22, "bad 22"));
    }

    #[test]
    fn a_long_entry_is_shown_by_its_beginning() {
        let bad = build(TEXT, &["ok", &"é".repeat(40_000)]).unwrap_err();
        assert_eq!(bad.first[0].at, 2);
        assert_eq!(bad.first[0].text, format!("{}...", "é".repeat(60)));
        assert_eq!(bad.first[0].message, "is longer than 65535 bytes, the most that MQTT can carry");
    }

    #[test]
    fn a_list_that_could_not_be_read_is_none() {
        let lists = Lists::new(vec![None, Some(Arc::new(build(TEXT, &["a"]).unwrap()))]);
        assert!(lists.get(ListId(0)).is_none() && lists.get(ListId(2)).is_none());
        assert!(lists.get(ListId(1)).is_some_and(|list| list.contains_text("a")));
        let later = lists.with(ListId(0), Arc::new(build(TEXT, &["b"]).unwrap()));
        assert!(later.get(ListId(0)).is_some_and(|list| list.contains_text("b")));
        assert!(later.get(ListId(1)).is_some() && lists.get(ListId(0)).is_none());
    }
}
