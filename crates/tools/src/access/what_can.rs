//! What a client can do of which some fields are known.

use super::known_client::{KnownClient, PartialMatch};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::model::Who;
use exhook_policy_core::policy::show;
use exhook_policy_core::policy::{Policy, TopicRule};
use exhook_policy_core::text::{Identity, Placeholder};
use exhook_policy_core::topic::{Pattern, Request, Syntax};

/// What a client can do.
#[derive(Debug)]
pub struct WhatCan<'p> {
    /// The login rules that can be about it, in order, up to one that surely decides; `None`
    /// without an `auth` section.
    pub logins: Option<Vec<PossibleLoginRule<'p>>>,
    /// What becomes of a login that none of these decides; `None` where the last of them surely
    /// does.
    pub login_default: Option<Verdict>,
    /// The topic rules that can be about it and a publish, in order; `None` without an `acl`
    /// section.
    pub publish: Option<Vec<PossibleTopicRule<'p>>>,
    /// The same of a subscription.
    pub subscribe: Option<Vec<PossibleTopicRule<'p>>>,
    /// What becomes of topics that none of these is about.
    pub acl_default: Option<Verdict>,
}

/// A login rule that can be about the client.
#[derive(Debug)]
pub struct PossibleLoginRule<'p> {
    /// The rule.
    pub rule: &'p str,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it says.
    pub verdict: Verdict,
    /// The password source that must know the client, in which case the rule decides, by the
    /// password.
    pub password: Option<&'p str>,
    /// What must hold of what is not known; `None` where it surely is about the client.
    pub if_: Option<Who>,
}

/// A topic rule that can be about the client.
#[derive(Debug)]
pub struct PossibleTopicRule<'p> {
    /// The rule.
    pub rule: &'p str,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it says.
    pub verdict: Verdict,
    /// What must hold of what is not known; `None` where it surely is about the client.
    pub if_: Option<Who>,
    /// Its patterns, the client's values in them.
    pub patterns: Vec<FilledPattern>,
    /// Of a rule that allows, the ids of the earlier rules that deny or ignore some of these
    /// topics, or may.
    pub except: Vec<&'p str>,
}

/// A pattern with the client's values in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledPattern {
    /// How it is written.
    pub syntax: Syntax,
    /// The pattern. A placeholder whose value is not known stands in it as it is written.
    pub text: String,
}

impl<'p> WhatCan<'p> {
    /// Asks the policy.
    pub fn ask(policy: &'p Policy, known: &KnownClient<'_>) -> Self {
        let mut logins = Vec::new();
        let mut login_default = policy.auth_default();
        for rule in policy.auth_rules() {
            let if_ = match known.match_kind(&rule.who) {
                PartialMatch::No => continue,
                PartialMatch::Open(who) => Some(who),
                PartialMatch::Yes => None,
            };
            let password = rule.password.and_then(|id| policy.passwords().get(id.0)).map(|source| source.name.as_str());
            let surely = if_.is_none() && password.is_none();
            logins.push(PossibleLoginRule { rule: &rule.id, line: rule.line, verdict: rule.verdict, password, if_ });
            if surely {
                login_default = None;
                break;
            }
        }
        let topics = |action| policy.acl_default().map(|_| topics(policy, known, action));
        WhatCan {
            logins: policy.auth_default().map(|_| logins),
            login_default,
            publish: topics(Action::Publish),
            subscribe: topics(Action::Subscribe),
            acl_default: policy.acl_default(),
        }
    }
}

