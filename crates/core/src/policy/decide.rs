//! What a policy says of a login and of a topic.
//!
//! Deciding reads the client and the [`Lists`] and nothing else: no file, no clock, no lock. The time of a question comes
//! with its client. It
//! cannot fail. Rules are tried in the order of the file, and the first that matches decides; where
//! it cannot be told whether a rule matches, because a list could not be read or the broker does not
//! tell a field, the answer is [`Decision::ERROR`], whatever the rule would have said.

use super::candidates::{RuleIndex, RuleNumbers, TopicRules};
use super::costs::Costs;
use super::lists::Lists;
use super::model::{AclRule, AuthRule, LimitDefs, ListDef, ModelRules, PasswordDef, PasswordId, Section, Who};
use super::when::Zone;
use super::who::{Cost, Holds, identity};
use crate::decision::{DEFAULT, Decision, Found, Mode, Verdict, Weight};
use crate::event::{Action, Client, Event};
use crate::text::{Doubt, Identity, Work};
use crate::topic::index::Frontier;
use crate::topic::{Pattern, Patterns, Request};

/// What decides: the rules of a policy, and what they name. It knows no setting of the program.
#[derive(Debug)]
pub struct PolicyRules {
    lists: Vec<ListDef>,
    passwords: Vec<PasswordDef>,
    auth: Option<Auth>,
    limits: LimitDefs,
    acl: Option<Acl>,
    /// The zone of the first rule that says when it matches.
    zone: Option<Zone>,
    costs: Costs,
}

/// What a policy says of a login before anyone has looked at the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login<'p> {
    /// It is decided, whatever the password.
    Decided(Decision<'p>),
    /// It hangs on the password. Where the source knows the user, [`PolicyRules::password_checked`] has the
    /// decision; where it does not, the rule does not match, and [`PolicyRules::login_after`] goes on; where
    /// the source cannot be read, the decision is [`Decision::ERROR`].
    Password {
        /// The rule that asks for it, by its place among the rules of `auth`, from 0.
        rule: usize,
        /// Where its hash is.
        source: PasswordId,
    },
}

#[derive(Debug)]
struct Auth {
    section: Section<AuthRule>,
    index: RuleIndex<RuleNumbers>,
}

#[derive(Debug)]
struct Acl {
    section: Section<TopicRule>,
    index: RuleIndex<TopicRules>,
}

/// A rule of `acl`, ready to decide.
#[derive(Debug)]
pub struct TopicRule {
    /// Unique within the section.
    pub id: String,
    /// What the rule says where it matches.
    pub verdict: Verdict,
    /// Whom it is about, cheap conditions first.
    pub who: Who,
    /// Whether it is carried out, or only tried: then it stands in a [`trial`](super::Policy::trial) alone.
    pub mode: Mode,
    /// The line of the rule in the file, from 1.
    pub line: usize,
    /// Asking about the client costs less than asking about a topic name.
    who_first: bool,
    publish: RuleTopics,
    subscribe: RuleTopics,
}

/// The patterns of a rule for one action.
#[derive(Debug)]
struct RuleTopics {
    patterns: Patterns,
    written: Vec<Pattern>,
}

impl PolicyRules {
    /// Every rule is carried out.
    pub(super) fn of(model: ModelRules) -> Self {
        let ModelRules { lists, passwords, auth, limits, acl } = model;
        let logins = auth.iter().flat_map(|auth| &auth.rules).map(|rule| &rule.who);
        let topics = acl.iter().flat_map(|acl| &acl.rules).map(|rule| &rule.who);
        let exempt = [&limits.lockout, &limits.flapping].into_iter().flatten().filter_map(|def| def.exempt.as_ref());
        let zone = logins.chain(topics).chain(exempt).find_map(|who| who.when()?.zone()).cloned();
        let (auth, limits, acl) = (auth.map(Auth::new), limits.sorted(), acl.map(Acl::new));
        let costs = Costs::of(
            auth.as_ref().map_or(&[], |auth| &auth.section.rules),
            &limits,
            acl.as_ref().map_or(&[], |acl| &acl.section.rules),
        );
        PolicyRules { lists, passwords, auth, limits, acl, zone, costs }
    }

    /// How long deciding the event can take.
    pub(super) fn weight(&self, event: &Event<'_>) -> Weight {
        self.costs.weight(event)
    }

