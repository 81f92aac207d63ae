//! Clients from the values of their fields, field by field.

mod evaluation;
mod other_fields;

use std::collections::{BTreeSet, HashSet};
use std::ptr;
use std::sync::Arc;

use super::client_kind::ClientKind;
use super::comparisons::FieldComparisons;
use super::context::AnalysisContext;
use super::fields::{FieldSet, SampleField};
use super::lists::{ListMember, ListOrigin};
use super::occurrences::{FieldOccurrence, FieldOccurrences};
use super::peerhost_values;
use super::placeholders::{SinglePlaceholder, field_of, placeholder_of};
use super::sample::{Sample, Samples};
use super::text_values::{FieldValues, TextClassifier};
use super::topic_classes::TopicClasses;
use evaluation::{ASK, PartialClient, SampleSearch};
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::policy::model::{Condition, HostField, TextCondition, TextField, Who};
use exhook_policy_core::text::{Identity, Piece, Placeholder, Template};
use exhook_policy_core::topic::Budget;

impl AnalysisContext {
    /// Clients of the focus, of which every real one is treated as one of them is: by these other
    /// kinds, by the focus, and by all topic patterns of the policies, as far as placeholders stand
    /// in them.
    pub fn samples<'w, K: Copy + Into<ClientKind<'w>>>(
        &self,
        focus: impl Into<ClientKind<'w>>,
        relevant: &[K],
        budget: &mut Budget,
    ) -> Samples {
        samples(self, focus.into(), relevant.iter().map(|kind| (*kind).into()), &self.topic_classes, budget)
    }

    /// As [`samples`](Self::samples), but of all topic patterns only those of these rules count:
    /// none for logins.
    pub fn samples_about<'w, 'r, K: Copy + Into<ClientKind<'w>>>(
        &self,
        focus: impl Into<ClientKind<'w>>,
        relevant: &[K],
        rules: impl IntoIterator<Item = &'r TopicRule>,
        budget: &mut Budget,
    ) -> Samples {
        let topic_classes = TopicClasses::of(rules);
        samples(self, focus.into(), relevant.iter().map(|kind| (*kind).into()), &topic_classes, budget)
    }
}

/// What [`AnalysisContext::samples`] says.
fn samples<'w>(
    context: &AnalysisContext,
    focus: ClientKind<'w>,
    relevant: impl Iterator<Item = ClientKind<'w>>,
    topic_classes: &TopicClasses,
    budget: &mut Budget,
) -> Samples {
    let mut seen = HashSet::new();
    let kinds: Vec<ClientKind<'w>> =
        std::iter::once(focus).chain(relevant).filter(|kind| seen.insert((kind.policy, address(kind.who)))).collect();
    let comparisons = FieldComparisons::of(&kinds, &context.lists);
    let occurrences = FieldOccurrences::of(&comparisons, &topic_classes.relations);
    let uses = Placeholder::ALL.into_iter().any(|placeholder| topic_classes.uses(placeholder));
    let in_hosts = |list: &usize| HostField::ALL.iter().any(|field| comparisons.host(*field).external.contains(list));
    let shared = TextField::ALL.iter().any(|field| comparisons.text(*field).external.iter().any(in_hosts));
    let complete = occurrences.complete && (topic_classes.complete || !uses) && !shared;
    let search = SampleSearch {
        context,
        topic_classes,
        comparisons: &comparisons,
        occurrences: &occurrences,
        kinds: &kinds,
        budget,
        complete,
    };
    search.run()
}

fn address(who: &Who) -> usize {
    match who {
        Who::Named(named) => ptr::from_ref(&named.who).addr(),
        Who::Everyone | Who::Any(_) | Who::All(_) | Who::During(..) => ptr::from_ref(who).addr(),
    }
}

impl<'w> SampleSearch<'_, 'w, '_> {
    fn run(mut self) -> Samples {
        let mut partials = self.identities();
        for field in TextField::ALL.iter().copied().filter(|field| placeholder_of(*field).is_none()) {
            partials = self.other_texts(partials, field);
        }
        let mut settled = Vec::new();
        for partial in partials {
            self.memberships(partial, &mut settled);
        }
        let partials = self.merged(settled);
        let partials = self.places(partials);
        let partials = self.merged(partials);
        let partials = self.ports(partials);
        let partials = self.flags(partials);
        let partials = self.merged(partials);
        let partials = self.times(partials);
        let zone = self.comparisons.whens.first().and_then(|when| when.zone());
        let mut fields = self.comparisons.fields;
        for placeholder in Placeholder::ALL.into_iter().filter(|placeholder| self.topic_classes.uses(*placeholder)) {
            fields.insert(SampleField::Text(field_of(placeholder)));
        }
        for template in TextField::ALL.iter().flat_map(|field| &self.comparisons.text(*field).templates) {
            for piece in template.pieces() {
                if let Piece::Value(placeholder) = piece {
                    fields.insert(SampleField::Text(field_of(placeholder)));
                }
            }
        }
        for field in [TextField::Clientid, TextField::Username].into_iter().filter(|field| self.is_asked(*field)) {
            fields.insert(SampleField::Text(field));
        }
        let mut samples = Vec::new();
        for PartialClient { client, members, .. } in partials {
            // Members that fitted alone fit together.
            let Some(lists) = self.context.lists.with(&members, |_| true) else { continue };
            samples.push(Sample { client, members, lists, fields, zone: zone.cloned() });
        }
        Samples { samples, complete: self.complete }
    }

