//! Kinds of client: names resolved, conditions parsed.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::emqx::Fact;
use crate::policy::codes::Code;
use crate::policy::decode::{At, Text};
use crate::policy::diag::{Diagnostic, quote};
use crate::policy::lists::{canonical_network, parse_network};
use crate::policy::model::{
    Condition, EmptyText, FlagField, HostCondition, ListId, Named, PortCondition, TextCondition, TextField, Who,
};
use crate::policy::places::RulePlaces;
use crate::policy::raw;
use crate::policy::span::Span;
use crate::policy::warn::regex::Subject;
use crate::policy::warn::{self, Admits, Lacks, Nameless, RuleFacts};
use crate::policy::when::When;
use crate::text::{Matcher, Template, TextError};

use super::{Validator, declare};

/// How deep entries of `clients` may name one another.
const MAX_DEPTH: usize = 32;
/// Conditions of the whole policy, with every use of a name counted.
const MAX_CONDITIONS: usize = 10_000_000;

/// The word for every client.
pub(super) const EVERYONE: &str = "everyone";

/// A kind of client with what the warnings want to know of it.
#[derive(Debug, Clone)]
pub(super) struct BuiltWho {
    pub(super) who: Who,
    pub(super) facts: WhoFacts,
    size: usize,
}

/// What the warnings want to know of a kind of client.
#[derive(Debug, Clone, Copy)]
pub(super) struct WhoFacts {
    /// Every client is of this kind.
    pub(super) everyone: bool,
    /// Where it asks for the superuser flag.
    pub(super) superuser: Option<Span>,
    /// What holds for clients without a name.
    pub(super) nameless: Option<Nameless>,
}

impl WhoFacts {
    pub(super) fn of_rule(self, places: RulePlaces) -> RuleFacts {
        let WhoFacts { everyone, superuser, nameless } = self;
        RuleFacts { places, everyone, nameless, superuser }
    }
}

/// How far an entry of `clients` has come.
#[derive(Debug, Default)]
pub(super) enum KindState {
    #[default]
    New,
    /// Meeting it again now means a circle.
    Busy,
    /// `None` after a problem was reported.
    Done(Option<Rc<BuiltWho>>),
}

/// An entry of `clients`.
#[derive(Debug)]
pub(super) struct KindEntry {
    pub(super) name: Text,
    pub(super) raw: Option<raw::Who>,
    pub(super) state: KindState,
    pub(super) used: bool,
}

impl BuiltWho {
    /// The same clients under the name of their kind.
    fn named(mut self, name: String) -> Self {
        self.who.sort_by_cost();
        BuiltWho { who: Who::Named(Arc::new(Named { name, who: self.who })), ..self }
    }

    /// The same clients at some time only.
    pub(super) fn during(self, when: Option<Arc<When>>) -> Self {
        let Some(when) = when else { return self };
        let facts = WhoFacts { everyone: false, ..self.facts };
        BuiltWho { who: Who::During(when, Box::new(self.who)), facts, ..self }
    }
}

