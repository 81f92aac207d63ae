//! Policies, lists and clients made at random. The tests of other crates include this file, so it names this crate as
//! they do.

use std::sync::Arc;
use std::time::Duration;

use exhook_policy_core::decision::{Mode, Verdict};
use exhook_policy_core::event::{Client, Extra, Peerhost};
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::brokers::Brokers;
use exhook_policy_core::policy::lists::{List, Lists, Uses};
use exhook_policy_core::policy::model::{
    AclRule, AuthRule, Condition, HostCondition, HostField, IfInvalid, LimitDefs, ListId, LogLines, Model, Named,
    PasswordDef, PasswordId, PasswordSource, PortCondition, PortField, Section, TextCondition, TextField, Who,
};
use exhook_policy_core::policy::when::{Days, When, Window, Zone};
use exhook_policy_core::text::Template;
use proptest::prelude::*;
use proptest::sample::select;

const NAMES: [&str; 3] = ["a", "b", ""];

const NETWORKS: [&str; 2] = ["10.0.0.0/8", "192.0.2.0/24"];

/// A Friday noon in 1970, and the days behind it.
const TIMES: [i64; 3] = [129_600_000, 216_000_000, 302_400_000];

const PEERS: [&str; 3] = ["10.1.2.3", "192.0.2.1", "odd"];

/// Lists 0 and 1 hold names, list 2 networks; `None` is unreadable.
pub(crate) type Contents = [Option<Vec<&'static str>>; 3];

pub(crate) fn build(contents: &Contents) -> Lists {
    let list = |(n, entries): (usize, &Option<Vec<&'static str>>)| {
        let uses = Uses { text: n < 2, networks: n == 2 };
        let entries = entries.as_ref()?.iter().map(|entry| (1, *entry));
        Some(Arc::new(List::build(uses, entries).unwrap()))
    };
    Lists::new(contents.iter().enumerate().map(list).collect())
}

fn text_condition() -> impl Strategy<Value = TextCondition> {
    let leaf = prop_oneof![
        select(vec!["a", "b", "", "${username}"])
            .prop_map(|text| TextCondition::Equals(Template::parse(text).unwrap())),
        (0..2_usize).prop_map(|list| TextCondition::In(ListId(list))),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| TextCondition::Not(Box::new(inner))),
            prop::collection::vec(inner, 0..3).prop_map(TextCondition::Any),
        ]
    })
}

fn host_condition() -> impl Strategy<Value = HostCondition> {
    let leaf = prop_oneof![
        select(&NETWORKS[..]).prop_map(|network| HostCondition::Network(network.parse().unwrap())),
        Just(HostCondition::In(ListId(2))),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| HostCondition::Not(Box::new(inner))),
            prop::collection::vec(inner, 0..3).prop_map(HostCondition::Any),
        ]
    })
}

/// Whom a rule is about, and now and then when.
pub(crate) fn who() -> impl Strategy<Value = Who> {
    let window = (0..7_usize, prop::option::of(select(&TIMES[..])), prop::option::of(select(&TIMES[..])));
    let window = window.prop_map(|(day, from, until)| Window {
        days: Days::range(4, day),
        hours: Vec::new(),
        zone: Zone::utc(),
        from,
        until,
    });
    let when = prop::collection::vec(window, 1..3).prop_map(|windows| Arc::new(When::new(windows)));
    (kind(), prop::option::weighted(0.2, when)).prop_map(|(who, when)| match when {
        None => who,
        Some(when) => Who::During(when, Box::new(who)),
    })
}

fn kind() -> impl Strategy<Value = Who> {
    let condition = prop_oneof![
        3 => text_condition().prop_map(|condition| Condition::Text(TextField::Clientid, condition)),
        3 => text_condition().prop_map(|condition| Condition::Text(TextField::Username, condition)),
        2 => host_condition().prop_map(|condition| Condition::Host(HostField::Peerhost, condition)),
        2 => text_condition().prop_map(|condition| Condition::Text(TextField::Cn, condition)),
        1 => (1..3_u16).prop_map(|port| Condition::Port(PortField::Sockport, PortCondition::Is(port))),
        1 => (1..3_u16).prop_map(|port| Condition::Port(PortField::Peerport, PortCondition::Is(port))),
    ];
    let leaf = prop_oneof![1 => Just(Who::Everyone), 8 => prop::collection::vec(condition, 0..4).prop_map(Who::All)];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let named = |mut who: Who| {
            who.sort_by_cost();
            Who::Named(Arc::new(Named { name: "kind".to_owned(), who }))
        };
        prop_oneof![2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Who::Any), 1 => inner.prop_map(named)]
    })
}

