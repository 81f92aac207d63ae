//! The policy decides as the other broker does, but for what its comments say.

use std::path::Path;

use proptest::prelude::*;

use self::oracle::{Asker, Topic, Who};
use super::{acl_conf, mosquitto};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::{Action, Client, Extra, Peerhost};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::{self, Policy};

#[path = "../../../../tests/convert/oracle.rs"]
mod oracle;

fn compiled(yaml: &str) -> Policy {
    match policy::parse(yaml, "converted", Path::new("")) {
        Ok(loaded) => Policy::compile(loaded.model),
        Err(report) => panic!("{report}\n{yaml}"),
    }
}

fn allows(policy: &Policy, who: (&str, &str), action: Action, topic: &str) -> bool {
    let client = Client {
        clientid: who.0,
        username: who.1,
        peerhost: Peerhost::parse("10.0.0.1"),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "n",
        is_superuser: false,
        anonymous: false,
        extra: Extra::NONE,
    };
    policy.check_acl(&client, action, topic, &Lists::default()).verdict == Verdict::Allow
}

/// A topic name against a filter, as every MQTT broker does it.
fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') != filter.starts_with('$') {
        return false;
    }
    let mut names = name.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[derive(Debug, Clone)]
struct Line {
    allow: bool,
    who: &'static str,
    access: &'static str,
    topic: &'static str,
}

fn line(who: &'static [&'static str], access: &'static [&'static str]) -> impl Strategy<Value = Line> {
    const TOPICS: &[&str] = &["a", "a/b", "a/+", "a/#", "#", "+/b", "$x/#", "a/%c", "%u/b", "%u/%c"];
    (any::<bool>(), prop::sample::select(who), prop::sample::select(access), prop::sample::select(TOPICS))
        .prop_map(|(allow, who, access, topic)| Line { allow, who, access, topic })
}

const CLIENTS: [(&str, &str); 4] = [("a", "b"), ("b", "b"), ("b", ""), ("a", "c")];
const NAMES: [&str; 14] =
    ["a", "a/b", "a/a", "b/b", "c/a", "a/b/c", "$x/a", "c", "b/a", "a/%u", "%u/b", "%u/a", "$x/%u", "/b"];

/// Without a name, a level `%u` is left as it is.
fn filled(topic: &str, (clientid, username): (&str, &str)) -> String {
    let user = if username.is_empty() { "%u" } else { username };
    topic.replace("%c", clientid).replace("%u", user)
}

fn acl_conf_line() -> impl Strategy<Value = oracle::Line> {
    const TOPICS: &[&str] = &[
        "a", "a/b", "a/+", "a/#", "#", "+", "+/b", "+/#", "$x/#", "a/%c", "a/%u", "%u/b", "%u/%c", "+/%c", "+/%u",
        "%u/#", "%u/+",
    ];
    let who =
        || prop::sample::select(vec![Who::All, Who::Client("a"), Who::User("b"), Who::Inside("10.0.0.0/8", "10.")]);
    let who = prop_oneof![
        3 => who(),
        1 => prop::collection::vec(who(), 0..3).prop_map(Who::And),
        1 => prop::collection::vec(who(), 0..3).prop_map(Who::Or),
    ];
    let topic = prop_oneof![
        5 => prop::sample::select(TOPICS).prop_map(Topic::Filter),
        1 => prop::sample::select(&["a", "a/b", "$x"][..]).prop_map(Topic::Eq),
    ];
    let access = prop::sample::select(&["publish", "subscribe", "pubsub"][..]);
    (any::<bool>(), who, access, prop::collection::vec(topic, 0..3))
        .prop_map(|(allow, who, access, topics)| oracle::Line { allow, who, access, topics })
}

