//! What a policy says of many events, counted.

use std::collections::BTreeMap;

use super::{Entry, EventPlace, FirstOfMany, OwnedDecision, ReplayChange, ReplayItem, ReplayOutcome, ReplaySide};
use exhook_policy_core::decision::{FLAPPING, LOCKOUT, Verdict};
use exhook_policy_core::event::json::Told;
use exhook_policy_core::hook::Hook;
use exhook_policy_core::policy::Policy;

/// What was counted.
#[derive(Debug, Default)]
pub struct ReplaySummary {
    /// Events, questions and others.
    pub events: u64,
    /// Those on which the policy decided.
    pub questions: u64,
    /// Events that are no questions, by their hooks.
    pub told: BTreeMap<Hook, u64>,
    /// Frames that are no calls of a hook.
    pub others: u64,
    /// Lines that are missing in the recording by its own word.
    pub dropped: u64,
    /// What could not be read, and why.
    pub unreadable: FirstOfMany<(EventPlace, String)>,
    /// Logins that hang on a password of which the recording does not tell.
    pub assumed: u64,
    /// Logins that a limit refused when they were captured. Whether rules decide now as they did then is not known.
    pub limited: u64,
    /// Questions of which the recording says what was decided.
    pub compared: u64,
    /// Those of them with another verdict now.
    pub changed: FirstOfMany<ReplayChange>,
    /// Those of them with the same verdict, by another rule.
    pub other_rule: u64,
    /// How often a rule decided so, by the hook that asked and the id of the rule.
    decided: BTreeMap<(Hook, Box<str>, Verdict), u64>,
}

/// A rule, and how often it decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleDecisionCount {
    /// `auth` or `acl`.
    pub section: &'static str,
    /// The id of the rule.
    pub rule: String,
    /// The line of the rule in the policy; `None` where no rule decided.
    pub line: Option<usize>,
    /// What was decided; `None` where the rule never was the one.
    pub verdict: Option<Verdict>,
    /// How often.
    pub count: u64,
}

impl ReplaySummary {
    /// Puts an item to the policy and counts what comes of it. Gives back the decision where it was a question.
    pub fn add<'p>(&mut self, item: &ReplayItem, side: ReplaySide<'p>) -> Option<ReplayOutcome<'p>> {
        match &item.entry {
            Entry::Told(told) => {
                self.events += 1;
                let outcome = side.decide(told);
                match outcome {
                    Some(outcome) => self.question(&item.place, told, outcome, side.policy),
                    None => *self.told.entry(told.event.hook()).or_default() += 1,
                }
                outcome
            }
            Entry::Dropped(count) => {
                self.dropped += count;
                None
            }
            Entry::Other => {
                self.others += 1;
                None
            }
            Entry::Unreadable(why) => {
                self.unreadable.push(|| (item.place.clone(), why.clone()));
                None
            }
        }
    }

    fn question(&mut self, place: &EventPlace, told: &Told, outcome: ReplayOutcome<'_>, policy: &Policy) {
        let ReplayOutcome { decision, assumed } = outcome;
        self.questions += 1;
        self.assumed += u64::from(assumed);
        let key = (told.event.hook(), decision.rule.into(), decision.verdict);
        *self.decided.entry(key).or_default() += 1;
        let Some(before) = &told.decision else { return };
        let is_rule = || policy.auth_rules().iter().any(|rule| *rule.id == *before.rule);
        if told.event.hook() == Hook::ClientAuthenticate && [LOCKOUT, FLAPPING].contains(&&*before.rule) && !is_rule() {
            self.limited += 1;
            return;
        }
        self.compared += 1;
        if before.verdict != decision.verdict {
            let old = OwnedDecision { verdict: before.verdict, rule: before.rule.clone() };
            self.changed.push(|| ReplayChange {
                place: place.clone(),
                event: told.event.clone(),
                old,
                new: decision.into(),
            });
        } else if *before.rule != *decision.rule {
            self.other_rule += 1;
        }
    }

    /// Every rule of the policy in its order, those that decided nothing too, and behind them what no rule decided.
    pub fn rows(&self, policy: &Policy) -> Vec<RuleDecisionCount> {
        let auth = policy.auth_rules().iter().map(|rule| (rule.id.as_str(), rule.line));
        let acl = policy.acl_rules().iter().map(|rule| (rule.id.as_str(), rule.line));
        let mut rows = self.of_section(Hook::ClientAuthenticate, "auth", auth);
        rows.extend(self.of_section(Hook::ClientCheckAcl, "acl", acl));
        rows
    }

    fn of_section<'r>(
        &self,
        hook: Hook,
        section: &'static str,
        rules: impl Iterator<Item = (&'r str, usize)>,
    ) -> Vec<RuleDecisionCount> {
        let of_rule = |id: &str, line: Option<usize>| {
            let decided = self.decided.iter().filter(|((asked, rule, _), _)| *asked == hook && **rule == *id);
            let row = |(verdict, count)| RuleDecisionCount { section, rule: id.to_owned(), line, verdict, count };
            let rows: Vec<RuleDecisionCount> =
                decided.map(|((_, _, verdict), count)| row((Some(*verdict), *count))).collect();
            if rows.is_empty() { vec![row((None, 0))] } else { rows }
        };
        let mut rows: Vec<RuleDecisionCount> = rules.flat_map(|(id, line)| of_rule(id, Some(line))).collect();
        for (asked, id, _) in self.decided.keys() {
            let is_shown = rows.iter().any(|row| row.rule == **id);
            if *asked == hook && !is_shown {
                rows.extend(of_rule(id, None));
            }
        }
        rows
    }
}
