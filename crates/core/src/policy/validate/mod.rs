//! From the file's types to the [`Model`]: names resolved, patterns parsed, bounds kept.

mod capture;
mod limit;
mod metrics;
mod rules;
mod when;
mod who;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration as Time;

use super::brokers::Brokers;
use super::codes::Code;
use super::decode::{At, Cx, Named, OneOrMany, Text, listed};
use super::diag::{Diagnostic, quote};
use super::duration::{Duration, show};
use super::lists::Uses;
use super::model::{
    AclRule, AuthRule, HistoryDef, IfInvalid, Interest, LimitDefs, ListDef, ListId, ListSource, LogLines, Model,
    PasswordDef, PasswordSource, Record, Section, Sync,
};
use super::places::{Places, SectionPlaces};
use super::raw;
use super::span::{Lines, Span};
use super::warn::{self, RuleFacts};
use crate::decision::{FLAPPING, LOCKOUT, Mode, Verdict};
use who::{EVERYONE, KindEntry, KindState};

const SECOND: Time = Time::from_secs(1);
const DAY: Time = Time::from_secs(86_400);
const DEFAULT_DEADLINE: Time = Time::from_secs(2);
const DEFAULT_REFRESH: Time = Time::from_secs(60);
/// The longest text that MQTT can carry, in bytes.
const LONGEST_TEXT: usize = 65_535;

/// An entry of `lists`.
#[derive(Debug)]
struct ListEntry {
    name: Text,
    /// The entries where they stand in the policy.
    inline: Option<Vec<Text>>,
    source: ListSource,
    used_as_text: bool,
    /// The first condition on `peerhost` that uses it.
    network_use: Option<Span>,
}

/// An entry of `passwords`.
#[derive(Debug)]
struct PasswordEntry {
    name: Text,
    source: PasswordSource,
    used: bool,
}

/// What validation has at hand.
struct Validator<'t> {
    cx: Cx<'t>,
    lines: Lines,
    folder: &'t Path,
    brokers: Vec<raw::Broker>,
    lists: Vec<ListEntry>,
    list_ids: HashMap<String, usize>,
    kinds: Vec<KindEntry>,
    kind_ids: HashMap<String, usize>,
    passwords: Vec<PasswordEntry>,
    password_ids: HashMap<String, usize>,
    /// Conditions so far, every use of a name counted.
    conditions: usize,
}

/// Makes the model. It means nothing where `cx` has errors afterwards.
pub(crate) fn validate<'t>(policy: raw::Policy, cx: Cx<'t>, folder: &'t Path) -> (Model, Places, Cx<'t>) {
    let lines = Lines::new(cx.text);
    let mut validator = Validator {
        cx,
        lines,
        folder,
        brokers: policy.broker.map(|broker| broker.value.0).unwrap_or_default(),
        lists: Vec::new(),
        list_ids: HashMap::new(),
        kinds: Vec::new(),
        kind_ids: HashMap::new(),
        passwords: Vec::new(),
        password_ids: HashMap::new(),
        conditions: 0,
    };
    validator.declare_lists(policy.lists);
    validator.declare_kinds(policy.clients);
    validator.declare_passwords(policy.passwords);
    let mode = mode(policy.mode.as_ref());
    let deadline = validator.deadline(policy.deadline.as_ref());
    let if_invalid = match policy.if_invalid.map(|at| at.value) {
        None | Some(raw::IfInvalid::Deny) => IfInvalid::Deny,
        Some(raw::IfInvalid::LastGood) => IfInvalid::LastGood,
    };
    let auth_default = policy.auth.as_ref().and_then(|section| place_of_default(section.value.default.as_ref()));
    let acl_default = policy.acl.as_ref().and_then(|section| place_of_default(section.value.default.as_ref()));
    let mut policy_auth = policy.auth;
    let (lockout, flapping) = policy_auth
        .as_mut()
        .map_or((None, None), |section| (section.value.lockout.take(), section.value.flapping.take()));
    let reserved = [(lockout.is_some(), LOCKOUT), (flapping.is_some(), FLAPPING)];
    let (limits, limit_facts) = validator.limits(lockout, flapping);
    let reserved: Vec<&str> = reserved.iter().filter_map(|&(is_used, id)| is_used.then_some(id)).collect();
    let (auth, auth_facts) = policy_auth.map(|section| validator.auth(section.value, &reserved)).unzip();
    let (acl, acl_facts) = policy.acl.map(|section| validator.acl(section.value)).unzip();
    let log = log_lines(policy.log);
    let history = policy.history.and_then(|history| validator.history(history.value));
    let record = history.as_ref().map(|history| history.record);
    let interest = Interest { auth: auth.is_some(), acl: acl.is_some(), log, record };
    let capture = policy.capture.and_then(|capture| validator.capture(capture.value, interest));
    let metrics = policy.metrics.and_then(|metrics| validator.metrics(metrics.value));
    validator.finish_kinds();
    validator.check_entries();
    validator.check_audit(auth.as_ref(), acl.as_ref(), &limits);
    if !validator.cx.found.has_errors() {
        if let (Some(section), Some(facts)) = (&auth, &auth_facts) {
            warn::auth(&mut validator.cx, section, facts, mode);
        }
        let asks_password = auth.iter().flat_map(|section| &section.rules).any(|rule| rule.password.is_some());
        warn::limits(&mut validator.cx, &limit_facts, asks_password, history.is_some());
        if let (Some(section), Some(facts)) = (&acl, &acl_facts) {
            warn::acl(&mut validator.cx, section, facts, mode);
        }
        validator.warn_unused();
    }
    let places = Places {
        auth: section_places(auth_default, auth_facts),
        acl: section_places(acl_default, acl_facts),
        ..validator.places()
    };
    let brokers = Brokers::new(validator.brokers.iter().map(|broker| broker.version).collect());
    let rest = Model {
        mode,
        brokers,
        deadline,
        if_invalid,
        lists: Vec::new(),
        passwords: Vec::new(),
        auth,
        limits,
        acl,
        log,
        history,
        capture,
        metrics,
    };
    let (model, cx) = validator.finish(rest);
    (model, places, cx)
}

