//! Asks both policies, about the clients and the topics that may make a difference.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use super::changes::{
    Difference, PolicyChange, PolicyVersion, QuestionKind, RuleName, UnsettledChanges, VersionRule, differ,
};
use super::common_rules::{self, RuleMeanings};
use crate::analysis::client_kind::ClientKind;
use crate::analysis::context::AnalysisContext;
use crate::analysis::questions::{logins, topics};
use crate::analysis::sample::{Sample, Samples};
use crate::analysis::witness::{ClientQuestion, Witness};
use exhook_policy_core::decision::{Decision, Verdict};
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::model::Who;
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::policy::{Policy, TopicRule};
use exhook_policy_core::topic::{Budget, Patterns, may_overlap};

/// Steps that asking about one rule counts for.
const ASK: usize = 10;
/// How many clients a guess is about.
const GUESSED: usize = 2;

pub(super) fn compare(
    old: &Policy,
    new: &Policy,
    now: i64,
    budget: &mut Budget,
) -> (Vec<PolicyChange>, Vec<UnsettledChanges>) {
    let policies = [old, new];
    let context = AnalysisContext::new(&policies, now);
    let mut found = FoundChanges { policies, changes: BTreeMap::new() };
    let mut unknown: Vec<UnsettledChanges> = Vec::new();
    for (at, question) in QuestionKind::ALL.into_iter().enumerate() {
        let share = budget.left() / (QuestionKind::ALL.len() - at);
        budget.within(share, |budget| {
            let comparison = QuestionComparison::new(policies, &context, question, budget);
            unknown.extend(comparison.run(&mut found, budget));
        });
    }
    let changes = found.changes.into_iter().map(|(difference, witness)| PolicyChange { difference, witness });
    (changes.collect(), unknown)
}

/// The changes that were found, each with the first witness.
struct FoundChanges<'p> {
    policies: [&'p Policy; 2],
    changes: BTreeMap<Difference, Witness>,
}

impl FoundChanges<'_> {
    fn take(&mut self, question: QuestionKind, witness: &Witness, decisions: &[Decision<'_>]) {
        let &[old, new] = decisions else { return };
        if let Some(difference) = differ(self.policies, question, [old, new]) {
            self.changes.entry(difference).or_insert_with(|| witness.clone());
        }
    }
}

/// A rule of one of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RulePlace {
    version: PolicyVersion,
    rule: usize,
}

struct QuestionComparison<'p, 's> {
    policies: [&'p Policy; 2],
    context: &'s AnalysisContext,
    question: QuestionKind,
    /// What the rules of each policy say of the question, in their order.
    rules: [BTreeMap<usize, String>; 2],
    changed: Vec<RulePlace>,
    /// The answer may differ where no rule decides, or wherever it comes from.
    everywhere: bool,
}

impl<'p, 's> QuestionComparison<'p, 's> {
    fn new(
        policies: [&'p Policy; 2],
        context: &'s AnalysisContext,
        question: QuestionKind,
        budget: &mut Budget,
    ) -> Self {
        let [old, new] = policies;
        let meanings = RuleMeanings::new(context, policies);
        let rules = [0, 1].map(|policy| meanings.of(policy, question));
        let modes = old.mode() != new.mode();
        let [old_rules, new_rules] = rules.each_ref().map(|side| side.values().map(String::as_str).collect::<Vec<_>>());
        let changed = if modes {
            [vec![true; old_rules.len()], vec![true; new_rules.len()]]
        } else {
            budget.within(budget.left() / 4, |budget| common_rules::changed(&old_rules, &new_rules, budget))
        };
        let mut places = Vec::new();
        for ((version, side), changed) in [PolicyVersion::Old, PolicyVersion::New].into_iter().zip(&rules).zip(changed)
        {
            let changed = side.keys().zip(changed).filter(|(_, changed)| *changed);
            places.extend(changed.map(|(rule, _)| RulePlace { version, rule: *rule }));
        }
        let everywhere = modes || question.default_of(old) != question.default_of(new);
        QuestionComparison { policies, context, question, rules, changed: places, everywhere }
    }

    /// Asks everything, and says what is not known then.
    fn run(&self, found: &mut FoundChanges<'_>, budget: &mut Budget) -> Option<UnsettledChanges> {
        // Every client comes last, and is the most work.
        let foci: Vec<Option<RulePlace>> =
            self.changed.iter().copied().map(Some).chain(self.everywhere.then_some(None)).collect();
        budget.within(budget.left() / 4, |budget| {
            for focus in &self.changed {
                self.guess(*focus, found, budget);
            }
        });
        let mut unsettled = Vec::new();
        for (at, focus) in foci.iter().enumerate() {
            let share = budget.left() / (foci.len() - at);
            let complete = budget.within(share, |budget| match self.question.action() {
                None => self.logins(*focus, found, budget),
                Some(action) => self.topics(*focus, action, found, budget),
            });
            match (focus, complete) {
                (Some(place), false) => unsettled.push(*place),
                (Some(_), true) => {}
                // That was about every question of the kind.
                (None, true) => return None,
                (None, false) => return Some(UnsettledChanges { question: self.question, rules: Vec::new() }),
            }
        }
        let rules = unsettled.iter().map(|place| VersionRule { version: place.version, rule: self.name(*place) });
        (!unsettled.is_empty()).then(|| UnsettledChanges { question: self.question, rules: rules.collect() })
    }

    fn policy(&self, version: PolicyVersion) -> &'p Policy {
        let [old, new] = self.policies;
        match version {
            PolicyVersion::Old => old,
            PolicyVersion::New => new,
        }
    }

