//! What another version of a policy opens and closes.
//!
//! Rules that both versions have in the same order, and that say the same, cannot be why an answer
//! differs. So every question whose answer differs is one that another rule is about, a *changed*
//! one, or one that reaches the default of a section where that changed. Each changed rule is a
//! focus: clients of its own, treated differently by no rule that can be about the same questions,
//! and the questions that they can ask. Both policies are asked, and where the answers differ that
//! is a change, told once for each pair of rules that decided.

mod changes;
mod common_rules;
mod compare;
mod notes;

pub use changes::{
    ChangeDirection, Difference, PolicyAnswer, PolicyChange, PolicyVersion, QuestionKind, RuleName, UnsettledChanges,
    VersionRule, differ,
};

use exhook_policy_core::policy::Policy;
use exhook_policy_core::topic::Budget;

/// What differs between two versions of a policy.
#[derive(Debug)]
pub struct PolicyDiff {
    /// One for each pair of rules that decide, kind of question and pair of answers, those that
    /// widen first.
    pub changes: Vec<PolicyChange>,
    /// What could not be settled within the budget: there may be more changes, to both sides. One
    /// for each kind of question at most.
    pub unknown: Vec<UnsettledChanges>,
    /// What differs and is no decision.
    pub notes: Vec<String>,
}

/// Compares two versions of a policy, as they decide from `now` on, Unix milliseconds.
pub fn diff(old: &Policy, new: &Policy, now: i64, budget: &mut Budget) -> PolicyDiff {
    let (changes, unknown) = compare::compare(old, new, now, budget);
    PolicyDiff { changes, unknown, notes: notes::notes(old, new) }
}

#[cfg(test)]
mod tests;