fn place_of_default(default: Option<&At<raw::Verdict>>) -> Option<Span> {
    default.map(|default| default.span)
}

fn section_places(default: Option<Span>, facts: Option<Vec<RuleFacts>>) -> SectionPlaces {
    SectionPlaces { default, rules: facts.into_iter().flatten().map(|facts| facts.places).collect() }
}

impl<'t> Validator<'t> {
    /// Where the named entries stand.
    fn places(&self) -> Places {
        let place = |name: &Text| (name.value.clone(), name.span);
        Places {
            lists: self.lists.iter().map(|list| place(&list.name)).collect(),
            clients: self.kinds.iter().map(|kind| place(&kind.name)).collect(),
            passwords: self.passwords.iter().map(|source| place(&source.name)).collect(),
            ..Places::default()
        }
    }

    /// A list is read for all rules together. One in audit mode must not make entries wrong that are right for those that answer.
    fn check_audit(&mut self, auth: Option<&Section<AuthRule>>, acl: Option<&Section<AclRule>>, limits: &LimitDefs) {
        let auth = auth.into_iter().flat_map(|auth| &auth.rules).map(|rule| (rule.mode, &rule.who));
        let acl = acl.into_iter().flat_map(|acl| &acl.rules).map(|rule| (rule.mode, &rule.who));
        let (mut tried, mut enforced) = (Vec::new(), Vec::new());
        for (mode, who) in auth.chain(acl) {
            match mode {
                Mode::Enforce => who.uses(&mut enforced),
                Mode::Audit => who.uses(&mut tried),
            }
        }
        limits.exempt().for_each(|who| who.uses(&mut enforced));
        for (index, list) in self.lists.iter().enumerate() {
            let has = |uses: &[(ListId, Uses)], is_it: fn(Uses) -> bool| {
                uses.iter().any(|(id, uses)| id.0 == index && is_it(*uses))
            };
            let as_networks = |uses: Uses| uses.networks;
            let by_the_trial =
                has(&tried, as_networks) && !has(&enforced, as_networks) && has(&enforced, |uses| uses.text);
            if let (true, Some(span)) = (by_the_trial, list.network_use) {
                let message = format!(
                    "a rule in audit mode takes the entries of {} for addresses, and rules that are carried out take them for texts",
                    quote(&list.name.value)
                );
                let help =
                    "name a list of its own there: an entry that is no address would make this one unreadable to both";
                self.cx.push(Diagnostic::new(Code::ListInAudit, span, message).help(help));
            }
        }
    }

    /// Adds the named entries to the rest.
    fn finish(self, rest: Model) -> (Model, Cx<'t>) {
        let list = |list: ListEntry| ListDef {
            name: list.name.value,
            source: match list.inline {
                Some(entries) => ListSource::Inline(entries.into_iter().map(|entry| entry.value).collect()),
                None => list.source,
            },
            used_as_text: list.used_as_text,
            used_as_networks: list.network_use.is_some(),
        };
        let password = |source: PasswordEntry| PasswordDef { name: source.name.value, source: source.source };
        let lists = self.lists.into_iter().map(list).collect();
        let passwords = self.passwords.into_iter().map(password).collect();
        (Model { lists, passwords, ..rest }, self.cx)
    }

