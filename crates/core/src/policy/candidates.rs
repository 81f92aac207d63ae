//! Which rules can be about a client and what it asks for, found without trying them all.
//!
//! Rules that name clients literally are found by the client; these, and the rest, by the topic where there are many.
//! What is found is tried in the order of the file; what is not found surely does not match.

use std::collections::HashMap;

use super::decide::TopicRule;
use super::model::{Condition, TextCondition, Who};
use crate::decision::Verdict;
use crate::event::{Action, Client};
use crate::text::Placeholder;
use crate::topic::index::{Builder, Frontier, Index as Topics};

/// So many rules are tried one by one.
const FEW: usize = 8;

/// Rules by the client ids and user names that they name literally.
///
/// The maps are keyed at random, as the standard library does it, so that no client can look for collisions.
#[derive(Debug)]
pub(super) struct RuleIndex<G> {
    by_clientid: HashMap<Box<str>, G>,
    by_username: HashMap<Box<str>, G>,
    /// Rules that name neither.
    others: G,
}

/// The places of rules, in order.
pub(super) type RuleNumbers = Vec<u32>;

/// Rules about topics, in order.
#[derive(Debug, Default)]
pub(super) struct TopicRules {
    places: RuleNumbers,
    by_topic: Option<Box<ByTopic>>,
}

/// Many rules, by their patterns.
#[derive(Debug)]
struct ByTopic {
    publish: Topics,
    /// Of rules about subscriptions, those that must cover all that is asked for.
    whole: Topics,
    /// And those that need only touch it.
    any: Topics,
}

/// What a client must have in one of the two fields for a rule to be about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientKey<'w> {
    Clientid(&'w str),
    Username(&'w str),
}

impl RuleIndex<RuleNumbers> {
    /// The rules are told by whom they are about, in order.
    pub(super) fn new<'w>(rules: impl Iterator<Item = &'w Who>) -> Self {
        let mut index =
            RuleIndex { by_clientid: HashMap::new(), by_username: HashMap::new(), others: RuleNumbers::new() };
        // More rules than a `u32` counts do not fit into memory.
        for (place, who) in (0..=u32::MAX).zip(rules) {
            match keys(who) {
                None => index.others.push(place),
                Some(keys) => keys.into_iter().for_each(|key| index.add(key, place)),
            }
        }
        index
    }

    fn add(&mut self, key: ClientKey<'_>, place: u32) {
        let (map, text) = match key {
            ClientKey::Clientid(text) => (&mut self.by_clientid, text),
            ClientKey::Username(text) => (&mut self.by_username, text),
        };
        let places = map.entry(text.into()).or_default();
        if places.last() != Some(&place) {
            places.push(place);
        }
    }

    /// The rules from `first` on that can be about the client, each once, in order.
    pub(super) fn candidates(&self, client: &Client<'_>, first: usize) -> impl Iterator<Item = usize> {
        let behind = |places: &RuleNumbers| places.partition_point(|place| (*place as usize) < first);
        let mut heads = self.groups(client).map(|group| group.and_then(|places| places.get(behind(places)..)));
        std::iter::from_fn(move || {
            let next = heads.iter().flatten().filter_map(|places| places.first()).min().copied()?;
            for places in heads.iter_mut().flatten() {
                if let Some((&place, rest)) = places.split_first()
                    && place == next
                {
                    *places = rest;
                }
            }
            Some(next as usize)
        })
    }

    /// The same rules, found by topics too.
    pub(super) fn with_topics(self, rules: &[TopicRule]) -> RuleIndex<TopicRules> {
        let groups = |groups: HashMap<Box<str>, RuleNumbers>| {
            groups.into_iter().map(|(key, places)| (key, TopicRules::new(places, rules))).collect()
        };
        RuleIndex {
            by_clientid: groups(self.by_clientid),
            by_username: groups(self.by_username),
            others: TopicRules::new(self.others, rules),
        }
    }
}

impl<G> RuleIndex<G> {
    /// The rules that may be about the client.
    fn groups(&self, client: &Client<'_>) -> [Option<&G>; 3] {
        [self.by_clientid.get(client.clientid), self.by_username.get(client.username), Some(&self.others)]
    }
}

impl RuleIndex<TopicRules> {
    /// Adds the rules that can be about the client and what it asks for.
    pub(super) fn find<'i>(&'i self, client: &Client<'_>, action: Action, found: &mut Frontier<'i, '_>) {
        for group in self.groups(client).into_iter().flatten() {
            match &group.by_topic {
                Some(by_topic) => by_topic.find(action, found),
                None => found.add(&group.places),
            }
        }
    }
}

impl TopicRules {
    fn new(places: RuleNumbers, rules: &[TopicRule]) -> Self {
        if places.len() <= FEW {
            return TopicRules { places, by_topic: None };
        }
        let (mut publish, mut whole, mut any) = (Builder::default(), Builder::default(), Builder::default());
        for (place, rule) in places.iter().filter_map(|place| Some((*place, rules.get(*place as usize)?))) {
            publish.add(place, rule.patterns(Action::Publish));
            let subscribe = match rule.verdict {
                Verdict::Allow => &mut whole,
                Verdict::Deny | Verdict::Ignore => &mut any,
            };
            subscribe.add(place, rule.patterns(Action::Subscribe));
        }
        // A filter may come near many of the last kind, so that all that can be told of these apart is worth it.
        let (publish, whole, any) = (publish.thinned().finish(), whole.thinned().finish(), any.finish());
        let by_topic = ByTopic { publish, whole, any };
        TopicRules { places: RuleNumbers::new(), by_topic: Some(Box::new(by_topic)) }
    }
}

impl ByTopic {
    fn find<'i>(&'i self, action: Action, found: &mut Frontier<'i, '_>) {
        match action {
            Action::Publish => self.publish.cover(found),
            Action::Subscribe => {
                self.whole.cover(found);
                if found.request().is_wildcard() { self.any.touch(found) } else { self.any.cover(found) }
            }
        }
    }
}

/// Keys of which a client must have one to be one of these, or `None` where that cannot be said.
fn keys(who: &Who) -> Option<Vec<ClientKey<'_>>> {
    match who {
        Who::Everyone => None,
        Who::Named(named) => keys(&named.who),
        Who::Any(kinds) => collect(kinds, keys),
        Who::During(_, who) => keys(who),
        Who::All(conditions) => conditions.iter().find_map(|condition| match condition {
            Condition::Text(field, condition) => match field.traits().placeholder? {
                Placeholder::Clientid => literals(condition, ClientKey::Clientid),
                Placeholder::Username => literals(condition, ClientKey::Username),
            },
            Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
        }),
    }
}

fn literals<'w>(condition: &'w TextCondition, key: fn(&'w str) -> ClientKey<'w>) -> Option<Vec<ClientKey<'w>>> {
    match condition {
        TextCondition::Equals(template) => Some(vec![key(template.as_literal()?)]),
        TextCondition::Any(each) => collect(each, |one| literals(one, key)),
        TextCondition::Matches(_) | TextCondition::In(_) | TextCondition::Not(_) => None,
    }
}

fn collect<'w, T>(each: &'w [T], keys: impl Fn(&'w T) -> Option<Vec<ClientKey<'w>>>) -> Option<Vec<ClientKey<'w>>> {
    let mut all = Vec::new();
    for one in each {
        all.append(&mut keys(one)?);
    }
    Some(all)
}
