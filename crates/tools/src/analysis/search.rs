//! Clients from the values of their fields, field by field.

mod beyond;

use std::collections::{BTreeSet, HashSet};
use std::ptr;
use std::sync::Arc;

use super::facts::{Facts, is_plain};
use super::hosts;
use super::roles::Rules;
use super::sample::{Field, Fields, Member, Sample, Samples};
use super::space::{Kind, Origin, Space};
use super::texts::{Pool, Texts};
use super::views::{View, Views};
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{Condition, HostField, TextCondition, TextField, Who};
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::text::{Identity, Piece, Placeholder, Template};
use exhook_policy_core::topic::Budget;

/// Steps that asking one kind about a client counts for.
const ASK: usize = 6;

/// A client of which some fields are known.
#[derive(Debug, Clone)]
struct Draft {
    client: OwnedClient,
    known: Fields,
    members: Vec<Member>,
    /// Which lists from elsewhere are settled.
    settled: BTreeSet<usize>,
    lists: Arc<[Lists]>,
    role: [u32; 3],
}

struct Search<'a, 'w, 'b> {
    space: &'a Space,
    rules: &'a Rules,
    facts: &'a Facts<'w>,
    views: &'a Views,
    /// The focus first.
    kinds: &'a [Kind<'w>],
    budget: &'b mut Budget,
    complete: bool,
}

/// What [`Space::samples`] says.
pub(super) fn samples<'w>(
    space: &Space,
    focus: Kind<'w>,
    relevant: impl Iterator<Item = Kind<'w>>,
    rules: &Rules,
    budget: &mut Budget,
) -> Samples {
    let mut seen = HashSet::new();
    let kinds: Vec<Kind<'w>> =
        std::iter::once(focus).chain(relevant).filter(|kind| seen.insert((kind.policy, address(kind.who)))).collect();
    let facts = Facts::of(&kinds, &space.lists);
    let views = Views::of(&facts, &rules.ties);
    let uses = Placeholder::ALL.into_iter().any(|placeholder| rules.uses(placeholder));
    let in_hosts = |list: &usize| HostField::ALL.iter().any(|field| facts.host(*field).elsewhere.contains(list));
    let shared = TextField::ALL.iter().any(|field| facts.text(*field).elsewhere.iter().any(in_hosts));
    let complete = views.complete && (rules.complete || !uses) && !shared;
    let search = Search { space, rules, facts: &facts, views: &views, kinds: &kinds, budget, complete };
    search.run()
}

fn address(who: &Who) -> usize {
    match who {
        Who::Named(named) => ptr::from_ref(&named.who).addr(),
        Who::Everyone | Who::Any(_) | Who::All(_) | Who::During(..) => ptr::from_ref(who).addr(),
    }
}

impl<'w> Search<'_, 'w, '_> {
    fn run(mut self) -> Samples {
        let mut drafts = self.identities();
        for field in TextField::ALL.iter().copied().filter(|field| super::texts::placeholder_of(*field).is_none()) {
            drafts = self.other_texts(drafts, field);
        }
        let mut settled = Vec::new();
        for draft in drafts {
            self.memberships(draft, &mut settled);
        }
        let drafts = self.merged(settled);
        let drafts = self.places(drafts);
        let drafts = self.merged(drafts);
        let drafts = self.ports(drafts);
        let drafts = self.flags(drafts);
        let drafts = self.merged(drafts);
        let drafts = self.times(drafts);
        let zone = self.facts.whens.first().and_then(|when| when.zone());
        let mut fields = self.facts.fields;
        for placeholder in Placeholder::ALL.into_iter().filter(|placeholder| self.rules.uses(*placeholder)) {
            fields.insert(Field::Text(super::views::field_of(placeholder)));
        }
        for template in TextField::ALL.iter().flat_map(|field| &self.facts.text(*field).templates) {
            for piece in template.pieces() {
                if let Piece::Value(placeholder) = piece {
                    fields.insert(Field::Text(super::views::field_of(placeholder)));
                }
            }
        }
        for field in [TextField::Clientid, TextField::Username].into_iter().filter(|field| self.is_asked(*field)) {
            fields.insert(Field::Text(field));
        }
        let mut samples = Vec::new();
        for Draft { client, members, .. } in drafts {
            // Members that fitted alone fit together.
            let Some(lists) = self.space.lists.with(&members, |_| true) else { continue };
            samples.push(Sample { client, members, lists, fields, zone: zone.cloned() });
        }
        Samples { samples, complete: self.complete }
    }

    fn spend(&mut self, steps: usize) -> bool {
        let left = self.budget.spend(steps);
        self.complete &= left;
        left
    }

