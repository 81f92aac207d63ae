//! Whether a client is of a kind, in three values.
//!
//! A list that could not be read makes a condition that needs it unknown, and so does a field that the
//! broker does not tell. Unknown is carried through by Kleene's logic: it is lost only where the other
//! conditions settle the matter whatever the list holds. What is left unknown is the caller's to deny, so
//! a `not` never turns a missing list into a permission.

use std::net::IpAddr;

use super::lists::{List, Lists, Uses, canonical_network};
use super::model::{Condition, HostCondition, ListId, PortCondition, TextCondition, Who};
use super::show;
use super::when::When;
use crate::event::{Client, Peerhost};
use crate::text::machine::Cost as Steps;
use crate::text::{Doubt, Identity, Matcher, Work};

/// Whether something holds of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holds {
    /// It does not.
    No,
    /// A list that it needs could not be read, the broker does not tell the field, the time is unknown, or a pattern
    /// would take more work than a question may.
    CannotTell,
    /// It does.
    Yes,
}

impl Holds {
    /// The opposite, which is as unknown as this.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Holds::No => Holds::Yes,
            Holds::CannotTell => Holds::CannotTell,
            Holds::Yes => Holds::No,
        }
    }

    /// Whether all hold: one that does not settles it, and those behind it are not asked.
    pub fn all(each: impl IntoIterator<Item = Holds>) -> Self {
        let mut all = Holds::Yes;
        for one in each {
            all = all.min(one);
            if all == Holds::No {
                break;
            }
        }
        all
    }

    /// Whether any holds: one that does settles it, and those behind it are not asked.
    pub fn any(each: impl IntoIterator<Item = Holds>) -> Self {
        let mut any = Holds::No;
        for one in each {
            any = any.max(one);
            if any == Holds::Yes {
                break;
            }
        }
        any
    }

    /// Cannot be told, for this reason.
    fn doubted(doubt: Doubt, work: &Work) -> Self {
        work.doubt(doubt);
        Holds::CannotTell
    }

    fn matched(matcher: &Matcher, value: &str, work: &Work) -> Self {
        matcher.matches(value, work).map_or_else(|| Holds::doubted(Doubt::Pattern, work), Holds::from)
    }

    fn in_list(list: Option<&List>, work: &Work, contains: impl FnOnce(&List) -> bool) -> Self {
        list.map_or_else(|| Holds::doubted(Doubt::List, work), |list| contains(list).into())
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Holds::Yes } else { Holds::No }
    }
}

/// What a condition costs to evaluate, from the cheapest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    /// A comparison or a few.
    Compare,
    /// A glob or a regex.
    Match,
    /// A look-up in a list, which may be out of the processor's caches.
    LookUp,
}

impl Who {
    /// Whether the client is one of these, asked by itself.
    pub fn holds(&self, client: &Client<'_>, lists: &Lists) -> Holds {
        self.holds_within(client, lists, &Work::of_question())
    }

    /// Whether the client is one of these, in a question that has this work left.
    pub fn holds_within(&self, client: &Client<'_>, lists: &Lists, work: &Work) -> Holds {
        match self {
            Who::Everyone => Holds::Yes,
            Who::Named(named) => named.who.holds_within(client, lists, work),
            Who::Any(kinds) => Holds::any(kinds.iter().map(|who| who.holds_within(client, lists, work))),
            Who::All(conditions) => Holds::all(conditions.iter().map(|one| one.holds_within(client, lists, work))),
            Who::During(when, who) => match when.holds(client.extra.at) {
                Holds::No => Holds::No,
                Holds::CannotTell => {
                    let holds = who.holds_within(client, lists, work);
                    Holds::doubted(Doubt::Field, work).min(holds)
                }
                Holds::Yes => who.holds_within(client, lists, work),
            },
        }
    }

    /// When it is about them, where that is not always.
    pub fn when(&self) -> Option<&When> {
        match self {
            Who::During(when, _) => Some(when),
            Who::Everyone | Who::Named(_) | Who::Any(_) | Who::All(_) => None,
        }
    }

    /// Adds the lists that it names.
    pub(super) fn lists(&self, found: &mut Vec<ListId>) {
        match self {
            Who::Everyone => {}
            Who::Named(named) => named.who.lists(found),
            Who::Any(each) => each.iter().for_each(|who| who.lists(found)),
            Who::All(conditions) => conditions.iter().for_each(|condition| condition.lists(found)),
            Who::During(_, who) => who.lists(found),
        }
    }

    /// Adds the lists that it names, with what their entries are compared with.
    pub(super) fn uses(&self, found: &mut Vec<(ListId, Uses)>) {
        match self {
            Who::Everyone => {}
            Who::Named(named) => named.who.uses(found),
            Who::Any(each) => each.iter().for_each(|who| who.uses(found)),
            Who::All(conditions) => {
                for condition in conditions {
                    let networks = matches!(condition, Condition::Host(..));
                    let mut lists = Vec::new();
                    condition.lists(&mut lists);
                    found.extend(lists.into_iter().map(|list| (list, Uses { text: !networks, networks })));
                }
            }
            Who::During(_, who) => who.uses(found),
        }
    }

