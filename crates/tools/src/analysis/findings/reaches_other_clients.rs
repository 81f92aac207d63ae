//! Rules by which a client reaches the topics that another rule gives to each client by its
//! clientid.
//!
//! It is about clients of one kind: a client that reads all branches and owns none, an operator
//! say, is meant to. And it is about one action: what one client may publish others may be meant to
//! read.

use std::collections::BTreeMap;

use super::context::{ACTIONS, FindingContext, SampleClient, SampleClients, asked, named};
use super::narrowed_clients::{goes_on, is, is_not, narrowed};
use exhook_policy_core::decision::{Decision, Verdict};
use exhook_policy_core::event::{Action, Shown};
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};
use exhook_policy_core::policy::model::{TextField, Who};
use exhook_policy_core::text::Placeholder;
use exhook_policy_core::topic::{Pattern, Patterns, Request, Syntax, Touch};

/// How many clients are tried on each side.
const TRIED: usize = 4;
/// What it costs to ask a rule, in steps.
const RULE: usize = 20;

pub(super) fn find(cx: &mut FindingContext<'_>) {
    let mut reached: BTreeMap<usize, Diagnostic> = BTreeMap::new();
    for action in ACTIONS {
        for (place, owner) in cx.rules().iter().enumerate().filter(|(_, rule)| rule.verdict == Verdict::Allow) {
            let is_own = |pattern: &&Pattern| pattern.has(Placeholder::Clientid);
            let branches: Vec<(usize, &Pattern)> =
                owner.written(action).iter().enumerate().filter(|(_, pattern)| is_own(pattern)).collect();
            if branches.is_empty() {
                continue;
            }
            let near = cx.near(place, action, usize::MAX);
            let others = near.into_iter().filter(|(_, rule)| rule.verdict == Verdict::Allow);
            for (other, rule) in others.chain([(place, owner)]) {
                if reached.contains_key(&other) || !is_same_kind(cx, owner, rule) {
                    continue;
                }
                for (at, branch) in &branches {
                    if let Some((pattern, example)) =
                        (TopicReach { owner, branch, rule, action, about: [place, other] }).look(cx)
                    {
                        let found = diagnostic(cx, (place, *at), (other, pattern), action, &example);
                        reached.extend(found.map(|found| (other, found)));
                        break;
                    }
                }
            }
        }
    }
    cx.found.extend(reached.into_values());
}

/// Whether all owners of branches are among the clients of the rule.
fn is_same_kind(cx: &mut FindingContext<'_>, owner: &TopicRule, rule: &TopicRule) -> bool {
    let within = cx.within(&owner.who, &rule.who);
    if within.is_none() {
        cx.unsettled.insert(rule.line);
    }
    within == Some(true)
}

struct TopicReach<'r> {
    owner: &'r TopicRule,
    branch: &'r Pattern,
    rule: &'r TopicRule,
    action: Action,
    /// The places of both rules.
    about: [usize; 2],
}

/// One client in the branch of another.
struct ReachExample {
    reaches: String,
    owner: String,
}

