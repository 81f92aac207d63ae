use std::sync::Arc;

use super::*;
use crate::event::{Extra, Peerhost};
use crate::policy::Policy;
use crate::policy::lists::{List, Uses};
use crate::policy::model::{
    Condition, HistoryDef, ListId, Model, PortCondition, PortField, Record, Sync, TextCondition, TextField,
};
use crate::text::Template;
use crate::topic::Pattern;
use Found::{Right, Unknown, Unreadable, Wrong};
use Verdict::{Allow, Deny, Ignore};

mod bounds;
mod generate;
mod random;

use generate::{acl, auth, client, login, model};

/// List 0 holds `a`, list 1 cannot be read.
fn lists() -> Lists {
    let list = List::build(Uses { text: true, networks: false }, [(1, "a")]).unwrap();
    Lists::new(vec![Some(Arc::new(list)), None])
}

fn is(field: TextField, text: &str) -> Who {
    Who::All(vec![Condition::Text(field, TextCondition::Equals(Template::parse(text).unwrap()))])
}

fn listed(list: usize) -> Who {
    Who::All(vec![Condition::Text(TextField::Clientid, TextCondition::In(ListId(list)))])
}

fn unlisted(list: usize) -> Who {
    let listed = TextCondition::In(ListId(list));
    Who::All(vec![Condition::Text(TextField::Clientid, TextCondition::Not(Box::new(listed)))])
}

fn decided(verdict: Verdict, rule: &str) -> Login<'_> {
    Login::Decided(Decision { verdict, rule })
}

#[track_caller]
fn check_login(policy: &Policy, clientid: &str, expected: Login<'_>) {
    assert_eq!(policy.authenticate(&client(clientid, "u"), &lists()), expected, "{clientid}");
}

#[test]
fn the_first_rule_that_matches_decides_a_login() {
    let policy = auth(
        Deny,
        vec![
            login(Deny, is(TextField::Clientid, "b"), None),
            login(Allow, Who::Any(vec![is(TextField::Clientid, "b"), is(TextField::Clientid, "c")]), None),
            login(Ignore, is(TextField::Clientid, "${username}"), None),
            login(Allow, listed(0), None),
        ],
    );
    check_login(&policy, "a", decided(Allow, "r3"));
    check_login(&policy, "b", decided(Deny, "r0"));
    check_login(&policy, "c", decided(Allow, "r1"));
    check_login(&policy, "u", decided(Ignore, "r2"));
    check_login(&policy, "d", decided(Deny, "default"));
    check_login(&auth(Allow, vec![]), "a", decided(Allow, "default"));
    check_login(&auth(Ignore, vec![]), "a", decided(Ignore, "default"));
    check_login(&Policy::compile(model(None, None)), "a", decided(Ignore, "default"));
}

#[test]
fn a_list_that_cannot_be_read_denies_where_it_is_needed() {
    for who in [listed(1), unlisted(1), Who::Any(vec![listed(0), unlisted(1)])] {
        for verdict in [Allow, Deny, Ignore] {
            let policy = auth(Allow, vec![login(Allow, listed(0), None), login(verdict, who.clone(), None)]);
            check_login(&policy, "a", decided(Allow, "r0"));
            check_login(&policy, "b", Login::Decided(Decision::ERROR));
        }
        let password = auth(Allow, vec![login(Allow, who.clone(), Some(0))]);
        check_login(&password, "b", Login::Decided(Decision::ERROR));
    }
    let both = Who::Any(vec![unlisted(1), Who::Everyone]);
    check_login(&auth(Deny, vec![login(Allow, both, None)]), "b", decided(Allow, "r0"));
}

