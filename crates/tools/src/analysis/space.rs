//! The policies that are asked, and which of their lists are the same.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::roles::Rules;
use super::sample::{Member, Samples};
use super::search;
use super::words::Automaton;
use exhook_policy_core::event::Extra;
use exhook_policy_core::policy::brokers::{Asked, Brokers};
use exhook_policy_core::policy::lists::{List, Lists};
use exhook_policy_core::policy::model::{ListDef, ListId, ListSource, Who};
use exhook_policy_core::policy::when::When;
use exhook_policy_core::policy::when::instants::instants;
use exhook_policy_core::policy::{PolicyRules, TopicRule};
use exhook_policy_core::text::Matcher;
use exhook_policy_core::topic::Budget;

/// Steps that making an automaton counts for.
const BUILD: usize = 20_000;

/// A kind of client of one of the policies of a [`Space`].
#[derive(Debug, Clone, Copy)]
pub struct Kind<'w> {
    /// The place of the policy.
    pub policy: usize,
    /// Whom it is about.
    pub who: &'w Who,
}

impl<'w> From<&'w Who> for Kind<'w> {
    /// A kind of the first policy.
    fn from(who: &'w Who) -> Self {
        Kind { policy: 0, who }
    }
}

/// The policies that are asked: one, or two that are compared.
#[derive(Debug)]
pub struct Space {
    rules: Rules,
    extra: Extra<'static>,
    pub(super) lists: SharedLists,
    automata: RefCell<HashMap<Box<str>, Option<Rc<Automaton>>>>,
    /// From when on it is asked, Unix milliseconds.
    now: i64,
    /// By the places of the times in memory, which are kept so that they stay theirs.
    instants: RefCell<HashMap<Vec<usize>, Instants>>,
}

/// Times, and moments that stand for all.
#[derive(Debug, Clone)]
struct Instants {
    _whens: Vec<Arc<When>>,
    moments: Rc<[i64]>,
}

/// The lists of all policies.
#[derive(Debug)]
pub(super) struct SharedLists {
    /// Those from files and databases, each once.
    elsewhere: Vec<Elsewhere>,
    policies: Vec<PolicyLists>,
}

#[derive(Debug)]
struct PolicyLists {
    defs: Vec<(ListDef, Origin)>,
    /// The inline lists, in the order of `defs`; the others cannot be read.
    contents: Vec<Option<Arc<List>>>,
    inline: Lists,
}

/// A list whose entries the policy does not say.
#[derive(Debug)]
struct Elsewhere {
    name: Arc<str>,
    policy: usize,
    source: ListSource,
}

/// Where a list's entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the policy.
    Inline,
    /// Elsewhere; the place among all such lists.
    Elsewhere(usize),
}

impl Space {
    /// Takes what is needed of the policies. Their order is that of [`Kind::policy`]. What they decide counts from `now`
    /// on, Unix milliseconds.
    pub fn new<P: AsRef<PolicyRules>>(policies: &[P], now: i64) -> Self {
        let policies: Vec<&PolicyRules> = policies.iter().map(AsRef::as_ref).collect();
        let rules = Rules::of(policies.iter().flat_map(|policy| policy.acl_rules()));
        let extra = Asked::by(&policies).of(Extra { at: Some(now), ..Brokers::default().usual_extra() });
        let (automata, instants) = (RefCell::default(), RefCell::default());
        Space { rules, extra, lists: SharedLists::of(&policies), automata, now, instants }
    }

    /// What only some brokers tell, of a client of which nothing of it matters: as far as some policy asks about it. Every
    /// broker is taken to tell that.
    pub(super) fn extra(&self) -> Extra<'static> {
        self.extra
    }

    /// Clients of the focus, of which every real one is treated as one of them is: by these other kinds, by the focus, and
    /// by all topic patterns of the policies, as far as placeholders stand in them.
    pub fn samples<'w, K: Copy + Into<Kind<'w>>>(
        &self,
        focus: impl Into<Kind<'w>>,
        relevant: &[K],
        budget: &mut Budget,
    ) -> Samples {
        search::samples(self, focus.into(), relevant.iter().map(|kind| (*kind).into()), &self.rules, budget)
    }

    /// As [`samples`](Self::samples), but of all topic patterns only those of these rules count: none for logins.
    pub fn samples_about<'w, 'r, K: Copy + Into<Kind<'w>>>(
        &self,
        focus: impl Into<Kind<'w>>,
        relevant: &[K],
        rules: impl IntoIterator<Item = &'r TopicRule>,
        budget: &mut Budget,
    ) -> Samples {
        let rules = Rules::of(rules);
        search::samples(self, focus.into(), relevant.iter().map(|kind| (*kind).into()), &rules, budget)
    }

    /// Moments that stand for all from now on, as far as these times tell them apart, and whether they are all of these.
    pub(super) fn instants(&self, whens: &[&Arc<When>], budget: &mut Budget) -> (Rc<[i64]>, bool) {
        let key: Vec<usize> = whens.iter().map(|when| Arc::as_ptr(when).addr()).collect();
        if let Some(known) = self.instants.borrow().get(&key) {
            return (Rc::clone(&known.moments), true);
        }
        let asked: Vec<&When> = whens.iter().map(|when| &***when).collect();
        let (moments, complete) = instants(&asked, self.now, |steps| budget.spend(steps));
        let moments: Rc<[i64]> = moments.into();
        if complete {
            let kept = whens.iter().map(|when| Arc::clone(when)).collect();
            self.instants.borrow_mut().insert(key, Instants { _whens: kept, moments: Rc::clone(&moments) });
        }
        (moments, complete)
    }

    /// The automaton of a glob or a regex; `None` where it would be too large, or no work is left for it.
    pub(super) fn automaton(&self, matcher: &Matcher, budget: &mut Budget) -> Option<Rc<Automaton>> {
        let mut automata = self.automata.borrow_mut();
        if let Some(known) = automata.get(matcher.anchored()) {
            return known.clone();
        }
        if !budget.spend(BUILD) {
            return None;
        }
        let built = Automaton::build(matcher).map(Rc::new);
        automata.insert(matcher.anchored().into(), built.clone());
        built
    }
}