    fn is_asked(&self, field: TextField) -> bool {
        self.comparisons.fields.contains(SampleField::Text(field)) || self.occurrences.of_field(field).len() > 1 || {
            placeholder_of(field).is_some_and(|placeholder| self.topic_classes.uses(placeholder))
        }
    }

    fn start(&self) -> PartialClient {
        let client = OwnedClient {
            clientid: "someone".into(),
            username: "user".into(),
            peerhost: peerhost_values::plain(),
            sockport: 1883,
            protocol: "mqtt".into(),
            mountpoint: "".into(),
            node: "emqx@127.0.0.1".into(),
            is_superuser: false,
            anonymous: false,
            extra: self.context.extra().into(),
        };
        let lists = self.context.lists.with(&[], |_| false).unwrap_or_else(|| Arc::new([]));
        let known = FieldSet::default();
        PartialClient {
            client,
            known,
            members: Vec::new(),
            settled: BTreeSet::new(),
            lists,
            topic_class: [0; 3],
            topic_relations: Vec::new(),
        }
    }

    /// The clientid and the username together, since conditions may relate them.
    fn identities(&mut self) -> Vec<PartialClient> {
        let (context, comparisons, occurrences, topic_classes) =
            (self.context, self.comparisons, self.occurrences, self.topic_classes);
        let Some(focus) = self.kinds.first().copied() else { return Vec::new() };
        let mut texts = TextClassifier::new(context, comparisons, topic_classes, occurrences, focus);
        let (clientid, username) = (TextField::Clientid, TextField::Username);
        let clientids = self.field_values(&mut texts, clientid, occurrences.values_needed());
        let usernames = self.field_values(&mut texts, username, occurrences.values_needed());
        let start = self.start();
        let mut seen = HashSet::new();
        let mut partials = Vec::new();
        let shown_in = |field: TextField, of: TextField| -> Vec<FieldOccurrence> {
            occurrences.of_field(of).into_iter().skip(1).filter(|occurrence| occurrence.field == field).collect()
        };
        let (in_username, in_clientid) = (shown_in(username, clientid), shown_in(clientid, username));
        let with_username = |partial: &PartialClient, value: &str| {
            let mut partial = partial.clone();
            partial.client.username = value.into();
            partial.known.insert(SampleField::Text(username));
            partial
        };
        let with_clientid = |partial: &PartialClient, value: &str| {
            let mut partial = partial.clone();
            partial.client.clientid = value.into();
            partial.known.insert(SampleField::Text(clientid));
            partial
        };
        let mut candidates = Vec::new();
        for (value, class) in &clientids.texts {
            let partial = with_clientid(&start, value);
            if !self.allows(&partial) {
                continue;
            }
            for occurrence in &in_username {
                let shown = occurrence.text_with(value);
                let other = texts.class(username, &shown);
                candidates.push((with_username(&partial, &shown), *class, other));
            }
            for (other, other_class) in &usernames.texts {
                if !self.spend(ASK) {
                    break;
                }
                candidates.push((with_username(&partial, other), *class, *other_class));
            }
        }
        for (value, class) in &usernames.texts {
            let partial = with_username(&start, value);
            for occurrence in &in_clientid {
                let shown = occurrence.text_with(value);
                let other = texts.class(clientid, &shown);
                candidates.push((with_clientid(&partial, &shown), other, *class));
            }
        }
        let complex: Vec<&Template> = comparisons
            .text(clientid)
            .templates
            .iter()
            .chain(&comparisons.text(username).templates)
            .copied()
            .filter(|template| SinglePlaceholder::of(template.pieces()).is_none())
            .collect();
        for (mut partial, own, other) in candidates {
            let OwnedClient { clientid, username, .. } = &partial.client;
            let identity = Identity { clientid, username };
            let mut comparisons_hold = vec![clientid == username];
            comparisons_hold.extend(in_username.iter().map(|occurrence| occurrence.text_with(clientid) == **username));
            comparisons_hold.extend(in_clientid.iter().map(|occurrence| occurrence.text_with(username) == **clientid));
            for template in &complex {
                comparisons_hold.extend([template.equals(identity, clientid), template.equals(identity, username)]);
            }
            if seen.insert((own, other, comparisons_hold)) && self.allows(&partial) {
                let both = topic_classes.uses_both() && clientid == username;
                partial.topic_class = [
                    topic_classes.class_of(Placeholder::Clientid, clientid),
                    topic_classes.class_of(Placeholder::Username, username),
                    u32::from(both),
                ];
                let relations = topic_classes.relations.iter();
                partial.topic_relations = relations.map(|relation| relation.holds(clientid, username)).collect();
                partials.push(partial);
            }
        }
        partials
    }