    fn declare_lists(&mut self, lists: Option<At<Named<raw::List>>>) {
        for (name, list) in lists.into_iter().flat_map(|lists| lists.value.0) {
            self.check_name(&name);
            let (inline, source) = match list {
                None => (None, ListSource::Inline(Vec::new())),
                Some(raw::List::Inline(entries)) => (Some(entries), ListSource::Inline(Vec::new())),
                Some(raw::List::File(list)) => {
                    let refresh = self.refresh(list.refresh.as_ref());
                    (None, ListSource::File { path: self.path(list.file), refresh })
                }
                Some(raw::List::Sqlite(list)) => {
                    let refresh = self.refresh(list.refresh.as_ref());
                    let query = self.query(list.query, false);
                    (None, ListSource::Sqlite { path: self.path(list.sqlite), query, refresh })
                }
            };
            self.list_ids.insert(name.value.clone(), self.lists.len());
            self.lists.push(ListEntry { name, inline, source, used_as_text: false, network_use: None });
        }
    }

    fn declare_kinds(&mut self, kinds: Option<At<Named<raw::Who>>>) {
        for (name, raw) in kinds.into_iter().flat_map(|kinds| kinds.value.0) {
            self.check_name(&name);
            if name.value == EVERYONE {
                let message = "`everyone` always means every client";
                self.cx.push(Diagnostic::new(Code::ReservedName, name.span, message).help("choose another name"));
            }
            self.kind_ids.insert(name.value.clone(), self.kinds.len());
            self.kinds.push(KindEntry { name, raw, state: KindState::New, used: false });
        }
    }

    fn declare_passwords(&mut self, sources: Option<At<Named<raw::Passwords>>>) {
        for (name, source) in sources.into_iter().flat_map(|sources| sources.value.0) {
            self.check_name(&name);
            let source = match source {
                None => PasswordSource::File { path: PathBuf::new() },
                Some(raw::Passwords::File(source)) => PasswordSource::File { path: self.path(source.file) },
                Some(raw::Passwords::Sqlite(source)) => {
                    let query = self.query(source.query, true);
                    PasswordSource::Sqlite { path: self.path(source.sqlite), query }
                }
            };
            self.password_ids.insert(name.value.clone(), self.passwords.len());
            self.passwords.push(PasswordEntry { name, source, used: false });
        }
    }

    /// A name or id must be visible in logs and records.
    fn check_name(&mut self, name: &Text) {
        if name.value.is_empty() {
            self.cx.push(Diagnostic::new(Code::BadName, name.span, "a name must not be empty"));
        } else if name.value.chars().any(char::is_control) || name.value.trim() != name.value {
            let message = format!("the name {} has invisible characters", quote(&name.value));
            self.cx.push(Diagnostic::new(Code::BadName, name.span, message));
        }
    }

    fn path(&mut self, path: Option<At<Text>>) -> PathBuf {
        let Some(At { value: path, .. }) = path else { return PathBuf::new() };
        if path.value.is_empty() || path.value.contains('\0') {
            self.cx.push(Diagnostic::new(Code::BadPath, path.span, "this is no path"));
        }
        self.folder.join(path.value)
    }

    fn query(&mut self, query: Option<At<Text>>, by_username: bool) -> String {
        let Some(At { value: query, .. }) = query else { return String::new() };
        if query.value.trim().is_empty() {
            self.cx.push(Diagnostic::new(Code::BadQuery, query.span, "the query is empty"));
        } else if by_username && !query.value.contains(":username") {
            let message = "the query does not ask for the user: it has no `:username`";
            let help = "for example SELECT hash FROM users WHERE username = :username";
            self.cx.push(Diagnostic::new(Code::BadQuery, query.span, message).help(help));
        }
        query.value
    }

    fn refresh(&mut self, refresh: Option<&At<Duration>>) -> Time {
        self.within("refresh", refresh, SECOND, DAY).unwrap_or(DEFAULT_REFRESH)
    }

    fn deadline(&mut self, deadline: Option<&At<Duration>>) -> Time {
        let time = self.within("deadline", deadline, Time::from_millis(100), Time::from_secs(60));
        if let (Some(time), Some(at)) = (time, deadline) {
            warn::brokers::deadline(&mut self.cx, time, at.span, &self.brokers);
        }
        time.unwrap_or(DEFAULT_DEADLINE)
    }

