//! Windows of time that will not open again.

use super::context::FindingContext;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::Diagnostic;

pub(super) fn find(cx: &mut FindingContext<'_>) {
    let auth = cx.auth_rules().iter().zip(&cx.places.auth.rules).map(|(rule, at)| (&rule.who, at));
    let acl = cx.rules().iter().zip(&cx.places.acl.rules).map(|(rule, at)| (&rule.who, at));
    let mut found = Vec::new();
    for (who, places) in auth.chain(acl) {
        let windows = who.when().map_or(&[][..], |when| when.windows());
        let all = windows.iter().all(|window| window.is_over(cx.now));
        for (window, span) in windows.iter().zip(&places.windows).filter(|(window, _)| window.is_over(cx.now)) {
            let ended = window.until.map(|until| window.zone.shown(until)).unwrap_or_default();
            let zone = window.zone.name();
            let message = if window.until.is_some_and(|until| until <= cx.now) {
                format!("this window is over: it ended at {ended} ({zone})")
            } else {
                format!("this window is over: none of its days and hours is left before {ended} ({zone})")
            };
            let help = if all {
                "the rule never decides: take it away, or say until when it is meant to go on"
            } else {
                "take the window away, or say until when it is meant to go on"
            };
            found.push(Diagnostic::new(Code::WindowIsOver, *span, message).help(help));
        }
    }
    cx.found.extend(found);
}