    /// The zone of the first rule that says when it matches.
    pub(super) fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    /// What the policy says of a login. Without an `auth` section it is the broker's matter.
    pub fn authenticate(&self, client: &Client<'_>, lists: &Lists) -> Login<'_> {
        self.authenticate_doubted(client, lists).0
    }

    /// [`authenticate`](Self::authenticate), and why a condition could not be told, if one could
    /// not.
    pub fn authenticate_doubted(&self, client: &Client<'_>, lists: &Lists) -> (Login<'_>, Option<Doubt>) {
        self.login_from(0, client, lists, |_, _| {})
    }

    /// Goes on behind a rule whose password source does not know the user.
    pub fn login_after(&self, rule: usize, client: &Client<'_>, lists: &Lists) -> Login<'_> {
        self.login_after_doubted(rule, client, lists).0
    }

    /// [`login_after`](Self::login_after), and why a condition could not be told, if one could
    /// not.
    pub fn login_after_doubted(&self, rule: usize, client: &Client<'_>, lists: &Lists) -> (Login<'_>, Option<Doubt>) {
        self.login_from(rule.saturating_add(1), client, lists, |_, _| {})
    }

    /// `seen` is told of each rule that is tried, by its place, and whether it is about the client.
    fn login_from(
        &self,
        first: usize,
        client: &Client<'_>,
        lists: &Lists,
        mut seen: impl FnMut(usize, Holds),
    ) -> (Login<'_>, Option<Doubt>) {
        let Some(auth) = &self.auth else {
            return (Login::Decided(UNASKED), None);
        };
        let work = Work::of_question();
        for (place, rule) in
            auth.index.candidates(client, first).filter_map(|at| Some((at, auth.section.rules.get(at)?)))
        {
            let holds = rule.who.holds_within(client, lists, &work);
            seen(place, holds);
            match (holds, rule.password) {
                (Holds::No, _) => {}
                (Holds::CannotTell, _) => return (Login::Decided(Decision::ERROR), work.doubted()),
                (Holds::Yes, Some(source)) => return (Login::Password { rule: place, source }, None),
                (Holds::Yes, None) => {
                    return (Login::Decided(Decision { verdict: rule.verdict, rule: &rule.id }), None);
                }
            }
        }
        (Login::Decided(Decision { verdict: auth.section.default, rule: DEFAULT }), None)
    }

    /// What a rule of `auth` decides once the password was compared with the user's hash: a wrong
    /// password denies there and then.
    pub fn password_checked(&self, rule: usize, right: bool) -> Decision<'_> {
        match self.auth.as_ref().and_then(|auth| auth.section.rules.get(rule)) {
            Some(rule) => Decision { verdict: if right { rule.verdict } else { Verdict::Deny }, rule: &rule.id },
            None => Decision::ERROR,
        }
    }

    /// What the policy says of a login in the end. `found` is asked what each password source says of it that the
    /// decision comes to need, in that order.
    pub fn login(&self, client: &Client<'_>, lists: &Lists, found: impl FnMut(PasswordId) -> Found) -> Decision<'_> {
        self.login_seen(client, lists, found, |_, _| {}).0
    }

    /// As [`login`](Self::login); `seen` is told of each step.
    pub(super) fn login_seen(
        &self,
        client: &Client<'_>,
        lists: &Lists,
        mut found: impl FnMut(PasswordId) -> Found,
        mut seen: impl FnMut(usize, LoginStep),
    ) -> (Decision<'_>, Option<Doubt>) {
        let mut first = 0;
        loop {
            let (login, doubt) =
                self.login_from(first, client, lists, |place, holds| seen(place, LoginStep::Asked(holds)));
            let (rule, source) = match login {
                Login::Decided(decision) => return (decision, doubt),
                Login::Password { rule, source } => (rule, source),
            };
            let found = found(source);
            seen(rule, LoginStep::Password(source, found));
            match found {
                Found::Right => return (self.password_checked(rule, true), None),
                Found::Wrong => return (self.password_checked(rule, false), None),
                Found::Unknown => first = rule.saturating_add(1),
                Found::Unreadable => return (Decision::ERROR, None),
            }
        }
    }

    /// What the policy says of a publish to a topic name or a subscription to a topic filter. Without
    /// an `acl` section it is the broker's matter.
    pub fn check_acl(&self, client: &Client<'_>, action: Action, topic: &str, lists: &Lists) -> Decision<'_> {
        self.check_acl_doubted(client, action, topic, lists).0
    }

    /// [`check_acl`](Self::check_acl), and why a condition could not be told or a pattern not be
    /// matched, if that was so.
    pub fn check_acl_doubted(
        &self,
        client: &Client<'_>,
        action: Action,
        topic: &str,
        lists: &Lists,
    ) -> (Decision<'_>, Option<Doubt>) {
        self.check_acl_seen(client, action, topic, lists, |_, _| {})
    }

    /// As [`check_acl`](Self::check_acl); `seen` is told of each rule that is tried, by its place.
    pub(super) fn check_acl_seen(
        &self,
        client: &Client<'_>,
        action: Action,
        topic: &str,
        lists: &Lists,
        seen: impl FnMut(usize, RuleReach),
    ) -> (Decision<'_>, Option<Doubt>) {
        let Some(acl) = &self.acl else {
            return (UNASKED, None);
        };
        let Some(request) = Request::parse(action, topic) else {
            return (Decision::INVALID_TOPIC, None);
        };
        let decision = acl.decide(client, action, &request, lists, seen);
        (decision, request.work().doubted())
    }

    /// The rules about logins, in order; none without an `auth` section.
    pub fn auth_rules(&self) -> &[AuthRule] {
        self.auth.as_ref().map_or(&[], |auth| &auth.section.rules)
    }

    /// The verdict on logins that no rule matches; `None` without an `auth` section.
    pub fn auth_default(&self) -> Option<Verdict> {
        self.auth.as_ref().map(|auth| auth.section.default)
    }

    /// Who is kept out for a while. What the policy says of a login knows nothing of it.
    pub fn limits(&self) -> &LimitDefs {
        &self.limits
    }

    /// The rules about topics, in order; none without an `acl` section.
    pub fn acl_rules(&self) -> &[TopicRule] {
        self.acl.as_ref().map_or(&[], |acl| &acl.section.rules)
    }

    /// The verdict on topics that no rule matches; `None` without an `acl` section.
    pub fn acl_default(&self) -> Option<Verdict> {
        self.acl.as_ref().map(|acl| acl.section.default)
    }

    /// The lists that decisions need, in the order of [`Lists`].
    pub fn lists(&self) -> &[ListDef] {
        &self.lists
    }

    /// The password sources, by [`PasswordId`].
    pub fn passwords(&self) -> &[PasswordDef] {
        &self.passwords
    }
}

const UNASKED: Decision<'static> = Decision { verdict: Verdict::Ignore, rule: DEFAULT };

impl LimitDefs {
    /// Puts what is cheap to ask first.
    fn sorted(mut self) -> Self {
        let exempt =
            [&mut self.lockout, &mut self.flapping].into_iter().flatten().filter_map(|def| def.exempt.as_mut());
        exempt.for_each(Who::sort_by_cost);
        self
    }
}

impl Auth {
    fn new(mut section: Section<AuthRule>) -> Self {
        section.rules.iter_mut().for_each(|rule| rule.who.sort_by_cost());
        let index = RuleIndex::new(section.rules.iter().map(|rule| &rule.who));
        Auth { section, index }
    }
}

impl Acl {
    fn new(section: Section<AclRule>) -> Self {
        let rules: Vec<TopicRule> = section.rules.into_iter().map(TopicRule::new).collect();
        let index = RuleIndex::new(rules.iter().map(|rule| &rule.who)).with_topics(&rules);
        Acl { section: Section { default: section.default, rules }, index }
    }

    fn decide(
        &self,
        client: &Client<'_>,
        action: Action,
        request: &Request<'_>,
        lists: &Lists,
        mut seen: impl FnMut(usize, RuleReach),
    ) -> Decision<'_> {
        let mut left_to_broker = None;
        let mut found = Frontier::new(request, identity(client));
        self.index.find(client, action, &mut found);
        for place in found.by_ref().map(|place| place as usize) {
            let Some(rule) = self.section.rules.get(place) else { continue };
            let reach = rule.reach(client, action, request, lists);
            seen(place, reach);
            match reach {
                RuleReach::None => {}
                RuleReach::CannotTell => return Decision::ERROR,
                RuleReach::Part => left_to_broker = left_to_broker.or(Some(rule.id.as_str())),
                RuleReach::Whole => return limit(Decision { verdict: rule.verdict, rule: &rule.id }, left_to_broker),
            }
        }
        limit(Decision { verdict: self.section.default, rule: DEFAULT }, left_to_broker)
    }
}

/// An earlier `ignore` rule is about a part of the subscription, so that the policy has no opinion of
/// that part; then it cannot allow the whole. What it would deny stays denied.
fn limit<'p>(decision: Decision<'p>, left_to_broker: Option<&'p str>) -> Decision<'p> {
    match (decision.verdict, left_to_broker) {
        (Verdict::Allow, Some(rule)) => Decision { verdict: Verdict::Ignore, rule },
        (Verdict::Allow | Verdict::Deny | Verdict::Ignore, _) => decision,
    }
}

/// What a step of a login brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginStep {
    /// Whether the rule is about the client.
    Asked(Holds),
    /// It is, and this is what the password source says.
    Password(PasswordId, Found),
}

/// How far a rule of `acl` is about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleReach {
    /// Not at all.
    None,
    /// A list that decides it could not be read, or a field is not told.
    CannotTell,
    /// It is an `ignore` rule about some of the topics. The request as a whole is decided below it.
    Part,
    /// The rule decides the request.
    Whole,
}

