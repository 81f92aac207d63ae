//! Topics that a rule denies and an earlier one has allowed already, which may not be what was
//! meant.
//!
//! An exception is written before what it is excepted from, so an allow is taken for one where it
//! is about fewer topics than the deny, all of them denied, or about fewer clients. What is left is
//! suspicious: to the same clients the allow gives more than the deny would take, or something else
//! that the deny crosses.

use std::rc::Rc;

use super::context::{ACTIONS, FindingContext, OverruledDeny, OverruledPart, SampleClient, asked};
use exhook_policy_core::decision::{Decision, Verdict};
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::policy::model::Who;
use exhook_policy_core::topic::{Pattern, Patterns, Request};

/// How many topics of a pair of rules are looked at.
const MOST_TOPICS: usize = 2_000;

/// The first cut of each kind of each rule that denies.
pub(super) fn overruled_denies(cx: &mut FindingContext<'_>) -> Rc<[OverruledDeny]> {
    if let Some(known) = &cx.overruled_denies {
        return Rc::clone(known);
    }
    let mut all = Vec::new();
    let denies = cx.rules().iter().enumerate().filter(|(_, rule)| rule.verdict == Verdict::Deny);
    for (deny, _) in denies {
        let mut kinds = vec![OverruledPart::Whole, OverruledPart::Crossing];
        for action in ACTIONS {
            let near = cx.near(deny, action, deny);
            for (allow, _) in near.iter().filter(|(_, rule)| rule.verdict == Verdict::Allow) {
                if kinds.is_empty() {
                    break;
                }
                let found = pair(cx, (*allow, deny), &near, action, &kinds);
                kinds.retain(|kind| !found.iter().any(|overruled| overruled.kind == *kind));
                all.extend(found);
            }
        }
    }
    let all: Rc<[OverruledDeny]> = all.into();
    cx.overruled_denies = Some(Rc::clone(&all));
    all
}

/// A cut of each of these kinds, where the pair has one.
fn pair(
    cx: &mut FindingContext<'_>,
    (allow_place, deny_place): (usize, usize),
    near: &[(usize, &TopicRule)],
    action: Action,
    kinds: &[OverruledPart],
) -> Vec<OverruledDeny> {
    let (Some(allow), Some(deny)) = (cx.rules().get(allow_place), cx.rules().get(deny_place)) else {
        return Vec::new();
    };
    match is_exception(cx, allow, deny) {
        Some(false) => {}
        Some(true) => return Vec::new(),
        None => {
            cx.unsettled.insert(deny.line);
            return Vec::new();
        }
    }
    // Rules that come first may take the clients that come to mind first.
    let before: Vec<&TopicRule> =
        near.iter().take_while(|(place, _)| *place < allow_place).map(|(_, rule)| *rule).collect();
    for before in [&[], before.as_slice()] {
        let whos: Vec<&Who> = before.iter().map(|rule| &rule.who).chain([&deny.who]).collect();
        let clients = cx.clients(&allow.who, &whos, &[allow_place, deny_place]);
        let mut shared: Vec<&SampleClient> =
            clients.each.iter().filter(|someone| someone.is(&allow.who) && someone.is(&deny.who)).collect();
        if shared.is_empty() && !clients.complete {
            cx.unsettled.insert(deny.line);
        }
        shared.sort_by_cached_key(|someone| someone.oddity(cx.policy));
        for someone in shared {
            let found = RulePair { allow, deny, action, someone }.look(cx, kinds);
            let overruled = |found: OverruledPatterns| OverruledDeny {
                deny: (deny_place, found.deny),
                allow: (allow_place, found.allow),
                action,
                kind: found.kind,
                example: found.example,
            };
            if !found.is_empty() {
                return found.into_iter().map(overruled).collect();
            }
        }
        if before.is_empty() && near.first().is_none_or(|(place, _)| *place >= allow_place) {
            break;
        }
    }
    Vec::new()
}

/// Whether the allow is about fewer clients than the deny: all of them are meant by it, or some are
/// and it is about clients in general. `None` where that is not known.
fn is_exception(cx: &mut FindingContext<'_>, allow: &TopicRule, deny: &TopicRule) -> Option<bool> {
    let wider = cx.is_general(&deny.who) && !cx.is_general(&allow.who);
    match cx.within(&allow.who, &deny.who) {
        Some(true) => cx.within(&deny.who, &allow.who).map(|same| !same),
        Some(false) => Some(wider),
        None => wider.then_some(true),
    }
}

