//! What was decided, by rule.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use crate::decision::{Decision, FLAPPING, LOCKOUT, RESERVED, Verdict};
use crate::history::Asked;
use crate::policy::Policy;
use crate::state::status::Decided;

/// By rule, since the process started. A policy goes on with the counts of the rules that the one before it had too.
#[derive(Debug, Default)]
pub(super) struct Counts {
    auth: ByRule,
    acl: ByRule,
}

/// In the order of the file; behind the rules, the limits of logins and the ids that stand for no rule.
#[derive(Debug, Default)]
struct ByRule {
    ids: Vec<String>,
    /// How many of them are rules.
    rules: usize,
    counts: HashMap<String, Arc<Count>, RandomState>,
}

/// Allowed, denied, left to the broker.
#[derive(Debug, Default)]
struct Count([AtomicU64; 3]);

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
        if let Some(Count([allow, deny, ignore])) = by_rule.counts.get(decision.rule).map(|count| &**count) {
            let count = match decision.verdict {
                Verdict::Allow => allow,
                Verdict::Deny => deny,
                Verdict::Ignore => ignore,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The rules as they stand in the file, and those ids for no rule that decided something.
    pub(super) fn read(&self) -> Vec<Decided> {
        let auth = self.auth.read("auth");
        auth.chain(self.acl.read("acl")).collect()
    }
}

impl ByRule {
    fn of<'a>(rules: impl Iterator<Item = &'a str>, before: Option<&ByRule>) -> Self {
        let mut ids: Vec<String> = rules.map(str::to_owned).collect();
        let rules = ids.len();
        // A rule may have the id of a limit that the policy does not use.
        let others: Vec<String> =
            RESERVED.into_iter().chain([LOCKOUT, FLAPPING]).map(str::to_owned).filter(|id| !ids.contains(id)).collect();
        ids.extend(others);
        let known = |id: &String| before.and_then(|before| before.counts.get(id)).cloned().unwrap_or_default();
        let counts = ids.iter().map(|id| (id.clone(), known(id))).collect();
        ByRule { ids, rules, counts }
    }

    fn read(&self, section: &'static str) -> impl Iterator<Item = Decided> {
        self.ids.iter().enumerate().filter_map(move |(place, id)| {
            let Count(counts) = &**self.counts.get(id)?;
            let [allow, deny, ignore] = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            let decided = Decided { section: section.to_owned(), rule: id.clone(), allow, deny, ignore };
            (place < self.rules || allow + deny + ignore > 0).then_some(decided)
        })
    }
}
