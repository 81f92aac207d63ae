//! The lists of the policies that are asked, and which of them are the same.

use std::path::Path;
use std::sync::Arc;

use super::fields::SampleField;
use exhook_policy_core::policy::PolicyRules;
use exhook_policy_core::policy::lists::{List, Lists};
use exhook_policy_core::policy::model::{ListDef, ListId, ListSource};

/// Whether a list from a file or a database holds what a field of the client has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ListMember {
    /// Its place among the lists of [`AnalysisContext`](super::Space).
    pub(super) list: usize,
    pub(super) name: Arc<str>,
    pub(super) field: SampleField,
    pub(super) text: Box<str>,
    pub(super) holds: bool,
}

/// The lists of all policies.
#[derive(Debug)]
pub(super) struct SharedLists {
    /// Those from files and databases, each once.
    external: Vec<ExternalList>,
    policies: Vec<PolicyLists>,
}

#[derive(Debug)]
struct PolicyLists {
    defs: Vec<(ListDef, ListOrigin)>,
    /// The inline lists, in the order of `defs`; the others cannot be read.
    contents: Vec<Option<Arc<List>>>,
    inline: Lists,
}

/// A list whose entries the policy does not say.
#[derive(Debug)]
struct ExternalList {
    name: Arc<str>,
    policy: usize,
    source: ListSource,
}

/// Where a list's entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListOrigin {
    /// In the policy.
    Inline,
    /// Elsewhere; the place among all such lists.
    External(usize),
}

impl SharedLists {
    pub(super) fn of(policies: &[&PolicyRules]) -> Self {
        let mut external: Vec<ExternalList> = Vec::new();
        let policies = policies.iter().enumerate();
        let policies =
            policies.map(|(number, policy)| PolicyLists::of(number, policy.lists(), &mut external)).collect();
        SharedLists { external, policies }
    }

    pub(super) fn origin(&self, policy: usize, list: ListId) -> Option<ListOrigin> {
        self.def(policy, list).map(|(_, origin)| *origin)
    }

    /// The entries of an inline list, as they are written.
    pub(super) fn entries(&self, policy: usize, list: ListId) -> Option<&[String]> {
        match self.def(policy, list) {
            Some((ListDef { source: ListSource::Inline(entries), .. }, _)) => Some(entries),
            Some(_) | None => None,
        }
    }

    fn def(&self, policy: usize, list: ListId) -> Option<&(ListDef, ListOrigin)> {
        self.policies.get(policy)?.defs.get(list.0)
    }

    pub(super) fn name(&self, list: usize) -> Arc<str> {
        self.external.get(list).map_or_else(|| "".into(), |list| Arc::clone(&list.name))
    }

    /// How many lists all policies have.
    pub(super) fn count(&self) -> usize {
        self.policies.iter().map(|policy| policy.defs.len()).sum()
    }

    /// The inline lists of a policy, with all others unreadable.
    pub(super) fn inline(&self, policy: usize) -> &Lists {
        const NONE: &Lists = &Lists::none();
        self.policies.get(policy).map_or(NONE, |policy| &policy.inline)
    }

    /// Whether a list from elsewhere can have the entry.
    pub(super) fn can_hold(&self, list: usize, entry: &str) -> bool {
        let in_file = |entry: &str| !entry.is_empty() && !entry.starts_with('#') && !entry.contains(['\n', '\r']);
        match self.external.get(list).map(|list| &list.source) {
            Some(ListSource::File { .. }) => in_file(entry),
            Some(ListSource::Sqlite { .. } | ListSource::Inline(_)) => true,
            None => false,
        }
    }

    /// The lists of each policy where those from elsewhere have these members. Those that `settled`
    /// leaves out stay unreadable. `None` where a member does not fit the uses of its list.
    pub(super) fn with(&self, members: &[ListMember], settled: impl Fn(usize) -> bool) -> Option<Arc<[Lists]>> {
        let lists = |policy: &PolicyLists| {
            let list = |(def, origin): &(ListDef, ListOrigin), inline: &Option<Arc<List>>| match *origin {
                ListOrigin::Inline => Some(inline.clone()),
                ListOrigin::External(list) if settled(list) => {
                    let entries = members.iter().filter(|member| member.list == list && member.holds);
                    let list = List::build(def.uses(), (1..).zip(entries.map(|member| &*member.text))).ok()?;
                    Some(Some(Arc::new(list)))
                }
                ListOrigin::External(_) => Some(None),
            };
            let lists = policy.defs.iter().zip(&policy.contents).map(|(def, inline)| list(def, inline));
            lists.collect::<Option<Vec<_>>>().map(Lists::new)
        };
        self.policies.iter().map(lists).collect()
    }
}

impl PolicyLists {
    fn of(policy: usize, lists: &[ListDef], external: &mut Vec<ExternalList>) -> Self {
        let mut defs = Vec::new();
        let mut inline = Vec::new();
        for def in lists {
            let (origin, contents) = match &def.source {
                ListSource::Inline(entries) => {
                    // The entries of a policy that was loaded fit.
                    let list = List::build(def.uses(), (1..).zip(entries.iter().map(String::as_str)));
                    (ListOrigin::Inline, list.ok().map(Arc::new))
                }
                ListSource::File { .. } | ListSource::Sqlite { .. } => {
                    let known = external.iter().position(|other| other.is(policy, def));
                    let place = known.unwrap_or_else(|| {
                        external.push(ExternalList {
                            name: def.name.as_str().into(),
                            policy,
                            source: def.source.clone(),
                        });
                        external.len() - 1
                    });
                    (ListOrigin::External(place), None)
                }
            };
            defs.push((def.clone(), origin));
            inline.push(contents);
        }
        PolicyLists { defs, inline: Lists::new(inline.clone()), contents: inline }
    }
}

impl ExternalList {
    /// Whether a list of a policy is this one. Two versions of a policy may stand in two folders,
    /// and mean the same list by the same name in the same file.
    fn is(&self, policy: usize, def: &ListDef) -> bool {
        let renamed = *self.name == *def.name && self.policy != policy;
        let same = |own: &Path, other: &Path| own == other || (renamed && own.file_name() == other.file_name());
        match (&self.source, &def.source) {
            (ListSource::File { path: own, .. }, ListSource::File { path: other, .. }) => same(own, other),
            (
                ListSource::Sqlite { path: own, query: own_query, .. },
                ListSource::Sqlite { path: other, query: other_query, .. },
            ) => own_query == other_query && same(own, other),
            (ListSource::Inline(_) | ListSource::File { .. } | ListSource::Sqlite { .. }, _) => false,
        }
    }
}
