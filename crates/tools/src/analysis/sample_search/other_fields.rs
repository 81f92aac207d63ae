//! The fields that are no text: each is settled by itself.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ptr;
use std::rc::Rc;

use super::evaluation::{ASK, PartialClient, SampleSearch};
use crate::analysis::fields::SampleField;
use crate::analysis::lists::{ListMember, ListOrigin};
use crate::analysis::peerhost_values::PeerhostValues;
use exhook_policy_core::event::owned::OwnedPeerhost;
use exhook_policy_core::policy::model::{Condition, FlagField, HostCondition, HostField, PortCondition, PortField};
use exhook_policy_core::policy::who::Holds;

/// Lists from elsewhere that one field is compared with at once.
const MOST_LISTS: u32 = 10;

/// An address, with the lists that hold it or do not.
type PeerhostCandidate = (OwnedPeerhost, Vec<ListMember>);

impl SampleSearch<'_, '_, '_> {
    pub(super) fn places(&mut self, partials: Vec<PartialClient>) -> Vec<PartialClient> {
        HostField::ALL.iter().fold(partials, |partials, field| self.places_of(partials, *field))
    }

    fn places_of(&mut self, partials: Vec<PartialClient>, host: HostField) -> Vec<PartialClient> {
        let field = SampleField::Host(host);
        if !self.comparisons.fields.contains(field) {
            return partials;
        }
        let mut candidates: Option<Rc<PeerhostValues>> = None;
        let mut known: HashMap<Vec<usize>, Rc<[PeerhostCandidate]>> = HashMap::new();
        let mut all = Vec::new();
        for mut partial in partials {
            partial.known.insert(field);
            let open: Vec<(usize, &HostCondition)> = self.open(&partial, field, |condition| match condition {
                Condition::Host(of, condition) if *of == host => Some(condition),
                Condition::Text(..) | Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
            });
            if open.is_empty() {
                all.push(partial);
                continue;
            }
            let key = open.iter().map(|(_, condition)| ptr::from_ref(*condition).addr()).collect();
            let places = if let Some(places) = known.get(&key) {
                Rc::clone(places)
            } else {
                let candidates = candidates
                    .get_or_insert_with(|| {
                        Rc::new(PeerhostValues::of(self.comparisons.host(host), self.context, self.budget))
                    })
                    .clone();
                let places: Rc<[PeerhostCandidate]> = self.told_apart(field, &candidates, &open).into();
                known.insert(key, Rc::clone(&places));
                places
            };
            for (peerhost, members) in places.iter() {
                if !self.spend(ASK) {
                    break;
                }
                let mut next = partial.clone();
                host.set(&mut next.client, peerhost.as_peerhost());
                next.members.extend(members.iter().cloned());
                if let Some(lists) = self.context.lists.with(&next.members, |_| true) {
                    next.lists = lists;
                    all.push(next);
                }
            }
        }
        all
    }

    /// One place for each combination of answers.
    fn told_apart(
        &mut self,
        field: SampleField,
        hosts: &PeerhostValues,
        open: &[(usize, &HostCondition)],
    ) -> Vec<PeerhostCandidate> {
        self.complete &= hosts.complete;
        let mut lists = BTreeSet::new();
        for (policy, condition) in open {
            self.host_lists(*policy, condition, &mut lists);
        }
        let count = u32::try_from(lists.len()).unwrap_or(u32::MAX);
        self.complete &= count <= MOST_LISTS;
        let mut seen = HashSet::new();
        let mut places = Vec::new();
        for choice in 0..1_u32 << count.min(MOST_LISTS) {
            for host in &hosts.hosts {
                if !self.spend(ASK * open.len()) {
                    return places;
                }
                let members = (0..).zip(&lists).map(|(number, list)| ListMember {
                    list: *list,
                    name: self.context.lists.name(*list),
                    field,
                    text: host.as_peerhost().to_string().into(),
                    holds: choice.checked_shr(number).is_some_and(|rest| rest & 1 == 1),
                });
                let members: Vec<ListMember> = members.collect();
                // What is no address is in no list.
                let contents = self.context.lists.with(&members, |_| true);
                let Some(contents) = contents.filter(|_| choice == 0 || matches!(host, OwnedPeerhost::Addr(_))) else {
                    continue;
                };
                let holds = |(policy, condition): &(usize, &HostCondition)| {
                    contents.get(*policy).map(|lists| condition.holds(host.as_peerhost(), lists))
                };
                if seen.insert(open.iter().map(holds).collect::<Vec<_>>()) {
                    places.push((host.clone(), members));
                }
            }
        }
        places
    }

    fn host_lists(&self, policy: usize, condition: &HostCondition, lists: &mut BTreeSet<usize>) {
        match condition {
            HostCondition::Address(_) | HostCondition::Network(_) | HostCondition::Matches(_) => {}
            HostCondition::In(list) => {
                if let Some(ListOrigin::External(list)) = self.context.lists.origin(policy, *list) {
                    lists.insert(list);
                }
            }
            HostCondition::Not(inner) => self.host_lists(policy, inner, lists),
            HostCondition::Any(each) => each.iter().for_each(|one| self.host_lists(policy, one, lists)),
        }
    }

    pub(super) fn ports(&mut self, partials: Vec<PartialClient>) -> Vec<PartialClient> {
        PortField::ALL.iter().fold(partials, |partials, field| self.ports_of(partials, *field))
    }

    fn ports_of(&mut self, partials: Vec<PartialClient>, port_field: PortField) -> Vec<PartialClient> {
        let field = SampleField::Port(port_field);
        if !self.comparisons.fields.contains(field) {
            return partials;
        }
        let mut all = Vec::new();
        for mut partial in partials {
            partial.known.insert(field);
            let open: Vec<(usize, &PortCondition)> = self.open(&partial, field, |condition| match condition {
                Condition::Port(of, condition) if *of == port_field => Some(condition),
                Condition::Text(..) | Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
            });
            let mut named = BTreeSet::new();
            for (_, condition) in &open {
                ports_of(condition, &mut named);
            }
            let fresh = port_field.traits().examples.into_iter().chain(1..=u16::MAX).find(|port| !named.contains(port));
            let mut seen = HashSet::new();
            for port in fresh.into_iter().chain(named) {
                if !self.spend(ASK * (1 + open.len())) {
                    break;
                }
                if seen.insert(open.iter().map(|(_, condition)| condition.holds(port)).collect::<Vec<_>>()) {
                    let mut next = partial.clone();
                    port_field.set(&mut next.client, port);
                    all.push(next);
                }
            }
        }
        all
    }

    pub(super) fn flags(&mut self, partials: Vec<PartialClient>) -> Vec<PartialClient> {
        let mut all = partials;
        for flag in FlagField::ALL {
            let field = SampleField::Flag(*flag);
            if !self.comparisons.fields.contains(field) {
                continue;
            }
            let mut next = Vec::new();
            for mut partial in all {
                partial.known.insert(field);
                for value in [false, true] {
                    let mut partial = partial.clone();
                    flag.set(&mut partial.client, value);
                    next.push(partial);
                }
            }
            all = next;
        }
        all
    }

    /// Moments that stand for all, of clients of which the rest is known.
    pub(super) fn times(&mut self, partials: Vec<PartialClient>) -> Vec<PartialClient> {
        if !self.comparisons.fields.contains(SampleField::At) {
            return partials;
        }
        let (instants, complete) = self.context.instants(&self.comparisons.whens, self.budget);
        self.complete &= complete;
        let mut all = Vec::new();
        for partial in partials {
            let open = self.kinds.iter().any(|kind| {
                self.evaluate(*kind, kind.who, &partial, &mut Vec::new(), &mut Vec::new()) == Holds::CannotTell
            });
            self.spend(ASK * self.kinds.len());
            for at in instants.iter().take(if open { instants.len() } else { 1 }) {
                if !self.spend(ASK) {
                    break;
                }
                let mut next = partial.clone();
                next.known.insert(SampleField::At);
                next.client.extra.at = Some(*at);
                all.push(next);
            }
        }
        self.merged(all)
    }
}

fn ports_of(condition: &PortCondition, ports: &mut BTreeSet<u16>) {
    match condition {
        PortCondition::Is(port) => {
            ports.insert(*port);
        }
        PortCondition::Not(inner) => ports_of(inner, ports),
        PortCondition::Any(each) => each.iter().for_each(|one| ports_of(one, ports)),
    }
}
