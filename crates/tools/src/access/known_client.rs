//! What is left of a kind of client where some of a client's fields are known.

use std::sync::Arc;

use exhook_policy_core::event::{Client, Peerhost};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{
    ClientField, Condition, FieldValue, FlagFields, HostCondition, HostFields, PortCondition, PortFields,
    TextCondition, TextField, TextFields, Who,
};
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::text::{Placeholder, Template, Work};

/// A client of which some fields are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `ClientField`, by their kinds")]
pub struct KnownClient<'a> {
    pub texts: TextFields<Option<&'a str>>,
    pub hosts: HostFields<Option<Peerhost<'a>>>,
    pub ports: PortFields<Option<u16>>,
    pub flags: FlagFields<Option<bool>>,
    /// When it asks, Unix milliseconds.
    pub at: Option<i64>,
}

/// What is left to ask.
#[derive(Debug, Clone)]
pub enum PartialMatch<T> {
    /// It does not hold, whatever the other fields are.
    No,
    /// This.
    Open(T),
    /// Nothing: it holds.
    Yes,
}

impl<'a> From<Client<'a>> for KnownClient<'a> {
    fn from(client: Client<'a>) -> Self {
        KnownClient {
            texts: TextFields::each(|field| field.of(&client)),
            hosts: HostFields::each(|field| field.of(&client)),
            ports: PortFields::each(|field| field.of(&client)),
            flags: FlagFields::each(|field| field.of(&client)),
            at: client.extra.at,
        }
    }
}

