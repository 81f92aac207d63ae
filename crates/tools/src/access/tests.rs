use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use exhook_policy_core::decision::{DEFAULT, Mode, Verdict};
use exhook_policy_core::event::{Action, Client};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{AclRule, ClientField, Who};
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::policy::{Found, Policy};
use exhook_policy_core::text::Identity;
use exhook_policy_core::topic::{Pattern, Patterns, Request, Syntax};

#[path = "../../../core/src/policy/decide/tests/generate.rs"]
mod generate;
use generate::{Login1, acl, auth, build, contents, every_topic, filled, login, logins, someone, verdict, who};

fn is(who: Option<&Who>, client: &Client<'_>, lists: &Lists) -> bool {
    who.is_none_or(|who| who.holds(client, lists) == Holds::Yes)
}

fn matches(case: &ClientCase<'_>, client: &Client<'_>, lists: &Lists) -> bool {
    let value = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
    value(&case.identity.clientid, client.clientid)
        && value(&case.identity.username, client.username)
        && is(case.rest.as_ref(), client, lists)
}

/// Whether the answer says that the client can.
fn says(answer: &WhoCan<'_>, client: &Client<'_>, lists: &Lists, found: impl Fn(&str) -> Found) -> bool {
    answer.allowed.iter().any(|answer| {
        let taken = |except: &ExceptedClients<'_>| {
            matches(&except.case, client, lists) && except.password.is_none_or(|name| found(name) != Found::Unknown)
        };
        matches(&answer.case, client, lists)
            && answer.password.is_none_or(|name| found(name) == Found::Right)
            && !answer.except.iter().any(taken)
    })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let level = || select(vec!["a", "b", "+", "${clientid}", "${username}", "x${clientid}", "${username}-${clientid}"]);
    let filter = (prop::collection::vec(level(), 0..3), select(vec!["a", "${clientid}", "+", "#"]));
    let filter = filter.prop_map(|(mut levels, last)| {
        levels.push(last);
        Pattern::filter(&levels.join("/")).unwrap()
    });
    let rich = select(vec!["a/*", "${clientid}/**", "a/{b,${username}}", "[ab]/x"])
        .prop_map(|text| Pattern::glob(text).unwrap());
    prop_oneof![4 => filter, 1 => rich]
}

fn topic_rules() -> impl Strategy<Value = Vec<AclRule>> {
    let patterns = || prop::collection::vec(pattern(), 0..3);
    let who = prop_oneof![1 => Just(Who::Everyone), 2 => who()];
    let rule = (verdict(), who, patterns(), patterns()).prop_map(|(verdict, who, publish, subscribe)| AclRule {
        id: String::new(),
        verdict,
        who,
        publish,
        subscribe,
        mode: Mode::Enforce,
        line: 1,
    });
    prop::collection::vec(rule, 0..6)
}

fn asked() -> impl Strategy<Value = (Action, String)> {
    let level = |wild| {
        select(if wild { vec!["a", "b", "xa", "a-b", "x", "+", "#"] } else { vec!["a", "b", "xa", "a-b", "x", ""] })
    };
    any::<bool>().prop_flat_map(move |publish| {
        let action = if publish { Action::Publish } else { Action::Subscribe };
        prop::collection::vec(level(!publish), 1..4).prop_map(move |levels| {
            let end = levels.iter().position(|level| *level == "#").map_or(levels.len(), |at| at + 1);
            (action, levels[..end].join("/"))
        })
    })
}