#[test]
fn a_password_rule_decides_or_is_passed_over() {
    let policy = auth(
        Ignore,
        vec![
            login(Allow, Who::Everyone, Some(3)),
            login(Allow, is(TextField::Clientid, "b"), Some(4)),
            login(Deny, listed(0), None),
        ],
    );
    let password = |rule, source| Login::Password { rule, source: PasswordId(source) };
    check_login(&policy, "a", password(0, 3));
    assert_eq!(policy.login_after(0, &client("a", ""), &lists()), decided(Deny, "r2"));
    assert_eq!(policy.login_after(0, &client("b", ""), &lists()), password(1, 4));
    assert_eq!(policy.login_after(1, &client("b", ""), &lists()), decided(Ignore, "default"));
    assert_eq!(policy.login_after(usize::MAX, &client("b", ""), &lists()), decided(Ignore, "default"));
    assert_eq!(policy.password_checked(1, true), Decision { verdict: Allow, rule: "r1" });
    assert_eq!(policy.password_checked(1, false), Decision { verdict: Deny, rule: "r1" });
    assert_eq!(policy.password_checked(9, true), Decision::ERROR);
}

#[test]
fn a_login_is_followed_to_its_end() {
    #[track_caller]
    fn check(policy: &Policy, clientid: &str, found: [Found; 2], verdict: Verdict, rule: &str) {
        let decision = policy.login(&client(clientid, "u"), &lists(), |source| found[source.0]);
        assert_eq!(decision, Decision { verdict, rule }, "{clientid} {found:?}");
    }

    let policy = auth(
        Ignore,
        vec![
            login(Allow, Who::Everyone, Some(0)),
            login(Allow, is(TextField::Clientid, "b"), Some(1)),
            login(Deny, listed(0), None),
        ],
    );
    check(&policy, "a", [Right, Wrong], Allow, "r0");
    check(&policy, "a", [Wrong, Right], Deny, "r0");
    check(&policy, "a", [Unknown, Right], Deny, "r2");
    check(&policy, "b", [Unknown, Right], Allow, "r1");
    check(&policy, "b", [Unknown, Wrong], Deny, "r1");
    check(&policy, "b", [Unknown, Unknown], Ignore, "default");
    check(&policy, "b", [Unknown, Unreadable], Deny, "error");
    check(&policy, "b", [Unreadable, Right], Deny, "error");
}

#[test]
fn the_rules_can_be_read() {
    let rule = topics(Deny, listed(0), &["a/#"], &[]);
    let policy = acl(Ignore, vec![AclRule { line: 7, ..rule }]);
    let [rule] = policy.acl_rules() else { panic!("one rule") };
    assert_eq!((rule.id.as_str(), rule.verdict, rule.line), ("r0", Deny, 7));
    let written: Vec<&str> = rule.written(Publish).iter().map(Pattern::source).collect();
    assert_eq!(written, ["a/#"]);
    assert!(!rule.patterns(Publish).is_empty() && rule.patterns(Subscribe).is_empty());
    assert_eq!((policy.acl_default(), policy.auth_default()), (Some(Ignore), None));
    assert!(policy.auth_rules().is_empty());
}

#[test]
fn rules_are_found_by_the_names_in_them_in_the_order_of_the_file() {
    let both = Who::Any(vec![is(TextField::Clientid, "a"), is(TextField::Username, "u"), is(TextField::Clientid, "a")]);
    let port = Condition::Port(PortField::Sockport, PortCondition::Is(1883));
    let (Who::All(mut a), Who::All(b)) = (is(TextField::Clientid, "a"), is(TextField::Username, "w")) else {
        panic!("mappings");
    };
    a.extend(b);
    a.push(port);
    let whos = [
        Who::Everyone,
        is(TextField::Username, "u"),
        both,
        is(TextField::Protocol, "a"),
        Who::All(a),
        Who::Any(vec![]),
    ];
    let index = RuleIndex::new(whos.iter());
    let found = |clientid, username, first| index.candidates(&client(clientid, username), first).collect::<Vec<_>>();
    assert_eq!(found("a", "u", 0), [0, 1, 2, 3, 4]);
    assert_eq!(found("a", "u", 2), [2, 3, 4]);
    assert_eq!(found("b", "u", 0), [0, 1, 2, 3]);
    assert_eq!(found("b", "w", 0), [0, 3]);
    assert_eq!(found("u", "a", 1), [3]);
    assert_eq!(found("a", "u", 5), [0; 0]);
}

