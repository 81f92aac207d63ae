//! For which clientids and usernames a rule's topics reach a request.
//!
//! Placeholders are solved by trying, and what is tried is asked of the patterns that decide. A
//! value that makes a pattern reach a topic is a part of that topic; all others are alike, but for
//! those that do not fit into one level.

use std::collections::BTreeSet;

use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::text::{Identity, Placeholder};
use exhook_policy_core::topic::{Request, Syntax};

/// The clients for which a rule's topics reach a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredIdentities {
    /// Each is enough.
    pub identities: Vec<RequiredIdentity>,
    /// Of some clients it is not known: of those whose values do not fit into one level of a topic
    /// (they are empty, hold `/`, `+` or `#`, or begin with `$`), or because a long topic has too
    /// many parts to try.
    pub unsettled: bool,
}

/// The values that a client must have; a field that is left out may be any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequiredIdentity {
    /// The clientid.
    pub clientid: Option<String>,
    /// The username.
    pub username: Option<String>,
}

/// How many pairs of values are tried where all patterns are filters.
const TRIES: usize = 250_000;
/// How many where a try may walk an automaton.
const DEAR_TRIES: usize = 4_000;

/// What the placeholder is given in a try.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TriedValue {
    /// A part of what is asked for.
    Part(String),
    /// A word that stands nowhere, for all others that fit into one level.
    New(String),
    /// One of those that do not.
    Odd(String),
}

impl RequiredIdentities {
    /// Every client.
    pub fn always() -> Self {
        RequiredIdentities { identities: vec![RequiredIdentity { clientid: None, username: None }], unsettled: false }
    }

    /// The clients for which an allow rule covers the request as a whole, or another rule is about
    /// a part of it. The request is what is left of a topic behind its prefix.
    pub fn of(rule: &TopicRule, action: Action, request: &Request<'_>) -> Self {
        let uses = Placeholder::ALL.map(|one| rule.written(action).iter().any(|pattern| pattern.has(one)));
        let dear = rule.written(action).iter().any(|pattern| pattern.syntax() != Syntax::Filter);
        let tries = if dear { DEAR_TRIES } else { TRIES };
        let most = if uses == [true, true] { tries.isqrt() } else { tries };
        let word = new_word(rule, action, request);
        let (parts, all) = parts(request, rule.verdict, most);
        let [clientids, usernames] =
            uses.map(|used| if used { values(&parts, &word) } else { vec![TriedValue::New(word.clone())] });
        let mut when = RequiredIdentities { identities: Vec::new(), unsettled: !all && uses != [false, false] };
        let ask = |clientid: &TriedValue, username: &TriedValue| {
            reaches(rule, action, request.text(), Identity { clientid: clientid.text(), username: username.text() })
        };
        let others: Vec<bool> =
            usernames.iter().map(|username| ask(&TriedValue::New(word.clone()), username)).collect();
        for clientid in &clientids {
            let row: Vec<bool> = usernames.iter().map(|username| ask(clientid, username)).collect();
            match clientid {
                TriedValue::New(_) => when.add(None, &usernames, &row),
                TriedValue::Odd(_) => when.unsettled |= row != others,
                TriedValue::Part(_) if row == others => {}
                TriedValue::Part(text) => {
                    when.unsettled |= others.iter().zip(&row).any(|(other, this)| *other && !*this);
                    when.add(Some(text), &usernames, &row);
                }
            }
        }
        let known = when.identities.clone();
        when.identities.retain(|way| !known.iter().any(|wider| wider != way && wider.holds_where(way)));
        when
    }

    /// Adds what holds of a clientid with each username.
    fn add(&mut self, clientid: Option<&str>, usernames: &[TriedValue], row: &[bool]) {
        let others =
            usernames.iter().zip(row).any(|(username, reached)| matches!(username, TriedValue::New(_)) && *reached);
        let mut add = |username: Option<&str>| {
            self.identities.push(RequiredIdentity {
                clientid: clientid.map(str::to_owned),
                username: username.map(str::to_owned),
            });
        };
        if others {
            add(None);
        }
        for (username, reached) in usernames.iter().zip(row) {
            match username {
                TriedValue::New(_) => {}
                TriedValue::Part(text) if *reached && !others => add(Some(text)),
                TriedValue::Part(_) | TriedValue::Odd(_) => self.unsettled |= *reached != others,
            }
        }
    }

    /// Whether it is for every client.
    pub fn is_always(&self) -> bool {
        !self.unsettled && self.identities.iter().any(RequiredIdentity::is_any)
    }
}

impl RequiredIdentity {
    /// Whether it asks for nothing.
    pub fn is_any(&self) -> bool {
        self.clientid.is_none() && self.username.is_none()
    }

    /// Whether it holds wherever the other does.
    fn holds_where(&self, other: &RequiredIdentity) -> bool {
        let wider = |own: &Option<String>, other: &Option<String>| own.is_none() || own == other;
        wider(&self.clientid, &other.clientid) && wider(&self.username, &other.username)
    }
}

impl TriedValue {
    fn text(&self) -> &str {
        match self {
            TriedValue::Part(text) | TriedValue::New(text) | TriedValue::Odd(text) => text,
        }
    }
}

fn reaches(rule: &TopicRule, action: Action, topic: &str, identity: Identity<'_>) -> bool {
    // Each try has the work of a decision of its own.
    Request::parse(action, topic).is_some_and(|request| match rule.verdict {
        Verdict::Allow => rule.patterns(action).cover(&request, identity),
        Verdict::Deny | Verdict::Ignore => rule.patterns(action).touch(&request, identity),
    })
}

fn values(parts: &[String], word: &str) -> Vec<TriedValue> {
    let odd = [
        String::new(),
        format!("{word}/{word}"),
        format!("{word}/{word}/{word}"),
        format!("{word}+"),
        format!("${word}"),
    ];
    let odd = odd.into_iter().filter(|odd| !parts.contains(odd)).map(TriedValue::Odd);
    parts.iter().cloned().map(TriedValue::Part).chain([TriedValue::New(word.to_owned())]).chain(odd).collect()
}

/// The parts of the topic that a value can be, and whether these are all. In a rule that allows, a
/// value with `/` in it matches nothing.
fn parts(request: &Request<'_>, verdict: Verdict, most: usize) -> (Vec<String>, bool) {
    let text = request.text();
    let mut parts = BTreeSet::new();
    let ends = || text.char_indices().map(|(at, _)| at).chain([text.len()]);
    for start in ends() {
        for end in ends().filter(|end| *end >= start) {
            let part = text.get(start..end).unwrap_or_default();
            if part.contains(['+', '#']) || (verdict == Verdict::Allow && part.contains('/')) {
                break;
            }
            parts.insert(part.to_owned());
            if parts.len() > most {
                return (request.levels().iter().map(str::to_owned).collect(), false);
            }
        }
    }
    (parts.into_iter().collect(), true)
}

/// A word that stands in no pattern of the rule and not in the request.
fn new_word(rule: &TopicRule, action: Action, request: &Request<'_>) -> String {
    let stands = |word: &String| {
        request.text().contains(word.as_str())
            || rule.written(action).iter().any(|one| one.source().contains(word.as_str()))
    };
    let words = ('a'..='z').map(String::from).chain((1..).map(|number: u32| format!("x{number}")));
    let mut free = words.filter(|word| !stands(word));
    free.next().unwrap_or_default()
}
