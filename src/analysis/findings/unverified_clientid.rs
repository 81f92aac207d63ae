//! Topics by `${clientid}` for clients whose clientid nobody proves.

use super::cx::{Cx, Someone, named};
use super::narrow::{is, is_not, narrowed};
use crate::decision::{Decision, Verdict};
use crate::policy::codes::Code;
use crate::policy::diag::{Diagnostic, quote};
use crate::policy::model::{AuthRule, PasswordId, TextField};
use crate::policy::places::PatternPlace;
use crate::policy::{Found, TopicRule};

/// What it costs to look at a pair of rules, in steps.
const LOOK: usize = 20;

pub(super) fn find(cx: &mut Cx<'_>) {
    for (rule, places) in cx.rules().iter().zip(&cx.places.acl.rules) {
        let own = places.patterns.iter().find(|pattern| pattern.clientid);
        if let Some(pattern) = own.filter(|_| rule.verdict == Verdict::Allow) {
            let found = look(cx, rule, pattern);
            cx.found.extend(found);
        }
    }
}

/// How a login rule with a password stands to the clients of a rule about topics.
enum Tie {
    /// It lets none of them in.
    None,
    /// Each clientid of these has one user.
    Tied,
    /// These two users can have the same clientid, with the rules that let them in.
    Loose([String; 2]),
    Unknown,
}

fn look(cx: &mut Cx<'_>, rule: &TopicRule, pattern: &PatternPlace) -> Option<Diagnostic> {
    let (mut tied, mut known, mut loose) = (false, true, None);
    for login in asking(cx) {
        match tie(cx, login, rule) {
            Tie::None => {}
            Tie::Tied => tied = true,
            Tie::Loose(users) => loose = loose.or(Some((login, users))),
            Tie::Unknown => known = false,
        }
    }
    if !known {
        cx.unsettled.insert(rule.line);
    }
    if let (true, Some((login, [one, other]))) = (tied, loose) {
        let message = format!("by {} one user can take the clientid of another", named(&login.id, login.line));
        let diagnostic = Diagnostic::new(Code::UnverifiedClientid, pattern.span, message)
            .note(format!("both can log in: {one}; {other}"))
            .help(format!(
                "tie the clientid to the username in {}: {{ clientid: \"${{username}}\" }}",
                quote(&login.id)
            ));
        return Some(diagnostic);
    }
    (!tied && known).then(|| {
        let message = "no login rule ties the clientid to a verified username, so any client can take any clientid";
        let help = "add a login rule with a password for { clientid: \"${username}\" }";
        Diagnostic::new(Code::UnverifiedClientid, pattern.span, message).help(help)
    })
}

/// The login rules with a password.
fn asking<'a>(cx: &Cx<'a>) -> impl Iterator<Item = &'a AuthRule> + use<'a> {
    cx.auth_rules().iter().filter(|rule| rule.password.is_some())
}

fn tie(cx: &mut Cx<'_>, login: &AuthRule, rule: &TopicRule) -> Tie {
    if !cx.spend(LOOK, rule.line) {
        return Tie::Unknown;
    }
    let clients = cx.clients(&login.who, &[&rule.who], &[]);
    let users = clients.each.iter().filter(|one| one.is(&login.who) && one.is(&rule.who) && is_user(one));
    let mut any = false;
    let mut known = clients.complete;
    for one in users {
        any = true;
        if !lets_in(cx, login, one) {
            continue;
        }
        for other in asking(cx) {
            match twin(cx, one, other, rule) {
                Ok(Some(twin)) => return Tie::Loose([one.sample.to_string(), twin]),
                Ok(None) => {}
                Err(()) => known = false,
            }
        }
    }
    match (known, any) {
        (false, _) => Tie::Unknown,
        (true, true) => Tie::Tied,
        (true, false) => Tie::None,
    }
}

/// Another user with the same clientid whom this login rule lets in; an error where that is not known.
fn twin(cx: &mut Cx<'_>, one: &Someone, login: &AuthRule, rule: &TopicRule) -> Result<Option<String>, ()> {
    let client = one.client();
    let same = is(TextField::Clientid, client.clientid).ok_or(())?;
    let other = is_not(TextField::Username, &[client.username, ""]).ok_or(())?;
    let kind = narrowed(&narrowed(&login.who, same), other);
    let twins = cx.clients(&kind, &[&rule.who], &[]);
    let twin = twins.each.iter().find(|twin| twin.is(&kind) && twin.is(&rule.who) && lets_in(cx, login, twin));
    match twin {
        None if !twins.complete => Err(()),
        twin => Ok(twin.map(|twin| twin.sample.to_string())),
    }
}

fn is_user(someone: &Someone) -> bool {
    !someone.client().username.is_empty()
}

fn lets_in(cx: &Cx<'_>, login: &AuthRule, someone: &Someone) -> bool {
    let found = |source: PasswordId| if Some(source) == login.password { Found::Right } else { Found::Unknown };
    cx.policy.login(&someone.client(), &someone.lists, found) == Decision { verdict: Verdict::Allow, rule: &login.id }
}