impl<'a> KnownClient<'a> {
    /// The field's value, where it is known.
    pub fn field(&self, field: ClientField) -> Option<FieldValue<'a>> {
        match field {
            ClientField::Text(field) => self.texts.get(field).map(FieldValue::Text),
            ClientField::Host(field) => self.hosts.get(field).map(FieldValue::Host),
            ClientField::Port(field) => self.ports.get(field).map(FieldValue::Port),
            ClientField::Flag(field) => self.flags.get(field).map(FieldValue::Flag),
        }
    }

    /// The same without some of its fields.
    #[must_use]
    pub fn without(mut self, hides: impl Fn(ClientField) -> bool) -> Self {
        for field in ClientField::ALL.iter().filter(|field| hides(**field)) {
            match field {
                ClientField::Text(field) => *self.texts.get_mut(*field) = None,
                ClientField::Host(field) => *self.hosts.get_mut(*field) = None,
                ClientField::Port(field) => *self.ports.get_mut(*field) = None,
                ClientField::Flag(field) => *self.flags.get_mut(*field) = None,
            }
        }
        self
    }

    /// What the placeholder stands for, where that is known.
    pub fn value(&self, placeholder: Placeholder) -> Option<&'a str> {
        match placeholder {
            Placeholder::Clientid => *self.texts.get(TextField::Clientid),
            Placeholder::Username => *self.texts.get(TextField::Username),
        }
    }

    /// The same with the fields that it says outright of the clients that it is about.
    #[must_use]
    pub fn and(mut self, who: Option<&'a Who>) -> Self {
        let conditions: &[Condition] = match who {
            Some(Who::All(conditions)) => conditions,
            Some(Who::Named(named)) => return self.and(Some(&named.who)),
            Some(Who::During(_, who)) => return self.and(Some(who)),
            Some(Who::Everyone | Who::Any(_)) | None => &[],
        };
        for condition in conditions {
            match condition {
                Condition::Text(field, TextCondition::Equals(template)) => {
                    let place = self.texts.get_mut(*field);
                    *place = place.or(template.as_literal());
                }
                Condition::Port(field, PortCondition::Is(port)) => {
                    self.ports.get_mut(*field).get_or_insert(*port);
                }
                Condition::Flag(field, flag) => {
                    self.flags.get_mut(*field).get_or_insert(*flag);
                }
                Condition::Text(..) | Condition::Host(..) | Condition::Port(..) => {}
            }
        }
        self
    }

    /// What is left of a kind of client. Whether a list holds a value is left open, also where the
    /// value is known: lists are named and not told. A kind with a name of which nothing is settled
    /// keeps its name.
    pub fn match_kind(&self, who: &Who) -> PartialMatch<Who> {
        match who {
            Who::Everyone => PartialMatch::Yes,
            Who::Named(named) => match self.match_kind(&named.who) {
                PartialMatch::Open(_) if !self.says_of(&named.who) => PartialMatch::Open(who.clone()),
                left @ (PartialMatch::No | PartialMatch::Open(_) | PartialMatch::Yes) => left,
            },
            Who::Any(each) => any(each.iter().map(|who| self.match_kind(who)), Who::Any),
            Who::All(conditions) => all(conditions.iter().map(|one| self.match_condition(one))).map(Who::All),
            Who::During(when, who) => match (when.holds(self.at), self.match_kind(who)) {
                (Holds::No, _) | (_, PartialMatch::No) => PartialMatch::No,
                (Holds::Yes, left @ (PartialMatch::Open(_) | PartialMatch::Yes)) => left,
                (Holds::CannotTell, PartialMatch::Open(who)) => {
                    PartialMatch::Open(Who::During(Arc::clone(when), Box::new(who)))
                }
                (Holds::CannotTell, PartialMatch::Yes) => {
                    PartialMatch::Open(Who::During(Arc::clone(when), Box::new(Who::Everyone)))
                }
            },
        }
    }

    /// Whether a field that is known stands in any of its conditions.
    pub fn says_of(&self, who: &Who) -> bool {
        match who {
            Who::Everyone => false,
            Who::Named(named) => self.says_of(&named.who),
            Who::Any(each) => each.iter().any(|who| self.says_of(who)),
            Who::During(_, who) => self.at.is_some() || self.says_of(who),
            Who::All(conditions) => conditions.iter().any(|condition| match condition {
                Condition::Text(field, condition) => self.texts.get(*field).is_some() || self.fills(condition),
                Condition::Host(field, _) => self.hosts.get(*field).is_some(),
                Condition::Port(field, _) => self.ports.get(*field).is_some(),
                Condition::Flag(field, _) => self.flags.get(*field).is_some(),
            }),
        }
    }

    fn fills(&self, condition: &TextCondition) -> bool {
        match condition {
            TextCondition::Equals(template) => {
                template.fill(|placeholder| self.value(placeholder)).is_none_or(|filled| filled != *template)
            }
            TextCondition::Matches(_) | TextCondition::In(_) => false,
            TextCondition::Not(inner) => self.fills(inner),
            TextCondition::Any(each) => each.iter().any(|one| self.fills(one)),
        }
    }

    fn match_condition(&self, condition: &Condition) -> PartialMatch<Condition> {
        match condition {
            Condition::Text(field, text) => {
                let value = *self.texts.get(*field);
                match (value, self.match_text(text, value)) {
                    // What is known of one field may be asked of the other.
                    (Some(value), PartialMatch::Open(TextCondition::Equals(template)))
                        if template.as_placeholder().is_some() =>
                    {
                        other_field(&template, value)
                    }
                    (_, left) => left.map(|left| Condition::Text(*field, left)),
                }
            }
            Condition::Host(field, host) => {
                match_host(host, *self.hosts.get(*field)).map(|left| Condition::Host(*field, left))
            }
            Condition::Port(field, port) => match *self.ports.get(*field) {
                Some(known) => decided(port.holds(known)),
                None => PartialMatch::Open(condition.clone()),
            },
            Condition::Flag(field, expected) => match *self.flags.get(*field) {
                Some(known) => decided(known == *expected),
                None => PartialMatch::Open(condition.clone()),
            },
        }
    }

    fn match_text(&self, condition: &TextCondition, value: Option<&str>) -> PartialMatch<TextCondition> {
        match condition {
            TextCondition::Equals(template) => {
                let Some(filled) = template.fill(|placeholder| self.value(placeholder)) else {
                    return PartialMatch::No;
                };
                match (filled.as_literal(), value) {
                    (Some(text), Some(value)) => decided(text == value),
                    (_, Some("")) => PartialMatch::No,
                    _ => PartialMatch::Open(TextCondition::Equals(filled)),
                }
            }
            TextCondition::Matches(matcher) => match value {
                Some(value) => match matcher.matches(value, &Work::of_question()) {
                    Some(holds) => decided(holds),
                    None => PartialMatch::Open(condition.clone()),
                },
                None => PartialMatch::Open(condition.clone()),
            },
            TextCondition::In(_) => PartialMatch::Open(condition.clone()),
            TextCondition::Not(inner) => match self.match_text(inner, value) {
                PartialMatch::No => PartialMatch::Yes,
                PartialMatch::Open(inner) => PartialMatch::Open(TextCondition::Not(Box::new(inner))),
                PartialMatch::Yes => PartialMatch::No,
            },
            TextCondition::Any(each) => any(each.iter().map(|one| self.match_text(one, value)), TextCondition::Any),
        }
    }
}