pub(crate) fn contents() -> impl Strategy<Value = Contents> {
    let names = || prop::option::weighted(0.7, prop::collection::vec(select(&NAMES[..]), 0..3));
    let networks = prop::option::weighted(0.7, prop::collection::vec(select(&NETWORKS[..]), 0..2));
    (names(), names(), networks).prop_map(|(first, second, networks)| [first, second, networks])
}

/// The same lists, with those that cannot be read filled from elsewhere.
pub(crate) fn filled(contents: &Contents, from: &Contents) -> Contents {
    std::array::from_fn(|n| contents[n].clone().or_else(|| Some(from[n].clone().unwrap_or_default())))
}

pub(crate) fn someone() -> impl Strategy<Value = Client<'static>> {
    let told = (select(&NAMES[..]), 1..3_u16, select(&TIMES[..]));
    (select(&NAMES[..]), select(&NAMES[..]), select(&PEERS[..]), 1..3_u16, told).prop_map(
        |(clientid, username, peer, port, (cn, peerport, at))| Client {
            peerhost: Peerhost::parse(peer),
            sockport: port,
            extra: Extra { cn: Some(cn), peerport: Some(peerport), at: Some(at), ..Extra::NONE },
            ..client(clientid, username)
        },
    )
}

pub(crate) fn verdict() -> impl Strategy<Value = Verdict> {
    select(vec![Verdict::Allow, Verdict::Deny, Verdict::Ignore])
}

#[derive(Debug, Clone)]
pub(crate) struct Login1 {
    pub(crate) verdict: Verdict,
    pub(crate) who: Who,
    pub(crate) password: bool,
}

pub(crate) fn logins() -> impl Strategy<Value = Vec<Login1>> {
    let rule = (verdict(), who(), any_bool()).prop_map(|(verdict, who, password)| Login1 { verdict, who, password });
    prop::collection::vec(rule, 0..6)
}

pub(crate) fn any_bool() -> impl Strategy<Value = bool> {
    proptest::bool::ANY
}

/// Every topic of up to 4 levels, one deeper than the filters, with a level that stands in none.
pub(crate) fn every_topic() -> Vec<String> {
    let mut all = Vec::new();
    let mut deepest = vec![String::new()];
    for _ in 0..4 {
        let deeper = |topic: &String| ["a", "b", "z"].map(|level| format!("{topic}/{level}"));
        deepest = deepest.iter().flat_map(deeper).collect();
        all.extend(deepest.iter().map(|topic| topic.trim_start_matches('/').to_owned()));
    }
    all
}

pub(crate) const QUIET: LogLines = LogLines { denials: true, decisions: false, connections: false, events: false };

pub(crate) fn model(auth: Option<Section<AuthRule>>, acl: Option<Section<AclRule>>) -> Model {
    let deadline = Duration::from_secs(2);
    let source = |n: usize| PasswordDef { name: n.to_string(), source: PasswordSource::File { path: "".into() } };
    let passwords = (0..6).map(source).collect();
    Model {
        mode: Mode::Enforce,
        brokers: Brokers::default(),
        deadline,
        if_invalid: IfInvalid::Deny,
        lists: vec![],
        passwords,
        auth,
        limits: LimitDefs::default(),
        acl,
        log: QUIET,
        history: None,
        capture: None,
        metrics: None,
    }
}

pub(crate) fn client<'a>(clientid: &'a str, username: &'a str) -> Client<'a> {
    Client {
        clientid,
        username,
        peerhost: Peerhost::parse("10.1.2.3"),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "emqx@127.0.0.1",
        is_superuser: false,
        anonymous: false,
        extra: Extra::NONE,
    }
}

pub(crate) fn login(verdict: Verdict, who: Who, password: Option<usize>) -> AuthRule {
    AuthRule { id: String::new(), verdict, who, password: password.map(PasswordId), mode: Mode::Enforce, line: 1 }
}

/// Rules are named `r0`, `r1`, ...
pub(crate) fn auth(default: Verdict, rules: Vec<AuthRule>) -> Policy {
    let named = |(n, rule)| AuthRule { id: format!("r{n}"), ..rule };
    let rules = rules.into_iter().enumerate().map(named).collect();
    Policy::compile(model(Some(Section { default, rules }), None))
}

/// Rules are named `r0`, `r1`, ...
pub(crate) fn acl(default: Verdict, rules: Vec<AclRule>) -> Policy {
    let named = |(n, rule)| AclRule { id: format!("r{n}"), ..rule };
    let rules = rules.into_iter().enumerate().map(named).collect();
    Policy::compile(model(None, Some(Section { default, rules })))
}
