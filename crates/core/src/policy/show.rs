//! Conditions and kinds of client in words, and in the policy's own form.
//!
//! Everything that tells a person or a program of a rule says it by this: clientid is in list `fleet`, or as
//! JSON what the policy would say, `{"clientid":{"in":"fleet"}}`.

use std::fmt;

use serde_json::{Map, Value, json};

use super::compiled::Policy;
use super::model::{Condition, HostCondition, ListDef, ListId, PortCondition, TextCondition, Who};
use super::who::identity;
use crate::event::{Client, Peerhost, Shown};
use crate::topic::{Pattern, Syntax};

/// Says conditions; lists are named, not told.
#[derive(Debug, Clone, Copy)]
pub struct Words<'p> {
    lists: &'p [ListDef],
}

impl<'p> Words<'p> {
    /// For conditions that address these lists.
    pub fn new(lists: &'p [ListDef]) -> Self {
        Words { lists }
    }

    /// For the policy's conditions.
    pub fn of(policy: &'p Policy) -> Self {
        Words::new(policy.lists())
    }

    /// The list's key under `lists`.
    pub fn list(self, id: ListId) -> &'p str {
        self.lists.get(id.0).map_or("?", |list| &list.name)
    }

    /// Who it is: `everyone`, `` `devices` ``, or conditions joined by `and`; alternatives are joined by `or`.
    pub fn who(self, who: &Who) -> String {
        match who {
            Who::Everyone => "everyone".to_owned(),
            Who::Named(named) => format!("`{}`", named.name),
            Who::Any(each) => some(each.iter().map(|who| self.who(who)), ", or "),
            Who::All(conditions) => {
                conditions.iter().map(|condition| self.condition(condition)).collect::<Vec<_>>().join(" and ")
            }
            Who::During(when, who) => format!("{} during {when}", self.who(who)),
        }
    }

    /// What holds: clientid is in list `fleet`.
    pub fn condition(self, condition: &Condition) -> String {
        format!("{} {}", condition.field().name(), self.said(condition, true))
    }

    /// What is so of a client of which the condition does not hold: `sockport 1883 is not 8883`. Where a placeholder
    /// stands in the condition, its value is told.
    pub fn of_client(self, condition: &Condition, client: &Client<'_>) -> String {
        let field = condition.field().name();
        let said = self.said(condition, false);
        match condition {
            Condition::Flag(..) => format!("{field} {said}"),
            Condition::Text(_, TextCondition::Equals(template)) if template.as_literal().is_none() => {
                let filled = template.filled(identity(client));
                let here = filled.map_or("nothing, since a value in it is empty".to_owned(), |text| {
                    format!("here {}", Shown(&text))
                });
                format!("{field} {} {said} ({here})", Shown(&value(condition, client)))
            }
            Condition::Text(..) => format!("{field} {} {said}", Shown(&value(condition, client))),
            Condition::Host(host, _) => match host.of(client) {
                Some(Peerhost::Addr(address)) => format!("{field} {address} {said}"),
                Some(Peerhost::Other(text)) => format!("{field} {} {said}", Shown(text)),
                None => format!("{field} {said}"),
            },
            Condition::Port(..) => format!("{field} {} {said}", value(condition, client)),
        }
    }

    /// What a condition says of its field, or what is so where it does not hold: is not in list `fleet`.
    fn said(self, condition: &Condition, holds: bool) -> String {
        let phrase = match condition {
            Condition::Text(_, condition) => self.text(condition, holds),
            Condition::Host(_, condition) => self.host(condition, holds),
            Condition::Port(_, condition) => port(condition, holds),
            Condition::Flag(_, expected) => Phrase::one(Verb::Is, true, (*expected == holds).to_string()),
        };
        phrase.to_string()
    }

    fn text(self, condition: &TextCondition, holds: bool) -> Phrase {
        match condition {
            TextCondition::Equals(template) => Phrase::one(Verb::Is, holds, Shown(&template.to_string()).to_string()),
            TextCondition::Matches(matcher) => {
                Phrase::one(Verb::Match, holds, format!("{} {}", matcher.operator(), Shown(matcher.source())))
            }
            TextCondition::In(list) => Phrase::one(Verb::In, holds, format!("list `{}`", self.list(*list))),
            TextCondition::Not(inner) => self.text(inner, !holds),
            TextCondition::Any(each) => Phrase::any(each.iter().map(|one| self.text(one, holds)), holds),
        }
    }

    fn host(self, condition: &HostCondition, holds: bool) -> Phrase {
        match condition {
            HostCondition::Address(address) => Phrase::one(Verb::Is, holds, address.to_string()),
            HostCondition::Network(network) => Phrase::one(Verb::In, holds, network.to_string()),
            HostCondition::Matches(matcher) => {
                Phrase::one(Verb::Match, holds, format!("{} {}", matcher.operator(), Shown(matcher.source())))
            }
            HostCondition::In(list) => Phrase::one(Verb::In, holds, format!("list `{}`", self.list(*list))),
            HostCondition::Not(inner) => self.host(inner, !holds),
            HostCondition::Any(each) => Phrase::any(each.iter().map(|one| self.host(one, holds)), holds),
        }
    }

    /// Whom it is about, as the policy would say it in JSON.
    pub fn who_json(self, who: &Who) -> Value {
        match who {
            Who::Everyone => json!("everyone"),
            Who::Named(named) => json!(named.name),
            Who::Any(each) => each.iter().map(|who| self.who_json(who)).collect(),
            Who::All(conditions) => {
                let entry =
                    |condition: &Condition| (condition.field().name().to_owned(), self.condition_json(condition));
                Value::Object(conditions.iter().map(entry).collect::<Map<_, _>>())
            }
            // As the rule says it, beside whom it is about.
            Who::During(when, who) => json!({ "who": self.who_json(who), "when": when.json() }),
        }
    }

    /// What stands behind the field's name in the policy, as JSON.
    pub fn condition_json(self, condition: &Condition) -> Value {
        match condition {
            Condition::Text(_, condition) => self.text_json(condition),
            Condition::Host(_, condition) => self.host_json(condition),
            Condition::Port(_, condition) => port_json(condition),
            Condition::Flag(_, expected) => json!(expected),
        }
    }

    fn text_json(self, condition: &TextCondition) -> Value {
        match condition {
            TextCondition::Equals(template) => json!(template.to_string()),
            TextCondition::Matches(matcher) => json!({ matcher.operator(): matcher.source() }),
            TextCondition::In(list) => json!({ "in": self.list(*list) }),
            TextCondition::Not(inner) => json!({ "not": self.text_json(inner) }),
            TextCondition::Any(each) => each.iter().map(|one| self.text_json(one)).collect(),
        }
    }

    fn host_json(self, condition: &HostCondition) -> Value {
        match condition {
            HostCondition::Address(address) => json!(address.to_string()),
            HostCondition::Network(network) => json!(network.to_string()),
            HostCondition::Matches(matcher) => json!({ matcher.operator(): matcher.source() }),
            HostCondition::In(list) => json!({ "in": self.list(*list) }),
            HostCondition::Not(inner) => json!({ "not": self.host_json(inner) }),
            HostCondition::Any(each) => each.iter().map(|one| self.host_json(one)).collect(),
        }
    }
}