impl SharedLists {
    fn of(policies: &[&PolicyRules]) -> Self {
        let mut elsewhere: Vec<Elsewhere> = Vec::new();
        let policies = policies.iter().enumerate();
        let policies =
            policies.map(|(number, policy)| PolicyLists::of(number, policy.lists(), &mut elsewhere)).collect();
        SharedLists { elsewhere, policies }
    }

    pub(super) fn origin(&self, policy: usize, list: ListId) -> Option<Origin> {
        self.def(policy, list).map(|(_, origin)| *origin)
    }

    /// The entries of an inline list, as they are written.
    pub(super) fn entries(&self, policy: usize, list: ListId) -> Option<&[String]> {
        match self.def(policy, list) {
            Some((ListDef { source: ListSource::Inline(entries), .. }, _)) => Some(entries),
            Some(_) | None => None,
        }
    }

    fn def(&self, policy: usize, list: ListId) -> Option<&(ListDef, Origin)> {
        self.policies.get(policy)?.defs.get(list.0)
    }

    pub(super) fn name(&self, list: usize) -> Arc<str> {
        self.elsewhere.get(list).map_or_else(|| "".into(), |list| Arc::clone(&list.name))
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
        match self.elsewhere.get(list).map(|list| &list.source) {
            Some(ListSource::File { .. }) => in_file(entry),
            Some(ListSource::Sqlite { .. } | ListSource::Inline(_)) => true,
            None => false,
        }
    }

    /// The lists of each policy where those from elsewhere have these members. Those that `settled` leaves out stay
    /// unreadable. `None` where a member does not fit the uses of its list.
    pub(super) fn with(&self, members: &[Member], settled: impl Fn(usize) -> bool) -> Option<Arc<[Lists]>> {
        let lists = |policy: &PolicyLists| {
            let list = |(def, origin): &(ListDef, Origin), inline: &Option<Arc<List>>| match *origin {
                Origin::Inline => Some(inline.clone()),
                Origin::Elsewhere(list) if settled(list) => {
                    let entries = members.iter().filter(|member| member.list == list && member.holds);
                    let list = List::build(def.uses(), (1..).zip(entries.map(|member| &*member.text))).ok()?;
                    Some(Some(Arc::new(list)))
                }
                Origin::Elsewhere(_) => Some(None),
            };
            let lists = policy.defs.iter().zip(&policy.contents).map(|(def, inline)| list(def, inline));
            lists.collect::<Option<Vec<_>>>().map(Lists::new)
        };
        self.policies.iter().map(lists).collect()
    }
}

impl PolicyLists {
    fn of(policy: usize, lists: &[ListDef], elsewhere: &mut Vec<Elsewhere>) -> Self {
        let mut defs = Vec::new();
        let mut inline = Vec::new();
        for def in lists {
            let (origin, contents) = match &def.source {
                ListSource::Inline(entries) => {
                    // The entries of a policy that was loaded fit.
                    let list = List::build(def.uses(), (1..).zip(entries.iter().map(String::as_str)));
                    (Origin::Inline, list.ok().map(Arc::new))
                }
                ListSource::File { .. } | ListSource::Sqlite { .. } => {
                    let known = elsewhere.iter().position(|other| other.is(policy, def));
                    let place = known.unwrap_or_else(|| {
                        elsewhere.push(Elsewhere {
                            name: def.name.as_str().into(),
                            policy,
                            source: def.source.clone(),
                        });
                        elsewhere.len() - 1
                    });
                    (Origin::Elsewhere(place), None)
                }
            };
            defs.push((def.clone(), origin));
            inline.push(contents);
        }
        PolicyLists { defs, inline: Lists::new(inline.clone()), contents: inline }
    }
}

impl Elsewhere {
    /// Whether a list of a policy is this one. Two versions of a policy may stand in two folders, and mean the same list by
    /// the same name in the same file.
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
