//! What kinds of client compare the fields of a client with, taken apart.

use std::collections::{HashMap, HashSet};
use std::ptr;
use std::sync::Arc;

use super::client_kind::ClientKind;
use super::fields::{FieldSet, SampleField};
use super::lists::{ListOrigin, SharedLists};
use exhook_policy_core::policy::model::{
    Condition, HostCondition, HostField, HostFields, ListId, TextCondition, TextField, TextFields, Who,
};
use exhook_policy_core::policy::when::When;
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::text::{Identity, Matcher, Template};

/// What kinds of client ask about.
#[derive(Debug, Default)]
pub(super) struct FieldComparisons<'w> {
    texts: TextFields<TextComparisons<'w>>,
    hosts: HostFields<HostComparisons<'w>>,
    /// The times that are asked about.
    pub(super) whens: Vec<&'w Arc<When>>,
    /// The fields that are asked about.
    pub(super) fields: FieldSet,
    seen: HashSet<usize>,
}

/// What a text field is compared with.
#[derive(Debug, Default)]
pub(super) struct TextComparisons<'w> {
    /// Texts that the field may have to be equal to.
    pub(super) literals: Vec<&'w str>,
    pub(super) matchers: Vec<&'w Matcher>,
    /// Inline lists, by policy.
    pub(super) inline: Vec<(usize, ListId)>,
    /// Lists from elsewhere.
    pub(super) external: Vec<usize>,
    /// Texts with placeholders.
    pub(super) templates: Vec<&'w Template>,
    plain: Vec<PlainConditions<'w>>,
    /// The plain conditions that are no more than a text, by that text.
    by_literal: HashMap<&'w str, Vec<u32>>,
}

/// Conditions, any of which may hold, that the field's value alone settles.
#[derive(Debug)]
struct PlainConditions<'w> {
    policy: usize,
    any: Vec<&'w TextCondition>,
}

/// What an address is compared with.
#[derive(Debug, Default)]
pub(super) struct HostComparisons<'w> {
    pub(super) conditions: Vec<&'w HostCondition>,
    /// Inline lists, by policy.
    pub(super) inline: Vec<(usize, ListId)>,
    /// Lists from elsewhere.
    pub(super) external: Vec<usize>,
}

impl<'w> FieldComparisons<'w> {
    pub(super) fn of(kinds: &[ClientKind<'w>], lists: &SharedLists) -> Self {
        let mut comparisons = FieldComparisons::default();
        for kind in kinds {
            comparisons.who(kind.policy, kind.who, lists);
        }
        for field in TextField::ALL {
            let text = comparisons.texts.get_mut(*field);
            for (number, plain) in (0..).zip(&text.plain) {
                if let [TextCondition::Equals(template)] = plain.any.as_slice()
                    && let Some(literal) = template.as_literal()
                {
                    text.by_literal.entry(literal).or_default().push(number);
                }
            }
            sort(&mut text.literals);
            sort(&mut text.inline);
            sort(&mut text.external);
        }
        for field in HostField::ALL {
            let host = comparisons.hosts.get_mut(*field);
            sort(&mut host.inline);
            sort(&mut host.external);
        }
        comparisons
    }

    pub(super) fn text(&self, field: TextField) -> &TextComparisons<'w> {
        self.texts.get(field)
    }

    pub(super) fn host(&self, field: HostField) -> &HostComparisons<'w> {
        self.hosts.get(field)
    }

    fn who(&mut self, policy: usize, who: &'w Who, lists: &SharedLists) {
        match who {
            Who::Everyone => {}
            Who::Named(named) => {
                if self.seen.insert(ptr::from_ref(&named.who).addr()) {
                    self.who(policy, &named.who, lists);
                }
            }
            Who::Any(each) => each.iter().for_each(|who| self.who(policy, who, lists)),
            Who::All(conditions) => {
                for condition in conditions {
                    if self.seen.insert(ptr::from_ref(condition).addr()) {
                        self.condition(policy, condition, lists);
                    }
                }
            }
            Who::During(when, who) => {
                self.fields.insert(SampleField::At);
                if !self.whens.contains(&when) {
                    self.whens.push(when);
                }
                self.who(policy, who, lists);
            }
        }
    }

    fn condition(&mut self, policy: usize, condition: &'w Condition, lists: &SharedLists) {
        self.fields.insert(condition.field().into());
        match condition {
            Condition::Text(field, condition) => self.texts.get_mut(*field).add(policy, condition, lists),
            Condition::Host(field, condition) => self.hosts.get_mut(*field).add(policy, condition, lists),
            Condition::Port(..) | Condition::Flag(..) => {}
        }
    }
}

