//! How a decision came about: the rules that were tried, and why each of them did not decide.
//!
//! A trace is the decision itself, watched: the same code decides, and tells of each rule that it tries. Only the
//! reasons are found afterwards. Rules that deciding leaves out, because the client or the topic surely is not one of
//! theirs, are told with the condition that fails.

use std::collections::HashMap;
use std::fmt;

use super::decide::{LoginStep, PolicyRules, RuleReach, TopicRule};
use super::lists::Lists;
use super::model::{Condition, PasswordId, Who};
use super::show::{self, Words, some};
use super::who::{Holds, identity};
use crate::decision::{Decision, Found, Verdict};
use crate::event::{Action, Client, Shown};
use crate::topic::{Cover, Patterns, Request, Touch};

/// A decision and the rules up to the one that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<'p> {
    /// Every rule that stands before the one that decided, in the order of the file, and that one; every rule where it
    /// was none of them. Empty where no rule is asked: without the section, or for a topic that is not valid.
    pub tried: Vec<Tried<'p>>,
    /// What was decided.
    pub decision: Decision<'p>,
}

/// A rule that was tried.
///
/// Its `Display` is one line: `` `fleet` (line 14): clientid "x" is not in list `fleet` ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried<'p> {
    /// The rule's id.
    pub id: &'p str,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it says where it matches.
    pub verdict: Verdict,
    /// What came of it.
    pub outcome: Outcome<'p>,
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'p> {
    /// It says nothing of this action.
    OtherAction(Action),
    /// It is not about the client. One mismatch for each kind of client that it is about.
    NotWho(Vec<Mismatch<'p>>),
    /// It allows or ignores, and not every topic that is asked for is covered.
    NotCovered {
        /// The topic name or filter that is asked for.
        asked: String,
        /// A topic of it that is not covered; `None` where that could not be settled within the bound of work.
        topic: Option<String>,
        /// The patterns, in words.
        patterns: Vec<String>,
        /// Of these, those that match nothing for this client, because its values do not fit into a topic.
        void: Vec<String>,
    },
    /// No topic that is asked for is one of its own.
    NotTouched {
        /// The topic name or filter that is asked for.
        asked: String,
        /// The patterns, in words.
        patterns: Vec<String>,
    },
    /// It leaves a part of the subscription to the broker, so that no later rule can allow the whole.
    Part {
        /// A topic of that part, where one could be found within the bound of work.
        topic: Option<String>,
    },
    /// It would have allowed, but an earlier rule leaves a part of the subscription to the broker.
    Limited {
        /// The id of that rule.
        by: &'p str,
    },
    /// Whether it is about the client hangs on what is not known, so that the answer is a denial.
    CannotTell {
        /// The lists that could not be read.
        lists: Vec<&'p str>,
        /// The fields that the broker does not tell.
        fields: Vec<&'static str>,
    },
    /// The password source of this name does not know the user.
    UnknownUser(&'p str),
    /// The password source of this name cannot be read, so that the answer is a denial.
    UnreadablePasswords(&'p str),
    /// It decided: by the password source of this name the password is wrong.
    WrongPassword(&'p str),
    /// It decided.
    Decided {
        /// For a denied subscription with wildcards, a topic that it would receive and that is denied.
        topic: Option<String>,
    },
}

/// The first condition of a kind of client that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch<'p> {
    /// The kind's name, where it has one.
    pub kind: Option<&'p str>,
    /// The client's field.
    pub field: &'static str,
    /// The client's value.
    pub value: String,
    /// What the policy wants of it, in the policy's form.
    pub wanted: serde_json::Value,
    /// What is so instead: clientid "x" is not in list `fleet`.
    pub said: String,
}

impl Eq for Mismatch<'_> {}

impl PolicyRules {
    /// [`check_acl`](PolicyRules::check_acl), and how it came about.
    pub fn trace_acl(&self, client: &Client<'_>, action: Action, topic: &str, lists: &Lists) -> Trace<'_> {
        let mut seen = SeenRules::default();
        let (decision, _) = self.check_acl_seen(client, action, topic, lists, |place, reach| seen.add(place, reach));
        // The walks that find reasons have work of their own, and take nothing from those that decide.
        let Some(request) = Request::parse(action, topic) else {
            return Trace { tried: Vec::new(), decision };
        };
        let ends = |reach| matches!(reach, RuleReach::Whole | RuleReach::CannotTell);
        let asking = TracedClient { words: Words::new(self.lists()), client, lists };
        let tried = seen.up_to_end(self.acl_rules(), ends).map(|(rule, reach)| {
            let outcome = match reach {
                Some(RuleReach::Whole) if decision.rule != rule.id => Outcome::Limited { by: decision.rule },
                Some(RuleReach::Whole) => Outcome::Decided { topic: witness(rule, action, &request, client) },
                Some(RuleReach::Part) => Outcome::Part { topic: touched(rule.patterns(action), &request, client) },
                Some(RuleReach::CannotTell) => asking.cannot_tell(&rule.who),
                Some(RuleReach::None) | None => asking.not_reached(rule, action, &request),
            };
            Tried { id: &rule.id, line: rule.line, verdict: rule.verdict, outcome }
        });
        Trace { tried: tried.collect(), decision }
    }

    /// [`login`](PolicyRules::login), and how it came about.
    pub fn trace_login(&self, client: &Client<'_>, lists: &Lists, found: impl FnMut(PasswordId) -> Found) -> Trace<'_> {
        let mut seen = SeenRules::default();
        let (decision, _) = self.login_seen(client, lists, found, |place, step| seen.add(place, step));
        let ends = |step| !matches!(step, LoginStep::Asked(Holds::No) | LoginStep::Password(_, Found::Unknown));
        let asking = TracedClient { words: Words::new(self.lists()), client, lists };
        let tried = seen.up_to_end(self.auth_rules(), ends).map(|(rule, step)| {
            let outcome = match step {
                Some(LoginStep::Asked(Holds::Yes)) => Outcome::Decided { topic: None },
                Some(LoginStep::Asked(Holds::CannotTell)) => asking.cannot_tell(&rule.who),
                Some(LoginStep::Asked(Holds::No)) | None => Outcome::NotWho(asking.mismatches(&rule.who, None)),
                Some(LoginStep::Password(source, found)) => self.of_password(source, found),
            };
            Tried { id: &rule.id, line: rule.line, verdict: rule.verdict, outcome }
        });
        Trace { tried: tried.collect(), decision }
    }

    fn of_password(&self, source: PasswordId, found: Found) -> Outcome<'_> {
        let name = self.passwords().get(source.0).map_or("?", |source| &source.name);
        match found {
            Found::Right => Outcome::Decided { topic: None },
            Found::Wrong => Outcome::WrongPassword(name),
            Found::Unknown => Outcome::UnknownUser(name),
            Found::Unreadable => Outcome::UnreadablePasswords(name),
        }
    }
}

/// What deciding told of the rules, by their places.
struct SeenRules<S> {
    steps: HashMap<usize, S>,
    last: Option<(usize, S)>,
}

impl<S> Default for SeenRules<S> {
    fn default() -> Self {
        SeenRules { steps: HashMap::new(), last: None }
    }
}

impl<S: Copy> SeenRules<S> {
    fn add(&mut self, place: usize, step: S) {
        self.steps.insert(place, step);
        self.last = Some((place, step));
    }

    /// The rules up to the one that ended it, or all, with what was told of them last.
    fn up_to_end<'p, R>(&self, rules: &'p [R], ends: impl Fn(S) -> bool) -> impl Iterator<Item = (&'p R, Option<S>)> {
        let end = self.last.filter(|(_, step)| ends(*step)).map_or(rules.len(), |(place, _)| place.saturating_add(1));
        rules.iter().take(end).enumerate().map(|(place, rule)| (rule, self.steps.get(&place).copied()))
    }
}

/// A client whose rules are told.
struct TracedClient<'a, 'p> {
    words: Words<'p>,
    client: &'a Client<'a>,
    lists: &'a Lists,
}

impl<'p> TracedClient<'_, 'p> {
    /// For each kind of client, the first condition that does not hold.
    fn mismatches(&self, who: &'p Who, kind: Option<&'p str>) -> Vec<Mismatch<'p>> {
        match who {
            Who::Everyone => Vec::new(),
            Who::Named(named) => self.mismatches(&named.who, Some(&named.name)),
            Who::Any(each) => each.iter().flat_map(|who| self.mismatches(who, kind)).collect(),
            Who::All(conditions) => {
                let failed = conditions.iter().find(|one| one.holds(self.client, self.lists) == Holds::No);
                failed.map(|condition| self.mismatch(condition, kind)).into_iter().collect()
            }
            Who::During(when, who) => match (self.client.extra.at, when.holds(self.client.extra.at)) {
                (Some(at), Holds::No) => vec![Mismatch {
                    kind,
                    field: show::TIME,
                    value: when.zone().map(|zone| zone.exactly(at)).unwrap_or_default(),
                    wanted: when.json(),
                    said: format!("{} is outside {when}", when.zone().map(|zone| zone.told(at)).unwrap_or_default()),
                }],
                (_, Holds::No | Holds::CannotTell | Holds::Yes) => self.mismatches(who, kind),
            },
        }
    }

    fn mismatch(&self, condition: &Condition, kind: Option<&'p str>) -> Mismatch<'p> {
        Mismatch {
            kind,
            field: condition.field().name(),
            value: show::value(condition, self.client),
            wanted: self.words.condition_json(condition),
            said: self.words.of_client(condition, self.client),
        }
    }

    /// The lists for want of which it cannot be told whether the client is one of these.
    fn unreadable(&self, who: &Who) -> Vec<&'p str> {
        let mut needed = Vec::new();
        who.lists(&mut needed);
        needed.retain(|list| self.lists.get(*list).is_none());
        needed.sort_unstable();
        needed.dedup();
        needed.into_iter().map(|list| self.words.list(list)).collect()
    }

    /// For want of what it cannot be told whether the client is one of these.
    fn cannot_tell(&self, who: &Who) -> Outcome<'p> {
        let mut fields = Vec::new();
        who.untold(self.client, &mut fields);
        fields.sort_unstable();
        fields.dedup();
        Outcome::CannotTell { lists: self.unreadable(who), fields }
    }

    /// Why a rule is not about a request, the client or the topics.
    fn not_reached(&self, rule: &'p TopicRule, action: Action, request: &Request<'_>) -> Outcome<'p> {
        let patterns = rule.patterns(action);
        if patterns.is_empty() {
            return Outcome::OtherAction(action);
        }
        if rule.who.holds(self.client, self.lists) == Holds::No {
            return Outcome::NotWho(self.mismatches(&rule.who, None));
        }
        let asked = request.text().to_owned();
        let written = rule.written(action);
        let words = |pattern| show::pattern(pattern);
        match rule.verdict {
            Verdict::Deny | Verdict::Ignore => {
                Outcome::NotTouched { asked, patterns: written.iter().map(words).collect() }
            }
            Verdict::Allow => {
                let topic = match patterns.covered(request, identity(self.client)) {
                    Cover::Without(topic) => Some(topic),
                    Cover::Full | Cover::Unsettled => None,
                };
                let void = written.iter().filter(|pattern| !pattern.is_safe(identity(self.client))).map(words);
                Outcome::NotCovered {
                    asked,
                    topic,
                    void: void.collect(),
                    patterns: written.iter().map(words).collect(),
                }
            }
        }
    }
}

