//! What was decided, by rule.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use crate::history::Asked;
use crate::state::status::RuleDecisions;
use exhook_policy_core::decision::{Decision, FLAPPING, LOCKOUT, RESERVED, Verdict};
use exhook_policy_core::policy::Policy;

/// By rule, since the process started. A policy goes on with the counts of the rules that the one before it had too.
#[derive(Debug, Default)]
pub(super) struct Counts {
    auth: ByRule,
    acl: ByRule,
}

/// In the order of the file; behind the rules, the ids that stand for none.
#[derive(Debug, Default)]
struct ByRule {
    ids: Vec<String>,
    counts: Vec<Arc<RuleCount>>,
    /// How many of them are rules.
    rules: usize,
    places: HashMap<String, usize, RandomState>,
}

/// Allowed, denied, left to the broker.
#[derive(Debug, Default)]
struct RuleCount([AtomicU64; 3]);

impl Counts {
    pub(super) fn of(policy: &Policy, before: Option<&Counts>) -> Self {
        let auth = policy.auth_rules().iter().map(|rule| rule.id.as_str()).chain(policy.limits().ids());
        let acl = policy.acl_rules().iter().map(|rule| rule.id.as_str());
        Counts {
            auth: ByRule::of(auth, before.map(|before| &before.auth)),
            acl: ByRule::of(acl, before.map(|before| &before.acl)),
        }
    }

    pub(super) fn count(&self, asked: Asked<'_>, decision: Decision<'_>) {
        let by_rule = match asked {
            Asked::Connect => &self.auth,
            Asked::Topic(..) => &self.acl,
        };
        if let Some(RuleCount([allow, deny, ignore])) = by_rule.of_rule(decision.rule) {
            let count = match decision.verdict {
                Verdict::Allow => allow,
                Verdict::Deny => deny,
                Verdict::Ignore => ignore,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What decided something, in the order of the file.
    pub(super) fn read(&self) -> Vec<RuleDecisions> {
        self.auth.read("auth").chain(self.acl.read("acl")).collect()
    }

    /// How many rules decided nothing.
    pub(super) fn silent(&self) -> u64 {
        let silent =
            |by_rule: &ByRule| by_rule.counts.iter().take(by_rule.rules).filter(|count| count.is_silent()).count();
        (silent(&self.auth) + silent(&self.acl)) as u64
    }
}

impl RuleCount {
    fn is_silent(&self) -> bool {
        self.0.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

impl ByRule {
    fn of<'a>(rules: impl Iterator<Item = &'a str>, before: Option<&ByRule>) -> Self {
        let mut ids: Vec<String> = rules.map(str::to_owned).collect();
        let rules = ids.len();
        let mut places: HashMap<String, usize, RandomState> =
            ids.iter().enumerate().map(|(place, id)| (id.clone(), place)).collect();
        for id in RESERVED.into_iter().chain([LOCKOUT, FLAPPING]) {
            // A rule may have the id of a limit that the policy does not use.
            places.entry(id.to_owned()).or_insert_with(|| {
                ids.push(id.to_owned());
                ids.len() - 1
            });
        }
        let known = |id: &String| before.and_then(|before| before.counts.get(*before.places.get(id)?)).cloned();
        let counts = ids.iter().map(|id| known(id).unwrap_or_default()).collect();
        ByRule { ids, counts, rules, places }
    }

    fn of_rule(&self, id: &str) -> Option<&RuleCount> {
        self.counts.get(*self.places.get(id)?).map(|count| &**count)
    }

    fn read(&self, section: &'static str) -> impl Iterator<Item = RuleDecisions> {
        self.ids.iter().zip(&self.counts).filter(|(_, count)| !count.is_silent()).map(move |(id, count)| {
            let [allow, deny, ignore] = count.0.each_ref().map(|count| count.load(Ordering::Relaxed));
            RuleDecisions { section: section.to_owned(), rule: id.clone(), allow, deny, ignore }
        })
    }
}
