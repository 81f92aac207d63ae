//! What loads and may not do what was meant. Each function knows one such thing.

pub(crate) mod brokers;
pub(crate) mod costly;
pub(crate) mod regex;
pub(crate) mod texts;

#[cfg(test)]
mod tests;

use super::codes::Code;
use super::decode::{At, Cx};
use super::diag::{Diagnostic, quote};
use super::model::{AclRule, AuthRule, Captured, Interest, Section};
use super::places::{Direction, PatternPlace, RulePlaces};
use super::span::Span;
use super::{raw, traps};
use crate::decision::{LOCKOUT, Mode, Verdict};
use crate::hook::Hook;
use crate::topic::Syntax;

/// What the warnings want to know of a rule.
#[derive(Debug)]
pub(crate) struct RuleFacts {
    pub(crate) places: RulePlaces,
    pub(crate) everyone: bool,
    pub(crate) nameless: Option<Nameless>,
    pub(crate) superuser: Option<Span>,
}

/// Where a condition holds for clients that have nothing there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nameless {
    pub(crate) admits: Admits,
    pub(crate) lacks: Lacks,
}

/// What these clients do not have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lacks {
    Name,
    Certificate,
}

/// By what a condition holds for the empty text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Admits {
    /// By a `not`.
    Not(Span),
    /// By a glob or regex that matches the empty text.
    Pattern(Span),
}

/// What no rule matches is let through, or left to the broker.
pub(crate) fn default(cx: &mut Cx<'_>, what: &str, default: Option<&At<raw::Verdict>>) {
    let Some(default) = default else { return };
    let (code, message) = match default.value {
        raw::Verdict::Deny => return,
        raw::Verdict::Allow => (Code::DefaultAllow, format!("{what} that no rule matches are allowed")),
        raw::Verdict::Ignore => (Code::DefaultIgnore, format!("{what} that no rule matches are left to the broker")),
    };
    cx.push(Diagnostic::new(code, default.span, message).help("deny by default, and allow what is needed"));
}

/// A comment that looks like a part of the topic.
pub(crate) fn comment(cx: &mut Cx<'_>, span: Span) {
    if let Some(diagnostic) = traps::comment_after_pattern(cx.text, span) {
        cx.push(diagnostic);
    }
}

/// A list that holds nothing.
pub(crate) fn no_entries(span: Span, name: &str) -> Diagnostic {
    let message = format!("the list {} is empty, so `in: {name}` holds for no client and `not` for every", quote(name));
    Diagnostic::new(Code::NoEntries, span, message).help("give it entries, or take away what uses it")
}

/// A capture that waits for what never comes.
pub(crate) fn capture(cx: &mut Cx<'_>, span: Span, chosen: bool, events: Captured, interest: Interest) {
    let none = Captured { logins: false, topics: false, connections: false, sessions: false, messages: false };
    let comes = |kind: Captured| Hook::ALL.iter().any(|hook| kind.takes(*hook) && interest.needs(*hook));
    if !chosen {
        if !comes(events) {
            let message = "nothing is captured: the policy is told of no event";
            cx.push(Diagnostic::new(Code::CapturesNothing, span, message).help("add `auth` or `acl`"));
        }
        return;
    }
    let kinds = [
        ("logins", Captured { logins: events.logins, ..none }, "logins are told where there is `auth`"),
        ("topics", Captured { topics: events.topics, ..none }, "topics are told where there is `acl`"),
        ("connections", Captured { connections: events.connections, ..none }, "`log: [connections]` has them told"),
        ("sessions", Captured { sessions: events.sessions, ..none }, "`log: [events]` has them told"),
        ("messages", Captured { messages: events.messages, ..none }, "`record: [messages]` in `history` has them told"),
    ];
    for (name, kind, help) in kinds {
        if kind != none && !comes(kind) {
            let message = format!("no `{name}` are captured: the policy is told of none");
            cx.push(Diagnostic::new(Code::CapturesNothing, span, message).help(help));
        }
    }
}

