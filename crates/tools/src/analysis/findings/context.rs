//! What the findings share: the policy, where it stands, sample clients, and what is left of the
//! work.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::containment;
use super::rule_index::RuleOverlapIndex;
use crate::analysis::context::AnalysisContext;
use crate::analysis::sample::Sample;
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::event::{Action, Client, Shown};
use exhook_policy_core::policy::brokers::Brokers;
use exhook_policy_core::policy::diag::{Diagnostic, quote};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{AuthRule, ClientField, Who};
use exhook_policy_core::policy::places::{Direction, PatternPlace, Places, RulePlaces};
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::policy::{Found, PolicyRules, TopicRule};
use exhook_policy_core::text::Identity;
use exhook_policy_core::topic::{Budget, Patterns, Representatives, Request, representatives};

pub(super) const ACTIONS: [Action; 2] = [Action::Publish, Action::Subscribe];

/// How much of the work one question about one rule, or one pair of rules, may take.
const SLICE: usize = 2_000_000;
/// What it costs to look at a rule, in steps.
const LOOK: usize = 20;
/// What it costs to begin to look for samples and for topics, in steps.
const SAMPLES: usize = 2_000;
const TOPICS: usize = 1_000;

/// Everything that a finding needs, and what was found.
pub(super) struct FindingContext<'a> {
    pub(super) policy: &'a PolicyRules,
    pub(super) brokers: &'a Brokers,
    pub(super) places: &'a Places,
    context: AnalysisContext,
    /// From when on the policy decides, Unix milliseconds.
    pub(super) now: i64,
    budget: Budget,
    logins: RuleOverlapIndex<'a>,
    topics: [RuleOverlapIndex<'a>; 2],
    clients: HashMap<(usize, Vec<usize>, Vec<usize>), Rc<SampleClients>>,
    /// Kinds of client by what they say.
    whos: HashMap<String, usize>,
    pub(super) found: Vec<Diagnostic>,
    /// Lines of rules about which something was not settled.
    pub(super) unsettled: BTreeSet<usize>,
    /// Rules of `acl` that were told of: they decide nothing, or less than they say.
    pub(super) told: HashSet<usize>,
    /// What [`super::overruled_denies`] found, once it was asked.
    pub(super) overruled_denies: Option<Rc<[OverruledDeny]>>,
}

/// Sample clients of one kind.
#[derive(Debug)]
pub(super) struct SampleClients {
    /// Those who are no superusers: of topics the broker asks nothing for these.
    pub(super) each: Vec<SampleClient>,
    /// There are superusers, too.
    pub(super) superusers: bool,
    /// They stand for all.
    pub(super) complete: bool,
}

/// A sample client, with the lists as they must be for it.
#[derive(Debug)]
pub(super) struct SampleClient {
    pub(super) sample: Sample,
    pub(super) lists: Lists,
}

/// A pattern that denies what is allowed before.
pub(super) struct OverruledDeny {
    /// The rule that denies, the one that allows before it, and the pattern of each, by their
    /// places.
    pub(super) deny: (usize, usize),
    pub(super) allow: (usize, usize),
    pub(super) action: Action,
    pub(super) kind: OverruledPart,
    /// Who asks for what, in a line.
    pub(super) example: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverruledPart {
    /// All that the pattern denies is allowed before.
    Whole,
    /// A part of it is, by a pattern that also allows something else.
    Crossing,
}

impl SampleClient {
    pub(super) fn client(&self) -> Client<'_> {
        self.sample.client()
    }

    pub(super) fn identity(&self) -> Identity<'_> {
        let client = self.client();
        Identity { clientid: client.clientid, username: client.username }
    }

    pub(super) fn is(&self, who: &Who) -> bool {
        who.holds(&self.client(), &self.lists) == Holds::Yes
    }

    /// How unlike an example the client is: one that can log in and has plain names comes first.
    pub(super) fn oddity(&self, policy: &PolicyRules) -> usize {
        let Client { clientid, username, .. } = self.client();
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_graphic());
        let odd = [clientid.is_empty(), !plain(clientid), !plain(username), !self.logs_in(policy)];
        odd.into_iter().filter(|odd| *odd).count()
    }

    /// Whether some password lets the client in.
    fn logs_in(&self, policy: &PolicyRules) -> bool {
        let found = [Found::Right, Found::Unknown];
        found.iter().any(|found| policy.login(&self.client(), &self.lists, |_| *found).verdict != Verdict::Deny)
    }
}