    fn is_asked(&self, field: TextField) -> bool {
        self.facts.fields.contains(Field::Text(field)) || self.views.of_field(field).len() > 1 || {
            super::texts::placeholder_of(field).is_some_and(|placeholder| self.rules.uses(placeholder))
        }
    }

    fn start(&self) -> Draft {
        let client = OwnedClient {
            clientid: "someone".into(),
            username: "user".into(),
            peerhost: hosts::plain(),
            sockport: 1883,
            protocol: "mqtt".into(),
            mountpoint: "".into(),
            node: "emqx@127.0.0.1".into(),
            is_superuser: false,
            anonymous: false,
            extra: self.space.extra().into(),
        };
        let lists = self.space.lists.with(&[], |_| false).unwrap_or_else(|| Arc::new([]));
        let known = Fields::default();
        Draft { client, known, members: Vec::new(), settled: BTreeSet::new(), lists, role: [0; 3] }
    }

    /// The clientid and the username together, since conditions may tie them.
    fn identities(&mut self) -> Vec<Draft> {
        let (space, facts, views, rules) = (self.space, self.facts, self.views, self.rules);
        let Some(focus) = self.kinds.first().copied() else { return Vec::new() };
        let mut texts = Texts::new(space, facts, rules, views, focus);
        let (clientid, username) = (TextField::Clientid, TextField::Username);
        let clientids = self.pool(&mut texts, clientid, views.untied());
        let usernames = self.pool(&mut texts, username, views.untied());
        let start = self.start();
        let mut seen = HashSet::new();
        let mut drafts = Vec::new();
        let shown_in = |field: TextField, of: TextField| -> Vec<View> {
            views.of_field(of).into_iter().skip(1).filter(|view| view.field == field).collect()
        };
        let (in_username, in_clientid) = (shown_in(username, clientid), shown_in(clientid, username));
        let with_username = |draft: &Draft, value: &str| {
            let mut draft = draft.clone();
            draft.client.username = value.into();
            draft.known.insert(Field::Text(username));
            draft
        };
        let with_clientid = |draft: &Draft, value: &str| {
            let mut draft = draft.clone();
            draft.client.clientid = value.into();
            draft.known.insert(Field::Text(clientid));
            draft
        };
        let mut candidates = Vec::new();
        for (value, class) in &clientids.texts {
            let draft = with_clientid(&start, value);
            if !self.allows(&draft) {
                continue;
            }
            for view in &in_username {
                let shown = view.shows(value);
                let other = texts.class(username, &shown);
                candidates.push((with_username(&draft, &shown), *class, other));
            }
            for (other, other_class) in &usernames.texts {
                if !self.spend(ASK) {
                    break;
                }
                candidates.push((with_username(&draft, other), *class, *other_class));
            }
        }
        for (value, class) in &usernames.texts {
            let draft = with_username(&start, value);
            for view in &in_clientid {
                let shown = view.shows(value);
                let other = texts.class(clientid, &shown);
                candidates.push((with_clientid(&draft, &shown), other, *class));
            }
        }
        let complex: Vec<&Template> = facts
            .text(clientid)
            .templates
            .iter()
            .chain(&facts.text(username).templates)
            .copied()
            .filter(|template| super::views::Simple::of(template.pieces()).is_none())
            .collect();
        for (mut draft, own, other) in candidates {
            let OwnedClient { clientid, username, .. } = &draft.client;
            let identity = Identity { clientid, username };
            let mut tied = vec![clientid == username];
            tied.extend(in_username.iter().map(|view| view.shows(clientid) == **username));
            tied.extend(in_clientid.iter().map(|view| view.shows(username) == **clientid));
            for template in &complex {
                tied.extend([template.equals(identity, clientid), template.equals(identity, username)]);
            }
            if seen.insert((own, other, tied)) && self.allows(&draft) {
                let both = rules.uses_both() && clientid == username;
                draft.role = [
                    rules.of_value(Placeholder::Clientid, clientid),
                    rules.of_value(Placeholder::Username, username),
                    u32::from(both),
                ];
                drafts.push(draft);
            }
        }
        drafts
    }

    fn pool(&mut self, texts: &mut Texts<'_, 'w>, field: TextField, count: usize) -> Pool {
        if self.is_asked(field) {
            let pool = texts.pool(field, count, self.budget);
            self.complete &= pool.complete;
            return pool;
        }
        let value = field.of(&self.start().client.as_client()).unwrap_or_default().to_owned();
        let class = texts.class(field, &value);
        Pool { texts: vec![(value, class)], complete: true }
    }