    fn field_values(&mut self, texts: &mut TextClassifier<'_, 'w>, field: TextField, count: usize) -> FieldValues {
        if self.is_asked(field) {
            let field_values = texts.field_values(field, count, self.budget);
            self.complete &= field_values.complete;
            return field_values;
        }
        let value = field.of(&self.start().client.as_client()).unwrap_or_default().to_owned();
        let class = texts.class(field, &value);
        FieldValues { texts: vec![(value, class)], complete: true }
    }

    /// Fields that no placeholder stands for, but that may hold some.
    fn other_texts(&mut self, partials: Vec<PartialClient>, field: TextField) -> Vec<PartialClient> {
        let known = |mut partial: PartialClient| {
            partial.known.insert(SampleField::Text(field));
            partial
        };
        if !self.is_asked(field) {
            return partials.into_iter().map(known).collect();
        }
        let (context, comparisons, occurrences, topic_classes) =
            (self.context, self.comparisons, self.occurrences, self.topic_classes);
        let Some(focus) = self.kinds.first().copied() else { return Vec::new() };
        let mut texts = TextClassifier::new(context, comparisons, topic_classes, occurrences, focus);
        let templates = &comparisons.text(field).templates;
        let field_values = self.field_values(&mut texts, field, templates.len() + 2);
        let mut all = Vec::new();
        for partial in partials {
            let client = partial.client.as_client();
            let identity = Identity { clientid: client.clientid, username: client.username };
            let made = templates.iter().filter_map(|template| template.filled(identity));
            let made: Vec<(String, usize)> = made.map(|text| (text.clone(), texts.class(field, &text))).collect();
            let mut seen = HashSet::new();
            for (text, class) in made.iter().chain(&field_values.texts) {
                if !self.spend(ASK) {
                    break;
                }
                let comparisons_hold: Vec<bool> =
                    templates.iter().map(|template| template.equals(identity, text)).collect();
                let others = TextField::ALL.iter().copied().take_while(|other| *other != field);
                let equal_fields: Vec<bool> = others.map(|other| other.of(&client) == Some(text)).collect();
                if !seen.insert((*class, comparisons_hold, equal_fields)) {
                    continue;
                }
                let mut next = known(partial.clone());
                field.set(&mut next.client, text);
                if self.allows(&next) {
                    all.push(next);
                }
            }
        }
        all
    }

    /// Settles one list from elsewhere after the other, as long as some matters.
    fn memberships(&mut self, partial: PartialClient, all: &mut Vec<PartialClient>) {
        let mut open = Vec::new();
        for kind in self.kinds {
            self.evaluate(*kind, kind.who, &partial, &mut Vec::new(), &mut open);
        }
        if !self.spend(ASK * (self.kinds.len() + self.context.lists.count())) {
            return;
        }
        let unsettled = open.into_iter().find_map(|(policy, condition)| match condition {
            Condition::Text(_, condition) => self.external(policy, condition, &partial.settled),
            Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
        });
        let Some(list) = unsettled else {
            all.push(partial);
            return;
        };
        let client = partial.client.as_client();
        let fields: Vec<TextField> = TextField::ALL
            .iter()
            .copied()
            .filter(|field| self.comparisons.text(*field).external.contains(&list))
            .collect();
        let mut values: Vec<&str> = fields.iter().map(|field| field.of(&client).unwrap_or_default()).collect();
        values.sort_unstable();
        values.dedup();
        for choice in 0..1_u32 << values.len() {
            let holds = |value: &str| {
                let number = values.iter().position(|other| *other == value);
                number.is_some_and(|number| choice & (1 << number) != 0)
            };
            if values.iter().any(|value| holds(value) && !self.context.lists.can_hold(list, value)) {
                continue;
            }
            let mut next = partial.clone();
            next.settled.insert(list);
            next.members.extend(fields.iter().map(|field| {
                let text = field.of(&client).unwrap_or_default();
                let name = self.context.lists.name(list);
                ListMember { list, name, field: SampleField::Text(*field), text: text.into(), holds: holds(text) }
            }));
            let Some(lists) = self.context.lists.with(&next.members, |list| next.settled.contains(&list)) else {
                continue;
            };
            next.lists = lists;
            if self.allows(&next) {
                self.memberships(next, all);
            }
        }
    }

    /// A list from elsewhere that the condition asks, of those not settled.
    fn external(&self, policy: usize, condition: &TextCondition, settled: &BTreeSet<usize>) -> Option<usize> {
        match condition {
            TextCondition::Equals(_) | TextCondition::Matches(_) => None,
            TextCondition::In(list) => match self.context.lists.origin(policy, *list) {
                Some(ListOrigin::External(list)) if !settled.contains(&list) => Some(list),
                Some(ListOrigin::External(_) | ListOrigin::Inline) | None => None,
            },
            TextCondition::Not(inner) => self.external(policy, inner, settled),
            TextCondition::Any(each) => each.iter().find_map(|one| self.external(policy, one, settled)),
        }
    }
}