impl Validator<'_> {
    /// Resolves the entries of `clients` that no rule has asked for.
    pub(super) fn finish_kinds(&mut self) {
        for index in 0..self.kinds.len() {
            self.kind(index, None, 0);
        }
    }

    /// Whom a rule is about. `None` after a problem was reported.
    pub(super) fn who(&mut self, raw: raw::Who) -> Option<BuiltWho> {
        let built = self.build(raw, 0)?;
        self.conditions = self.conditions.saturating_add(built.size);
        Some(built)
    }

    fn build(&mut self, raw: raw::Who, depth: usize) -> Option<BuiltWho> {
        match raw {
            raw::Who::Name(name) if name.value == EVERYONE => {
                let facts = WhoFacts { everyone: true, superuser: None, nameless: None };
                Some(BuiltWho { who: Who::Everyone, facts, size: 1 })
            }
            raw::Who::Name(name) => self.named(&name, depth),
            raw::Who::Kind(kind) => self.conditions(*kind),
            raw::Who::Any(_, all) => {
                let count = all.len();
                let built: Vec<BuiltWho> = all.into_iter().filter_map(|one| self.build(one, depth)).collect();
                if built.is_empty() || built.len() < count {
                    return None;
                }
                let facts = WhoFacts {
                    everyone: built.iter().any(|one| one.facts.everyone),
                    superuser: built.iter().find_map(|one| one.facts.superuser),
                    nameless: built.iter().find_map(|one| one.facts.nameless),
                };
                let size = built.iter().fold(0usize, |size, one| size.saturating_add(one.size));
                Some(BuiltWho { who: Who::Any(built.into_iter().map(|one| one.who).collect()), facts, size })
            }
        }
    }

    fn named(&mut self, name: &Text, depth: usize) -> Option<BuiltWho> {
        let Some(&index) = self.kind_ids.get(&name.value) else {
            let message = format!("no entry of `clients` has the name {}", quote(&name.value));
            let diagnostic = Diagnostic::new(Code::UnknownName, name.span, message);
            let is_list = self.list_ids.contains_key(&name.value);
            let names = self.kinds.iter().map(|kind| kind.name.value.as_str());
            self.cx.push_near(diagnostic, &name.value, names.clone().chain([EVERYONE]), || {
                let list = || format!("it is a list: write {{ clientid: {{ in: {} }} }}", name.value);
                if is_list { Some(list()) } else { declare("clients", names) }
            });
            return None;
        };
        if let Some(entry) = self.kinds.get_mut(index) {
            entry.used = true;
        }
        let built = self.kind(index, Some(name.span), depth)?;
        self.conditions = self.conditions.saturating_add(built.size);
        if self.conditions > MAX_CONDITIONS {
            let message = "the entries of `clients` grow too much by their uses";
            self.cx.push(Diagnostic::unplaced(Code::TooLarge, message));
            return None;
        }
        Some(BuiltWho::clone(&built))
    }

    fn kind(&mut self, index: usize, used_at: Option<Span>, depth: usize) -> Option<Rc<BuiltWho>> {
        let entry = self.kinds.get_mut(index)?;
        let span = used_at.unwrap_or(entry.name.span);
        match &entry.state {
            KindState::Done(built) => return built.clone(),
            KindState::Busy => {
                let message = format!("{} is defined by itself", quote(&entry.name.value));
                let related = entry.name.span;
                self.cx.push(Diagnostic::new(Code::ClientCycle, span, message).related(related, "this entry"));
                return None;
            }
            KindState::New => entry.state = KindState::Busy,
        }
        let name = entry.name.value.clone();
        let raw = entry.raw.take();
        let built = if depth >= MAX_DEPTH {
            let message = format!("the entries of `clients` name one another more than {MAX_DEPTH} deep");
            self.cx.push(Diagnostic::new(Code::TooLarge, span, message));
            None
        } else {
            let built = raw.and_then(|raw| self.build(raw, depth.saturating_add(1)));
            built.map(|built| Rc::new(built.named(name)))
        };
        if let Some(entry) = self.kinds.get_mut(index) {
            entry.state = KindState::Done(built.clone());
        }
        built
    }

    fn conditions(&mut self, kind: raw::Kind) -> Option<BuiltWho> {
        let raw::FieldKeys { texts, hosts, ports, flags } = kind.fields;
        let names = [texts.get(TextField::Clientid), texts.get(TextField::Username), texts.get(TextField::Cn)];
        let [clientid, username, cn] = names.map(Option::as_ref);
        let tied = is(clientid, "${username}") || is(username, "${clientid}");
        // Such a condition holds for nobody without the name.
        let clientid_given = tied || is(cn, "${clientid}");
        let username_given = tied || is(cn, "${username}");
        let mut all = Vec::new();
        let mut nameless = None;
        let mut size = 0usize;
        let mut complete = true;
        for (field, condition) in texts.into_each() {
            let Some(condition) = condition else { continue };
            self.not_told(field.told_by(), condition.key);
            if field == TextField::Protocol {
                warn::texts::protocol(&mut self.cx, &condition.value);
            }
            if field == TextField::Node {
                warn::texts::node(&mut self.cx, &condition.value);
            }
            let built = self.text_condition(condition.value, &mut size);
            complete &= built.is_some();
            let Some((built, admits)) = built else { continue };
            let lacks = match field.traits().empty {
                EmptyText::Replaced => {
                    let by_not = matches!(admits, Some(Admits::Not(_)));
                    (by_not && !clientid_given).then_some(Lacks::Name)
                }
                EmptyText::NoName => (!username_given).then_some(Lacks::Name),
                EmptyText::NoCertificate => Some(Lacks::Certificate),
                EmptyText::Nothing | EmptyText::Value => None,
            };
            nameless = nameless.or(admits.zip(lacks).map(|(admits, lacks)| Nameless { admits, lacks }));
            all.push(Condition::Text(field, built));
        }
        for (field, condition) in hosts.into_each() {
            let Some(condition) = condition else { continue };
            self.not_told(field.told_by(), condition.key);
            let built = self.host_condition(condition.value, &mut size);
            complete &= built.is_some();
            all.extend(built.map(|built| Condition::Host(field, built)));
        }
        for (field, condition) in ports.into_each() {
            let Some(condition) = condition else { continue };
            self.not_told(field.told_by(), condition.key);
            all.push(Condition::Port(field, port_condition(condition.value, &mut size)));
        }
        let superuser = flags.get(FlagField::IsSuperuser).as_ref().map(|flag| flag.key);
        for (field, flag) in flags.into_each() {
            let Some(flag) = flag else { continue };
            self.not_told(field.told_by(), flag.key);
            if field == FlagField::Anonymous {
                warn::brokers::anonymous(&mut self.cx, &flag, &self.brokers);
            }
            all.push(Condition::Flag(field, flag.value));
        }
        let facts = WhoFacts { everyone: false, superuser, nameless };
        // A key whose value could not be read is missing here; what is left would be another kind.
        (complete && !all.is_empty()).then(|| BuiltWho { who: Who::All(all), facts, size: size.saturating_add(2) })
    }

    /// Says which brokers that the policy is for do not tell the field of this key.
    fn not_told(&mut self, fact: Option<Fact>, key: Span) {
        if let Some(fact) = fact {
            warn::brokers::not_told(&mut self.cx, fact, key, &self.brokers);
        }
    }

    /// The condition, and that in it by which it holds for the empty text, unless that is said.
    fn text_condition(
        &mut self,
        raw: raw::Condition<Text, raw::TextOperator>,
        size: &mut usize,
    ) -> Option<(TextCondition, Option<Admits>)> {
        *size = size.saturating_add(1);
        match raw {
            raw::Condition::Is(text) => {
                warn::texts::plain(&mut self.cx, &text);
                let template = Template::parse(&text.value);
                self.parsed(Code::BadPlaceholder, &text, template)
                    .map(|template| (TextCondition::Equals(template), None))
            }
            raw::Condition::Operator(raw::TextOperator::Glob(At { value: text, .. })) => {
                warn::texts::glob(&mut self.cx, &text);
                let matcher = self.matcher(&text, Matcher::glob(&text.value), Subject::Name);
                matcher.map(|matcher| text_matches(matcher, text.span))
            }
            raw::Condition::Operator(raw::TextOperator::Regex(At { value: text, .. })) => {
                warn::regex::regex(&mut self.cx, &text, Subject::Name);
                let matcher = self.matcher(&text, Matcher::regex(&text.value), Subject::Name);
                matcher.map(|matcher| text_matches(matcher, text.span))
            }
            raw::Condition::Operator(raw::TextOperator::In(At { value: name, .. })) => {
                self.list(&name, None).map(|id| (TextCondition::In(id), None))
            }
            raw::Condition::Operator(raw::TextOperator::Not(At { key, value, .. })) => {
                let (inner, _) = self.text_condition(*value, size)?;
                let admits = (!self.holds_for_empty(&inner)).then_some(Admits::Not(key));
                Some((TextCondition::Not(Box::new(inner)), admits))
            }
            raw::Condition::Any(any) => {
                let count = any.len();
                let built: Vec<_> = any.into_iter().filter_map(|one| self.text_condition(one, size)).collect();
                let said = built.iter().any(|(condition, _)| is_empty_text(condition));
                let admits = built.iter().find_map(|(_, admits)| *admits).filter(|_| !said);
                let complete = built.len() == count && count > 0;
                let any = built.into_iter().map(|(condition, _)| condition).collect();
                complete.then_some((TextCondition::Any(any), admits))
            }
        }
    }

    /// Whether the condition holds for a client without a name. Of a list elsewhere it is not known: it seldom has an
    /// empty entry.
    fn holds_for_empty(&self, condition: &TextCondition) -> bool {
        match condition {
            TextCondition::Equals(_) => is_empty_text(condition),
            TextCondition::Matches(matcher) => matcher.is_match(""),
            TextCondition::In(ListId(index)) => self
                .lists
                .get(*index)
                .is_some_and(|list| list.inline.iter().flatten().any(|entry| entry.value.is_empty())),
            TextCondition::Not(inner) => !self.holds_for_empty(inner),
            TextCondition::Any(any) => any.iter().any(|one| self.holds_for_empty(one)),
        }
    }

    fn matcher(&mut self, text: &Text, matcher: Result<Matcher, TextError>, subject: Subject) -> Option<Matcher> {
        let matcher = self.parsed(Code::BadPattern, text, matcher)?;
        warn::costly::pattern(&mut self.cx, text, matcher.cost(), subject);
        Some(matcher)
    }

    fn host_condition(
        &mut self,
        raw: raw::Condition<Text, raw::PeerhostOperator>,
        size: &mut usize,
    ) -> Option<HostCondition> {
        *size = size.saturating_add(1);
        match raw {
            raw::Condition::Is(text) => self.address(&text),
            raw::Condition::Operator(raw::PeerhostOperator::Glob(At { value: text, .. })) => {
                warn::texts::glob(&mut self.cx, &text);
                let matcher = Matcher::glob(&text.value);
                self.matcher(&text, matcher, Subject::Address).map(HostCondition::Matches)
            }
            raw::Condition::Operator(raw::PeerhostOperator::Regex(At { value: text, .. })) => {
                warn::regex::regex(&mut self.cx, &text, Subject::Address);
                let matcher = Matcher::regex(&text.value);
                self.matcher(&text, matcher, Subject::Address).map(HostCondition::Matches)
            }
            raw::Condition::Operator(raw::PeerhostOperator::In(At { value: name, .. })) => {
                self.list(&name, Some(name.span)).map(HostCondition::In)
            }
            raw::Condition::Operator(raw::PeerhostOperator::Not(At { value, .. })) => {
                self.host_condition(*value, size).map(|inner| HostCondition::Not(Box::new(inner)))
            }
            raw::Condition::Any(any) => {
                let count = any.len();
                let built: Vec<_> = any.into_iter().filter_map(|one| self.host_condition(one, size)).collect();
                (built.len() == count && count > 0).then_some(HostCondition::Any(built))
            }
        }
    }

    /// An address or network of the policy's own text.
    pub(super) fn address(&mut self, text: &Text) -> Option<HostCondition> {
        let Some(network) = parse_network(&text.value) else {
            let message = format!("{} is neither an address nor a network", quote(&text.value));
            let diagnostic = Diagnostic::new(Code::BadAddress, text.span, message);
            self.cx.push(if self.list_ids.contains_key(&text.value) {
                diagnostic.help(format!("to mean the list, write {{ in: {} }}", text.value))
            } else {
                diagnostic.help("write an address like 10.0.0.7 or a network like 10.0.0.0/8; names are not looked up")
            });
            return None;
        };
        if !text.value.contains('/') {
            return Some(HostCondition::Address(IpAddr::to_canonical(&network.addr())));
        }
        if network.trunc() != network {
            let message = format!("{} has bits behind its first {}", quote(&text.value), network.prefix_len());
            let help = format!("the network is {}, the address alone {}", network.trunc(), network.addr());
            self.cx.push(Diagnostic::new(Code::HostBits, text.span, message).help(help));
            return None;
        }
        Some(HostCondition::Network(canonical_network(network)))
    }

    /// The list of this name. `network_use` is the place where its entries must be addresses or networks.
    fn list(&mut self, name: &Text, network_use: Option<Span>) -> Option<ListId> {
        let Some(&index) = self.list_ids.get(&name.value) else {
            let message = format!("no entry of `lists` has the name {}", quote(&name.value));
            let diagnostic = Diagnostic::new(Code::UnknownName, name.span, message);
            let names = self.lists.iter().map(|list| list.name.value.as_str());
            self.cx.push_near(diagnostic, &name.value, names.clone(), || declare("lists", names));
            return None;
        };
        if let Some(list) = self.lists.get_mut(index) {
            list.used_as_text |= network_use.is_none();
            list.network_use = list.network_use.or(network_use);
        }
        Some(ListId(index))
    }

    /// The value, or the diagnostic for a text that was refused.
    pub(super) fn parsed<T>(&mut self, code: Code, text: &Text, result: Result<T, TextError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                // In a pattern, too, an unknown placeholder is one.
                let unknown =
                    Template::parse(&text.value).is_err_and(|placeholder| placeholder.message == error.message);
                let code = if unknown { Code::BadPlaceholder } else { code };
                let span = text.part(error.span.as_ref());
                let diagnostic = Diagnostic::new(code, span, error.message);
                self.cx.push(match error.help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                });
                None
            }
        }
    }
}

fn text_matches(matcher: Matcher, span: Span) -> (TextCondition, Option<Admits>) {
    let admits = matcher.is_match("").then_some(Admits::Pattern(span));
    (TextCondition::Matches(matcher), admits)
}

fn is_empty_text(condition: &TextCondition) -> bool {
    matches!(condition, TextCondition::Equals(template) if template.as_literal() == Some(""))
}

fn is(condition: Option<&At<raw::Condition<Text, raw::TextOperator>>>, value: &str) -> bool {
    matches!(condition, Some(At { value: raw::Condition::Is(text), .. }) if text.value == value)
}

fn port_condition(raw: raw::Condition<raw::Port, raw::PortOperator>, size: &mut usize) -> PortCondition {
    *size = size.saturating_add(1);
    match raw {
        raw::Condition::Is(port) => PortCondition::Is(port.0),
        raw::Condition::Operator(raw::PortOperator::Not(At { value, .. })) => {
            PortCondition::Not(Box::new(port_condition(*value, size)))
        }
        raw::Condition::Any(any) => PortCondition::Any(any.into_iter().map(|one| port_condition(one, size)).collect()),
    }
}