struct RulePair<'r> {
    allow: &'r TopicRule,
    deny: &'r TopicRule,
    action: Action,
    someone: &'r SampleClient,
}

/// The patterns by their places, and an example.
struct OverruledPatterns {
    kind: OverruledPart,
    allow: usize,
    deny: usize,
    example: String,
}

/// Which patterns match a topic.
struct Matched {
    topic: String,
    allowed: Vec<bool>,
    denied: Vec<bool>,
}

impl Matched {
    fn is_allowed(&self) -> bool {
        self.allowed.contains(&true)
    }

    fn is_denied(&self) -> bool {
        self.denied.contains(&true)
    }
}

impl RulePair<'_> {
    fn look(&self, cx: &mut FindingContext<'_>, kinds: &[OverruledPart]) -> Vec<OverruledPatterns> {
        let (matched, complete) = self.matched(cx);
        let any = |allowed: bool, denied: bool| {
            matched.iter().any(|topic| topic.is_allowed() == allowed && topic.is_denied() == denied)
        };
        // An exception, or nothing that both are about.
        if !any(true, true) || (!any(true, false) && any(false, true)) {
            if !complete {
                cx.unsettled.insert(self.deny.line);
            }
            return Vec::new();
        }
        let mut found: Vec<OverruledPatterns> = Vec::new();
        for deny in 0..self.deny.written(self.action).len() {
            let mut denied = matched.iter().filter(|topic| topic.denied.get(deny) == Some(&true));
            let kind =
                if denied.any(|topic| !topic.is_allowed()) { OverruledPart::Crossing } else { OverruledPart::Whole };
            if kind == OverruledPart::Whole && !complete {
                cx.unsettled.insert(self.deny.line);
            } else if kinds.contains(&kind) && !found.iter().any(|found| found.kind == kind) {
                found.extend(self.shown(cx, &matched, deny, kind));
            }
        }
        found
    }

    /// The cut of this pattern with a topic that shows it.
    fn shown(
        &self,
        cx: &mut FindingContext<'_>,
        matched: &[Matched],
        deny: usize,
        kind: OverruledPart,
    ) -> Option<OverruledPatterns> {
        let reaches_more = |allow: usize| {
            let mut allowed = matched.iter().filter(|topic| topic.allowed.get(allow) == Some(&true));
            allowed.any(|topic| !topic.is_denied())
        };
        for topic in matched.iter().filter(|topic| topic.denied.get(deny) == Some(&true)) {
            let mut allows = (0..topic.allowed.len()).filter(|allow| topic.allowed.get(*allow) == Some(&true));
            let allow = allows.find(|allow| kind == OverruledPart::Whole || reaches_more(*allow));
            if let Some(allow) = allow.filter(|_| self.is_let_through(cx, &topic.topic)) {
                let example = asked(&self.someone.sample, self.action, &topic.topic);
                return Some(OverruledPatterns { kind, allow, deny, example });
            }
        }
        None
    }

    /// Topic names that stand for all, and whether they do.
    fn matched(&self, cx: &mut FindingContext<'_>) -> (Vec<Matched>, bool) {
        let apart = |rule: &TopicRule| -> Vec<Patterns> {
            let alone = |pattern: &Pattern| Patterns::new(vec![pattern.clone()]);
            rule.written(self.action).iter().map(alone).collect()
        };
        let (allowed, denied) = (apart(self.allow), apart(self.deny));
        let sets: Vec<&Patterns> = allowed.iter().chain(&denied).collect();
        let identity = self.someone.identity();
        let found = cx.topics(Action::Publish, &sets, identity);
        let matched = found.topics.into_iter().take(MOST_TOPICS).filter_map(|topic| {
            let request = Request::parse(self.action, &topic)?;
            let allowed = allowed.iter().map(|one| one.cover(&request, identity)).collect();
            let denied = denied.iter().map(|one| one.touch(&request, identity)).collect();
            drop(request);
            Some(Matched { topic, allowed, denied })
        });
        (matched.collect(), found.complete)
    }

    /// Whether it is this rule that allows the topic to the client.
    fn is_let_through(&self, cx: &mut FindingContext<'_>, topic: &str) -> bool {
        let rules = cx.rules().len();
        cx.spend(rules, self.deny.line)
            && cx.policy.check_acl(&self.someone.client(), self.action, topic, &self.someone.lists)
                == Decision { verdict: Verdict::Allow, rule: &self.allow.id }
    }
}
