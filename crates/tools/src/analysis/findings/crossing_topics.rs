//! An allow and a later deny of which neither holds all topics of the other, for the same clients.

use super::context::{FindingContext, OverruledDeny, OverruledPart, named};
use super::overruled_denies::overruled_denies;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};

pub(super) fn find(cx: &mut FindingContext<'_>) {
    for overruled in overruled_denies(cx).iter().filter(|overruled| overruled.kind == OverruledPart::Crossing) {
        let found = diagnostic(cx, overruled);
        cx.found.extend(found);
    }
}

fn diagnostic(cx: &FindingContext<'_>, overruled: &OverruledDeny) -> Option<Diagnostic> {
    let (allow, deny) = (cx.rules().get(overruled.allow.0)?, cx.rules().get(overruled.deny.0)?);
    let denied = *cx.pattern_places(overruled.deny.0, overruled.action).get(overruled.deny.1)?;
    let allowed = *cx.pattern_places(overruled.allow.0, overruled.action).get(overruled.allow.1)?;
    let message = format!(
        "{} crosses {}, and what they share is allowed, by {}",
        quote(&denied.text),
        quote(&allowed.text),
        named(&allow.id, allow.line)
    );
    let diagnostic = Diagnostic::new(Code::CrossingTopics, denied.span, message)
        .related(allowed.span, "this comes first, so it decides")
        .note(format!("allowed by {}: {}", quote(&allow.id), overruled.example))
        .help(format!("if it was meant to be denied, put {} before {}", quote(&deny.id), quote(&allow.id)));
    Some(diagnostic)
}