/// A client of whom some fields are hidden.
fn hidden<'a>(client: &Client<'a>, hide: [bool; 7]) -> KnownClient<'a> {
    const HIDDEN: [&str; 6] = ["clientid", "username", "peerhost", "sockport", "cn", "peerport"];
    let all = KnownClient::from(*client);
    let hides = |field: ClientField| HIDDEN.iter().zip(hide).any(|(name, hides)| hides && field.name() == *name);
    KnownClient { at: all.at.filter(|_| !hide[6]), ..all.without(hides) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_left_holds_where_the_whole_does(who in who(), client in someone(), hide in any::<[bool; 7]>(), lists in contents(), others in contents()) {
        let lists = build(&filled(&lists, &others));
        let holds = who.holds(&client, &lists) == Holds::Yes;
        match hidden(&client, hide).match_kind(&who) {
            PartialMatch::No => prop_assert!(!holds),
            PartialMatch::Yes => prop_assert!(holds),
            PartialMatch::Open(left) => prop_assert_eq!(left.holds(&client, &lists) == Holds::Yes, holds, "{:?}", left),
        }
    }

    #[test]
    fn who_can_do_it_is_who_is_allowed_it(
        rules in topic_rules(), default in verdict(), (action, topic) in asked(), clients in prop::collection::vec(someone(), 1..6),
        lists in contents(), others in contents(),
    ) {
        let policy = acl(default, rules);
        let lists = build(&filled(&lists, &others));
        for client in clients {
            let answer = WhoCan::ask(&policy, AccessQuestion::Topic(action, &topic), client.extra.at.unwrap());
            if answer.unsettled && (client.clientid.is_empty() || client.username.is_empty()) {
                continue;
            }
            let decision = policy.check_acl(&client, action, &topic, &lists);
            let said = says(&answer, &client, &lists, |_| Found::Unknown);
            prop_assert_eq!(said, decision.verdict == Verdict::Allow, "{:?} {:?}: {:?}", client, decision, answer);
        }
    }

    #[test]
    fn who_can_log_in_is_who_is_let_in(
        rules in logins(), client in someone(), lists in contents(), others in contents(),
        answers in prop::collection::vec(select(vec![Found::Right, Found::Wrong, Found::Unknown]), 6),
    ) {
        let policy = login_policy(&rules);
        let lists = build(&filled(&lists, &others));
        let decision = policy.login(&client, &lists, |source| answers[source.0]);
        let answer = WhoCan::ask(&policy, AccessQuestion::Connect, client.extra.at.unwrap());
        let said = says(&answer, &client, &lists, |name| answers[name.parse::<usize>().unwrap()]);
        prop_assert_eq!(said, decision.verdict == Verdict::Allow, "{:?} {:?}", decision, answer);
    }

    #[test]
    fn what_a_client_can_do_follows_from_what_is_said_of_it(
        rules in topic_rules(), default in verdict(), client in someone(), hide in any::<[bool; 7]>(),
        lists in contents(), others in contents(),
    ) {
        let policy = acl(default, rules);
        let lists = build(&filled(&lists, &others));
        let answer = WhatCan::ask(&policy, &hidden(&client, hide));
        for topic in every_topic().iter().step_by(3) {
            let decision = policy.check_acl(&client, Action::Publish, topic, &lists);
            let about = |step: &&PossibleTopicRule<'_>| is(step.if_.as_ref(), &client, &lists) && reaches(step, &client, topic);
            let steps = answer.publish.as_ref().unwrap();
            let first = steps.iter().find(about);
            prop_assert_eq!(first.map_or(DEFAULT, |step| step.rule), decision.rule, "{}: {:?}", topic, answer);
            if decision.verdict != Verdict::Allow && decision.rule != DEFAULT {
                for later in steps.iter().filter(about).filter(|step| step.verdict == Verdict::Allow) {
                    prop_assert!(later.except.contains(&decision.rule), "{}: {:?}", topic, answer);
                }
            }
        }
    }

    #[test]
    fn what_becomes_of_a_login_follows_from_what_is_said_of_it(
        rules in logins(), client in someone(), hide in any::<[bool; 7]>(), lists in contents(), others in contents(),
        answers in prop::collection::vec(select(vec![Found::Right, Found::Wrong, Found::Unknown]), 6),
    ) {
        let policy = login_policy(&rules);
        let lists = build(&filled(&lists, &others));
        let decision = policy.login(&client, &lists, |source| answers[source.0]);
        let answer = WhatCan::ask(&policy, &hidden(&client, hide));
        let knows = |name: &str| answers[name.parse::<usize>().unwrap()] != Found::Unknown;
        let first = answer.logins.iter().flatten().find(|step| is(step.if_.as_ref(), &client, &lists) && step.password.is_none_or(knows));
        prop_assert_eq!(first.map_or(DEFAULT, |step| step.rule), decision.rule, "{:?}", answer);
        prop_assert!(first.is_some() || answer.login_default.is_some());
    }
}

fn login_policy(rules: &[Login1]) -> Policy {
    let rule = |(n, rule): (usize, &Login1)| login(rule.verdict, rule.who.clone(), rule.password.then_some(n));
    auth(Verdict::Deny, rules.iter().enumerate().map(rule).collect())
}

/// Whether the patterns of a step, as they are told, reach a topic name.
fn reaches(step: &PossibleTopicRule<'_>, client: &Client<'_>, topic: &str) -> bool {
    let pattern = |filled: &FilledPattern| match filled.syntax {
        Syntax::Filter => Pattern::filter(&filled.text).unwrap(),
        Syntax::Glob => Pattern::glob(&filled.text).unwrap(),
        Syntax::Regex => Pattern::regex(&filled.text).unwrap(),
    };
    let patterns = Patterns::new(step.patterns.iter().map(pattern).collect());
    let request = Request::parse(Action::Publish, topic).unwrap();
    let identity = Identity { clientid: client.clientid, username: client.username };
    if step.verdict == Verdict::Allow { patterns.cover(&request, identity) } else { patterns.touch(&request, identity) }
}