fn topics(verdict: Verdict, who: Who, publish: &[&str], subscribe: &[&str]) -> AclRule {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::filter(text).unwrap()).collect();
    AclRule {
        id: String::new(),
        verdict,
        who,
        publish: patterns(publish),
        subscribe: patterns(subscribe),
        mode: Mode::Enforce,
        line: 1,
    }
}

fn both(verdict: Verdict, who: Who, filters: &[&str]) -> AclRule {
    topics(verdict, who, filters, filters)
}

#[track_caller]
fn check(policy: &Policy, action: Action, topic: &str, verdict: Verdict, rule: &str) {
    let found = policy.check_acl(&client("a", "u"), action, topic, &lists());
    assert_eq!(found, Decision { verdict, rule }, "{action:?} {topic}");
}

use Action::{Publish, Subscribe};

#[test]
fn the_first_rule_that_matches_decides_a_topic() {
    let policy = acl(
        Deny,
        vec![
            both(Deny, Who::Everyone, &["ops/secret/#"]),
            topics(Allow, listed(0), &["dev/${clientid}/up/#"], &["dev/${clientid}/down/#"]),
            topics(Allow, is(TextField::Clientid, "b"), &["#"], &["#"]),
            topics(Allow, is(TextField::Username, "u"), &[], &["ops/+", "dev/#"]),
            topics(Ignore, Who::Everyone, &["else/#"], &[]),
        ],
    );
    check(&policy, Publish, "ops/secret/x", Deny, "r0");
    check(&policy, Publish, "dev/a/up/t", Allow, "r1");
    check(&policy, Publish, "dev/b/up/t", Deny, "default");
    check(&policy, Publish, "dev/a/down/t", Deny, "default");
    check(&policy, Subscribe, "dev/a/down/+", Allow, "r1");
    check(&policy, Subscribe, "dev/+/down/+", Allow, "r3");
    check(&policy, Subscribe, "#", Deny, "r0");
    check(&policy, Subscribe, "ops/+", Deny, "r0");
    check(&policy, Subscribe, "ops/+/+", Deny, "r0");
    check(&policy, Subscribe, "ops/x", Allow, "r3");
    check(&policy, Publish, "else/x", Ignore, "r4");
    check(&policy, Subscribe, "else/x", Deny, "default");
    check(&policy, Publish, "dev/+", Deny, "invalid-topic");
    check(&policy, Subscribe, "dev/#/x", Deny, "invalid-topic");
    check(&policy, Publish, "", Deny, "invalid-topic");
    check(&acl(Allow, vec![]), Subscribe, "#", Allow, "default");
    check(&acl(Allow, vec![]), Subscribe, "a+", Deny, "invalid-topic");
    check(&Policy::compile(model(None, None)), Publish, "x", Ignore, "default");
    check(&Policy::compile(model(None, None)), Publish, "+", Ignore, "default");
}

#[test]
fn a_list_is_needed_only_where_the_topics_match() {
    for who in [listed(1), unlisted(1)] {
        for verdict in [Allow, Deny, Ignore] {
            let policy = acl(Allow, vec![both(verdict, who.clone(), &["x/y"]), both(Deny, Who::Everyone, &["z"])]);
            for action in [Publish, Subscribe] {
                check(&policy, action, "x/y", Deny, "error");
                check(&policy, action, "x/z", Allow, "default");
                check(&policy, action, "z", Deny, "r1");
            }
            // An allow rule that does not cover the whole cannot match, whatever the list holds.
            let (expected, rule) = if verdict == Allow { (Allow, "default") } else { (Deny, "error") };
            check(&policy, Subscribe, "x/+", expected, rule);
        }
    }
}

