//! The rules of `auth` and `acl`.

use std::collections::HashMap;

use crate::decision::{Mode, RESERVED, Verdict};
use crate::policy::codes::Code;
use crate::policy::decode::{At, OneOrMany, Placed, Text};
use crate::policy::diag::{Diagnostic, quote};
use crate::policy::model::{AclRule, AuthRule, PasswordId, Section};
use crate::policy::places::{Direction, PatternPlace, RulePlaces};
use crate::policy::span::Span;
use crate::policy::warn::RuleFacts;
use crate::policy::warn::regex::Subject;
use crate::policy::{raw, warn};
use crate::text::Placeholder;
use crate::topic::{Pattern, Syntax};

use super::who::BuiltWho;
use super::{Validator, declare, mode, verdict};

/// The ids of a section, by which places they were taken.
struct Ids<'r> {
    section: &'static str,
    /// What no rule of this section may be called, beside [`RESERVED`].
    reserved: &'r [&'static str],
    taken: HashMap<String, Span>,
}

impl Validator<'_> {
    /// `reserved`: the ids that the section uses itself.
    pub(super) fn auth(&mut self, raw: raw::Auth, reserved: &[&'static str]) -> (Section<AuthRule>, Vec<RuleFacts>) {
        warn::default(&mut self.cx, "logins", raw.default.as_ref());
        let default = verdict(raw.default.as_ref());
        let mut ids = Ids { section: "auth", reserved, taken: HashMap::new() };
        let mut rules = Vec::new();
        let mut facts = Vec::new();
        for (index, rule) in raw.rules.into_iter().flat_map(|rules| rules.value).enumerate() {
            let rule = rule.value;
            let span = rule.span();
            let (id, head) = self.id(&mut ids, index, rule.id, span);
            let allows = rule.allow.is_some();
            let denies = rule.deny.is_some() || rule.ignore.is_some();
            let mode = mode(rule.mode.as_ref());
            if let (Mode::Audit, Some(name)) = (mode, &rule.password) {
                let message = "a rule in audit mode asks for no password";
                let help = "try it without the password, or the whole policy with `mode: audit` at its top";
                self.cx.push(Diagnostic::new(Code::PasswordInAudit, name.key, message).help(help));
            }
            let password = rule.password.and_then(|name| self.password(&name, denies && !allows));
            let when = self.when(rule.when);
            let Some((verdict, at, built)) = self.effect(rule.allow, rule.deny, rule.ignore) else { continue };
            let (password, asked_at) = password.unzip();
            let built = built.during(when.when);
            let places = RulePlaces {
                whole: span,
                head,
                who: at,
                password: asked_at,
                windows: when.places,
                patterns: Vec::new(),
            };
            facts.push(built.facts.of_rule(places));
            rules.push(AuthRule { id, verdict, who: built.who, password, mode, line: self.lines.line(span.start) });
        }
        (Section { default, rules }, facts)
    }

    pub(super) fn acl(&mut self, raw: raw::Acl) -> (Section<AclRule>, Vec<RuleFacts>) {
        warn::default(&mut self.cx, "topics", raw.default.as_ref());
        let default = verdict(raw.default.as_ref());
        let mut ids = Ids { section: "acl", reserved: &[], taken: HashMap::new() };
        let mut rules = Vec::new();
        let mut facts = Vec::new();
        for (index, rule) in raw.rules.into_iter().flat_map(|rules| rules.value).enumerate() {
            let rule = rule.value;
            let span = rule.span();
            let (id, head) = self.id(&mut ids, index, rule.id, span);
            let mut patterns = Vec::new();
            let topics = self.patterns(Direction::Both, rule.topics, &mut patterns);
            let mut publish = self.patterns(Direction::Publish, rule.publish, &mut patterns);
            let mut subscribe = self.patterns(Direction::Subscribe, rule.subscribe, &mut patterns);
            publish.extend(topics.iter().cloned());
            subscribe.extend(topics);
            let when = self.when(rule.when);
            let Some((verdict, at, built)) = self.effect(rule.allow, rule.deny, rule.ignore) else { continue };
            let built = built.during(when.when);
            let windows = when.places;
            facts.push(built.facts.of_rule(RulePlaces {
                whole: span,
                head,
                who: at,
                password: None,
                windows,
                patterns,
            }));
            let line = self.lines.line(span.start);
            let mode = mode(rule.mode.as_ref());
            rules.push(AclRule { id, verdict, who: built.who, publish, subscribe, mode, line });
        }
        (Section { default, rules }, facts)
    }

    /// The rule's id, or one made of its place, and where the rule is told by it.
    fn id(&mut self, ids: &mut Ids<'_>, index: usize, id: Option<At<Text>>, rule: Span) -> (String, Span) {
        let (id, span) = match id {
            Some(At { value: id, .. }) => {
                self.check_name(&id);
                (id.value, id.span)
            }
            None => (format!("{}-{}", ids.section, index.saturating_add(1)), rule),
        };
        if RESERVED.iter().chain(ids.reserved).any(|reserved| *reserved == id) {
            let message = format!("the id {} stands in records for what no rule decided", quote(&id));
            self.cx.push(Diagnostic::new(Code::ReservedName, span, message).help("choose another id"));
        } else if let Some(&first) = ids.taken.get(&id) {
            let message = format!("another rule of `{}` has the id {}", ids.section, quote(&id));
            self.cx.push(Diagnostic::new(Code::DuplicateId, span, message).related(first, "this one"));
        }
        ids.taken.entry(id.clone()).or_insert(span);
        (id, span)
    }

    fn password(&mut self, name: &At<Text>, misplaced: bool) -> Option<(PasswordId, Span)> {
        if misplaced {
            let message = "`password` stands only on a rule that allows";
            let help = "take it away, or make the rule an `allow`";
            self.cx.push(Diagnostic::new(Code::MisplacedPassword, name.key, message).help(help));
        }
        let text = &name.value;
        let Some(&index) = self.password_ids.get(&text.value) else {
            let message = format!("no entry of `passwords` has the name {}", quote(&text.value));
            let diagnostic = Diagnostic::new(Code::UnknownName, text.span, message);
            let names = self.passwords.iter().map(|source| source.name.value.as_str());
            self.cx.push_near(diagnostic, &text.value, names.clone(), || declare("passwords", names));
            return None;
        };
        if let Some(source) = self.passwords.get_mut(index) {
            source.used = true;
        }
        Some((PasswordId(index), text.span))
    }

    /// What the rule says, of whom, and where that stands.
    fn effect(
        &mut self,
        allow: Option<At<raw::Who>>,
        deny: Option<At<raw::Who>>,
        ignore: Option<At<raw::Who>>,
    ) -> Option<(Verdict, Span, BuiltWho)> {
        let effects = [(Verdict::Allow, allow), (Verdict::Deny, deny), (Verdict::Ignore, ignore)];
        let mut built = effects.into_iter().filter_map(|(verdict, who)| {
            let who = who?;
            let span = who.value.span();
            Some((verdict, span, self.who(who.value)?))
        });
        // Where two effects stand side by side, the mistakes in both are told.
        let first = built.next();
        built.for_each(drop);
        first
    }

    fn patterns(
        &mut self,
        direction: Direction,
        raw: Option<At<OneOrMany<raw::Pattern>>>,
        places: &mut Vec<PatternPlace>,
    ) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for raw in raw.into_iter().flat_map(|raw| raw.value.0) {
            let (syntax, text) = match raw {
                raw::Pattern::Filter(text) => (Syntax::Filter, text),
                raw::Pattern::Operator(raw::PatternOperator::Glob(glob)) => (Syntax::Glob, glob.value),
                raw::Pattern::Operator(raw::PatternOperator::Regex(regex)) => (Syntax::Regex, regex.value),
            };
            warn::comment(&mut self.cx, text.span);
            match syntax {
                Syntax::Filter => warn::texts::filter(&mut self.cx, &text),
                Syntax::Glob => warn::texts::glob(&mut self.cx, &text),
                Syntax::Regex => warn::regex::regex(&mut self.cx, &text, Subject::Topic),
            }
            let result = match syntax {
                Syntax::Filter => Pattern::filter(&text.value),
                Syntax::Glob => Pattern::glob(&text.value),
                Syntax::Regex => Pattern::regex(&text.value),
            };
            let Some(pattern) = self.parsed(Code::BadPattern, &text, result) else { continue };
            if let Some(cost) = pattern.cost() {
                warn::costly::pattern(&mut self.cx, &text, cost, Subject::Topic);
            }
            let clientid = pattern.has(Placeholder::Clientid);
            places.push(PatternPlace { direction, syntax, text: text.value, span: text.span, clientid });
            patterns.push(pattern);
        }
        patterns
    }
}
