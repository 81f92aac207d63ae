//! Rules that can never decide, because rules before them decide everything that they are about.

use super::containment::{covers, decides_all};
use super::context::{ACTIONS, FindingContext, SampleClients, asked, named, takes};
use super::rule_index::literals;
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::Diagnostic;
use exhook_policy_core::policy::model::{AuthRule, TextField, Who};
use exhook_policy_core::policy::span::Span;
use exhook_policy_core::text::Placeholder;
use exhook_policy_core::topic::{Pattern, Request, Syntax};

/// How many of the rules that decide before are named.
const NAMED: usize = 3;
/// What it costs to ask a rule about a topic, in steps.
const RULE: usize = 20;

pub(super) fn find(cx: &mut FindingContext<'_>) {
    for place in 0..cx.auth_rules().len() {
        login(cx, place);
    }
    for place in 0..cx.rules().len() {
        if !cx.told.contains(&place) {
            rule(cx, place);
        }
    }
}

/// A rule that decides before, with an example where there is one.
#[derive(Default)]
struct EarlierRules {
    places: Vec<usize>,
    example: Option<String>,
}

impl EarlierRules {
    fn add(&mut self, place: usize, example: impl FnOnce() -> Option<String>) {
        if !self.places.contains(&place) {
            self.places.push(place);
            self.example = self.example.take().or_else(example);
        }
    }
}

fn login(cx: &mut FindingContext<'_>, place: usize) {
    let Some(rule) = cx.auth_rules().get(place) else { return };
    // A rule with a password passes on clients that its source does not know, and another rule with
    // that source does too.
    let counts = |earlier: &AuthRule| earlier.password.is_none() || earlier.password == rule.password;
    let near: Vec<_> = cx.near_logins(place, place).into_iter().filter(|(_, earlier)| counts(earlier)).collect();
    if near.is_empty() {
        return;
    }
    let mut takers = EarlierRules::default();
    if let Some((place, _)) = near.iter().find(|(_, earlier)| covers(&earlier.who, &rule.who)) {
        takers.places.push(*place);
    } else {
        let first = |clients: &SampleClients, takers: &mut EarlierRules| {
            clients.each.iter().filter(|someone| someone.is(&rule.who)).all(|someone| {
                let taker = near.iter().find(|(_, earlier)| someone.is(&earlier.who));
                taker.inspect(|(place, _)| takers.add(*place, || Some(someone.sample.to_string()))).is_some()
            })
        };
        let alone = cx.clients(&rule.who, &[], &[]);
        if !alone.each.iter().any(|someone| someone.is(&rule.who)) || !first(&alone, &mut EarlierRules::default()) {
            return;
        }
        let whos: Vec<&Who> = near.iter().map(|(_, earlier)| &earlier.who).collect();
        let clients = cx.clients(&rule.who, &whos, &[]);
        if !first(&clients, &mut takers) {
            return;
        }
        if !clients.complete {
            cx.unsettled.insert(rule.line);
            return;
        }
    }
    takers.places.sort_unstable();
    let Some(at) = cx.auth_places(place) else { return };
    let earlier = takers.places.iter().filter_map(|&place| {
        let earlier = cx.auth_rules().get(place)?;
        Some((named(&earlier.id, earlier.line), cx.auth_places(place)?.head))
    });
    let earlier: Vec<_> = earlier.collect();
    cx.found.push(diagnostic(at.head, &earlier, takers.example));
}

fn rule(cx: &mut FindingContext<'_>, place: usize) {
    let Some(rule) = cx.rules().get(place) else { return };
    let mut questions: Vec<(Action, Vec<(usize, &TopicRule)>)> = Vec::new();
    for action in ACTIONS.into_iter().filter(|action| !rule.patterns(*action).is_empty()) {
        let near = cx.near(place, action, place);
        if near.is_empty() && rule.written(action).iter().any(|pattern| is_plain(pattern, &rule.who)) {
            return;
        }
        questions.push((action, near));
    }
    // Most rules decide the first topic that comes to mind.
    let clients = cx.clients(&rule.who, &[], &[place]);
    if !clients.each.iter().any(|someone| someone.is(&rule.who)) {
        return;
    }
    for (action, near) in &questions {
        let question = CoverageQuestion { rule, action: *action, topics: Action::Publish, earlier: near, alone: true };
        if question.ask(cx, &clients, &mut EarlierRules::default()).is_none() {
            return;
        }
    }
    let mut takers = EarlierRules::default();
    if !questions.iter().all(|(action, near)| wholly(rule, *action, near, &mut takers)) {
        takers = EarlierRules::default();
        match all_taken(cx, place, rule, &questions, &mut takers) {
            None => return,
            Some(true) => {}
            Some(false) => {
                cx.unsettled.insert(rule.line);
                return;
            }
        }
    }
    takers.places.sort_unstable();
    let Some(at) = cx.acl_places(place) else { return };
    let earlier = takers.places.iter().filter_map(|&place| {
        let earlier = cx.rules().get(place)?;
        Some((named(&earlier.id, earlier.line), cx.acl_places(place)?.head))
    });
    let earlier: Vec<_> = earlier.collect();
    cx.told.insert(place);
    cx.found.push(diagnostic(at.head, &earlier, takers.example));
}

/// Whether it is plain that some topic is matched for some client of the kind.
fn is_plain(pattern: &Pattern, who: &Who) -> bool {
    let names = |placeholder: Placeholder| match placeholder {
        Placeholder::Clientid => literals(who, TextField::Clientid),
        Placeholder::Username => literals(who, TextField::Username),
    };
    let fits = |name: &&str| !name.is_empty() && !name.contains(['+', '#', '/', '$', '\0']);
    let mut used = Placeholder::ALL.into_iter().filter(|placeholder| pattern.has(*placeholder));
    pattern.syntax() == Syntax::Filter && used.all(|used| names(used).is_none_or(|names| names.iter().any(fits)))
}

