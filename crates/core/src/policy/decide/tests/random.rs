//! Random policies against an evaluation without index, order of cost or short cut.

use proptest::prelude::*;
use proptest::sample::select;

use super::generate::*;
use super::*;
use crate::policy::Policy;
use crate::policy::model::{HostCondition, HostField};
use crate::policy::trace::{Outcome, Trace};

/// What a trace says of each rule holds by the plain way, and the rule that decided stands last.
fn check_tried<'r>(trace: &Trace<'_>, asked: &str, rules: usize, of: impl Fn(usize) -> (Option<bool>, &'r [String])) {
    let decided = trace.tried.last().is_some_and(|tried| tried.id == trace.decision.rule);
    let part = trace.tried.iter().any(|tried| matches!(tried.outcome, Outcome::Part { .. }));
    assert!(decided || part || trace.decision == Decision::ERROR || trace.tried.len() == rules, "{trace:?}");
    for (n, tried) in trace.tried.iter().enumerate() {
        let (who, patterns) = of(n);
        let hit = |topic: &str| patterns.iter().any(|pattern| matches(pattern, topic));
        let last = n + 1 == trace.tried.len();
        assert_eq!(tried.id, format!("r{n}"));
        match &tried.outcome {
            Outcome::OtherAction(_) => assert!(patterns.is_empty()),
            Outcome::NotWho(mismatches) => {
                assert!(who == Some(false) && mismatches.iter().all(|one| !one.said.is_empty()));
            }
            Outcome::NotCovered { topic, .. } => {
                let topic = topic.as_ref().unwrap();
                assert!(who != Some(false) && matches(asked, topic) && !hit(topic), "{asked}: {topic}");
            }
            Outcome::NotTouched { .. } => {
                assert!(who != Some(false) && every_topic().iter().all(|topic| !matches(asked, topic) || !hit(topic)));
            }
            Outcome::Part { topic } => {
                let topic = topic.as_ref().unwrap();
                assert!(who == Some(true) && matches(asked, topic) && hit(topic), "{asked}: {topic}");
            }
            Outcome::Limited { by } => assert!(last && who == Some(true) && *by == trace.decision.rule),
            Outcome::CannotTell { lists, fields } => {
                assert!(last && who.is_none() && trace.decision == Decision::ERROR);
                assert!(!lists.is_empty() || !fields.is_empty());
            }
            Outcome::UnknownUser(_) => assert!(who == Some(true)),
            Outcome::UnreadablePasswords(_) => assert!(last && who == Some(true) && trace.decision == Decision::ERROR),
            Outcome::WrongPassword(_) => {
                assert!(last && who == Some(true) && trace.decision == Decision { verdict: Deny, rule: tried.id });
            }
            Outcome::Decided { topic } => {
                assert!(
                    last && who == Some(true) && trace.decision == Decision { verdict: tried.verdict, rule: tried.id }
                );
                assert!(topic.as_ref().is_none_or(|topic| matches(asked, topic) && hit(topic)), "{asked}: {topic:?}");
            }
        }
    }
}

/// Three values the plain way: everything is evaluated, and `None` is unknown.
fn all(values: &[Option<bool>]) -> Option<bool> {
    if values.contains(&Some(false)) {
        Some(false)
    } else if values.contains(&None) {
        None
    } else {
        Some(true)
    }
}

fn not(value: Option<bool>) -> Option<bool> {
    value.map(|value| !value)
}

fn any(values: &[Option<bool>]) -> Option<bool> {
    not(all(&values.iter().copied().map(not).collect::<Vec<_>>()))
}

fn who_holds(who: &Who, client: &Client<'_>, lists: &Contents) -> Option<bool> {
    match who {
        Who::Everyone => Some(true),
        Who::Named(named) => who_holds(&named.who, client, lists),
        Who::Any(each) => any(&each.iter().map(|who| who_holds(who, client, lists)).collect::<Vec<_>>()),
        Who::All(each) => {
            all(&each.iter().map(|condition| condition_holds(condition, client, lists)).collect::<Vec<_>>())
        }
        Who::During(when, who) => {
            let time = client.extra.at.map(|at| when.windows().iter().any(|window| window.holds(at) == Holds::Yes));
            all(&[time, who_holds(who, client, lists)])
        }
    }
}