/// For a rule that denied a subscription with wildcards, a topic that shows it.
fn witness(rule: &TopicRule, action: Action, request: &Request<'_>, client: &Client<'_>) -> Option<String> {
    let shows = rule.verdict == Verdict::Deny && request.is_wildcard();
    shows.then(|| touched(rule.patterns(action), request, client)).flatten()
}

fn touched(patterns: &Patterns, request: &Request<'_>, client: &Client<'_>) -> Option<String> {
    match patterns.touched(request, identity(client)) {
        Touch::Topic(topic) => Some(topic),
        Touch::Nothing | Touch::Unsettled => None,
    }
}

/// What keeps the rule from deciding, or how it decided: the part of the line behind the rule's name.
impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::OtherAction(Action::Publish) => f.write_str("says nothing of publishing"),
            Outcome::OtherAction(Action::Subscribe) => f.write_str("says nothing of subscribing"),
            Outcome::NotWho(mismatches) if mismatches.is_empty() => f.write_str("is about no client"),
            Outcome::NotWho(mismatches) => {
                let mut told: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
                told.dedup();
                f.write_str(&some(told, ", and "))
            }
            Outcome::NotCovered { asked, topic, patterns, void } => {
                let patterns = some(patterns.iter().cloned(), " or ");
                match topic {
                    Some(topic) if topic == asked => write!(f, "topic {} is not covered by {patterns}", Shown(topic)),
                    Some(topic) => write!(f, "{} of {} is not covered by {patterns}", Shown(topic), Shown(asked)),
                    None => write!(f, "whether {patterns} covers {} is more than can be settled", Shown(asked)),
                }?;
                if void.is_empty() {
                    return Ok(());
                }
                let void = some(void.iter().cloned(), " or ");
                write!(f, "; the client's values do not fit into {void}, which matches nothing")
            }
            Outcome::NotTouched { asked, patterns } => {
                let patterns = some(patterns.iter().cloned(), " or ");
                if asked.contains(['+', '#']) {
                    write!(f, "no topic of {} is in {patterns}", Shown(asked))
                } else {
                    write!(f, "topic {} is not in {patterns}", Shown(asked))
                }
            }
            Outcome::Part { topic: Some(topic) } => {
                write!(f, "leaves a part of it to the broker, {} for one", Shown(topic))
            }
            Outcome::Part { topic: None } => f.write_str("may leave a part of it to the broker"),
            Outcome::Limited { by } => write!(f, "would allow it, but rule `{by}` leaves a part of it to the broker"),
            Outcome::CannotTell { lists, fields } => {
                let all = |names: &[&str]| some(names.iter().map(|name| format!("`{name}`")), " and ");
                let unreadable = (!lists.is_empty()).then(|| format!("list {} cannot be read", all(lists)));
                let (time, fields): (Vec<_>, Vec<_>) = fields.iter().copied().partition(|field| *field == show::TIME);
                let untold = (!fields.is_empty()).then(|| format!("the broker does not tell {}", all(&fields)));
                let timeless = (!time.is_empty()).then(|| "nobody tells when it asks".to_owned());
                let why: Vec<String> = unreadable.into_iter().chain(untold).chain(timeless).collect();
                write!(f, "cannot be told, since {}; this denies", why.join(" and "))
            }
            Outcome::UnknownUser(source) => write!(f, "password source `{source}` does not know the user"),
            Outcome::UnreadablePasswords(source) => {
                write!(f, "password source `{source}` cannot be read; this denies")
            }
            Outcome::WrongPassword(source) => {
                write!(f, "the password is not that of password source `{source}`; this denies")
            }
            Outcome::Decided { topic: Some(topic) } => write!(f, "decides; it would receive {}", Shown(topic)),
            Outcome::Decided { topic: None } => f.write_str("decides"),
        }
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (line {}): {}", self.id, self.line, self.outcome)
    }
}

#[cfg(test)]
mod tests;
