//! A deny that takes nothing away, because an earlier rule allows the same clients all that it denies.

use super::cuts::{Cut, Kind, cuts};
use super::cx::{Cx, named};
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};

pub(super) fn find(cx: &mut Cx<'_>) {
    for cut in cuts(cx).iter().filter(|cut| cut.kind == Kind::Swallowed) {
        let found = diagnostic(cx, cut);
        cx.told.insert(cut.deny.0);
        cx.found.extend(found);
    }
}

fn diagnostic(cx: &Cx<'_>, cut: &Cut) -> Option<Diagnostic> {
    let (allow, deny) = (cx.rules().get(cut.allow.0)?, cx.rules().get(cut.deny.0)?);
    let denied = *cx.pattern_places(cut.deny.0, cut.action).get(cut.deny.1)?;
    let allowed = *cx.pattern_places(cut.allow.0, cut.action).get(cut.allow.1)?;
    let message = format!("what {} denies is allowed before, by {}", quote(&denied.text), named(&allow.id, allow.line));
    let diagnostic = Diagnostic::new(Code::LateDeny, denied.span, message)
        .related(allowed.span, "this comes first, so it decides")
        .note(format!("allowed by {}: {}", quote(&allow.id), cut.example))
        .help(format!("put {} before {}", quote(&deny.id), quote(&allow.id)));
    Some(diagnostic)
}