    /// A duration within its bounds.
    fn within(&mut self, what: &str, at: Option<&At<Duration>>, least: Time, most: Time) -> Option<Time> {
        let At { value: Duration(time), span, .. } = at?;
        if *time < least || *time > most {
            let message = format!("`{what}` must be between {} and {}", show(least), show(most));
            self.cx.push(Diagnostic::new(Code::BadDuration, *span, message));
            return None;
        }
        Some(*time)
    }

    fn history(&mut self, history: raw::History) -> Option<HistoryDef> {
        let keep = self.within("keep", history.keep.as_ref(), Time::from_secs(60), DAY.saturating_mul(36_500));
        let sync = match history.sync.map(|sync| sync.value) {
            None | Some(raw::Sync::Normal) => Sync::Normal,
            Some(raw::Sync::Full) => Sync::Full,
        };
        let default =
            Record { connections: true, denials: true, attempts: false, subscriptions: false, messages: false };
        let record = history.record.map_or(default, |record| self.record(&record));
        let database = history.database?;
        Some(HistoryDef { database: self.path(Some(database)), keep, sync, record })
    }

    fn record(&mut self, at: &At<OneOrMany<raw::Record>>) -> Record {
        let has = |wanted| at.value.0.contains(&wanted);
        if has(raw::Record::Messages) {
            warn::brokers::messages(&mut self.cx, at.span, &self.brokers);
        }
        Record {
            connections: has(raw::Record::Connections),
            denials: has(raw::Record::Denials),
            attempts: has(raw::Record::Attempts),
            subscriptions: has(raw::Record::Subscriptions),
            messages: has(raw::Record::Messages),
        }
    }

    /// Entries in the policy itself must fit the uses of their list.
    fn check_entries(&mut self) {
        let lists = std::mem::take(&mut self.lists);
        for list in &lists {
            let used = list.used_as_text || list.network_use.is_some();
            if used && list.inline.as_ref().is_some_and(Vec::is_empty) {
                self.cx.push(warn::no_entries(list.name.span, &list.name.value));
            }
            for entry in list.inline.iter().flatten() {
                if entry.value.len() > LONGEST_TEXT {
                    let message = format!("an entry of {} bytes, and {LONGEST_TEXT} is the most", entry.value.len());
                    self.cx.push(Diagnostic::new(Code::TooLarge, entry.span, message));
                }
                if list.network_use.is_some() {
                    self.address(entry);
                } else {
                    warn::texts::plain(&mut self.cx, entry);
                }
            }
        }
        self.lists = lists;
    }

    fn warn_unused(&mut self) {
        let lists = self.lists.iter().filter(|list| !list.used_as_text && list.network_use.is_none());
        let kinds = self.kinds.iter().filter(|kind| !kind.used);
        let passwords = self.passwords.iter().filter(|source| !source.used);
        let unused = lists
            .map(|list| ("list", &list.name))
            .chain(kinds.map(|kind| ("kind of client", &kind.name)))
            .chain(passwords.map(|source| ("password source", &source.name)));
        for (what, name) in unused {
            let message = format!("nothing uses the {what} {}", quote(&name.value));
            self.cx.push(Diagnostic::new(Code::Unused, name.span, message));
        }
    }
}

/// What to do about a name that is not declared and near to none that is.
fn declare<'a>(section: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    const MOST: usize = 8;
    match names.clone().count() {
        0 => Some(format!("declare it under `{section}`")),
        1..=MOST => Some(format!("`{section}` has {}", listed(&names.collect::<Vec<_>>(), "and"))),
        _ => None,
    }
}

fn mode(mode: Option<&At<raw::Mode>>) -> Mode {
    match mode.map(|mode| mode.value) {
        None | Some(raw::Mode::Enforce) => Mode::Enforce,
        Some(raw::Mode::Audit) => Mode::Audit,
    }
}

fn verdict(default: Option<&At<raw::Verdict>>) -> Verdict {
    match default.map(|default| default.value) {
        None | Some(raw::Verdict::Deny) => Verdict::Deny,
        Some(raw::Verdict::Allow) => Verdict::Allow,
        Some(raw::Verdict::Ignore) => Verdict::Ignore,
    }
}

fn log_lines(lines: Option<At<Vec<raw::LogLine>>>) -> LogLines {
    let lines = lines.map_or_else(|| vec![raw::LogLine::Denials], |lines| lines.value);
    LogLines {
        denials: lines.contains(&raw::LogLine::Denials),
        decisions: lines.contains(&raw::LogLine::Decisions),
        connections: lines.contains(&raw::LogLine::Connections),
        events: lines.contains(&raw::LogLine::Events),
    }
}
