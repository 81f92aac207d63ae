//! Patterns that no client can subscribe to as they are written, because an earlier deny touches
//! them.

use super::containment::covers;
use super::context::{FindingContext, asked, named, takes};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};
use exhook_policy_core::policy::model::Who;
use exhook_policy_core::text::{Identity, Placeholder};
use exhook_policy_core::topic::{Pattern, Request, Syntax, Touch};

pub(super) fn find(cx: &mut FindingContext<'_>) {
    for (place, rule) in cx.rules().iter().enumerate() {
        if rule.verdict != Verdict::Allow || cx.told.contains(&place) {
            continue;
        }
        let near = cx.near(place, Action::Subscribe, place);
        if near.iter().all(|(_, earlier)| earlier.verdict != Verdict::Deny) {
            continue;
        }
        for (at, pattern) in rule.written(Action::Subscribe).iter().enumerate() {
            if pattern.syntax() != Syntax::Filter {
                continue;
            }
            if let Some(refusal) = refusal(cx, (place, rule), pattern, &near) {
                let found = diagnostic(cx, place, at, &refusal);
                cx.found.extend(found);
            }
        }
    }
}

/// Who refuses a client that subscribes to the pattern.
struct Refusal {
    /// The place of the rule that denies.
    deny: usize,
    /// What the filter would receive that it denies; `None` where that is the filter itself, or not
    /// known.
    topic: Option<String>,
    /// Who asks for what, in a line.
    example: String,
}

/// The refusal of the first client that is refused, if all are.
fn refusal(
    cx: &mut FindingContext<'_>,
    (place, rule): (usize, &TopicRule),
    pattern: &Pattern,
    near: &[(usize, &TopicRule)],
) -> Option<Refusal> {
    let whos: Vec<&Who> = near.iter().map(|(_, earlier)| &earlier.who).collect();
    let about: Vec<usize> = near.iter().map(|(place, _)| *place).chain([place]).collect();
    let clients = cx.clients(&rule.who, &whos, &about);
    let mut first = None;
    for someone in clients.each.iter().filter(|someone| someone.is(&rule.who)) {
        if !cx.spend(near.len().saturating_mul(LOOK), rule.line) {
            return None;
        }
        let identity = someone.identity();
        let Some(filter) = pattern.filled(identity) else { continue };
        let Some(request) = Request::parse(Action::Subscribe, &filter) else { continue };
        if !rule.patterns(Action::Subscribe).cover(&request, identity) {
            // The client's values do not fit in, so it cannot ask for this.
            continue;
        }
        let mut earlier = near.iter().filter(|(_, earlier)| someone.is(&earlier.who));
        let (deny, taker) = earlier.find(|(_, earlier)| takes(earlier, Action::Subscribe, &request, identity))?;
        if taker.verdict != Verdict::Deny {
            return None;
        }
        first = first.or_else(|| {
            let topic = match taker.patterns(Action::Subscribe).touched(&request, identity) {
                Touch::Topic(topic) => (topic != filter).then_some(topic),
                Touch::Nothing | Touch::Unsettled => None,
            };
            Some(Refusal { deny: *deny, topic, example: asked(&someone.sample, Action::Subscribe, &filter) })
        });
    }
    if first.is_some() && !clients.complete && !is_plain(rule, pattern, near) {
        cx.unsettled.insert(rule.line);
        return None;
    }
    first
}

/// What it costs to look at an earlier rule, in steps.
const LOOK: usize = 20;

/// Whether the first earlier rule that could have a say denies, for each of the rule's clients.
fn is_plain(rule: &TopicRule, pattern: &Pattern, near: &[(usize, &TopicRule)]) -> bool {
    let nobody = Identity { clientid: "", username: "" };
    let plain = |pattern: &Pattern| !Placeholder::ALL.iter().any(|placeholder| pattern.has(*placeholder));
    near.first().is_some_and(|(_, deny)| {
        deny.verdict == Verdict::Deny
            && covers(&deny.who, &rule.who)
            && plain(pattern)
            && deny.written(Action::Subscribe).iter().all(plain)
            && Request::parse(Action::Subscribe, pattern.source())
                .is_some_and(|request| takes(deny, Action::Subscribe, &request, nobody))
    })
}

fn diagnostic(cx: &FindingContext<'_>, place: usize, at: usize, refusal: &Refusal) -> Option<Diagnostic> {
    let pattern = *cx.pattern_places(place, Action::Subscribe).get(at)?;
    let deny = cx.rules().get(refusal.deny)?;
    let message = format!(
        "nobody can subscribe to {} as it is written: {} denies {}",
        quote(&pattern.text),
        named(&deny.id, deny.line),
        refusal.topic.as_ref().map_or_else(|| "it before".to_owned(), |topic| format!("{} in it", quote(topic)))
    );
    let diagnostic = Diagnostic::new(Code::DeniedAsWritten, pattern.span, message)
        .related(cx.acl_places(refusal.deny)?.head, "this comes first, so it decides")
        .note(format!("denied by {}: {}", quote(&deny.id), refusal.example));
    Some(match refusal.topic {
        Some(_) => diagnostic.help("narrow the pattern to what is left, so that it says what clients can ask for"),
        None => diagnostic.help("take it away, or put the rule before the one that denies"),
    })
}