    fn name(&self, place: RulePlace) -> RuleName {
        let policy = self.policy(place.version);
        let id = match self.question.action() {
            None => policy.auth_rules().get(place.rule).map(|rule| rule.id.as_str()),
            Some(_) => self.topic_rule(place).map(|rule| rule.id.as_str()),
        };
        RuleName::of(policy, self.question, id.unwrap_or_default())
    }

    fn topic_rule(&self, place: RulePlace) -> Option<&'p TopicRule> {
        self.policy(place.version).acl_rules().get(place.rule)
    }

    fn who(&self, place: RulePlace) -> &'p Who {
        let policy = self.policy(place.version);
        let who = match self.question.action() {
            None => policy.auth_rules().get(place.rule).map(|rule| &rule.who),
            Some(_) => self.topic_rule(place).map(|rule| &rule.who),
        };
        who.unwrap_or(&Who::Everyone)
    }

    fn kind(&self, place: RulePlace) -> ClientKind<'p> {
        ClientKind { policy: place.version.number(), who: self.who(place) }
    }

    /// All rules that say anything of the question.
    fn places(&self) -> impl Iterator<Item = RulePlace> {
        let sides = [PolicyVersion::Old, PolicyVersion::New].into_iter().zip(&self.rules);
        sides.flat_map(|(version, side)| side.keys().map(move |rule| RulePlace { version, rule: *rule }))
    }

    /// Clients of the focus, told apart by these rules.
    fn samples(&self, focus: Option<RulePlace>, relevant: &[RulePlace], budget: &mut Budget) -> Samples {
        let kinds: Vec<ClientKind<'_>> = relevant.iter().map(|place| self.kind(*place)).collect();
        let focus = focus.map_or(ClientKind { policy: 0, who: &Who::Everyone }, |place| self.kind(place));
        let rules = relevant.iter().filter(|_| self.question != QuestionKind::Connect);
        let rules = rules.filter_map(|place| self.topic_rule(*place));
        self.context.samples_about(focus, &kinds, rules, budget)
    }

    /// Asks what one rule alone suggests, so that something is found where all of it is too much
    /// work.
    fn guess(&self, focus: RulePlace, found: &mut FoundChanges<'_>, budget: &mut Budget) {
        let mut take = |witness: &Witness, decisions: &[Decision<'_>]| {
            found.take(self.question, witness, decisions);
            ControlFlow::Continue(())
        };
        budget.within(budget.left() / 3, |budget| {
            let mut samples = budget.within(budget.left() / 2, |budget| self.samples(Some(focus), &[], budget));
            samples.samples.truncate(GUESSED);
            match (self.question.action(), self.topic_rule(focus)) {
                (Some(action), Some(rule)) => {
                    topics(&self.policies, &samples, action, &[rule.patterns(action)], budget, &mut take)
                }
                (_, _) => logins(&self.policies, &samples, budget, &mut take),
            }
        });
    }

    fn logins(&self, focus: Option<RulePlace>, found: &mut FoundChanges<'_>, budget: &mut Budget) -> bool {
        let relevant: Vec<RulePlace> = self.places().collect();
        // Half of it, so that those that are found are asked about.
        let samples = budget.within(budget.left() / 2, |budget| self.samples(focus, &relevant, budget));
        logins(&self.policies, &samples, budget, |witness, decisions| {
            found.take(self.question, witness, decisions);
            ControlFlow::Continue(())
        })
    }

    fn topics(
        &self,
        focus: Option<RulePlace>,
        action: Action,
        found: &mut FoundChanges<'_>,
        budget: &mut Budget,
    ) -> bool {
        let Some(relevant) = self.relevant(focus, action, budget) else { return false };
        let samples = budget.within(budget.left() / 2, |budget| self.samples(focus, &relevant, budget));
        if focus.is_none() {
            let asker = samples.samples.iter().find(|sample| !sample.client().is_superuser);
            self.invalid_topic(asker, action, found);
        }
        let mut complete = samples.complete;
        let mut asked = HashSet::new();
        let count = samples.samples.len();
        for (at, sample) in samples.samples.into_iter().enumerate() {
            let share = budget.left() / (count - at);
            complete &= budget.within(share, |budget| {
                if !budget.spend(ASK * relevant.len()) {
                    return false;
                }
                let applicable = self.applicable(&sample, &relevant);
                let client = sample.client();
                let identity = (client.clientid.to_owned(), client.username.to_owned());
                if (!self.everywhere && self.same(&applicable)) || !asked.insert((applicable.clone(), identity)) {
                    return true;
                }
                let samples = Samples { samples: vec![sample], complete: true };
                topics(
                    &self.policies,
                    &samples,
                    action,
                    &self.sets(&applicable, action),
                    budget,
                    |witness, decisions| {
                        found.take(self.question, witness, decisions);
                        ControlFlow::Continue(())
                    },
                )
            });
        }
        complete
    }

    /// The rules that can be about a question that the focus is about too; `None` where finding
    /// them is too much work.
    fn relevant(&self, focus: Option<RulePlace>, action: Action, budget: &mut Budget) -> Option<Vec<RulePlace>> {
        let Some(focus) = focus.and_then(|focus| self.topic_rule(focus)) else {
            return Some(self.places().collect());
        };
        let mut relevant = Vec::new();
        for place in self.places() {
            let Some(rule) = self.topic_rule(place) else { continue };
            // Rules that only touch a subscription can be about one and share no topic.
            let touch = |rule: &TopicRule| rule.verdict != Verdict::Allow && action == Action::Subscribe;
            let (one, other) = (focus.patterns(action), rule.patterns(action));
            if !budget.spend(one.len().saturating_mul(other.len())) {
                return None;
            }
            if (touch(focus) && touch(rule)) || may_overlap(one, other) {
                relevant.push(place);
            }
        }
        Some(relevant)
    }

    /// Of these rules, those that are about the client.
    fn applicable(&self, sample: &Sample, relevant: &[RulePlace]) -> Vec<RulePlace> {
        let holds = |place: &RulePlace| self.who(*place).holds(&sample.client(), sample.lists(place.version.number()));
        relevant.iter().copied().filter(|place| holds(place) != Holds::No).collect()
    }

    /// Whether rules of both policies say the same in the same order.
    fn same(&self, applicable: &[RulePlace]) -> bool {
        let of = |version: PolicyVersion| {
            let own = applicable.iter().filter(move |place| place.version == version);
            own.map(move |place| self.rules.get(version.number()).and_then(|rules| rules.get(&place.rule)))
        };
        of(PolicyVersion::Old).eq(of(PolicyVersion::New))
    }

    /// The patterns of these rules, each once.
    fn sets(&self, applicable: &[RulePlace], action: Action) -> Vec<&'p Patterns> {
        let mut known = HashSet::new();
        let rules = applicable.iter().filter_map(|place| self.topic_rule(*place));
        rules
            .filter(|rule| known.insert(common_rules::patterns(action, rule)))
            .map(|rule| rule.patterns(action))
            .collect()
    }

    /// A topic that is none is denied; but the broker is left with it where there is no section.
    fn invalid_topic(&self, sample: Option<&Sample>, action: Action, found: &mut FoundChanges<'_>) {
        let Some(sample) = sample else { return };
        let topic = match action {
            Action::Publish => "+",
            Action::Subscribe => "#/x",
        };
        let decisions = [0, 1].map(|number| {
            let policy = self.policies.get(number);
            policy.map(|policy| policy.check_acl(&sample.client(), action, topic, sample.lists(number)))
        });
        let witness =
            Witness { sample: sample.whoever(), asked: ClientQuestion::Topic { action, topic: topic.to_owned() } };
        if let [Some(old), Some(new)] = decisions {
            found.take(self.question, &witness, &[old, new]);
        }
    }
}
