//! What kinds of client say of a client of which some fields are known.

use std::collections::{BTreeSet, HashSet};
use std::ptr;
use std::sync::Arc;

use crate::analysis::client_kind::ClientKind;
use crate::analysis::comparisons::{FieldComparisons, is_plain};
use crate::analysis::context::AnalysisContext;
use crate::analysis::fields::{FieldSet, SampleField};
use crate::analysis::lists::ListMember;
use crate::analysis::occurrences::FieldOccurrences;
use crate::analysis::topic_classes::TopicClasses;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{Condition, Who};
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::topic::Budget;

/// Steps that asking one kind about a client counts for.
pub(super) const ASK: usize = 6;

/// A client of which some fields are known.
#[derive(Debug, Clone)]
pub(super) struct PartialClient {
    pub(super) client: OwnedClient,
    pub(super) known: FieldSet,
    pub(super) members: Vec<ListMember>,
    /// Which lists from elsewhere are settled.
    pub(super) settled: BTreeSet<usize>,
    pub(super) lists: Arc<[Lists]>,
    pub(super) topic_class: [u32; 3],
    /// Which relations that topics make hold of its clientid and username.
    pub(super) topic_relations: Vec<bool>,
}

pub(super) struct SampleSearch<'a, 'w, 'b> {
    pub(super) context: &'a AnalysisContext,
    pub(super) topic_classes: &'a TopicClasses,
    pub(super) comparisons: &'a FieldComparisons<'w>,
    pub(super) occurrences: &'a FieldOccurrences,
    /// The focus first.
    pub(super) kinds: &'a [ClientKind<'w>],
    pub(super) budget: &'b mut Budget,
    pub(super) complete: bool,
}

impl<'w> SampleSearch<'_, 'w, '_> {
    pub(super) fn spend(&mut self, steps: usize) -> bool {
        let left = self.budget.spend(steps);
        self.complete &= left;
        left
    }

    /// The conditions on a field that still matter for a client, now that those on other fields are
    /// settled.
    pub(super) fn open<T>(
        &mut self,
        partial: &PartialClient,
        field: SampleField,
        of: impl Fn(&'w Condition) -> Option<&'w T>,
    ) -> Vec<(usize, &'w T)> {
        let mut without = partial.clone();
        without.known = without.known.without(field);
        let mut open = Vec::new();
        for kind in self.kinds {
            self.evaluate(*kind, kind.who, &without, &mut Vec::new(), &mut open);
        }
        self.spend(ASK * self.kinds.len());
        let mut seen = HashSet::new();
        let open = open.into_iter().filter(|(_, condition)| seen.insert(ptr::from_ref(*condition).addr()));
        open.filter_map(|(policy, condition)| Some((policy, of(condition)?))).collect()
    }

    /// Whether the client may still be one of the focus.
    pub(super) fn allows(&mut self, partial: &PartialClient) -> bool {
        let Some(focus) = self.kinds.first().copied() else { return false };
        self.spend(ASK) && self.evaluate(focus, focus.who, partial, &mut Vec::new(), &mut Vec::new()) != Holds::No
    }

    /// One client of those that all kinds treat alike, whatever the fields that are not known yet.
    pub(super) fn merged(&mut self, partials: Vec<PartialClient>) -> Vec<PartialClient> {
        let mut seen = HashSet::new();
        let mut merged = Vec::new();
        for partial in partials {
            if !self.spend(ASK * self.kinds.len()) {
                break;
            }
            let mut key = Vec::with_capacity(self.kinds.len());
            let mut of_focus = true;
            for (number, kind) in self.kinds.iter().enumerate() {
                let holds = self.evaluate(*kind, kind.who, &partial, &mut key, &mut Vec::new());
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
            if of_focus && seen.insert((partial.topic_class, partial.topic_relations.clone(), key)) {
                merged.push(partial);
            }
        }
        merged
    }

    /// Whether a kind holds of a client, as far as it is known; what it still hangs on is added to
    /// `key` and to `open`.
    pub(super) fn evaluate(
        &self,
        kind: ClientKind<'w>,
        who: &'w Who,
        partial: &PartialClient,
        key: &mut Vec<usize>,
        open: &mut Vec<(usize, &'w Condition)>,
    ) -> Holds {
        let (key_start, open_start) = (key.len(), open.len());
        let holds = match who {
            Who::Everyone => Holds::Yes,
            Who::Named(named) => self.evaluate(kind, &named.who, partial, key, open),
            Who::Any(each) => {
                key.push(ANY);
                let holds = Holds::any(each.iter().map(|who| self.evaluate(kind, who, partial, key, open)));
                key.push(END);
                holds
            }
            Who::All(conditions) => {
                key.push(ALL);
                let holds = Holds::all(conditions.iter().map(|condition| {
                    let holds = self.evaluate_condition(kind.policy, condition, partial);
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
                let known = partial.known.contains(SampleField::At);
                let time = if known { when.holds(partial.client.extra.at) } else { Holds::CannotTell };
                key.push(ALL);
                if time == Holds::CannotTell {
                    key.push(Arc::as_ptr(when).addr());
                }
                let holds = match time {
                    Holds::No => Holds::No,
                    Holds::CannotTell | Holds::Yes => time.min(self.evaluate(kind, who, partial, key, open)),
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

    fn evaluate_condition(&self, policy: usize, condition: &Condition, partial: &PartialClient) -> Holds {
        let known = match condition {
            Condition::Text(field, condition) => {
                partial.known.contains(SampleField::Text(*field))
                    && (partial.known.has_identity() || is_plain(condition, policy, &self.context.lists))
            }
            Condition::Host(field, _) => partial.known.contains(SampleField::Host(*field)),
            Condition::Port(field, _) => partial.known.contains(SampleField::Port(*field)),
            Condition::Flag(field, _) => partial.known.contains(SampleField::Flag(*field)),
        };
        match partial.lists.get(policy).filter(|_| known) {
            Some(lists) => condition.holds(&partial.client.as_client(), lists),
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