/// What the warnings want to know of a limit.
#[derive(Debug)]
pub(crate) struct LimitFacts {
    pub(crate) name: &'static str,
    pub(crate) key: Span,
    /// Where it says that everyone is exempt.
    pub(crate) nobody: Option<Span>,
}

/// What keeps clients out for a while.
pub(crate) fn limits(cx: &mut Cx<'_>, limits: &[LimitFacts], asks_password: bool, has_history: bool) {
    for LimitFacts { name, key, nobody } in limits {
        if let Some(span) = nobody {
            let message = format!("`{name}` counts nobody: everyone is exempt");
            cx.push(
                Diagnostic::new(Code::CountsNothing, *span, message).help("exempt those that need it, or take it away"),
            );
        } else if *name == LOCKOUT && !asks_password {
            let message = "`lockout` counts nothing: no rule asks for a password";
            cx.push(Diagnostic::new(Code::CountsNothing, *key, message).help("`flapping` counts every login"));
        }
    }
    if let Some(LimitFacts { name, key, .. }) = limits.first().filter(|_| !has_history) {
        let message = format!("whom `{name}` keeps out is forgotten at a restart: the policy has no `history`");
        cx.push(
            Diagnostic::new(Code::BansForgotten, *key, message).help("add `history`, which keeps the table `bans`"),
        );
    }
}

/// A section that only its default decides, since its rules are all in audit mode.
fn nothing_enforced(
    cx: &mut Cx<'_>,
    default: Verdict,
    modes: impl Iterator<Item = Mode>,
    facts: &[RuleFacts],
    denied: &str,
) {
    let mut modes = modes.peekable();
    let Some(first) = facts.first().filter(|_| default == Verdict::Deny && modes.peek().is_some()) else { return };
    if modes.all(|mode| mode == Mode::Audit) {
        let message = format!("every {denied} is denied: all rules of the section are in audit mode");
        let help =
            "carry out the rules that allow, set a `default`, or try the whole policy with `mode: audit` at its top";
        cx.push(Diagnostic::new(Code::NothingEnforced, first.places.head, message).help(help));
    }
}

/// Rules about logins.
pub(crate) fn auth(cx: &mut Cx<'_>, section: &Section<AuthRule>, facts: &[RuleFacts], mode: Mode) {
    if mode == Mode::Enforce {
        nothing_enforced(cx, section.default, section.rules.iter().map(|rule| rule.mode), facts, "login");
    }
    for (rule, facts) in section.rules.iter().zip(facts) {
        if rule.verdict != Verdict::Allow || facts.places.password.is_some() {
            continue;
        }
        if facts.everyone {
            let message = match rule.mode {
                Mode::Enforce => "this rule lets every client in without a password",
                Mode::Audit => "this rule would let every client in without a password",
            };
            cx.push(Diagnostic::new(Code::AllowsEverything, facts.places.who, message));
        }
        nameless(cx, facts.nameless);
    }
}

/// Rules about topics.
pub(crate) fn acl(cx: &mut Cx<'_>, section: &Section<AclRule>, facts: &[RuleFacts], mode: Mode) {
    if mode == Mode::Enforce {
        nothing_enforced(cx, section.default, section.rules.iter().map(|rule| rule.mode), facts, "topic");
    }
    for (rule, facts) in section.rules.iter().zip(facts) {
        let patterns = &facts.places.patterns;
        if let Some(span) = facts.superuser {
            let message = "the broker asks nothing about the topics of superusers, so here the flag is always false";
            cx.push(Diagnostic::new(Code::SuperuserInAcl, span, message));
        }
        for pattern in patterns {
            glob_not_parent(cx, pattern, patterns);
            dollar_not_reached(cx, pattern);
        }
        if rule.verdict != Verdict::Allow {
            continue;
        }
        nameless(cx, facts.nameless);
        for pattern in patterns.iter().filter(|pattern| facts.everyone && is_everything(pattern)) {
            let what = match pattern.direction {
                Direction::Both => "publish and subscribe to",
                Direction::Publish => "publish to",
                Direction::Subscribe => "subscribe to",
            };
            let allows = match rule.mode {
                Mode::Enforce => "allows",
                Mode::Audit => "would allow",
            };
            let message = format!("this rule {allows} every client to {what} every topic");
            cx.push(Diagnostic::new(Code::AllowsEverything, pattern.span, message));
        }
    }
}