impl RuleTopics {
    fn new(written: Vec<Pattern>) -> Self {
        RuleTopics { patterns: Patterns::new(written.clone()), written }
    }
}

impl TopicRule {
    fn new(rule: AclRule) -> Self {
        let AclRule { id, verdict, mut who, publish, subscribe, mode, line } = rule;
        who.sort_by_cost();
        let who_first = who.cost() == Cost::Compare;
        let (publish, subscribe) = (RuleTopics::new(publish), RuleTopics::new(subscribe));
        TopicRule { id, verdict, who, mode, line, who_first, publish, subscribe }
    }

    /// The topics that it is about for this action; empty where it says nothing of the action.
    pub fn patterns(&self, action: Action) -> &Patterns {
        &self.topics(action).patterns
    }

    /// The patterns of these topics as they stand in the policy, those under `topics` last.
    pub fn written(&self, action: Action) -> &[Pattern] {
        &self.topics(action).written
    }

    fn topics(&self, action: Action) -> &RuleTopics {
        match action {
            Action::Publish => &self.publish,
            Action::Subscribe => &self.subscribe,
        }
    }

    /// Asks the cheaper side first, and the other only where the first leaves it open. A topic that the
    /// rule is not about needs no list.
    fn reach(&self, client: &Client<'_>, action: Action, request: &Request<'_>, lists: &Lists) -> RuleReach {
        let patterns = self.patterns(action);
        let topic_first = action == Action::Publish && !self.who_first;
        if patterns.is_empty() {
            return RuleReach::None;
        }
        if topic_first {
            let reach = self.topics_reach(patterns, request, identity(client));
            if reach == RuleReach::None {
                reach
            } else {
                reach.of(self.who.holds_within(client, lists, request.work()))
            }
        } else {
            match self.who.holds_within(client, lists, request.work()) {
                Holds::No => RuleReach::None,
                who @ (Holds::CannotTell | Holds::Yes) => {
                    self.topics_reach(patterns, request, identity(client)).of(who)
                }
            }
        }
    }

    /// The set that the request stands for must be allowed as a whole and is denied for any part. An
    /// `ignore` rule decides the whole only, and is told of for a part: to hand all of `a/#` to the
    /// broker because of `a/b` would leave more to it than is written, and to pass `a/b` over would
    /// let a later rule allow what the policy has no opinion of.
    fn topics_reach(&self, patterns: &Patterns, request: &Request<'_>, identity: Identity<'_>) -> RuleReach {
        let whole = match self.verdict {
            Verdict::Allow => patterns.cover(request, identity),
            Verdict::Deny => patterns.touch(request, identity),
            Verdict::Ignore if !patterns.touch(request, identity) => false,
            Verdict::Ignore if patterns.cover(request, identity) => true,
            Verdict::Ignore => return RuleReach::Part,
        };
        if whole { RuleReach::Whole } else { RuleReach::None }
    }
}

impl RuleReach {
    /// The reach of a rule whose topics reach this far, by whether the client is one of its own.
    fn of(self, who: Holds) -> Self {
        match (self, who) {
            (RuleReach::None, _) | (_, Holds::No) => RuleReach::None,
            (_, Holds::CannotTell) => RuleReach::CannotTell,
            (_, Holds::Yes) => self,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
