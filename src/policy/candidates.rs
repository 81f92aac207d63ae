//! Which rules can be about a client, found without trying them all.

use std::collections::HashMap;

use super::model::{Condition, TextCondition, TextField, Who};
use crate::event::Client;

/// The rules by the client ids and user names that they name literally.
///
/// It only leaves out rules that surely do not match. The maps are keyed at random, as the standard
/// library does it, so that no client can look for collisions.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_clientid: HashMap<Box<str>, Vec<u32>>,
    by_username: HashMap<Box<str>, Vec<u32>>,
    /// Rules that name neither.
    others: Vec<u32>,
}

/// What a client must have in one of the two fields for a rule to be about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key<'w> {
    Clientid(&'w str),
    Username(&'w str),
}

impl Index {
    /// The rules are told by whom they are about, in order.
    pub(super) fn new<'w>(rules: impl Iterator<Item = &'w Who>) -> Self {
        let mut index = Index::default();
        // More rules than a `u32` counts do not fit into memory.
        for (place, who) in (0..=u32::MAX).zip(rules) {
            match keys(who) {
                None => index.others.push(place),
                Some(keys) => keys.into_iter().for_each(|key| index.add(key, place)),
            }
        }
        index
    }

    fn add(&mut self, key: Key<'_>, place: u32) {
        let (map, text) = match key {
            Key::Clientid(text) => (&mut self.by_clientid, text),
            Key::Username(text) => (&mut self.by_username, text),
        };
        let places = map.entry(text.into()).or_default();
        if places.last() != Some(&place) {
            places.push(place);
        }
    }

    /// The rules from `first` on that can be about the client, each once, in order.
    pub(super) fn candidates(&self, client: &Client<'_>, first: usize) -> impl Iterator<Item = usize> {
        let by_clientid = self.by_clientid.get(client.clientid).map_or(&[][..], Vec::as_slice);
        let by_username = self.by_username.get(client.username).map_or(&[][..], Vec::as_slice);
        let mut heads = [by_clientid, by_username, &self.others].map(|places| {
            let passed = places.partition_point(|place| (*place as usize) < first);
            places.get(passed..).unwrap_or_default()
        });
        std::iter::from_fn(move || {
            let next = heads.iter().filter_map(|places| places.first()).min().copied()?;
            for places in &mut heads {
                if let Some((&place, rest)) = places.split_first()
                    && place == next
                {
                    *places = rest;
                }
            }
            Some(next as usize)
        })
    }
}

/// Keys of which a client must have one to be one of these, or `None` where that cannot be said.
fn keys(who: &Who) -> Option<Vec<Key<'_>>> {
    match who {
        Who::Everyone => None,
        Who::Named(named) => keys(&named.who),
        Who::Any(kinds) => collect(kinds, keys),
        Who::All(conditions) => conditions.iter().find_map(|condition| match condition {
            Condition::Text(TextField::Clientid, condition) => literals(condition, Key::Clientid),
            Condition::Text(TextField::Username, condition) => literals(condition, Key::Username),
            Condition::Text(TextField::Protocol | TextField::Mountpoint | TextField::Node, _)
            | Condition::Peerhost(_)
            | Condition::Sockport(_)
            | Condition::IsSuperuser(_)
            | Condition::Anonymous(_) => None,
        }),
    }
}

fn literals<'w>(condition: &'w TextCondition, key: fn(&'w str) -> Key<'w>) -> Option<Vec<Key<'w>>> {
    match condition {
        TextCondition::Equals(template) => Some(vec![key(template.as_literal()?)]),
        TextCondition::Any(each) => collect(each, |one| literals(one, key)),
        TextCondition::Matches(_) | TextCondition::In(_) | TextCondition::Not(_) => None,
    }
}

fn collect<'w, T>(each: &'w [T], keys: impl Fn(&'w T) -> Option<Vec<Key<'w>>>) -> Option<Vec<Key<'w>>> {
    let mut all = Vec::new();
    for one in each {
        all.append(&mut keys(one)?);
    }
    Some(all)
}