    /// Fields that no placeholder stands for, but that may hold some.
    fn other_texts(&mut self, drafts: Vec<Draft>, field: TextField) -> Vec<Draft> {
        let known = |mut draft: Draft| {
            draft.known.insert(Field::Text(field));
            draft
        };
        if !self.is_asked(field) {
            return drafts.into_iter().map(known).collect();
        }
        let (space, facts, views, rules) = (self.space, self.facts, self.views, self.rules);
        let Some(focus) = self.kinds.first().copied() else { return Vec::new() };
        let mut texts = Texts::new(space, facts, rules, views, focus);
        let templates = &facts.text(field).templates;
        let pool = self.pool(&mut texts, field, templates.len() + 2);
        let mut all = Vec::new();
        for draft in drafts {
            let client = draft.client.as_client();
            let identity = Identity { clientid: client.clientid, username: client.username };
            let made = templates.iter().filter_map(|template| template.filled(identity));
            let made: Vec<(String, usize)> = made.map(|text| (text.clone(), texts.class(field, &text))).collect();
            let mut seen = HashSet::new();
            for (text, class) in made.iter().chain(&pool.texts) {
                if !self.spend(ASK) {
                    break;
                }
                let tied: Vec<bool> = templates.iter().map(|template| template.equals(identity, text)).collect();
                let others = TextField::ALL.iter().copied().take_while(|other| *other != field);
                let same: Vec<bool> = others.map(|other| other.of(&client) == Some(text)).collect();
                if !seen.insert((*class, tied, same)) {
                    continue;
                }
                let mut next = known(draft.clone());
                field.set(&mut next.client, text);
                if self.allows(&next) {
                    all.push(next);
                }
            }
        }
        all
    }

    /// Settles one list from elsewhere after the other, as long as some matters.
    fn memberships(&mut self, draft: Draft, all: &mut Vec<Draft>) {
        let mut open = Vec::new();
        for kind in self.kinds {
            self.residue(*kind, kind.who, &draft, &mut Vec::new(), &mut open);
        }
        if !self.spend(ASK * (self.kinds.len() + self.space.lists.count())) {
            return;
        }
        let unsettled = open.into_iter().find_map(|(policy, condition)| match condition {
            Condition::Text(_, condition) => self.elsewhere(policy, condition, &draft.settled),
            Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
        });
        let Some(list) = unsettled else {
            all.push(draft);
            return;
        };
        let client = draft.client.as_client();
        let fields: Vec<TextField> =
            TextField::ALL.iter().copied().filter(|field| self.facts.text(*field).elsewhere.contains(&list)).collect();
        let mut values: Vec<&str> = fields.iter().map(|field| field.of(&client).unwrap_or_default()).collect();
        values.sort_unstable();
        values.dedup();
        for choice in 0..1_u32 << values.len() {
            let holds = |value: &str| {
                let number = values.iter().position(|other| *other == value);
                number.is_some_and(|number| choice & (1 << number) != 0)
            };
            if values.iter().any(|value| holds(value) && !self.space.lists.can_hold(list, value)) {
                continue;
            }
            let mut next = draft.clone();
            next.settled.insert(list);
            next.members.extend(fields.iter().map(|field| {
                let text = field.of(&client).unwrap_or_default();
                let name = self.space.lists.name(list);
                Member { list, name, field: Field::Text(*field), text: text.into(), holds: holds(text) }
            }));
            let Some(lists) = self.space.lists.with(&next.members, |list| next.settled.contains(&list)) else {
                continue;
            };
            next.lists = lists;
            if self.allows(&next) {
                self.memberships(next, all);
            }
        }
    }

    /// A list from elsewhere that the condition asks, of those not settled.
    fn elsewhere(&self, policy: usize, condition: &TextCondition, settled: &BTreeSet<usize>) -> Option<usize> {
        match condition {
            TextCondition::Equals(_) | TextCondition::Matches(_) => None,
            TextCondition::In(list) => match self.space.lists.origin(policy, *list) {
                Some(Origin::Elsewhere(list)) if !settled.contains(&list) => Some(list),
                Some(Origin::Elsewhere(_) | Origin::Inline) | None => None,
            },
            TextCondition::Not(inner) => self.elsewhere(policy, inner, settled),
            TextCondition::Any(each) => each.iter().find_map(|one| self.elsewhere(policy, one, settled)),
        }
    }