fn port(condition: &PortCondition, holds: bool) -> Phrase {
    match condition {
        PortCondition::Is(port) => Phrase::one(Verb::Is, holds, port.to_string()),
        PortCondition::Not(inner) => port(inner, !holds),
        PortCondition::Any(each) => Phrase::any(each.iter().map(|one| port(one, holds)), holds),
    }
}

fn port_json(condition: &PortCondition) -> Value {
    match condition {
        PortCondition::Is(port) => json!(port),
        PortCondition::Not(inner) => json!({ "not": port_json(inner) }),
        PortCondition::Any(each) => each.iter().map(port_json).collect(),
    }
}

/// What a rule with `when` asks for, beside the fields of the client.
pub const TIME: &str = "at";

/// The client's value of the field that a condition is on; the empty text where the broker does not tell it.
pub fn value(condition: &Condition, client: &Client<'_>) -> String {
    condition.field().of(client).map(|value| value.to_string()).unwrap_or_default()
}

/// The pattern in words: a filter in quotes, a glob or a regex with that word before it.
pub fn pattern(pattern: &Pattern) -> String {
    written(pattern.syntax(), pattern.source())
}

/// A pattern in words, of its syntax and text.
pub fn written(syntax: Syntax, text: &str) -> String {
    let text = Shown(text);
    match syntax {
        Syntax::Filter => text.to_string(),
        Syntax::Glob => format!("glob {text}"),
        Syntax::Regex => format!("regex {text}"),
    }
}