fn condition_holds(condition: &Condition, client: &Client<'_>, lists: &Contents) -> Option<bool> {
    match condition {
        Condition::Text(TextField::Clientid, condition) => text_holds(condition, client.clientid, client, lists),
        Condition::Text(TextField::Username, condition) => text_holds(condition, client.username, client, lists),
        Condition::Text(TextField::Cn, condition) => text_holds(condition, client.extra.cn?, client, lists),
        Condition::Port(PortField::Peerport, PortCondition::Is(port)) => Some(client.extra.peerport? == *port),
        Condition::Host(HostField::Peerhost, condition) => host_holds(condition, client.peerhost, lists),
        Condition::Port(PortField::Sockport, PortCondition::Is(port)) => Some(client.sockport == *port),
        Condition::Text(..) | Condition::Port(..) | Condition::Flag(..) => panic!("not made here: {condition:?}"),
    }
}

fn text_holds(condition: &TextCondition, value: &str, client: &Client<'_>, lists: &Contents) -> Option<bool> {
    match condition {
        TextCondition::Equals(template) => Some(match template.as_literal() {
            Some(text) => value == text,
            None => !client.username.is_empty() && value == client.username,
        }),
        TextCondition::Matches(_) => panic!("not made here"),
        TextCondition::In(list) => lists[list.0].as_ref().map(|list| list.contains(&value)),
        TextCondition::Not(inner) => not(text_holds(inner, value, client, lists)),
        TextCondition::Any(each) => {
            any(&each.iter().map(|one| text_holds(one, value, client, lists)).collect::<Vec<_>>())
        }
    }
}

fn host_holds(condition: &HostCondition, peer: Peerhost<'_>, lists: &Contents) -> Option<bool> {
    let begins = |network: &str| peer.to_string().starts_with(network.split_once('.').unwrap().0);
    match condition {
        HostCondition::Network(network) => Some(begins(&network.to_string())),
        HostCondition::In(list) => lists[list.0].as_ref().map(|list| list.iter().any(|network| begins(network))),
        HostCondition::Not(inner) => not(host_holds(inner, peer, lists)),
        HostCondition::Any(each) => any(&each.iter().map(|one| host_holds(one, peer, lists)).collect::<Vec<_>>()),
        HostCondition::Address(_) | HostCondition::Matches(_) => panic!("not made here: {condition:?}"),
    }
}

/// A client of a broker that may tell less, and the same of one that tells all.
fn half_told() -> impl Strategy<Value = [Client<'static>; 2]> {
    let told = || prop::bool::weighted(0.7);
    (someone(), told(), told(), told()).prop_map(|(all, cn, peerport, at)| {
        let extra = Extra {
            cn: all.extra.cn.filter(|_| cn),
            peerport: all.extra.peerport.filter(|_| peerport),
            at: all.extra.at.filter(|_| at),
            ..Extra::NONE
        };
        [Client { extra, ..all }, all]
    })
}

/// What a chain of logins comes to where no password source knows anyone: every rule that was asked.
fn chain(policy: &Policy, client: &Client<'_>, lists: &Lists) -> (Vec<usize>, Verdict, String) {
    let mut asked = Vec::new();
    let mut login = policy.authenticate(client, lists);
    loop {
        match login {
            Login::Decided(decision) => return (asked, decision.verdict, decision.rule.to_owned()),
            Login::Password { rule, source } => {
                assert_eq!(source, PasswordId(rule));
                asked.push(rule);
                login = policy.login_after(rule, client, lists);
            }
        }
    }
}

fn naive_chain(rules: &[Login1], client: &Client<'_>, lists: &Contents) -> (Vec<usize>, Verdict, String) {
    let mut asked = Vec::new();
    for (n, rule) in rules.iter().enumerate() {
        match who_holds(&rule.who, client, lists) {
            Some(false) => {}
            None => return (asked, Deny, "error".to_owned()),
            Some(true) if rule.password => asked.push(n),
            Some(true) => return (asked, rule.verdict, format!("r{n}")),
        }
    }
    (asked, Deny, "default".to_owned())
}

