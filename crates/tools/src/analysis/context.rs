//! The policies that are asked, with all that each search for samples needs of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::automata::ValueAutomaton;
use super::lists::SharedLists;
use super::topic_classes::TopicClasses;
use exhook_policy_core::event::Extra;
use exhook_policy_core::policy::PolicyRules;
use exhook_policy_core::policy::brokers::{Asked, Brokers};
use exhook_policy_core::policy::when::When;
use exhook_policy_core::policy::when::instants::instants;
use exhook_policy_core::text::Matcher;
use exhook_policy_core::topic::Budget;

/// Steps that making an automaton counts for.
const BUILD: usize = 20_000;

/// The policies that are asked: one, or two that are compared.
#[derive(Debug)]
pub struct AnalysisContext {
    pub(super) topic_classes: TopicClasses,
    extra: Extra<'static>,
    pub(super) lists: SharedLists,
    automata: RefCell<HashMap<Box<str>, Option<Rc<ValueAutomaton>>>>,
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

impl AnalysisContext {
    /// Takes what is needed of the policies. Their order is that of
    /// [`ClientKind::policy`](super::ClientKind::policy). What they decide counts from `now` on,
    /// Unix milliseconds.
    pub fn new<P: AsRef<PolicyRules>>(policies: &[P], now: i64) -> Self {
        let policies: Vec<&PolicyRules> = policies.iter().map(AsRef::as_ref).collect();
        let topic_classes = TopicClasses::of(policies.iter().flat_map(|policy| policy.acl_rules()));
        let extra = Asked::by(&policies).of(Extra { at: Some(now), ..Brokers::default().usual_extra() });
        let (automata, instants) = (RefCell::default(), RefCell::default());
        AnalysisContext { topic_classes, extra, lists: SharedLists::of(&policies), automata, now, instants }
    }

    /// What only some brokers tell, of a client of which nothing of it matters: as far as some
    /// policy asks about it. Every broker is taken to tell that.
    pub(super) fn extra(&self) -> Extra<'static> {
        self.extra
    }

    /// Moments that stand for all from now on, as far as these times tell them apart, and whether
    /// they are all of these.
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

    /// The automaton of a glob or a regex; `None` where it would be too large, or no work is left
    /// for it.
    pub(super) fn automaton(&self, matcher: &Matcher, budget: &mut Budget) -> Option<Rc<ValueAutomaton>> {
        let mut automata = self.automata.borrow_mut();
        if let Some(known) = automata.get(matcher.anchored()) {
            return known.clone();
        }
        if !budget.spend(BUILD) {
            return None;
        }
        let built = ValueAutomaton::build(matcher).map(Rc::new);
        automata.insert(matcher.anchored().into(), built.clone());
        built
    }
}