/// A pattern of this syntax and text as the policy says it, as JSON.
pub fn written_json(syntax: Syntax, text: &str) -> Value {
    match syntax {
        Syntax::Filter => json!(text),
        Syntax::Glob => json!({ "glob": text }),
        Syntax::Regex => json!({ "regex": text }),
    }
}

/// The first few, with how many there are beyond them.
pub(super) fn some(items: impl IntoIterator<Item = String>, between: &str) -> String {
    const MOST: usize = 6;
    let mut items = items.into_iter();
    let mut shown: Vec<String> = items.by_ref().take(MOST).collect();
    match items.count() {
        0 => {}
        // One more takes no more room than its count.
        more => shown.push(format!("{more} more")),
    }
    shown.join(between)
}

/// What is said of a field.
enum Phrase {
    /// `is "a" or "b"`, or with `not`, `is not "a" or "b"`: none of them.
    Atom { verb: Verb, holds: bool, items: Vec<String> },
    /// Any of these, or all of them.
    Joined { any: bool, each: Vec<Phrase> },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Is,
    In,
    Match,
}

impl Phrase {
    fn one(verb: Verb, holds: bool, item: String) -> Self {
        Phrase::Atom { verb, holds, items: vec![item] }
    }

    /// Any of these holds or, what is the same of their opposites, all of them do.
    fn any(phrases: impl Iterator<Item = Phrase>, any: bool) -> Self {
        let mut each: Vec<Phrase> = Vec::new();
        for phrase in phrases {
            let parts = match phrase {
                Phrase::Joined { any: inner, each } if inner == any => each,
                phrase @ (Phrase::Atom { .. } | Phrase::Joined { .. }) => vec![phrase],
            };
            for part in parts {
                push(&mut each, part, any);
            }
        }
        match each.pop() {
            Some(only) if each.is_empty() => only,
            last => {
                each.extend(last);
                Phrase::Joined { any, each }
            }
        }
    }
}

/// Adds a phrase, to one that says the same of another item where there is one.
fn push(each: &mut Vec<Phrase>, phrase: Phrase, any: bool) {
    if let Phrase::Atom { verb, holds, items } = &phrase
        && *holds == any
    {
        for other in each.iter_mut() {
            match other {
                Phrase::Atom { verb: same, holds, items: known } if same == verb && *holds == any => {
                    known.extend(items.iter().cloned());
                    return;
                }
                Phrase::Atom { .. } | Phrase::Joined { .. } => {}
            }
        }
    }
    each.push(phrase);
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phrase::Atom { verb, holds, items } => {
                let verb = match (verb, holds) {
                    (Verb::Is, true) => "is",
                    (Verb::Is, false) => "is not",
                    (Verb::In, true) => "is in",
                    (Verb::In, false) => "is not in",
                    (Verb::Match, true) => "matches",
                    (Verb::Match, false) => "does not match",
                };
                write!(f, "{verb} {}", some(items.iter().cloned(), " or "))
            }
            Phrase::Joined { any, each } => {
                let phrase = |phrase: &Phrase| match phrase {
                    Phrase::Atom { .. } => phrase.to_string(),
                    Phrase::Joined { .. } => format!("({phrase})"),
                };
                f.write_str(&some(each.iter().map(phrase), if *any { " or " } else { " and " }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