fn topics<'p>(policy: &'p Policy, known: &KnownClient<'_>, action: Action) -> Vec<PossibleTopicRule<'p>> {
    let mut found: Vec<PossibleTopicRule<'p>> = Vec::new();
    let mut earlier: Vec<(&TopicRule, bool)> = Vec::new();
    for rule in policy.acl_rules().iter().filter(|rule| !rule.patterns(action).is_empty()) {
        let if_ = match known.match_kind(&rule.who) {
            PartialMatch::No => continue,
            PartialMatch::Open(who) => Some(who),
            PartialMatch::Yes => None,
        };
        // A client of another kind does not meet the rule.
        let known = known.and(if_.as_ref());
        let mut except = Vec::new();
        let mut patterns = Vec::new();
        for pattern in rule.written(action) {
            let Some(filled) = FilledPattern::of(pattern, rule.verdict, &known) else { continue };
            if rule.verdict == Verdict::Allow {
                let taken: Vec<_> = earlier
                    .iter()
                    .map(|(taking, surely)| (taking, taken_topics(taking, *surely, action, &filled, &known)))
                    .collect();
                if taken.iter().any(|(_, taken)| *taken == TakenTopics::All) {
                    continue;
                }
                except.extend(
                    taken.iter().filter(|(_, taken)| *taken == TakenTopics::Some).map(|(taking, _)| taking.id.as_str()),
                );
            }
            patterns.push(filled);
        }
        if patterns.is_empty() {
            continue;
        }
        except.sort_by_key(|id| earlier.iter().position(|(taking, _)| taking.id == **id));
        except.dedup();
        if rule.verdict != Verdict::Allow {
            earlier.push((rule, if_.is_none()));
        }
        found.push(PossibleTopicRule { rule: &rule.id, line: rule.line, verdict: rule.verdict, if_, patterns, except });
    }
    found
}

/// How much of a pattern's topics an earlier rule takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakenTopics {
    None,
    /// Some, or perhaps some.
    Some,
    /// All, for every client that is asked about.
    All,
}

fn taken_topics(
    taking: &TopicRule,
    surely: bool,
    action: Action,
    filled: &FilledPattern,
    known: &KnownClient<'_>,
) -> TakenTopics {
    let Some(wide) = filled.as_filter() else { return TakenTopics::Some };
    let Some(request) = Request::parse(Action::Subscribe, &wide) else { return TakenTopics::Some };
    let unknown = |one| taking.written(action).iter().any(|pattern| pattern.has(one)) && known.value(one).is_none();
    if Placeholder::ALL.into_iter().any(unknown) {
        return TakenTopics::Some;
    }
    let identity = Identity {
        clientid: known.value(Placeholder::Clientid).unwrap_or_default(),
        username: known.value(Placeholder::Username).unwrap_or_default(),
    };
    if !taking.patterns(action).touch(&request, identity) {
        TakenTopics::None
    } else if surely && taking.patterns(action).cover(&request, identity) {
        TakenTopics::All
    } else {
        TakenTopics::Some
    }
}

impl FilledPattern {
    /// `None` where the pattern matches nothing for this client.
    fn of(pattern: &Pattern, verdict: Verdict, known: &KnownClient<'_>) -> Option<Self> {
        // A value that is not known is taken for one that fits.
        let value = |one| known.value(one).unwrap_or("x");
        let identity = Identity { clientid: value(Placeholder::Clientid), username: value(Placeholder::Username) };
        if verdict == Verdict::Allow && !pattern.is_safe(identity) {
            return None;
        }
        let never = |one| pattern.has(one) && value(one).contains(['+', '#', '\0']);
        if pattern.syntax() == Syntax::Filter && Placeholder::ALL.into_iter().any(never) {
            return None;
        }
        let mut text = pattern.source().to_owned();
        for one in Placeholder::ALL {
            let Some(value) = known.value(one).filter(|_| pattern.has(one)) else { continue };
            // In a glob or a regex it must mean itself, and in a filter it must not be taken for
            // another placeholder.
            let plain = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
            if plain || (pattern.syntax() == Syntax::Filter && !value.contains("${")) {
                text = text.replace(&format!("${{{}}}", one.name()), value);
            }
        }
        // The empty topic is none.
        (!text.is_empty()).then(|| FilledPattern { syntax: pattern.syntax(), text })
    }

    /// A filter that receives every topic of it, where there is one.
    fn as_filter(&self) -> Option<String> {
        match self.syntax {
            Syntax::Filter => {
                let level = |level: &str| if level.contains("${") { "+".to_owned() } else { level.to_owned() };
                Some(self.text.split('/').map(level).collect::<Vec<_>>().join("/"))
            }
            Syntax::Glob | Syntax::Regex => None,
        }
    }

    /// The pattern in words: a filter in quotes, a glob or a regex with that word before it.
    pub fn words(&self) -> String {
        show::written(self.syntax, &self.text)
    }

    /// The pattern as the policy says it, as JSON.
    pub fn json(&self) -> serde_json::Value {
        show::written_json(self.syntax, &self.text)
    }
}