impl<'a> FindingContext<'a> {
    pub(super) fn new(policy: &'a PolicyRules, brokers: &'a Brokers, places: &'a Places, now: i64) -> Self {
        FindingContext {
            policy,
            brokers,
            places,
            context: AnalysisContext::new(&[policy], now),
            now,
            budget: Budget::new(0),
            logins: RuleOverlapIndex::of_logins(policy.auth_rules().iter().map(|rule| &rule.who)),
            topics: ACTIONS.map(|action| RuleOverlapIndex::of_topics(policy.acl_rules(), action)),
            clients: HashMap::new(),
            whos: HashMap::new(),
            found: Vec::new(),
            unsettled: BTreeSet::new(),
            told: HashSet::new(),
            overruled_denies: None,
        }
    }

    /// Runs a finding, which may take no more than this budget.
    pub(super) fn run(&mut self, find: impl FnOnce(&mut Self), budget: &mut Budget) {
        self.budget = budget.clone();
        find(self);
        *budget = self.budget.clone();
    }

    /// Takes steps out of the work. Where they are not left, something about the rule at this line
    /// is not settled.
    pub(super) fn spend(&mut self, steps: usize, line: usize) -> bool {
        let left = self.budget.spend(steps);
        if !left {
            self.unsettled.insert(line);
        }
        left
    }

