//! What in a policy is suspicious, by what its rules mean together. Each file knows one such thing.
//!
//! A finding with an example was tried: the policy itself decides so. That something never happens
//! is said only where every question that could be asked was, up to what rules can tell apart;
//! where the bound of work comes first, nothing is said but that it did.

mod containment;
mod context;
mod crossing_topics;
mod denied_as_written;
mod late_deny;
mod matches_nobody;
mod narrowed_clients;
mod never_decides;
mod overruled_denies;
mod password_bypass;
mod reaches_other_clients;
mod rule_index;
mod unverified_clientid;
mod window_is_over;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use context::FindingContext;
use exhook_policy_core::decision::Mode;
use exhook_policy_core::policy::brokers::Brokers;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::Diagnostic;
use exhook_policy_core::policy::model::Model;
use exhook_policy_core::policy::places::Places;
use exhook_policy_core::policy::span::Span;
use exhook_policy_core::policy::{Loaded, Policy, PolicyRules};
use exhook_policy_core::topic::Budget;

/// Adds what it finds.
type Find = fn(&mut FindingContext<'_>);

/// What there is to find, and what it raises. Later ones leave out what earlier ones told.
const ALL: &[(Code, Find)] = &[
    (Code::WindowIsOver, window_is_over::find),
    (Code::MatchesNobody, matches_nobody::find),
    (Code::LateDeny, late_deny::find),
    (Code::CrossingTopics, crossing_topics::find),
    (Code::NeverDecides, never_decides::find),
    (Code::DeniedAsWritten, denied_as_written::find),
    (Code::ReachesOtherClients, reaches_other_clients::find),
    (Code::PasswordBypass, password_bypass::find),
    (Code::UnverifiedClientid, unverified_clientid::find),
];

/// Whether findings raise the code.
pub fn raise(code: Code) -> bool {
    ALL.iter().any(|(raised, _)| *raised == code)
}

/// What was found in a policy.
#[derive(Debug)]
pub struct Findings {
    /// Warnings, for [`Loaded::add`].
    pub diagnostics: Vec<Diagnostic>,
    /// What the bound of work left open.
    pub unsettled: Unsettled,
}

/// Rules of which not everything is known. `Display` is one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsettled {
    lines: BTreeSet<usize>,
}

impl Unsettled {
    /// Whether everything is known.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines of these rules, from 1.
    pub fn lines(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().copied()
    }
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let shown: Vec<String> = self.lines().take(SHOWN).map(|line| line.to_string()).collect();
        let lines = if self.lines.len() == 1 { "line" } else { "lines" };
        write!(f, "not everything is known about the rules at {lines} {}", shown.join(", "))?;
        match self.lines.len().saturating_sub(SHOWN) {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        f.write_str(": the analysis ended at its bound of work")
    }
}

/// How much work the findings of one policy may take, in steps.
pub const WORK: usize = 24_000_000;

/// Looks at a policy that was loaded, as it decides from `now` on, Unix milliseconds.
pub fn findings(loaded: &Loaded, now: i64, budget: &mut Budget) -> Findings {
    let policy = Policy::compile(loaded.model.clone());
    let places = loaded.places.enforced(&loaded.model);
    let mut found = run(policy.rules(), policy.brokers(), &places, now, budget);
    if let Some(trial) = policy.trial() {
        // What is said of rules in audit mode is what would be so if they were carried out.
        let tried = run(trial, policy.brokers(), &loaded.places, now, budget);
        let rules = rules(&loaded.model, &loaded.places);
        let is_new = |one: &Diagnostic| {
            let Some(at) = one.span() else { return false };
            let within = |mode| rules.iter().any(|rule| rule.mode == mode && rule.whole.holds(at));
            // What rules of both kinds name was looked at for those that are carried out.
            let known = |it: &Diagnostic| (it.code(), it.span()) == (one.code(), one.span());
            within(Mode::Audit) || (!within(Mode::Enforce) && !found.diagnostics.iter().any(known))
        };
        let tried_alone: Vec<Diagnostic> = tried.diagnostics.into_iter().filter(is_new).collect();
        found.diagnostics.extend(tried_alone);
        let lines = rules.iter().filter(|rule| rule.mode == Mode::Audit).map(|rule| rule.line);
        found.unsettled.lines.extend(lines.filter(|line| tried.unsettled.lines.contains(line)));
    }
    found
}

fn run(policy: &PolicyRules, brokers: &Brokers, places: &Places, now: i64, budget: &mut Budget) -> Findings {
    let mut cx = FindingContext::new(policy, brokers, places, now);
    for (done, (_, find)) in ALL.iter().enumerate() {
        let share = budget.left() / (ALL.len() - done);
        budget.within(share, |budget| cx.run(find, budget));
    }
    Findings { diagnostics: cx.found, unsettled: Unsettled { lines: cx.unsettled } }
}

/// Where a rule stands in the file, and whether it is carried out.
struct RuleAt {
    mode: Mode,
    whole: Span,
    line: usize,
}

/// The rules of both sections.
fn rules(model: &Model, places: &Places) -> Vec<RuleAt> {
    let auth = model.auth.iter().flat_map(|auth| &auth.rules).map(|rule| (rule.mode, rule.line));
    let acl = model.acl.iter().flat_map(|acl| &acl.rules).map(|rule| (rule.mode, rule.line));
    let all = auth.zip(&places.auth.rules).chain(acl.zip(&places.acl.rules));
    all.map(|((mode, line), places)| RuleAt { mode, whole: places.whole, line }).collect()
}

/// Adds what is found in a policy to its report, and then what `accept` names in vain, as far as it
/// was looked for.
pub fn report(loaded: &mut Loaded, now: i64, budget: &mut Budget, looked_for: impl Fn(Code) -> bool) {
    let Findings { diagnostics, unsettled } = findings(loaded, now, budget);
    loaded.add(diagnostics);
    if !unsettled.is_empty() {
        loaded.leave_open(unsettled.to_string());
    }
    loaded.report_unused_accepts(|code| looked_for(code) && (unsettled.is_empty() || !raise(code)));
}