fn mosquitto_allows(lines: &[Line], client: (&str, &str), action: Action, name: &str) -> bool {
    let of = |line: &Line, subject: &str| {
        let own = match subject {
            "pattern" => line.who == "pattern" && (!client.1.is_empty() || !line.topic.contains("%u")),
            _ => line.who == client.1,
        };
        let topic = if subject == "pattern" { filled(line.topic, client) } else { line.topic.to_owned() };
        own && matches(&topic, name)
    };
    let grants = |line: &Line| match line.access {
        "read" => action == Action::Subscribe,
        "write" => action == Action::Publish,
        _ => true,
    };
    for subject in ["user", "pattern"] {
        if lines.iter().any(|line| !line.allow && of(line, subject)) {
            return false;
        }
        if lines.iter().any(|line| line.allow && of(line, subject) && grants(line)) {
            return true;
        }
    }
    false
}

proptest! {
    /// But for topics that begin with `$`, which wildcards of rules that allow do not reach here,
    /// and what rules with `%u` are to clients without a username: here they may be those that give
    /// the empty one.
    #[test]
    fn an_acl_conf_decides_single_topics_as_before(
        lines in prop::collection::vec(acl_conf_line(), 1..6),
        end in prop::sample::select(&["{deny, all}.", "{allow, all}.", ""][..]),
    ) {
        let shown: Vec<String> = lines.iter().map(ToString::to_string).chain([end.to_owned()]).collect();
        let text = shown.join("\n");
        let policy = compiled(&acl_conf(&text).unwrap().to_string());
        for (clientid, username) in CLIENTS {
            let asker = Asker { clientid, username, peerhost: "10.0.0.1" };
            for (action, name) in [Action::Publish, Action::Subscribe].into_iter().flat_map(|a| NAMES.map(|n| (a, n))) {
                let there = oracle::decided(&lines, asker, action.as_str(), name).unwrap_or(end.contains("allow"));
                let here = allows(&policy, (clientid, username), action, name);
                prop_assert!(there || !here, "{:?} {:?} {}: opens\n{}", asker, action, name, text);
                let is_stricter = name.starts_with('$') || (username.is_empty() && name.split('/').any(|level| ["", "%u"].contains(&level)));
                prop_assert!(here || !there || is_stricter, "{:?} {:?} {}: closes\n{}", asker, action, name, text);
            }
        }
    }

    #[test]
    fn an_acl_file_decides_single_topics_as_before(
        lines in prop::collection::vec(line(&["", "b", "c", "pattern"], &["read", "write", "readwrite"]), 1..6),
    ) {
        let mut text = String::new();
        let ordered = ["", "b", "c", "pattern"].into_iter().flat_map(|who| lines.iter().filter(move |line| line.who == who));
        // Outside of `pattern`, `%c` is text, which a policy cannot say.
        let lines: Vec<Line> = ordered.filter(|line| line.who == "pattern" || !line.topic.contains('%')).cloned().collect();
        for line in &lines {
            if !["", "pattern"].contains(&line.who) {
                text.extend(["user ", line.who, "\n"]);
            }
            let word = if line.who == "pattern" { "pattern" } else { "topic" };
            text.extend([word, " ", if line.allow { line.access } else { "deny" }, " ", line.topic, "\n"]);
        }
        let policy = compiled(&mosquitto(Some(&text), None).unwrap().to_string());
        for client in CLIENTS {
            for (action, name) in [Action::Publish, Action::Subscribe].into_iter().flat_map(|a| NAMES.map(|n| (a, n))) {
                let expected = mosquitto_allows(&lines, client, action, name);
                let found = allows(&policy, client, action, name);
                // Who gives no username may be one that gives the empty one.
                let is_stricter = client.1.is_empty() && name.starts_with('/') && expected && !found;
                prop_assert!(found == expected || is_stricter, "{:?} {:?} {}: {}\n{}", client, action, name, found, text);
            }
        }
    }
}