    /// Adds the fields that it asks about and the broker does not tell of this client.
    pub(super) fn untold(&self, client: &Client<'_>, found: &mut Vec<&'static str>) {
        match self {
            Who::Everyone => {}
            Who::Named(named) => named.who.untold(client, found),
            Who::Any(each) => each.iter().for_each(|who| who.untold(client, found)),
            Who::All(conditions) => found.extend(conditions.iter().filter_map(|one| one.untold(client))),
            Who::During(_, who) => {
                found.extend(client.extra.at.is_none().then_some(show::TIME));
                who.untold(client, found);
            }
        }
    }

    /// What the globs and regexes in it take at most, for each character of the client's texts.
    pub(super) fn cost_of_patterns(&self) -> Steps {
        match self {
            Who::Everyone => Steps::default(),
            Who::Named(named) => named.who.cost_of_patterns(),
            Who::Any(kinds) => kinds.iter().map(Who::cost_of_patterns).sum(),
            Who::All(conditions) => conditions.iter().map(Condition::cost_of_patterns).sum(),
            Who::During(_, who) => who.cost_of_patterns(),
        }
    }

    /// What it costs to ask.
    pub(super) fn cost(&self) -> Cost {
        match self {
            Who::Everyone => Cost::Compare,
            Who::Named(named) => named.who.cost(),
            Who::Any(kinds) => dearest(kinds.iter().map(Who::cost)),
            Who::All(conditions) => dearest(conditions.iter().map(Condition::cost)),
            Who::During(_, who) => who.cost().max(Cost::Match),
        }
    }

    /// Puts what is cheap to ask first. The answers stay the same, since no order changes them. Kinds that have a name
    /// are shared, and were sorted when they were made.
    // Public for the generators of kinds of client in tests of other crates.
    #[doc(hidden)]
    pub fn sort_by_cost(&mut self) {
        match self {
            Who::Everyone | Who::Named(_) => {}
            Who::Any(kinds) => {
                kinds.iter_mut().for_each(Who::sort_by_cost);
                kinds.sort_by_key(Who::cost);
            }
            Who::All(conditions) => conditions.sort_by_key(Condition::cost),
            Who::During(_, who) => who.sort_by_cost(),
        }
    }
}

impl Condition {
    /// Whether it holds of the client, asked by itself.
    pub fn holds(&self, client: &Client<'_>, lists: &Lists) -> Holds {
        self.holds_within(client, lists, &Work::of_question())
    }

    /// Whether it holds of the client, in a question that has this work left.
    pub fn holds_within(&self, client: &Client<'_>, lists: &Lists, work: &Work) -> Holds {
        let untold = || Holds::doubted(Doubt::Field, work);
        match self {
            Condition::Text(field, condition) => field
                .of(client)
                .map_or_else(untold, |value| condition.holds_within(value, identity(client), lists, work)),
            Condition::Host(field, condition) => {
                field.of(client).map_or_else(untold, |host| condition.holds_within(host, lists, work))
            }
            Condition::Port(field, condition) => {
                field.of(client).map_or_else(untold, |port| condition.holds(port).into())
            }
            Condition::Flag(field, expected) => field.of(client).map_or_else(untold, |flag| (flag == *expected).into()),
        }
    }

    /// The field that it is on, where the broker does not tell it.
    fn untold(&self, client: &Client<'_>) -> Option<&'static str> {
        let field = self.field();
        field.of(client).is_none().then(|| field.name())
    }

    /// Adds the lists that it names.
    pub(super) fn lists(&self, found: &mut Vec<ListId>) {
        match self {
            Condition::Text(_, condition) => condition.lists(found),
            Condition::Host(_, condition) => condition.lists(found),
            Condition::Port(..) | Condition::Flag(..) => {}
        }
    }

    fn cost_of_patterns(&self) -> Steps {
        match self {
            Condition::Text(_, condition) => condition.cost_of_patterns(),
            Condition::Host(_, condition) => condition.cost_of_patterns(),
            Condition::Port(..) | Condition::Flag(..) => Steps::default(),
        }
    }

    fn cost(&self) -> Cost {
        match self {
            Condition::Text(_, condition) => condition.cost(),
            Condition::Host(_, condition) => condition.cost(),
            Condition::Port(..) | Condition::Flag(..) => Cost::Compare,
        }
    }
}

impl TextCondition {
    /// Whether it holds of a field's value, in a client of this identity, asked by itself.
    pub fn holds(&self, value: &str, identity: Identity<'_>, lists: &Lists) -> Holds {
        self.holds_within(value, identity, lists, &Work::of_question())
    }