impl TopicReach<'_> {
    /// The pattern by which one client reaches the branch of another, by its place, and an example.
    fn look(&self, cx: &mut FindingContext<'_>) -> Option<(usize, ReachExample)> {
        let patterns = self.rule.written(self.action).iter().enumerate();
        for (at, pattern) in patterns.filter(|(_, pattern)| !self.is_own_branch(pattern)) {
            if let Some(example) = self.by(cx, pattern) {
                return Some((at, example));
            }
        }
        None
    }

    fn is_own_branch(&self, pattern: &Pattern) -> bool {
        pattern.syntax() == Syntax::Filter
            && self.branch.syntax() == Syntax::Filter
            && pattern.source() == self.branch.source()
    }

    fn by(&self, cx: &mut FindingContext<'_>, pattern: &Pattern) -> Option<ReachExample> {
        let kind = &self.owner.who;
        let clients = cx.clients(kind, &[&self.rule.who], &self.about);
        for one in plainest(cx, &clients, kind) {
            let client = one.client();
            let mut others = vec![is_not(TextField::Clientid, &[client.clientid])?];
            if pattern.has(Placeholder::Clientid) && pattern.syntax() != Syntax::Filter {
                others.insert(0, goes_on(TextField::Clientid, client.clientid)?);
            }
            for other in others {
                let others = cx.clients(&narrowed(kind, other), &[], &self.about);
                for other in plainest(cx, &others, kind) {
                    if let Some(example) = self.test(cx, pattern, one, other) {
                        return Some(example);
                    }
                    if !pattern.has(Placeholder::Username) {
                        continue;
                    }
                    let clientid = other.client().clientid;
                    let same_name = narrowed(kind, is(TextField::Username, clientid)?);
                    let same_name = narrowed(&same_name, is_not(TextField::Clientid, &[clientid])?);
                    let intruders = cx.clients(&same_name, &[], &self.about);
                    let mut intruders = plainest(cx, &intruders, kind).into_iter();
                    if let Some(example) = intruders.find_map(|one| self.test(cx, pattern, one, other)) {
                        return Some(example);
                    }
                }
            }
        }
        None
    }

    /// Whether the rule lets one client into the branch of the other.
    fn test(
        &self,
        cx: &mut FindingContext<'_>,
        pattern: &Pattern,
        one: &SampleClient,
        other: &SampleClient,
    ) -> Option<ReachExample> {
        let branch = Patterns::new(vec![self.branch.clone()]);
        let topics = match self.branch.filled(other.identity()) {
            Some(filter) => {
                let request = Request::parse(Action::Subscribe, &filter)?;
                match Patterns::new(vec![pattern.clone()]).touched(&request, one.identity()) {
                    Touch::Topic(topic) => vec![topic],
                    Touch::Nothing | Touch::Unsettled => Vec::new(),
                }
            }
            None => cx.topics(Action::Publish, &[&branch], other.identity()).topics,
        };
        let allows = Decision { verdict: Verdict::Allow, rule: &self.rule.id };
        for topic in topics {
            let Some(request) = Request::parse(self.action, &topic) else { continue };
            if !branch.cover(&request, other.identity()) || branch.cover(&request, one.identity()) {
                continue;
            }
            let asked_rules = cx.rules().len();
            if !cx.spend(asked_rules.saturating_mul(RULE), self.rule.line) {
                return None;
            }
            let decide =
                |someone: &SampleClient| cx.policy.check_acl(&someone.client(), self.action, &topic, &someone.lists);
            if decide(one) == allows && decide(other).verdict == Verdict::Allow {
                let owner = format!("clientid {}", Shown(other.client().clientid));
                return Some(ReachExample { reaches: asked(&one.sample, self.action, &topic), owner });
            }
        }
        None
    }
}

/// Some clients of the kind, those first that make good examples.
fn plainest<'c>(cx: &FindingContext<'_>, clients: &'c SampleClients, kind: &Who) -> Vec<&'c SampleClient> {
    let mut own: Vec<&SampleClient> = clients.each.iter().filter(|someone| someone.is(kind)).collect();
    own.sort_by_cached_key(|someone| someone.oddity(cx.policy));
    own.truncate(TRIED);
    own
}

fn diagnostic(
    cx: &FindingContext<'_>,
    branch: (usize, usize),
    reach: (usize, usize),
    action: Action,
    example: &ReachExample,
) -> Option<Diagnostic> {
    let (owner, rule) = (cx.rules().get(branch.0)?, cx.rules().get(reach.0)?);
    let own = *cx.pattern_places(branch.0, action).get(branch.1)?;
    let reaches = *cx.pattern_places(reach.0, action).get(reach.1)?;
    let message = format!(
        "by {} a client can {} to what {} gives to another, by {}",
        quote(&reaches.text),
        action.as_str(),
        quote(&own.text),
        named(&owner.id, owner.line)
    );
    let diagnostic = Diagnostic::new(Code::ReachesOtherClients, reaches.span, message)
        .related(own.span, "the topics that are a client's own")
        .note(format!("allowed by {}, in the topics of {}: {}", quote(&rule.id), example.owner, example.reaches))
        .help("use `${clientid}` here, too, or name the clients that are meant to reach all");
    Some(diagnostic)
}