fn match_host(condition: &HostCondition, known: Option<Peerhost<'_>>) -> PartialMatch<HostCondition> {
    match condition {
        HostCondition::Address(_) | HostCondition::Network(_) | HostCondition::Matches(_) => match known {
            Some(peerhost) => match condition.holds(peerhost, &Lists::default()) {
                Holds::Yes => PartialMatch::Yes,
                Holds::No => PartialMatch::No,
                Holds::CannotTell => PartialMatch::Open(condition.clone()),
            },
            None => PartialMatch::Open(condition.clone()),
        },
        HostCondition::In(_) => PartialMatch::Open(condition.clone()),
        HostCondition::Not(inner) => match match_host(inner, known) {
            PartialMatch::No => PartialMatch::Yes,
            PartialMatch::Open(inner) => PartialMatch::Open(HostCondition::Not(Box::new(inner))),
            PartialMatch::Yes => PartialMatch::No,
        },
        HostCondition::Any(each) => any(each.iter().map(|one| match_host(one, known)), HostCondition::Any),
    }
}

/// `clientid: "${username}"` of a known clientid is a condition on the username.
fn other_field(template: &Template, value: &str) -> PartialMatch<Condition> {
    let field = match template.as_placeholder() {
        Some(Placeholder::Clientid) => TextField::Clientid,
        Some(Placeholder::Username) | None => TextField::Username,
    };
    PartialMatch::Open(Condition::Text(field, TextCondition::Equals(Template::literal(value))))
}

impl<T> PartialMatch<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> PartialMatch<U> {
        match self {
            PartialMatch::No => PartialMatch::No,
            PartialMatch::Open(left) => PartialMatch::Open(map(left)),
            PartialMatch::Yes => PartialMatch::Yes,
        }
    }
}

fn decided<T>(holds: bool) -> PartialMatch<T> {
    if holds { PartialMatch::Yes } else { PartialMatch::No }
}

fn any<T>(each: impl Iterator<Item = PartialMatch<T>>, join: impl FnOnce(Vec<T>) -> T) -> PartialMatch<T> {
    let mut open = Vec::new();
    for one in each {
        match one {
            PartialMatch::No => {}
            PartialMatch::Open(one) => open.push(one),
            PartialMatch::Yes => return PartialMatch::Yes,
        }
    }
    match open.pop() {
        None => PartialMatch::No,
        Some(only) if open.is_empty() => PartialMatch::Open(only),
        Some(last) => {
            open.push(last);
            PartialMatch::Open(join(open))
        }
    }
}

fn all<T>(each: impl Iterator<Item = PartialMatch<T>>) -> PartialMatch<Vec<T>> {
    let mut open = Vec::new();
    for one in each {
        match one {
            PartialMatch::No => return PartialMatch::No,
            PartialMatch::Open(one) => open.push(one),
            PartialMatch::Yes => {}
        }
    }
    if open.is_empty() { PartialMatch::Yes } else { PartialMatch::Open(open) }
}
