//! A deny that takes nothing away, because an earlier rule allows the same clients all that it
//! denies.

use super::context::{FindingContext, OverruledDeny, OverruledPart, named};
use super::overruled_denies::overruled_denies;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};

pub(super) fn find(cx: &mut FindingContext<'_>) {
    for overruled in overruled_denies(cx).iter().filter(|overruled| overruled.kind == OverruledPart::Whole) {
        let found = diagnostic(cx, overruled);
        cx.told.insert(overruled.deny.0);
        cx.found.extend(found);
    }
}

fn diagnostic(cx: &FindingContext<'_>, overruled: &OverruledDeny) -> Option<Diagnostic> {
    let (allow, deny) = (cx.rules().get(overruled.allow.0)?, cx.rules().get(overruled.deny.0)?);
    let denied = *cx.pattern_places(overruled.deny.0, overruled.action).get(overruled.deny.1)?;
    let allowed = *cx.pattern_places(overruled.allow.0, overruled.action).get(overruled.allow.1)?;
    let message = format!("what {} denies is allowed before, by {}", quote(&denied.text), named(&allow.id, allow.line));
    let diagnostic = Diagnostic::new(Code::LateDeny, denied.span, message)
        .related(allowed.span, "this comes first, so it decides")
        .note(format!("allowed by {}: {}", quote(&allow.id), overruled.example))
        .help(format!("put {} before {}", quote(&deny.id), quote(&allow.id)));
    Some(diagnostic)
}
