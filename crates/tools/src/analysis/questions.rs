//! Walks over questions: samples with what they can ask.

use std::ops::ControlFlow;

use super::sample::{Sample, Samples};
use super::witness::{ClientQuestion, PasswordAnswer, Witness};
use exhook_policy_core::decision::Decision;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::model::PasswordSource;
use exhook_policy_core::policy::{Found, Policy};
use exhook_policy_core::text::Identity;
use exhook_policy_core::topic::{Budget, Patterns, representatives};

/// Steps that one decision counts for, beside those of its rules.
const DECIDE: usize = 40;

/// Asks the policies, in the order of the [`AnalysisContext`](super::AnalysisContext), about topics
/// that stand for all, as far as these sets of patterns tell them apart. Superusers are left out:
/// the broker asks nothing about their topics.
///
/// `each` gets every question with the decision of each policy, and may end the walk. True where
/// the questions were complete, also if `each` ended it.
pub fn topics<'p>(
    policies: &[&'p Policy],
    samples: &Samples,
    action: Action,
    sets: &[&Patterns],
    budget: &mut Budget,
    mut each: impl FnMut(&Witness, &[Decision<'p>]) -> ControlFlow<()>,
) -> bool {
    let mut complete = samples.complete;
    let rules = policies.iter().flat_map(|policy| policy.acl_rules());
    let rules: usize = rules.map(|rule| 1 + rule.patterns(action).weight()).sum();
    for sample in samples.samples.iter().filter(|sample| !sample.client().is_superuser) {
        let client = sample.client();
        let identity = Identity { clientid: client.clientid, username: client.username };
        // Some of it is for asking.
        let found = budget.within(budget.left() / 4 * 3, |budget| representatives(action, sets, identity, budget));
        complete &= found.complete;
        for topic in found.topics {
            if !budget.spend(DECIDE + rules) {
                return false;
            }
            let decide = |(number, policy): (usize, &&'p Policy)| {
                policy.check_acl(&client, action, &topic, sample.lists(number))
            };
            let decisions: Vec<Decision<'p>> = policies.iter().enumerate().map(decide).collect();
            let witness = Witness { sample: sample.clone(), asked: ClientQuestion::Topic { action, topic } };
            if each(&witness, &decisions).is_break() {
                return complete;
            }
        }
    }
    complete
}

/// Asks the policies about logins of each sample, with everything that password sources may say of
/// it. Sources are taken to be readable. `each` and the result are as of [`topics`].
pub fn logins<'p>(
    policies: &[&'p Policy],
    samples: &Samples,
    budget: &mut Budget,
    mut each: impl FnMut(&Witness, &[Decision<'p>]) -> ControlFlow<()>,
) -> bool {
    let rules: usize = policies.iter().map(|policy| policy.auth_rules().len()).sum();
    for sample in &samples.samples {
        // What is tried of the sources that are asked, in that order; the last one that can be is
        // changed next.
        let mut tried: Vec<Found> = Vec::new();
        loop {
            if !budget.spend(DECIDE + rules) {
                return false;
            }
            let (passwords, decisions) = login(policies, sample, &mut tried);
            let witness = Witness { sample: sample.clone(), asked: ClientQuestion::Login { passwords } };
            if each(&witness, &decisions).is_break() {
                return samples.complete;
            }
            while tried.last() == Some(&Found::Unknown) {
                tried.pop();
            }
            match tried.pop() {
                Some(found) => tried.push(after(found)),
                None => break,
            }
        }
    }
    samples.complete
}

fn after(found: Found) -> Found {
    match found {
        Found::Right => Found::Wrong,
        Found::Wrong | Found::Unknown | Found::Unreadable => Found::Unknown,
    }
}

/// One login. The sources that are asked beyond those in `tried` know the password as right, and
/// are added.
fn login<'p>(
    policies: &[&'p Policy],
    sample: &Sample,
    tried: &mut Vec<Found>,
) -> (Vec<PasswordAnswer>, Vec<Decision<'p>>) {
    let mut asked: Vec<(&'p str, &'p PasswordSource)> = Vec::new();
    let client = sample.client();
    let decisions = policies.iter().enumerate().map(|(number, policy)| {
        policy.login(&client, sample.lists(number), |source| {
            let Some(source) = policy.passwords().get(source.0) else { return Found::Unreadable };
            let known = asked.iter().position(|(name, other)| *name == source.name && is_same(other, &source.source));
            let place = known.unwrap_or_else(|| {
                asked.push((&source.name, &source.source));
                asked.len() - 1
            });
            if place == tried.len() {
                tried.push(Found::Right);
            }
            tried.get(place).copied().unwrap_or(Found::Unreadable)
        })
    });
    let decisions = decisions.collect();
    let says = asked.iter().zip(tried.iter());
    (says.map(|((name, _), found)| PasswordAnswer { source: (*name).to_owned(), found: *found }).collect(), decisions)
}

/// Two versions of a policy may stand in two folders, and mean the same source by the same name in
/// the same file.
pub(super) fn is_same(one: &PasswordSource, other: &PasswordSource) -> bool {
    match (one, other) {
        (PasswordSource::File { path: one }, PasswordSource::File { path: other }) => {
            one.file_name() == other.file_name()
        }
        (PasswordSource::Sqlite { path: one, query }, PasswordSource::Sqlite { path: other, query: other_query }) => {
            query == other_query && one.file_name() == other.file_name()
        }
        (PasswordSource::File { .. } | PasswordSource::Sqlite { .. }, _) => false,
    }
}