#[derive(Debug, Clone)]
struct Topics {
    verdict: Verdict,
    who: Who,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

fn filter() -> impl Strategy<Value = String> {
    let level = || select(vec!["a", "b", "+"]);
    (prop::collection::vec(level(), 0..3), select(vec!["a", "b", "+", "#"])).prop_map(|(mut levels, last)| {
        levels.push(last);
        levels.join("/")
    })
}

fn topic_rules() -> impl Strategy<Value = Vec<Topics>> {
    let filters = || prop::collection::vec(filter(), 0..3);
    let rule = move || {
        let who = prop_oneof![2 => Just(Who::Everyone), 1 => who()];
        (verdict(), who, filters(), filters()).prop_map(|(verdict, who, publish, subscribe)| Topics {
            verdict,
            who,
            publish,
            subscribe,
        })
    };
    // Past a few rules an index finds those that are asked.
    prop_oneof![2 => 0..6_usize, 1 => 9..24_usize].prop_flat_map(move |count| prop::collection::vec(rule(), count))
}

fn matches(filter: &str, topic: &str) -> bool {
    match (filter.split_once('/').unwrap_or((filter, "")), topic.split_once('/').unwrap_or((topic, ""))) {
        (("#", _), _) => true,
        ((filter, _), (topic, _)) if filter != "+" && filter != topic => false,
        ((_, "#" | ""), (_, "")) => true,
        ((_, ""), _) | (_, (_, "")) => false,
        ((_, filter), (_, topic)) => matches(filter, topic),
    }
}

fn naive_acl(
    rules: &[Topics],
    default: Verdict,
    action: Action,
    filter: &str,
    client: &Client<'_>,
    lists: &Contents,
) -> (Verdict, String) {
    let asked: Vec<String> = every_topic().into_iter().filter(|topic| matches(filter, topic)).collect();
    let mut part: Option<String> = None;
    let mut found = (default, "default".to_owned());
    for (n, rule) in rules.iter().enumerate() {
        let patterns = if action == Publish { &rule.publish } else { &rule.subscribe };
        let hit = |topic: &String| patterns.iter().any(|pattern| matches(pattern, topic));
        let (every, some) = (asked.iter().all(hit), asked.iter().any(hit));
        let about = if rule.verdict == Allow { every } else { some };
        match who_holds(&rule.who, client, lists) {
            Some(false) => {}
            _ if !about => {}
            None => return (Deny, "error".to_owned()),
            Some(true) if rule.verdict == Ignore && !every => {
                part.get_or_insert(format!("r{n}"));
            }
            Some(true) => {
                found = (rule.verdict, format!("r{n}"));
                break;
            }
        }
    }
    match part {
        Some(part) if found.0 == Allow => (Ignore, part),
        _ => found,
    }
}

fn compile(default: Verdict, rules: &[Topics]) -> Policy {
    compile_tried(default, rules, &vec![false; rules.len()])
}

/// Some of the rules are in audit mode.
fn compile_tried(default: Verdict, rules: &[Topics], tried: &[bool]) -> Policy {
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::filter(text).unwrap()).collect();
    let rule = |(rule, tried): (&Topics, &bool)| AclRule {
        id: String::new(),
        verdict: rule.verdict,
        who: rule.who.clone(),
        publish: patterns(&rule.publish),
        subscribe: patterns(&rule.subscribe),
        mode: if *tried { Mode::Audit } else { Mode::Enforce },
        line: 1,
    };
    acl(default, rules.iter().zip(tried).map(rule).collect())
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Deny => 0,
        Ignore => 1,
        Allow => 2,
    }
}