    fn holds_within(&self, value: &str, identity: Identity<'_>, lists: &Lists, work: &Work) -> Holds {
        match self {
            TextCondition::Equals(template) => template.equals(identity, value).into(),
            TextCondition::Matches(matcher) => Holds::matched(matcher, value, work),
            TextCondition::In(list) => Holds::in_list(lists.get(*list), work, |list| list.contains_text(value)),
            TextCondition::Not(inner) => inner.holds_within(value, identity, lists, work).negated(),
            TextCondition::Any(each) => {
                Holds::any(each.iter().map(|one| one.holds_within(value, identity, lists, work)))
            }
        }
    }

    fn lists(&self, found: &mut Vec<ListId>) {
        match self {
            TextCondition::Equals(_) | TextCondition::Matches(_) => {}
            TextCondition::In(list) => found.push(*list),
            TextCondition::Not(inner) => inner.lists(found),
            TextCondition::Any(each) => each.iter().for_each(|one| one.lists(found)),
        }
    }

    fn cost_of_patterns(&self) -> Steps {
        match self {
            TextCondition::Equals(_) | TextCondition::In(_) => Steps::default(),
            TextCondition::Matches(matcher) => matcher.cost().0,
            TextCondition::Not(inner) => inner.cost_of_patterns(),
            TextCondition::Any(each) => each.iter().map(TextCondition::cost_of_patterns).sum(),
        }
    }

    fn cost(&self) -> Cost {
        match self {
            TextCondition::Equals(_) => Cost::Compare,
            TextCondition::Matches(_) => Cost::Match,
            TextCondition::In(_) => Cost::LookUp,
            TextCondition::Not(inner) => inner.cost(),
            TextCondition::Any(each) => dearest(each.iter().map(TextCondition::cost)),
        }
    }
}

impl HostCondition {
    /// Whether it holds of the place that a client connects from. What is no IP address is in no
    /// network; a glob or a regex is asked about its text. Asked by itself.
    pub fn holds(&self, peerhost: Peerhost<'_>, lists: &Lists) -> Holds {
        self.holds_within(peerhost, lists, &Work::of_question())
    }

    fn holds_within(&self, peerhost: Peerhost<'_>, lists: &Lists, work: &Work) -> Holds {
        match self {
            HostCondition::Address(address) => within(peerhost, |peer| peer == address.to_canonical()).into(),
            HostCondition::Network(network) => {
                within(peerhost, |peer| canonical_network(*network).contains(&peer)).into()
            }
            HostCondition::Matches(matcher) => match peerhost {
                Peerhost::Addr(address) => Holds::matched(matcher, &address.to_canonical().to_string(), work),
                Peerhost::Other(text) => Holds::matched(matcher, text, work),
            },
            HostCondition::In(list) => {
                Holds::in_list(lists.get(*list), work, |list| within(peerhost, |peer| list.contains_address(peer)))
            }
            HostCondition::Not(inner) => inner.holds_within(peerhost, lists, work).negated(),
            HostCondition::Any(each) => Holds::any(each.iter().map(|one| one.holds_within(peerhost, lists, work))),
        }
    }

    fn lists(&self, found: &mut Vec<ListId>) {
        match self {
            HostCondition::Address(_) | HostCondition::Network(_) | HostCondition::Matches(_) => {}
            HostCondition::In(list) => found.push(*list),
            HostCondition::Not(inner) => inner.lists(found),
            HostCondition::Any(each) => each.iter().for_each(|one| one.lists(found)),
        }
    }

    fn cost_of_patterns(&self) -> Steps {
        match self {
            HostCondition::Address(_) | HostCondition::Network(_) | HostCondition::In(_) => Steps::default(),
            HostCondition::Matches(matcher) => matcher.cost().0,
            HostCondition::Not(inner) => inner.cost_of_patterns(),
            HostCondition::Any(each) => each.iter().map(HostCondition::cost_of_patterns).sum(),
        }
    }

    fn cost(&self) -> Cost {
        match self {
            HostCondition::Address(_) | HostCondition::Network(_) => Cost::Compare,
            HostCondition::Matches(_) => Cost::Match,
            HostCondition::In(_) => Cost::LookUp,
            HostCondition::Not(inner) => inner.cost(),
            HostCondition::Any(each) => dearest(each.iter().map(HostCondition::cost)),
        }
    }
}

impl PortCondition {
    /// Whether it holds of a port.
    pub fn holds(&self, port: u16) -> bool {
        match self {
            PortCondition::Is(expected) => port == *expected,
            PortCondition::Not(inner) => !inner.holds(port),
            PortCondition::Any(each) => each.iter().any(|one| one.holds(port)),
        }
    }
}

/// What the placeholders of the policy stand for in decisions about this client.
pub(super) fn identity<'a>(client: &Client<'a>) -> Identity<'a> {
    Identity { clientid: client.clientid, username: client.username }
}

fn within(peerhost: Peerhost<'_>, holds: impl FnOnce(IpAddr) -> bool) -> bool {
    match peerhost {
        Peerhost::Addr(address) => holds(address.to_canonical()),
        Peerhost::Other(_) => false,
    }
}

fn dearest(costs: impl Iterator<Item = Cost>) -> Cost {
    costs.max().unwrap_or(Cost::Compare)
}

#[cfg(test)]
mod tests;
