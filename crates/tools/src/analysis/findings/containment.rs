//! What one look at two rules shows: that every client, or every topic, of one is also the other's.
//!
//! It is quick, and it holds where the questions about globs and regexes cannot be listed. What it
//! does not see may be so all the same.

use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::policy::model::{Condition, HostCondition, PortCondition, TextCondition, Who};
use exhook_policy_core::text::{Identity, Matcher, Placeholder};
use exhook_policy_core::topic::{Pattern, Request, Syntax};

/// Whether it is plain that every client of `inner` is also one of `outer`.
pub(super) fn covers(outer: &Who, inner: &Who) -> bool {
    match (outer, inner) {
        (Who::Everyone, _) => true,
        (Who::During(outer_when, outer), Who::During(when, inner)) => outer_when == when && covers(outer, inner),
        (Who::During(..), _) | (Who::All(_), Who::Everyone) => false,
        (outer, Who::During(_, inner)) => covers(outer, inner),
        (Who::Named(outer), inner) => covers(&outer.who, inner),
        (outer, Who::Named(inner)) => covers(outer, &inner.who),
        (outer, Who::Any(inner)) => inner.iter().all(|inner| covers(outer, inner)),
        (Who::Any(outer), inner) => outer.iter().any(|outer| covers(outer, inner)),
        (Who::All(outer), Who::All(inner)) => outer.iter().all(|outer| inner.iter().any(|inner| same(outer, inner))),
    }
}

fn same(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (Condition::Text(field, one), Condition::Text(other_field, other)) => {
            field == other_field && same_text(one, other)
        }
        (Condition::Host(field, one), Condition::Host(other_field, other)) => {
            field == other_field && same_host(one, other)
        }
        (Condition::Port(field, one), Condition::Port(other_field, other)) => {
            field == other_field && same_port(one, other)
        }
        (Condition::Flag(field, one), Condition::Flag(other_field, other)) => field == other_field && one == other,
        (Condition::Text(..) | Condition::Host(..) | Condition::Port(..) | Condition::Flag(..), _) => false,
    }
}

fn all_same<T>(one: &[T], other: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
}

fn same_matcher(one: &Matcher, other: &Matcher) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

fn same_text(one: &TextCondition, other: &TextCondition) -> bool {
    match (one, other) {
        (TextCondition::Equals(one), TextCondition::Equals(other)) => one == other,
        (TextCondition::Matches(one), TextCondition::Matches(other)) => same_matcher(one, other),
        (TextCondition::In(one), TextCondition::In(other)) => one == other,
        (TextCondition::Not(one), TextCondition::Not(other)) => same_text(one, other),
        (TextCondition::Any(one), TextCondition::Any(other)) => all_same(one, other, same_text),
        (
            TextCondition::Equals(_)
            | TextCondition::Matches(_)
            | TextCondition::In(_)
            | TextCondition::Not(_)
            | TextCondition::Any(_),
            _,
        ) => false,
    }
}

fn same_host(one: &HostCondition, other: &HostCondition) -> bool {
    match (one, other) {
        (HostCondition::Address(one), HostCondition::Address(other)) => one == other,
        (HostCondition::Network(one), HostCondition::Network(other)) => one == other,
        (HostCondition::Matches(one), HostCondition::Matches(other)) => same_matcher(one, other),
        (HostCondition::In(one), HostCondition::In(other)) => one == other,
        (HostCondition::Not(one), HostCondition::Not(other)) => same_host(one, other),
        (HostCondition::Any(one), HostCondition::Any(other)) => all_same(one, other, same_host),
        (
            HostCondition::Address(_)
            | HostCondition::Network(_)
            | HostCondition::Matches(_)
            | HostCondition::In(_)
            | HostCondition::Not(_)
            | HostCondition::Any(_),
            _,
        ) => false,
    }
}

fn same_port(one: &PortCondition, other: &PortCondition) -> bool {
    match (one, other) {
        (PortCondition::Is(one), PortCondition::Is(other)) => one == other,
        (PortCondition::Not(one), PortCondition::Not(other)) => same_port(one, other),
        (PortCondition::Any(one), PortCondition::Any(other)) => all_same(one, other, same_port),
        (PortCondition::Is(_) | PortCondition::Not(_) | PortCondition::Any(_), _) => false,
    }
}

/// Whether it is plain that `outer` decides whatever `inner` is about for the action, of clients
/// that both are about.
pub(super) fn decides_all(outer: &TopicRule, inner: &TopicRule, action: Action) -> bool {
    // What touches a topic of the inner rule need not lie in the outer one.
    let by_set = match (inner.verdict, outer.verdict) {
        (Verdict::Allow, _) | (_, Verdict::Deny) => true,
        (Verdict::Deny | Verdict::Ignore, Verdict::Allow | Verdict::Ignore) => action == Action::Publish,
    };
    by_set && inner.written(action).iter().all(|pattern| lies_within(pattern, inner.verdict, outer, action))
}

fn lies_within(pattern: &Pattern, verdict: Verdict, outer: &TopicRule, action: Action) -> bool {
    let filled = Placeholder::ALL.iter().any(|placeholder| pattern.has(*placeholder));
    // Values that are no plain words count in rules that deny only.
    let comparable = !filled || verdict == Verdict::Allow || outer.verdict == Verdict::Deny;
    let same = |other: &Pattern| other.syntax() == pattern.syntax() && other.source() == pattern.source();
    if comparable && outer.written(action).iter().any(same) {
        return true;
    }
    let Some(wide) = widened(pattern, filled && verdict != Verdict::Allow) else { return false };
    // Patterns with placeholders cover nothing for a client without a name.
    let nobody = Identity { clientid: "", username: "" };
    Request::parse(Action::Subscribe, &wide).is_some_and(|request| outer.patterns(action).cover(&request, nobody))
}

/// A filter that receives whatever the pattern matches, for any client. `spread` is whether
/// values of the client may hold a `/`.
fn widened(pattern: &Pattern, spread: bool) -> Option<String> {
    let source = pattern.source();
    if source.trim_start_matches('^').trim_start_matches('\\').starts_with('$') && !source.starts_with("${") {
        return (pattern.syntax() == Syntax::Filter && !source.contains("${")).then(|| source.to_owned());
    }
    let mut levels = Vec::new();
    for level in source.split('/') {
        let special: &[char] = match pattern.syntax() {
            Syntax::Filter => &['$'],
            Syntax::Glob => &['*', '?', '[', ']', '{', '}', '!', '\\', '$', ','],
            Syntax::Regex => return Some("#".to_owned()),
        };
        if !level.contains(special) {
            levels.push(level);
        } else if pattern.syntax() == Syntax::Filter && !spread && level.contains("${") {
            levels.push("+");
        } else {
            levels.push("#");
            break;
        }
    }
    // A value may begin with `$`, which no wildcard at the root reaches.
    let reaches = !spread || levels.first().is_some_and(|level| !["+", "#"].contains(level));
    reaches.then(|| levels.join("/"))
}
