//! Kinds of client that no client can be.

use std::collections::HashSet;

use super::context::FindingContext;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::Diagnostic;
use exhook_policy_core::policy::model::{
    Condition, HostCondition, ListId, ListSource, PortCondition, TextCondition, Who,
};
use exhook_policy_core::policy::span::Span;

pub(super) fn find(cx: &mut FindingContext<'_>) {
    let mut named = HashSet::new();
    let auth = cx.auth_rules().iter().zip(&cx.places.auth.rules).map(|(rule, at)| (&rule.who, at.who, rule.line));
    let acl = cx.rules().iter().zip(&cx.places.acl.rules).map(|(rule, at)| (&rule.who, at.who, rule.line));
    for (who, at, line) in auth.chain(acl) {
        kind(cx, who, at, line, &mut named);
    }
}

/// Looks at each kind by itself, those with a name once.
fn kind(cx: &mut FindingContext<'_>, who: &Who, at: Span, line: usize, named: &mut HashSet<String>) {
    match who {
        Who::Everyone => {}
        Who::Named(entry) => {
            if named.insert(entry.name.clone()) {
                let place = cx.places.clients.iter().find(|(name, _)| *name == entry.name);
                kind(cx, &entry.who, place.map_or(at, |(_, span)| *span), line, named);
            }
        }
        Who::Any(kinds) => kinds.iter().for_each(|one| kind(cx, one, at, line, named)),
        Who::During(_, who) => kind(cx, who, at, line, named),
        Who::All(conditions) => {
            if !conditions.iter().all(is_plain) && !asks_empty(cx, conditions) && is_nobody(cx, who, line) {
                let message = "no client can fulfil these conditions";
                cx.found.push(Diagnostic::new(Code::MatchesNobody, at, message));
            }
        }
    }
}

fn is_nobody(cx: &mut FindingContext<'_>, who: &Who, line: usize) -> bool {
    let clients = cx.clients(who, &[], &[]);
    if clients.superusers || clients.each.iter().any(|someone| someone.is(who)) {
        return false;
    }
    if !clients.complete {
        cx.unsettled.insert(line);
    }
    clients.complete
}

/// Whether a list without entries takes part, of which another warning tells.
fn asks_empty(cx: &FindingContext<'_>, conditions: &[Condition]) -> bool {
    let empty = |list: &ListId| {
        let list = cx.policy.lists().get(list.0);
        list.is_some_and(|list| matches!(&list.source, ListSource::Inline(entries) if entries.is_empty()))
    };
    conditions.iter().any(|condition| match condition {
        Condition::Text(_, TextCondition::In(list)) | Condition::Host(_, HostCondition::In(list)) => empty(list),
        Condition::Text(..) | Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => false,
    })
}

/// Whether the condition holds for some value, whatever the other conditions say.
fn is_plain(condition: &Condition) -> bool {
    match condition {
        Condition::Text(_, condition) => is_plain_text(condition),
        Condition::Host(_, condition) => is_plain_host(condition),
        Condition::Port(_, condition) => is_plain_port(condition),
        Condition::Flag(..) => true,
    }
}

fn is_plain_text(condition: &TextCondition) -> bool {
    match condition {
        TextCondition::Equals(template) => template.as_literal().is_some(),
        TextCondition::Any(each) => each.iter().any(is_plain_text),
        TextCondition::Matches(_) | TextCondition::In(_) | TextCondition::Not(_) => false,
    }
}

fn is_plain_host(condition: &HostCondition) -> bool {
    match condition {
        HostCondition::Address(_) | HostCondition::Network(_) => true,
        HostCondition::Any(each) => each.iter().any(is_plain_host),
        HostCondition::Matches(_) | HostCondition::In(_) | HostCondition::Not(_) => false,
    }
}

fn is_plain_port(condition: &PortCondition) -> bool {
    match condition {
        PortCondition::Is(_) => true,
        PortCondition::Any(each) => each.iter().any(is_plain_port),
        PortCondition::Not(_) => false,
    }
}