/// The broker compares the levels of a rule with those of a topic, and `$` is nothing special to it
/// there.
#[test]
fn a_wildcard_of_acl_conf_that_denies_reaches_dollar_topics() {
    #[track_caller]
    fn check(filter: &str, denied: &[&str], allowed: &[&str]) {
        let text = format!("{{deny, {{user, \"b\"}}, pubsub, [\"{filter}\"]}}.\n{{allow, all}}.\n");
        let policy = compiled(&acl_conf(&text).unwrap().to_string());
        for action in [Action::Publish, Action::Subscribe] {
            for topic in denied {
                assert!(!allows(&policy, ("a", "b"), action, topic), "{filter} {topic}");
            }
            for topic in allowed {
                assert!(allows(&policy, ("a", "b"), action, topic), "{filter} {topic}");
                assert!(allows(&policy, ("a", "c"), action, topic), "{filter} {topic}");
            }
        }
    }
    check("#", &["a", "$SYS", "$SYS/brokers"], &[]);
    check("+", &["a", "$SYS"], &["$SYS/brokers", "a/b"]);
    check("+/x.y/+", &["a/x.y/b", "$SYS/x.y/b"], &["$SYS/xay/b", "$SYS/x.y", "$SYS/x.y/b/c"]);
    check("+/%c/#", &["a/a", "$SYS/a", "$SYS/a/b/c"], &["$SYS/b", "$SYS/ab", "$SYS"]);
    check("$SYS/#", &["$SYS", "$SYS/a"], &["a", "$other/a"]);
    check("a/#", &["a", "a/b"], &["$SYS/a"]);
}

/// The broker leaves a level `%u` as it is for them, so what it denies is a topic with these
/// letters.
#[test]
fn what_is_denied_to_clients_without_a_username_stays_denied() {
    #[track_caller]
    fn check(rule: &str, topic: &str, denied_without: bool) {
        let policy = compiled(&acl_conf(&format!("{rule}.\n{{allow, all}}.\n")).unwrap().to_string());
        for action in [Action::Publish, Action::Subscribe] {
            assert_eq!(!allows(&policy, ("a", ""), action, topic), denied_without, "{rule} {topic}");
            assert!(allows(&policy, ("a", "b"), action, topic), "{rule} {topic}");
        }
    }
    check("{deny, all, pubsub, [\"a/%u\"]}", "a/%u", true);
    check("{deny, all, pubsub, [\"a/%u\"]}", "a/", true);
    check("{deny, all, pubsub, [\"%u/x.y/#\"]}", "%u/x.y", true);
    check("{deny, all, pubsub, [\"%u/x.y/#\"]}", "%u/x.y/z", true);
    check("{deny, all, pubsub, [\"%u/x.y/#\"]}", "%u/xay", false);
    check("{deny, all, pubsub, [\"+/%u/%c\"]}", "$x/%u/a", true);
    check("{deny, all, pubsub, [\"+/%u/%c\"]}", "x/%u/a", true);
    check("{deny, all, pubsub, [\"+/%u/%c\"]}", "x/%u/b", false);
    check("{deny, {client, \"a\"}, pubsub, [\"c\", \"%u\"]}", "%u", true);
    check("{deny, {client, \"b\"}, pubsub, [\"%u\"]}", "%u", false);
    check("{deny, {user, \"c\"}, pubsub, [\"%u\"]}", "%u", false);
}

#[test]
fn hostile_files_end_in_a_message() {
    for text in ["{", "[[[[", "}", ".", "\u{2603}", "{allow, \"", "<<", "<<\"a\"", "{allow,,all}.", "1.5.", "X."] {
        assert!(acl_conf(text).is_err(), "{text:?}");
    }
    assert!(acl_conf(&"[".repeat(100_000)).is_err());
    let alternatives = "{'or', [{client, \"a\"}, {client, \"b\"}, {user, \"c\"}]}, ".repeat(20);
    let rule = format!("{{allow, {{'and', [{alternatives}all]}}, publish, [\"a\"]}}.");
    let problems = acl_conf(&rule).unwrap_err();
    assert_eq!(problems[0].message, "the rule has too many alternatives");
}

#[test]
fn texts_are_written_so_that_yaml_reads_them_back() {
    let id = "a\"b\\c #: {[&*!|>'%@` \u{7f}\u{85}é\u{2028}";
    let topic = format!("t/{}/x", id.replace('#', ""));
    let text = format!("user {id}\ntopic read {topic}\n");
    let policy = compiled(&mosquitto(Some(&text), None).unwrap().to_string());
    assert!(allows(&policy, ("c", id), Action::Subscribe, &topic));
}