proptest! {
    #[test]
    fn logins_are_decided_as_by_trying_every_rule(
        rules in logins(), [client, all] in half_told(), lists in contents(), others in contents(),
        answers in prop::collection::vec(select(vec![Right, Wrong, Unknown, Unknown, Unreadable]), 6),
    ) {
        let rule = |(n, rule): (usize, &Login1)| login(rule.verdict, rule.who.clone(), rule.password.then_some(n));
        let policy = auth(Deny, rules.iter().enumerate().map(rule).collect());
        let found = chain(&policy, &client, &build(&lists));
        prop_assert_eq!(&found, &naive_chain(&rules, &client, &lists));
        let answer = |source: PasswordId| answers[source.0];
        let trace = policy.trace_login(&client, &build(&lists), answer);
        prop_assert_eq!(trace.decision, policy.login(&client, &build(&lists), answer));
        check_tried(&trace, "", rules.len(), |n| (who_holds(&rules[n].who, &client, &lists), &[]));
        let known = filled(&lists, &others);
        let then = chain(&policy, &all, &build(&known));
        prop_assert_ne!(then.2.as_str(), "error", "every list can be read, and every field is told");
        if found.2 != "error" {
            prop_assert_eq!(then, found, "what was decided without a list or a field does not hang on it");
        }
    }

    #[test]
    fn rules_in_audit_mode_change_nothing_and_what_they_would_do_is_known_once_the_login_is_decided(
        rules in logins(), tried in prop::collection::vec(any_bool(), 6), [client, _] in half_told(), lists in contents(),
        answers in prop::collection::vec(select(vec![Right, Wrong, Unknown, Unknown, Unreadable]), 6),
    ) {
        let rule = |(n, rule): (usize, &Login1)| {
            let password = rule.password.then_some(n).filter(|_| !tried[n]);
            let mode = if tried[n] { Mode::Audit } else { Mode::Enforce };
            AuthRule { mode, id: format!("r{n}"), ..login(rule.verdict, rule.who.clone(), password) }
        };
        let all: Vec<AuthRule> = rules.iter().enumerate().map(rule).collect();
        let carried_out = all.iter().filter(|rule| rule.mode == Mode::Enforce).cloned().collect();
        let as_enforced = all.iter().map(|rule| AuthRule { mode: Mode::Enforce, ..rule.clone() }).collect();
        let of = |rules| Policy::compile(model(Some(Section { default: Deny, rules }), None));
        let (policy, carried_out, as_enforced) = (of(all), of(carried_out), of(as_enforced));
        let lists = build(&lists);
        let answer = |source: PasswordId| answers[source.0];
        let mut said = Vec::new();
        let decision = policy.login(&client, &lists, |source| {
            said.push((source, answer(source)));
            answer(source)
        });
        prop_assert_eq!(decision, carried_out.login(&client, &lists, answer));
        prop_assert_eq!(policy.trial().is_some(), tried.iter().take(rules.len()).any(|tried| *tried));
        let would = policy.would_login(&client, &lists, &said).map(|(would, _)| would);
        prop_assert_eq!(would.unwrap_or(decision), as_enforced.login(&client, &lists, answer));
        prop_assert!(would.is_some() || policy.trial().is_none());
        if let Some(would) = would.filter(|would| *would != decision) {
            let by_tried = policy.tried_logins().any(|rule| rule.id == would.rule);
            prop_assert!(by_tried || would == Decision::ERROR, "{:?}, not {:?}", would, decision);
        }
    }

    #[test]
    fn rules_in_audit_mode_change_nothing_about_topics(
        rules in topic_rules(), tried in prop::collection::vec(prop::bool::weighted(0.3), 24), default in verdict(),
        filter in filter(), [client, _] in half_told(), lists in contents(),
    ) {
        let flagged = compile_tried(default, &rules, &tried);
        let left: Vec<Topics> = rules.iter().zip(&tried).filter(|(_, tried)| !**tried).map(|(rule, _)| rule.clone()).collect();
        let (all, left) = (compile(default, &rules), compile(default, &left));
        let readable = build(&lists);
        let ids: Vec<String> = (0..rules.len()).filter(|n| !tried[*n]).map(|n| format!("r{n}")).collect();
        let renamed = |rule: &str| rule.strip_prefix('r').and_then(|n| n.parse::<usize>().ok()).map_or(rule.to_owned(), |n| ids[n].clone());
        for action in [Publish, Subscribe] {
            let decision = flagged.check_acl(&client, action, &filter, &readable);
            let plain = left.check_acl(&client, action, &filter, &readable);
            prop_assert_eq!((decision.verdict, decision.rule.to_owned()), (plain.verdict, renamed(plain.rule)));
            let would = flagged.trial().unwrap_or(flagged.rules()).check_acl(&client, action, &filter, &readable);
            prop_assert_eq!(would, all.check_acl(&client, action, &filter, &readable));
        }
    }

    #[test]
    fn topics_are_decided_as_by_trying_every_rule_and_topic(
        rules in topic_rules(), default in verdict(), filter in filter(), [client, all] in half_told(), lists in contents(),
        others in contents(),
    ) {
        let policy = compile(default, &rules);
        let readable = build(&lists);
        let ask = |action, topic: &str| {
            let decision = policy.check_acl(&client, action, topic, &readable);
            (decision.verdict, decision.rule.to_owned())
        };
        let whole = ask(Subscribe, &filter);
        prop_assert_eq!(&whole, &naive_acl(&rules, default, Subscribe, &filter, &client, &lists));
        let trace = policy.trace_acl(&client, Subscribe, &filter, &readable);
        prop_assert_eq!((trace.decision.verdict, trace.decision.rule), (whole.0, whole.1.as_str()));
        check_tried(&trace, &filter, rules.len(), |n| (who_holds(&rules[n].who, &client, &lists), &rules[n].subscribe));
        let known = build(&filled(&lists, &others));
        let then = policy.check_acl(&all, Subscribe, &filter, &known);
        prop_assert!(whole.1 == "error" || (then.verdict, then.rule) == (whole.0, whole.1.as_str()));
        for topic in every_topic().iter().filter(|topic| matches(&filter, topic)).step_by(7) {
            let trace = policy.trace_acl(&client, Publish, topic, &readable);
            prop_assert_eq!(ask(Publish, topic), (trace.decision.verdict, trace.decision.rule.to_owned()));
            check_tried(&trace, topic, rules.len(), |n| (who_holds(&rules[n].who, &client, &lists), &rules[n].publish));
            prop_assert_eq!(ask(Publish, topic), naive_acl(&rules, default, Publish, topic, &client, &lists));
            let one = policy.check_acl(&all, Subscribe, topic, &known);
            prop_assert!(rank(then.verdict) <= rank(one.verdict), "{}: {:?}, but {}: {:?}", filter, then, topic, one);
        }
    }
}