    /// The conditions on a field that still matter for a client, now that those on other fields are settled.
    fn open<T>(
        &mut self,
        draft: &Draft,
        field: Field,
        of: impl Fn(&'w Condition) -> Option<&'w T>,
    ) -> Vec<(usize, &'w T)> {
        let mut without = draft.clone();
        without.known = without.known.without(field);
        let mut open = Vec::new();
        for kind in self.kinds {
            self.residue(*kind, kind.who, &without, &mut Vec::new(), &mut open);
        }
        self.spend(ASK * self.kinds.len());
        let mut seen = HashSet::new();
        let open = open.into_iter().filter(|(_, condition)| seen.insert(ptr::from_ref(*condition).addr()));
        open.filter_map(|(policy, condition)| Some((policy, of(condition)?))).collect()
    }

    /// Whether the client may still be one of the focus.
    fn allows(&mut self, draft: &Draft) -> bool {
        let Some(focus) = self.kinds.first().copied() else { return false };
        self.spend(ASK) && self.residue(focus, focus.who, draft, &mut Vec::new(), &mut Vec::new()) != Holds::No
    }

    /// One client of those that all kinds treat alike, whatever the fields that are not known yet.
    fn merged(&mut self, drafts: Vec<Draft>) -> Vec<Draft> {
        let mut seen = HashSet::new();
        let mut merged = Vec::new();
        for draft in drafts {
            if !self.spend(ASK * self.kinds.len()) {
                break;
            }
            let mut key = Vec::with_capacity(self.kinds.len());
            let mut of_focus = true;
            for (number, kind) in self.kinds.iter().enumerate() {
                let holds = self.residue(*kind, kind.who, &draft, &mut key, &mut Vec::new());
                key.push(match holds {
                    Holds::No => NO,
                    Holds::Yes => YES,
                    Holds::CannotTell => OPEN,
                });
                of_focus &= number > 0 || holds != Holds::No;
                if !of_focus {
                    break;
                }
            }
            if of_focus && seen.insert((draft.role, key)) {
                merged.push(draft);
            }
        }
        merged
    }

    /// Whether a kind holds of a client, as far as it is known; what it still hangs on is added to `key` and to `open`.
    fn residue(
        &self,
        kind: Kind<'w>,
        who: &'w Who,
        draft: &Draft,
        key: &mut Vec<usize>,
        open: &mut Vec<(usize, &'w Condition)>,
    ) -> Holds {
        let (key_start, open_start) = (key.len(), open.len());
        let holds = match who {
            Who::Everyone => Holds::Yes,
            Who::Named(named) => self.residue(kind, &named.who, draft, key, open),
            Who::Any(each) => {
                key.push(ANY);
                let holds = Holds::any(each.iter().map(|who| self.residue(kind, who, draft, key, open)));
                key.push(END);
                holds
            }
            Who::All(conditions) => {
                key.push(ALL);
                let holds = Holds::all(conditions.iter().map(|condition| {
                    let holds = self.settle(kind.policy, condition, draft);
                    if holds == Holds::CannotTell {
                        key.push(ptr::from_ref(condition).addr());
                        open.push((kind.policy, condition));
                    }
                    holds
                }));
                key.push(END);
                holds
            }
            Who::During(when, who) => {
                let known = draft.known.contains(Field::At);
                let time = if known { when.holds(draft.client.extra.at) } else { Holds::CannotTell };
                key.push(ALL);
                if time == Holds::CannotTell {
                    key.push(Arc::as_ptr(when).addr());
                }
                let holds = match time {
                    Holds::No => Holds::No,
                    Holds::CannotTell | Holds::Yes => time.min(self.residue(kind, who, draft, key, open)),
                };
                key.push(END);
                holds
            }
        };
        if holds != Holds::CannotTell {
            key.truncate(key_start);
            open.truncate(open_start);
        }
        holds
    }

    fn settle(&self, policy: usize, condition: &Condition, draft: &Draft) -> Holds {
        let known = match condition {
            Condition::Text(field, condition) => {
                draft.known.contains(Field::Text(*field))
                    && (draft.known.has_identity() || is_plain(condition, policy, &self.space.lists))
            }
            Condition::Host(field, _) => draft.known.contains(Field::Host(*field)),
            Condition::Port(field, _) => draft.known.contains(Field::Port(*field)),
            Condition::Flag(field, _) => draft.known.contains(Field::Flag(*field)),
        };
        match draft.lists.get(policy).filter(|_| known) {
            Some(lists) => condition.holds(&draft.client.as_client(), lists),
            None => Holds::CannotTell,
        }
    }
}

/// Parts of a key that are no address.
const NO: usize = 1;
const YES: usize = 2;
const OPEN: usize = 3;
const ANY: usize = 4;
const ALL: usize = 5;
const END: usize = 6;
