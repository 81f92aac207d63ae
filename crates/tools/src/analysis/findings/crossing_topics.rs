//! An allow and a later deny of which neither holds all topics of the other, for the same clients.

use super::cuts::{Cut, Kind, cuts};
use super::cx::{Cx, named};
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};

pub(super) fn find(cx: &mut Cx<'_>) {
    for cut in cuts(cx).iter().filter(|cut| cut.kind == Kind::Crossed) {
        let found = diagnostic(cx, cut);
        cx.found.extend(found);
    }
}

fn diagnostic(cx: &Cx<'_>, cut: &Cut) -> Option<Diagnostic> {
    let (allow, deny) = (cx.rules().get(cut.allow.0)?, cx.rules().get(cut.deny.0)?);
    let denied = *cx.pattern_places(cut.deny.0, cut.action).get(cut.deny.1)?;
    let allowed = *cx.pattern_places(cut.allow.0, cut.action).get(cut.allow.1)?;
    let message = format!(
        "{} crosses {}, and what they share is allowed, by {}",
        quote(&denied.text),
        quote(&allowed.text),
        named(&allow.id, allow.line)
    );
    let diagnostic = Diagnostic::new(Code::CrossingTopics, denied.span, message)
        .related(allowed.span, "this comes first, so it decides")
        .note(format!("allowed by {}: {}", quote(&allow.id), cut.example))
        .help(format!("if it was meant to be denied, put {} before {}", quote(&deny.id), quote(&allow.id)));
    Some(diagnostic)
}