fn nameless(cx: &mut Cx<'_>, nameless: Option<Nameless>) {
    const NOT: &str = "to leave them out, write { not: [\"\", ...] }";
    const PATTERN: &str =
        "to leave them out, demand a character: `?*` in a glob, `.+` in a regex; to let them in, write [\"\", ...]";
    let Some(Nameless { admits, lacks }) = nameless else { return };
    let (span, message, help) = match (admits, lacks) {
        (Admits::Not(span), Lacks::Name) => (span, "this `not` also holds for clients that give no name", NOT),
        (Admits::Not(span), Lacks::Certificate) => {
            (span, "this `not` also holds for clients without a certificate", NOT)
        }
        (Admits::Pattern(span), Lacks::Name) => {
            (span, "this pattern also matches the empty text, which is the username of clients that give none", PATTERN)
        }
        (Admits::Pattern(span), Lacks::Certificate) => (
            span,
            "this pattern also matches the empty text, which is what clients without a certificate have here",
            PATTERN,
        ),
    };
    cx.push(Diagnostic::new(Code::AdmitsNameless, span, message).help(help));
}

fn is_everything(pattern: &PatternPlace) -> bool {
    match pattern.syntax {
        Syntax::Filter => pattern.text == "#",
        Syntax::Glob => pattern.text == "**",
        Syntax::Regex => matches!(pattern.text.as_str(), ".*" | ".+"),
    }
}

/// `x/**` without `x` beside it.
fn glob_not_parent(cx: &mut Cx<'_>, pattern: &PatternPlace, all: &[PatternPlace]) {
    let (Syntax::Glob, Some(parent)) = (pattern.syntax, pattern.text.strip_suffix("/**")) else { return };
    let reached = |other: &PatternPlace| match other.syntax {
        Syntax::Filter => other.text.strip_suffix("/#").unwrap_or(&other.text) == parent,
        Syntax::Glob => other.text == parent,
        Syntax::Regex => false,
    };
    if parent.is_empty() || parent == "**" || all.iter().any(reached) {
        return;
    }
    let message = format!("{} does not reach {} itself", quote(&pattern.text), quote(parent));
    let diagnostic = Diagnostic::new(Code::GlobNotParent, pattern.span, message);
    cx.push(if parent.contains(['*', '?', '[', '{', '\\']) {
        diagnostic.help(format!("add {{ glob: \"{parent}\" }} if it is meant"))
    } else {
        diagnostic.help(format!("write \"{parent}/#\" if it is meant"))
    });
}

/// A `$` at the beginning that is not read as the beginning of the topic.
fn dollar_not_reached(cx: &mut Cx<'_>, pattern: &PatternPlace) {
    let text = pattern.text.as_str();
    let help = match pattern.syntax {
        Syntax::Glob
            if ["[$", "{$", "{\\$"].iter().any(|hidden| text.starts_with(hidden) && !text.starts_with("{${")) =>
        {
            "begin the glob with `$`"
        }
        Syntax::Filter | Syntax::Glob => return,
        Syntax::Regex => {
            let text = text.trim_start_matches('^');
            let behind_flags =
                text.strip_prefix("(?").and_then(|flags| flags.split_once([')', ':'])).map(|(_, rest)| rest);
            let inside = behind_flags.unwrap_or(text).trim_start_matches(['(', '^']);
            let anchor = inside.starts_with('$') && inside != "$" && !inside.starts_with("${");
            let hidden = inside != text && inside.starts_with("\\$");
            if !(anchor || hidden || text.starts_with("[$]")) {
                return;
            }
            "begin the regex with `\\$`"
        }
    };
    let message = format!("{} reaches no topic that begins with `$`", quote(text));
    cx.push(Diagnostic::new(Code::DollarNotReached, pattern.span, message).help(help));
}