#[test]
fn an_ignore_rule_about_a_part_keeps_the_whole_from_being_allowed() {
    let rules = |last| vec![both(Ignore, Who::Everyone, &["x/y"]), both(last, Who::Everyone, &["x/#"])];
    check(&acl(Deny, rules(Allow)), Subscribe, "x/y", Ignore, "r0");
    check(&acl(Deny, rules(Allow)), Subscribe, "x/z", Allow, "r1");
    check(&acl(Deny, rules(Allow)), Subscribe, "x/+", Ignore, "r0");
    check(&acl(Deny, rules(Allow)), Subscribe, "x/#", Ignore, "r0");
    check(&acl(Deny, rules(Allow)), Subscribe, "#", Deny, "default");
    check(&acl(Allow, rules(Deny)), Subscribe, "x/#", Deny, "r1");
    check(&acl(Allow, rules(Ignore)), Subscribe, "x/#", Ignore, "r1");
    check(&acl(Allow, rules(Allow)), Subscribe, "#", Ignore, "r0");
    check(&acl(Ignore, rules(Allow)), Subscribe, "#", Ignore, "default");
    let twice = vec![
        both(Ignore, Who::Everyone, &["x/1"]),
        both(Ignore, Who::Everyone, &["x/2"]),
        both(Allow, Who::Everyone, &["#"]),
    ];
    check(&acl(Deny, twice), Subscribe, "x/+", Ignore, "r0");
    let another = vec![both(Ignore, is(TextField::Clientid, "b"), &["x/1"]), both(Allow, Who::Everyone, &["#"])];
    check(&acl(Deny, another), Subscribe, "x/+", Allow, "r1");
}

#[test]
fn the_hooks_are_what_the_policy_needs() {
    #[track_caller]
    fn check(change: impl Fn(&mut Model), expected: &[&str]) {
        let mut model = model(None, None);
        change(&mut model);
        let hooks = Policy::compile(model).hooks();
        assert_eq!(hooks.iter().map(|hook| hook.name()).collect::<Vec<_>>(), expected);
    }
    fn keep(model: &mut Model, change: fn(&mut Record)) {
        let mut record =
            Record { connections: false, denials: false, attempts: false, subscriptions: false, messages: false };
        change(&mut record);
        model.history = Some(HistoryDef { database: "h.db".into(), keep: None, sync: Sync::Normal, record });
    }
    check(|_| {}, &[]);
    check(|model| model.auth = Some(Section { default: Deny, rules: vec![] }), &["client_authenticate"]);
    check(|model| model.acl = Some(Section { default: Deny, rules: vec![] }), &["client_check_acl"]);
    check(|model| model.log.decisions = true, &[]);
    check(|model| model.log.connections = true, &["client_connected", "client_disconnected"]);
    check(|model| keep(model, |record| record.denials = true), &[]);
    check(
        |model| keep(model, |record| record.connections = true),
        &["client_connected", "client_disconnected", "session_discarded", "session_takeovered"],
    );
    check(|model| keep(model, |record| record.attempts = true), &["client_connect", "client_connack"]);
    check(
        |model| keep(model, |record| record.subscriptions = true),
        &["session_created", "session_subscribed", "session_unsubscribed", "session_terminated"],
    );
    check(|model| keep(model, |record| record.messages = true), &["message_publish"]);
    let tell = [
        "client_connect",
        "client_connack",
        "client_connected",
        "client_disconnected",
        "client_subscribe",
        "client_unsubscribe",
        "session_created",
        "session_resumed",
        "session_discarded",
        "session_takeovered",
        "session_subscribed",
        "session_unsubscribed",
        "session_terminated",
    ];
    check(|model| model.log.events = true, &tell);
}

#[test]
fn a_policy_is_shared_between_threads() {
    fn shared<T: Send + std::marker::Sync>() {}
    shared::<Policy>();
    shared::<Lists>();
}