    pub(super) fn rules(&self) -> &'a [TopicRule] {
        self.policy.acl_rules()
    }

    pub(super) fn auth_rules(&self) -> &'a [AuthRule] {
        self.policy.auth_rules()
    }

    /// The other rules of `acl` before the place `end` that may share a client and a topic with
    /// this one for the action, with their places. None where no work is left.
    pub(super) fn near(&mut self, place: usize, action: Action, end: usize) -> Vec<(usize, &'a TopicRule)> {
        let Some(rule) = self.rules().get(place) else { return Vec::new() };
        let [publish, subscribe] = &self.topics;
        let index = match action {
            Action::Publish => publish,
            Action::Subscribe => subscribe,
        };
        let budget = &mut self.budget;
        let Some(places) = index.of(place, end, |count| budget.spend(LOOK.saturating_mul(count))) else {
            self.unsettled.insert(rule.line);
            return Vec::new();
        };
        places.into_iter().filter_map(|place| Some((place, self.rules().get(place)?))).collect()
    }

    /// The other rules of `auth` before the place `end` that may share a client with this one, with
    /// their places. None where no work is left.
    pub(super) fn near_logins(&mut self, place: usize, end: usize) -> Vec<(usize, &'a AuthRule)> {
        let Some(rule) = self.auth_rules().get(place) else { return Vec::new() };
        let budget = &mut self.budget;
        let Some(places) = self.logins.of(place, end, |count| budget.spend(LOOK.saturating_mul(count))) else {
            self.unsettled.insert(rule.line);
            return Vec::new();
        };
        places.into_iter().filter_map(|place| Some((place, self.auth_rules().get(place)?))).collect()
    }

    /// Sample clients of the kind, as far as these other kinds tell them apart, and the topics of
    /// these rules by the client's values in them.
    pub(super) fn clients(&mut self, focus: &Who, relevant: &[&Who], about: &[usize]) -> Rc<SampleClients> {
        let own = self.number(focus);
        let mut others: Vec<(usize, &Who)> = relevant.iter().map(|who| (self.number(who), *who)).collect();
        others.sort_unstable_by_key(|(number, _)| *number);
        others.dedup_by_key(|(number, _)| *number);
        others.retain(|(number, _)| *number != own);
        let key = (own, others.iter().map(|(number, _)| *number).collect(), about.to_vec());
        if let Some(known) = self.clients.get(&key) {
            return Rc::clone(known);
        }
        let others: Vec<&Who> = others.into_iter().map(|(_, who)| who).collect();
        let all = self.rules();
        let rules = about.iter().filter_map(|place| all.get(*place));
        let samples = self.budget.within(SLICE, |budget| self.context.samples_about(focus, &others, rules, budget));
        let (superusers, others): (Vec<_>, Vec<_>) =
            samples.samples.into_iter().partition(|sample| sample.client().is_superuser);
        let count = self.policy.lists().len();
        self.budget.spend(SAMPLES + others.len().saturating_mul(count));
        let each = others.into_iter().map(|sample| SampleClient { lists: sample.lists(0).clone(), sample }).collect();
        let clients = Rc::new(SampleClients { each, superusers: !superusers.is_empty(), complete: samples.complete });
        self.clients.insert(key, Rc::clone(&clients));
        clients
    }

    fn number(&mut self, who: &Who) -> usize {
        let text = format!("{who:?}");
        self.budget.spend(text.len());
        let next = self.whos.len();
        *self.whos.entry(text).or_insert(next)
    }

    /// Whether every client of one kind is of the other. `None` where that is not known.
    pub(super) fn within(&mut self, inner: &Who, outer: &Who) -> Option<bool> {
        if containment::covers(outer, inner) {
            return Some(true);
        }
        let clients = self.clients(inner, &[outer], &[]);
        if clients.each.iter().any(|someone| someone.is(inner) && !someone.is(outer)) {
            return Some(false);
        }
        clients.complete.then_some(true)
    }

    /// Whether the kind is about clients in general: it holds for one that no policy names, at the
    /// times that it is about.
    pub(super) fn is_general(&self, who: &Who) -> bool {
        let mut stranger = OwnedClient::named("");
        for field in ClientField::ALL {
            field.make_strange(&mut stranger);
        }
        stranger.extra.at = Some(self.now);
        let whenever = match who {
            Who::During(_, who) => who,
            Who::Everyone | Who::Named(_) | Who::Any(_) | Who::All(_) => who,
        };
        whenever.holds(&stranger.as_client(), &self.no_entries()) == Holds::Yes
    }

    /// The policy's lists, all of them empty.
    pub(super) fn no_entries(&self) -> Lists {
        Lists::new(vec![Some(Arc::default()); self.policy.lists().len()])
    }

    /// Topic names, or filters, that stand for all, as far as the patterns tell them apart.
    pub(super) fn topics(&mut self, action: Action, sets: &[&Patterns], identity: Identity<'_>) -> Representatives {
        let found = self.budget.within(SLICE, |budget| representatives(action, sets, identity, budget));
        self.budget.spend(TOPICS + found.topics.len().saturating_mul(sets.len()).saturating_mul(LOOK));
        found
    }

    /// Where the patterns of a rule for an action stand, in the order of [`TopicRule::written`].
    pub(super) fn pattern_places(&self, rule: usize, action: Action) -> Vec<&'a PatternPlace> {
        let own = match action {
            Action::Publish => Direction::Publish,
            Action::Subscribe => Direction::Subscribe,
        };
        let patterns = self.places.acl.rules.get(rule).map_or(&[][..], |rule| &rule.patterns);
        let under = |direction| patterns.iter().filter(move |pattern| pattern.direction == direction);
        under(own).chain(under(Direction::Both)).collect()
    }

    pub(super) fn acl_places(&self, rule: usize) -> Option<&'a RulePlaces> {
        self.places.acl.rules.get(rule)
    }

    pub(super) fn auth_places(&self, rule: usize) -> Option<&'a RulePlaces> {
        self.places.auth.rules.get(rule)
    }
}

/// Whether the rule decides the request of a client of its own that comes to it.
pub(super) fn takes(rule: &TopicRule, action: Action, request: &Request<'_>, identity: Identity<'_>) -> bool {
    match rule.verdict {
        Verdict::Allow | Verdict::Ignore => rule.patterns(action).cover(request, identity),
        Verdict::Deny => rule.patterns(action).touch(request, identity),
    }
}

/// The rule as a message names it.
pub(super) fn named(id: &str, line: usize) -> String {
    format!("{} (line {line})", quote(id))
}

/// What a client asks for, in a line.
pub(super) fn asked(sample: &Sample, action: Action, topic: &str) -> String {
    format!("{sample}: {} {}", action.as_str(), Shown(topic))
}