fn sort<T: Ord>(all: &mut Vec<T>) {
    all.sort_unstable();
    all.dedup();
}

/// Whether the value of the field alone settles the condition.
pub(super) fn is_plain(condition: &TextCondition, policy: usize, lists: &SharedLists) -> bool {
    match condition {
        TextCondition::Equals(template) => template.as_literal().is_some(),
        TextCondition::Matches(_) => true,
        TextCondition::In(list) => lists.origin(policy, *list) == Some(ListOrigin::Inline),
        TextCondition::Not(inner) => is_plain(inner, policy, lists),
        TextCondition::Any(each) => each.iter().all(|one| is_plain(one, policy, lists)),
    }
}

impl<'w> TextComparisons<'w> {
    fn add(&mut self, policy: usize, condition: &'w TextCondition, lists: &SharedLists) {
        if is_plain(condition, policy, lists) {
            self.values(policy, condition);
            self.plain.push(PlainConditions { policy, any: vec![condition] });
            return;
        }
        match condition {
            TextCondition::Equals(template) => self.templates.push(template),
            TextCondition::Matches(_) => {}
            TextCondition::In(list) => {
                if let Some(ListOrigin::External(list)) = lists.origin(policy, *list) {
                    self.external.push(list);
                }
            }
            TextCondition::Not(inner) => self.add(policy, inner, lists),
            TextCondition::Any(each) => {
                let (plain, others): (Vec<_>, Vec<_>) =
                    each.iter().partition(|condition| is_plain(condition, policy, lists));
                for condition in &plain {
                    self.values(policy, condition);
                }
                if !plain.is_empty() {
                    self.plain.push(PlainConditions { policy, any: plain });
                }
                for condition in others {
                    self.add(policy, condition, lists);
                }
            }
        }
    }

    /// Notes what a plain condition compares with.
    fn values(&mut self, policy: usize, condition: &'w TextCondition) {
        match condition {
            TextCondition::Equals(template) => self.literals.extend(template.as_literal()),
            TextCondition::Matches(matcher) => self.matchers.push(matcher),
            TextCondition::In(list) => self.inline.push((policy, *list)),
            TextCondition::Not(inner) => self.values(policy, inner),
            TextCondition::Any(each) => each.iter().for_each(|condition| self.values(policy, condition)),
        }
    }

    /// How many conditions are not found by a text, but have to be asked.
    pub(super) fn asked(&self) -> usize {
        self.plain.len() - self.by_literal.values().map(Vec::len).sum::<usize>()
    }

    /// Which of the plain conditions hold of a value: the same for all values that they treat
    /// alike.
    pub(super) fn holding(&self, value: &str, lists: &SharedLists, holding: &mut Vec<u32>) {
        let nobody = Identity { clientid: "", username: "" };
        holding.extend(self.by_literal.get(value).into_iter().flatten());
        for (number, PlainConditions { policy, any }) in (0..).zip(&self.plain) {
            if let [TextCondition::Equals(_)] = any.as_slice() {
                continue;
            }
            let inline = lists.inline(*policy);
            if any.iter().any(|condition| condition.holds(value, nobody, inline) == Holds::Yes) {
                holding.push(number);
            }
        }
    }
}

impl<'w> HostComparisons<'w> {
    fn add(&mut self, policy: usize, condition: &'w HostCondition, lists: &SharedLists) {
        match condition {
            HostCondition::Address(_) | HostCondition::Network(_) | HostCondition::Matches(_) => {
                self.conditions.push(condition);
            }
            HostCondition::In(list) => match lists.origin(policy, *list) {
                Some(ListOrigin::Inline) => self.inline.push((policy, *list)),
                Some(ListOrigin::External(list)) => self.external.push(list),
                None => {}
            },
            HostCondition::Not(inner) => self.add(policy, inner, lists),
            HostCondition::Any(each) => each.iter().for_each(|one| self.add(policy, one, lists)),
        }
    }
}
