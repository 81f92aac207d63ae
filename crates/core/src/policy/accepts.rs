//! Warnings that the policy says are meant: those of a rule by the rule's `accept`, all others by the one at the top.

use super::codes::Code;
use super::decode::At;
use super::diag::{Diagnostic, quote};
use super::raw;
use super::span::Span;

/// What the policy accepts.
#[derive(Debug, Default)]
pub(crate) struct Accepts {
    top: Vec<AcceptEntry>,
    /// Every rule, by where it begins.
    rules: Vec<(Span, Vec<AcceptEntry>)>,
}

#[derive(Debug)]
struct AcceptEntry {
    accepted: raw::Accepted,
    used: bool,
}

impl Accepts {
    /// Takes the reasons out of the policy.
    pub(crate) fn of(policy: &mut raw::Policy) -> Self {
        let auth = policy.auth.iter_mut().flat_map(|section| &mut section.value.rules);
        let auth = auth.flat_map(|rules| &mut rules.value).map(|rule| (rule.span, entries(rule.value.accept.take())));
        let acl = policy.acl.iter_mut().flat_map(|section| &mut section.value.rules);
        let acl = acl.flat_map(|rules| &mut rules.value).map(|rule| (rule.span, entries(rule.value.accept.take())));
        let mut rules: Vec<_> = auth.chain(acl).collect();
        rules.sort_by_key(|(span, _)| *span);
        // A rule that stands in the policy again by way of an alias is one text.
        rules.dedup_by_key(|(span, _)| *span);
        Accepts { top: entries(policy.accept.take()), rules }
    }

    /// The reason why this warning is meant, where the policy gives one.
    pub(crate) fn reason(&mut self, diagnostic: &Diagnostic) -> Option<String> {
        let behind =
            diagnostic.span().map_or(0, |found| self.rules.partition_point(|(rule, _)| rule.start <= found.start));
        let rule = behind.checked_sub(1).and_then(|at| self.rules.get_mut(at));
        let inside = rule.filter(|(rule, _)| diagnostic.span().is_some_and(|found| found.start < rule.end));
        let entries = inside.map_or(&mut self.top, |(_, entries)| entries);
        let entry = entries.iter_mut().find(|entry| entry.accepted.code == diagnostic.code())?;
        entry.used = true;
        Some(entry.accepted.reason.clone())
    }

    /// A warning for each entry that met none, if its code was looked for.
    pub(crate) fn unused(&self, looked_for: impl Fn(Code) -> bool) -> Vec<Diagnostic> {
        let unused = |entry: &&AcceptEntry| !entry.used && looked_for(entry.accepted.code);
        let of_rules = self.rules.iter().flat_map(|(_, entries)| entries).filter(unused).map(|entry| {
            let message = format!("this rule raises no warning {}", quote(entry.accepted.code.name()));
            Diagnostic::new(Code::UnusedAccept, entry.accepted.key, message).help("take it away")
        });
        let of_top = self.top.iter().filter(unused).map(|entry| {
            let message =
                format!("nothing outside of the rules raises a warning {}", quote(entry.accepted.code.name()));
            Diagnostic::new(Code::UnusedAccept, entry.accepted.key, message)
                .help("take it away; what a rule raises is accepted by the `accept` of that rule")
        });
        of_rules.chain(of_top).collect()
    }
}

fn entries(accept: Option<At<raw::Accept>>) -> Vec<AcceptEntry> {
    let accepted = accept.into_iter().flat_map(|accept| accept.value.0);
    accepted.map(|accepted| AcceptEntry { accepted, used: false }).collect()
}