/// Whether one earlier rule plainly decides all of it.
fn wholly(rule: &TopicRule, action: Action, near: &[(usize, &TopicRule)], takers: &mut EarlierRules) -> bool {
    let taker = near.iter().find(|(_, earlier)| covers(&earlier.who, &rule.who) && decides_all(earlier, rule, action));
    taker.inspect(|(place, _)| takers.add(*place, || None)).is_some()
}

/// Whether earlier rules decide every question; `None` where one is left to the rule, and false
/// where that is not known.
fn all_taken(
    cx: &mut FindingContext<'_>,
    place: usize,
    rule: &TopicRule,
    questions: &[(Action, Vec<(usize, &TopicRule)>)],
    takers: &mut EarlierRules,
) -> Option<bool> {
    let mut complete = true;
    for (action, near) in questions {
        let clients = cx.clients(&rule.who, &whos(near), &places(near, place));
        let question = CoverageQuestion { rule, action: *action, topics: Action::Publish, earlier: near, alone: false };
        complete &= question.ask(cx, &clients, takers)?;
    }
    for (action, near) in questions.iter().filter(|(action, _)| *action == Action::Subscribe) {
        // A filter touches what it is denied for, and may be taken by a rule about other topics in
        // it.
        let every: Vec<(usize, &TopicRule)>;
        let earlier = match rule.verdict {
            Verdict::Allow => near,
            Verdict::Deny | Verdict::Ignore => {
                if !cx.spend(place, rule.line) {
                    return Some(false);
                }
                let before = cx.rules().iter().enumerate().take(place);
                every = before.filter(|(_, earlier)| !earlier.patterns(*action).is_empty()).collect();
                &every
            }
        };
        let clients = cx.clients(&rule.who, &whos(earlier), &places(earlier, place));
        let question = CoverageQuestion { rule, action: *action, topics: Action::Subscribe, earlier, alone: false };
        complete &= question.ask(cx, &clients, takers)?;
    }
    Some(complete)
}

fn whos<'r>(rules: &[(usize, &'r TopicRule)]) -> Vec<&'r Who> {
    rules.iter().map(|(_, rule)| &rule.who).collect()
}

/// The places of these rules and of one more.
fn places(rules: &[(usize, &TopicRule)], rule: usize) -> Vec<usize> {
    rules.iter().map(|(place, _)| *place).chain([rule]).collect()
}

/// Whether something of an action is left to a rule by those before it.
struct CoverageQuestion<'r> {
    rule: &'r TopicRule,
    action: Action,
    /// Topic names or topic filters.
    topics: Action,
    earlier: &'r [(usize, &'r TopicRule)],
    /// Only topics that the rule's own patterns suggest.
    alone: bool,
}

impl CoverageQuestion<'_> {
    /// `None` where the rule decides something; else whether all that could be asked was.
    fn ask(&self, cx: &mut FindingContext<'_>, clients: &SampleClients, takers: &mut EarlierRules) -> Option<bool> {
        let mut complete = clients.complete;
        let own = self.rule.patterns(self.action);
        for someone in clients.each.iter().filter(|someone| someone.is(&self.rule.who)) {
            if !cx.spend(self.earlier.len(), self.rule.line) {
                return Some(false);
            }
            let identity = someone.identity();
            let earlier: Vec<_> = self.earlier.iter().filter(|(_, earlier)| someone.is(&earlier.who)).collect();
            let mut sets = vec![own];
            if !self.alone {
                sets.extend(earlier.iter().map(|(_, earlier)| earlier.patterns(self.action)));
            }
            let found = cx.topics(self.topics, &sets, identity);
            complete &= found.complete;
            for topic in &found.topics {
                let Some(request) = Request::parse(self.action, topic) else { continue };
                let about = match self.rule.verdict {
                    Verdict::Allow => own.cover(&request, identity),
                    Verdict::Deny | Verdict::Ignore => own.touch(&request, identity),
                };
                if !about {
                    continue;
                }
                if !cx.spend(earlier.len().saturating_mul(RULE), self.rule.line) {
                    return Some(false);
                }
                let taker = earlier.iter().find(|(_, earlier)| takes(earlier, self.action, &request, identity));
                let (place, _) = taker?;
                takers.add(*place, || Some(asked(&someone.sample, self.action, topic)));
            }
        }
        Some(complete)
    }
}

fn diagnostic(at: Span, earlier: &[(String, Span)], example: Option<String>) -> Diagnostic {
    let names: Vec<&str> = earlier.iter().take(NAMED).map(|(name, _)| name.as_str()).collect();
    let message = match (names.as_slice(), earlier.len().saturating_sub(NAMED)) {
        ([], _) => "this rule can never decide: no topic is matched by its patterns".to_owned(),
        ([one], _) => format!("this rule can never decide: {one} decides before it"),
        ([names @ .., last], 0) => {
            format!("this rule can never decide: {} and {last} decide before it", names.join(", "))
        }
        (names, more) => format!("this rule can never decide: {} and {more} more decide before it", names.join(", ")),
    };
    let mut found = Diagnostic::new(Code::NeverDecides, at, message);
    for (_, span) in earlier.iter().take(NAMED) {
        found = found.related(*span, "decides before");
    }
    if let Some(example) = example {
        found = found.note(format!("for example, {example}"));
    }
    if earlier.is_empty() {
        found
    } else {
        found.help("take it away, or put it before what it was meant to come before")
    }
}
