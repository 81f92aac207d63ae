//! A later rule lets in clients without a password that a password rule was meant to check.

use super::context::{FindingContext, SampleClient};
use exhook_policy_core::decision::{Decision, Verdict};
use exhook_policy_core::policy::Found;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};
use exhook_policy_core::policy::model::{AuthRule, Who};

/// What it costs to look at a rule, in steps.
const LOOK: usize = 20;

pub(super) fn find(cx: &mut FindingContext<'_>) {
    for asked in 0..cx.auth_rules().len() {
        if cx.auth_rules().get(asked).is_some_and(|rule| rule.password.is_some()) {
            let found = bypass(cx, asked);
            cx.found.extend(found);
        }
    }
}

/// The rule that lets in all clients that this one asks for a password, if its source does not know
/// them.
fn bypass(cx: &mut FindingContext<'_>, place: usize) -> Option<Diagnostic> {
    let asked = cx.auth_rules().get(place)?;
    let near = cx.near_logins(place, usize::MAX);
    let opens = |later: &AuthRule| later.password.is_none() && later.verdict == Verdict::Allow;
    for &(open, later) in near.iter().filter(|(open, later)| *open > place && opens(later)) {
        if !cx.spend(LOOK, asked.line) {
            return None;
        }
        if cx.within(&asked.who, &later.who) != Some(true) {
            continue;
        }
        let before = near.iter().filter(|(place, _)| *place < open);
        let whos: Vec<&Who> = before.map(|(_, rule)| &rule.who).chain([&later.who]).collect();
        let clients = cx.clients(&asked.who, &whos, &[]);
        let lets_in = Decision { verdict: Verdict::Allow, rule: &later.id };
        let walks = |someone: &&SampleClient| {
            someone.is(&asked.who) && cx.policy.login(&someone.client(), &someone.lists, |_| Found::Unknown) == lets_in
        };
        let Some(someone) = clients.each.iter().find(walks) else { continue };
        let source = cx.policy.passwords().get(asked.password?.0)?;
        let message = format!(
            "clients that give a username unknown to {} are let in here without a password",
            quote(&source.name)
        );
        return Some(
            Diagnostic::new(Code::PasswordBypass, cx.auth_places(open)?.who, message)
                .related(cx.auth_places(place)?.password?, "the password asked for before")
                .note(format!("let in without one: {}", someone.sample))
                .help("take this rule away, narrow it, or deny such clients before it"),
        );
    }
    None
}
