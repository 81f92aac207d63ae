//! Which rules can be about a client and what it asks for, found without trying them all.
//!
//! Rules that name clients literally are found by the client; these, and the rest, by the topic where there are many.
//! What is found is tried in the order of the file; what is not found surely does not match.

use std::collections::HashMap;

use super::decide::TopicRule;
use super::model::{Condition, TextCondition, TextField, Who};
use super::who::identity;
use crate::decision::Verdict;
use crate::event::{Action, Client};
use crate::text::Identity;
use crate::topic::Request;
use crate::topic::index::{Builder, Index as Topics, Lists, Merged, Touched};

/// So many rules are tried one by one.
const FEW: usize = 8;

/// Rules by the client ids and user names that they name literally.
///
/// The maps are keyed at random, as the standard library does it, so that no client can look for collisions.
#[derive(Debug)]
pub(super) struct Index<G> {
    by_clientid: HashMap<Box<str>, G>,
    by_username: HashMap<Box<str>, G>,
    /// Rules that name neither.
    others: G,
}

/// The places of rules, in order.
pub(super) type Places = Vec<u32>;

/// Rules about topics, in order.
#[derive(Debug, Default)]
pub(super) struct TopicRules {
    places: Places,
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
enum Key<'w> {
    Clientid(&'w str),
    Username(&'w str),
}

impl Index<Places> {
    /// The rules are told by whom they are about, in order.
    pub(super) fn new<'w>(rules: impl Iterator<Item = &'w Who>) -> Self {
        let mut index = Index { by_clientid: HashMap::new(), by_username: HashMap::new(), others: Places::new() };
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
        let behind = |places: &'_ Places| places.partition_point(|place| (*place as usize) < first);
        let lists = self.groups(client).filter_map(|places| places.get(behind(places)..)).collect();
        Merged(lists).map(|place| place as usize)
    }

    /// The same rules, found by topics too.
    pub(super) fn with_topics(self, rules: &[TopicRule]) -> Index<TopicRules> {
        let groups = |groups: HashMap<Box<str>, Places>| {
            groups.into_iter().map(|(key, places)| (key, TopicRules::new(places, rules))).collect()
        };
        Index {
            by_clientid: groups(self.by_clientid),
            by_username: groups(self.by_username),
            others: TopicRules::new(self.others, rules),
        }
    }
}

impl<G> Index<G> {
    fn groups(&self, client: &Client<'_>) -> impl Iterator<Item = &G> {
        let named = [self.by_clientid.get(client.clientid), self.by_username.get(client.username)];
        named.into_iter().flatten().chain([&self.others])
    }
}

impl Index<TopicRules> {
    /// Adds the rules that can be about the client and what it asks for.
    pub(super) fn find<'i, 'r>(
        &'i self,
        client: &Client<'r>,
        action: Action,
        request: &'r Request<'r>,
        candidates: &mut Candidates<'i, 'r>,
    ) {
        for group in self.groups(client) {
            match &group.by_topic {
                Some(by_topic) => by_topic.find(action, request, identity(client), candidates),
                None => candidates.lists.0.push(&group.places),
            }
        }
    }
}

impl TopicRules {
    fn new(places: Places, rules: &[TopicRule]) -> Self {
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
        TopicRules { places: Places::new(), by_topic: Some(Box::new(by_topic)) }
    }
}

impl ByTopic {
    fn find<'i, 'r>(
        &'i self,
        action: Action,
        request: &'r Request<'r>,
        identity: Identity<'r>,
        Candidates { lists: Merged(lists), touched }: &mut Candidates<'i, 'r>,
    ) {
        match action {
            Action::Publish => self.publish.cover(request, identity, lists),
            Action::Subscribe if request.is_wildcard() => {
                self.whole.cover(request, identity, lists);
                touched.add(&self.any);
            }
            Action::Subscribe => {
                self.whole.cover(request, identity, lists);
                self.any.cover(request, identity, lists);
            }
        }
    }
}

/// The rules to be tried for a request, each once, in order. It is large, and is filled where it stands.
#[derive(Debug)]
pub(super) struct Candidates<'i, 'r> {
    lists: Merged<'i>,
    touched: Touched<'i, 'r>,
}

impl<'r> Candidates<'_, 'r> {
    /// None yet, for a request of this identity.
    #[inline]
    pub(super) fn new(request: &'r Request<'r>, identity: Identity<'r>) -> Self {
        Candidates { lists: Merged(Lists::new()), touched: Touched::new(request, identity) }
    }
}

impl Iterator for Candidates<'_, '_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let next = match (self.lists.peek(), self.touched.peek()) {
            (Some(listed), Some(touched)) => listed.min(touched),
            (listed, touched) => listed.or(touched)?,
        };
        self.lists.pass(next);
        self.touched.pass(next);
        Some(next as usize)
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
