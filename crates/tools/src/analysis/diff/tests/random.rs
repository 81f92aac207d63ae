//! Random pairs of policies against every client, list, password and topic of a small world.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::analysis::ClientQuestion;
use exhook_policy_core::event::{Action, Client, Extra, Peerhost};
use exhook_policy_core::policy::Found;
use exhook_policy_core::policy::lists::{List, Lists};
use exhook_policy_core::policy::model::{ListSource, PasswordId};

const NAMES: [&str; 7] = ["a", "b", "ab", "", "a/b", "z", "$x"];
const USERNAMES: [&str; 5] = ["a", "b", "", "$x", "z"];
const PEERS: [&str; 2] = ["10.0.0.1", "192.0.2.1"];
/// A workday and a weekend of two years, by day and by night.
const TIMES: [i64; 6] = [
    NOW,
    NOW + 14 * 3_600_000,
    NOW + 4 * 86_400_000,
    NOW + 35 * 86_400_000,
    NOW + 35 * 86_400_000 + 14 * 3_600_000,
    NOW + 39 * 86_400_000,
];
/// 2026-12-01T09:00Z, a Tuesday.
const NOW: i64 = 1_796_115_600_000;
/// Who may be in the list that is read from a file.
const FLEET: [&str; 3] = ["a", "b", "z"];

/// A rule of either section, its id a number.
#[derive(Debug, Clone)]
struct Rule {
    id: usize,
    verdict: &'static str,
    who: &'static str,
    /// The password source of a login rule, or the patterns of the other.
    what: String,
}

#[derive(Debug, Clone)]
struct Text {
    mode: &'static str,
    /// Entries of the inline list.
    some: Vec<&'static str>,
    devices: &'static str,
    auth: Option<(&'static str, Vec<Rule>)>,
    acl: Option<(&'static str, Vec<Rule>)>,
}

impl Text {
    fn yaml(&self) -> String {
        let mut yaml =
            format!("mode: {}\nlists: {{ fleet: {{ file: fleet.txt }}, some: {:?} }}\n", self.mode, self.some);
        writeln!(yaml, "clients: {{ devices: {} }}", self.devices).unwrap();
        yaml.push_str("passwords: { p: { file: p.passwd }, q: { file: q.passwd } }\n");
        for (name, section) in [("auth", &self.auth), ("acl", &self.acl)] {
            let Some((default, rules)) = section else { continue };
            writeln!(yaml, "{name}:\n  default: {default}\n  rules:").unwrap();
            for Rule { id, verdict, who, what } in rules {
                let what = if *verdict == "allow" || name == "acl" { what.as_str() } else { "" };
                writeln!(yaml, "    - {{ id: r{id}, {verdict}: {who}{what} }}").unwrap();
            }
            if rules.is_empty() {
                yaml.push_str("    []\n");
            }
        }
        yaml
    }
}

fn verdict() -> impl Strategy<Value = &'static str> {
    select(vec!["allow", "allow", "deny", "deny", "ignore"])
}

fn who() -> impl Strategy<Value = &'static str> {
    select(vec![
        "everyone",
        "{ clientid: a }",
        "{ clientid: a }, when: { days: mon-fri, hours: \"08:00-18:00\", zone: Europe/Berlin }",
        "everyone, when: { until: 2026-12-31 }",
        "everyone, when: [{ days: sat-sun }, { from: 2027-01-01, hours: \"22:00-06:00\" }]",
        "{ clientid: [a, b] }",
        "{ username: b }",
        "{ username: \"${clientid}\" }",
        "{ clientid: { in: fleet } }",
        "{ clientid: { in: some } }",
        "{ clientid: { not: { in: fleet } } }",
        "{ clientid: { glob: \"a*\" } }",
        "{ username: { not: b }, peerhost: 10.0.0.0/8 }",
        "{ peerhost: 10.0.0.0/8 }",
        "devices",
        "[devices, { clientid: b }]",
    ])
}

fn login_rule() -> impl Strategy<Value = Rule> {
    (0..1_000_usize, verdict(), who(), select(vec!["", ", password: p", ", password: q"]))
        .prop_map(|(id, verdict, who, what)| Rule { id, verdict, who, what: what.to_owned() })
}

fn topic_rule() -> impl Strategy<Value = Rule> {
    let pattern = select(vec![
        "\"a/#\"",
        "\"a/+\"",
        "b",
        "\"+/b\"",
        "\"#\"",
        "\"a/${clientid}\"",
        "\"${username}/#\"",
        "\"$x/#\"",
        "{ glob: \"a/*\" }",
        "{ glob: \"**/b\" }",
        "{ regex: \"a/[ab]\" }",
        "{ regex: \"[^/]*\" }",
    ]);
    let direction = select(vec!["topics", "publish", "subscribe"]);
    (0..1_000_usize, verdict(), who(), direction, vec(pattern, 1..3)).prop_map(
        |(id, verdict, who, direction, patterns)| Rule {
            id,
            verdict,
            who,
            what: format!(", {direction}: [{}]", patterns.join(", ")),
        },
    )
}

fn rules(rule: impl Strategy<Value = Rule>) -> impl Strategy<Value = Vec<Rule>> {
    vec(rule, 0..4).prop_map(|rules| {
        let number = |(id, rule)| Rule { id, ..rule };
        rules.into_iter().enumerate().map(number).collect()
    })
}

fn default() -> impl Strategy<Value = &'static str> {
    select(vec!["deny", "deny", "deny", "allow", "ignore"])
}

fn text() -> impl Strategy<Value = Text> {
    let devices = select(vec!["{ clientid: { in: some } }", "{ clientid: \"${username}\" }", "{ username: b }"]);
    (
        select(vec!["enforce", "enforce", "enforce", "enforce", "audit"]),
        subsequence(vec!["a", "b", "ab"], 1..3),
        devices,
        prop::option::weighted(0.9, (default(), rules(login_rule()))),
        prop::option::weighted(0.9, (default(), rules(topic_rule()))),
    )
        .prop_map(|(mode, some, devices, auth, acl)| Text { mode, some, devices, auth, acl })
}

/// One change of a section.
#[derive(Debug, Clone)]
enum Edit {
    Remove(usize),
    Insert(usize, Rule),
    Verdict(usize, &'static str),
    Who(usize, &'static str),
    Swap(usize, usize),
    Default(&'static str),
}

fn edit(rule: impl Strategy<Value = Rule>) -> impl Strategy<Value = Edit> {
    let at = || 0..4_usize;
    prop_oneof![
        at().prop_map(Edit::Remove),
        (at(), rule).prop_map(|(at, rule)| Edit::Insert(at, rule)),
        (at(), verdict()).prop_map(|(at, verdict)| Edit::Verdict(at, verdict)),
        (at(), who()).prop_map(|(at, who)| Edit::Who(at, who)),
        (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        default().prop_map(Edit::Default),
    ]
}

fn edited(section: &mut Option<(&'static str, Vec<Rule>)>, edit: Edit) {
    let Some((default, rules)) = section else { return };
    let count = rules.len();
    match edit {
        Edit::Remove(at) if at < count => drop(rules.remove(at)),
        Edit::Insert(at, rule) => rules.insert(at.min(count), Rule { id: 10, ..rule }),
        Edit::Verdict(at, verdict) if at < count => rules[at].verdict = verdict,
        Edit::Who(at, who) if at < count => rules[at].who = who,
        Edit::Swap(one, other) if one < count && other < count => rules.swap(one, other),
        Edit::Default(new) => *default = new,
        Edit::Remove(_) | Edit::Verdict(..) | Edit::Who(..) | Edit::Swap(..) => {}
    }
}

/// Two versions: one is the other with a few changes, or they have little in common.
fn versions() -> impl Strategy<Value = [Text; 2]> {
    let near = (
        text(),
        vec(edit(login_rule()), 0..2),
        vec(edit(topic_rule()), 0..2),
        subsequence(vec!["a", "b", "ab"], 1..3),
        any::<u8>(),
    );
    let near = near.prop_map(|(old, logins, topics, some, which)| {
        let mut new = old.clone();
        for edit in logins {
            edited(&mut new.auth, edit);
        }
        for edit in topics {
            edited(&mut new.acl, edit);
        }
        match which % 8 {
            0 => new.some = some,
            1 => new.mode = "audit",
            2 => new.acl = None,
            3 => new.devices = "{ username: b }",
            _ => {}
        }
        [old, new]
    });
    prop_oneof![4 => near, 1 => (text(), text()).prop_map(|(old, new)| [old, new])]
}

fn topics(action: Action) -> Vec<String> {
    let mut words = vec!["a", "b", "z", "", "$x"];
    if action == Action::Subscribe {
        words.extend(["+", "#"]);
    }
    let two = words.iter().flat_map(|one| words.iter().map(move |two| format!("{one}/{two}")));
    let mut topics: Vec<String> = words.iter().map(|&word| word.to_owned()).chain(two).collect();
    topics.extend(["a/b/z", "a/a/b", "z/z/b", "b/a/b", "a/a/b/b"].map(str::to_owned));
    if action == Action::Subscribe {
        topics.extend(["a/+/b", "+/+/b", "a/b/#", "+/+/#", "a/+/#", "z/b/#", "+/b/#", "/+/#"].map(str::to_owned));
    }
    // Topics that are none are all alike.
    topics
}

/// The lists of a policy where the file has these entries.
fn lists(policy: &Policy, fleet: &[&str]) -> Lists {
    let list = |def: &exhook_policy_core::policy::model::ListDef| {
        let entries: Vec<&str> = match &def.source {
            ListSource::Inline(entries) => entries.iter().map(String::as_str).collect(),
            ListSource::File { .. } | ListSource::Sqlite { .. } => fleet.to_vec(),
        };
        Some(Arc::new(List::build(def.uses(), (1..).zip(entries)).unwrap()))
    };
    Lists::new(policy.lists().iter().map(list).collect())
}

/// Asks both policies everything, each client with each of the lists.
fn each_difference(policies: [&Policy; 2], mut each: impl FnMut(Difference, &dyn Fn() -> String)) {
    let [old, new] = policies;
    let (publish, subscribe) = (topics(Action::Publish), topics(Action::Subscribe));
    for members in [0, 1, 6, 7_usize] {
        let fleet: Vec<&str> = (0..3).filter(|at| members & 1 << at != 0).map(|at| FLEET[at]).collect();
        let known = policies.map(|policy| lists(policy, &fleet));
        let clients =
            NAMES.iter().flat_map(|c| USERNAMES.iter().flat_map(move |u| PEERS.iter().map(move |p| (*c, *u, *p))));
        let times = if old.asks_time() || new.asks_time() { &TIMES[..] } else { &TIMES[..1] };
        for (at, (clientid, username, peer)) in clients.flat_map(|client| times.iter().map(move |at| (*at, client))) {
            let client = Client {
                clientid,
                username,
                peerhost: Peerhost::parse(peer),
                sockport: 1883,
                protocol: "mqtt",
                mountpoint: "",
                node: "n",
                is_superuser: false,
                anonymous: false,
                extra: Extra { at: Some(at), ..Extra::NONE },
            };
            let mut differs = |question, decisions, topic: &str| {
                if let Some(found) = differ(policies, question, decisions) {
                    each(found, &|| format!("{client:?} {topic} {fleet:?}"));
                }
            };
            for says in [Found::Right, Found::Wrong, Found::Unknown]
                .iter()
                .flat_map(|p| [Found::Right, Found::Wrong, Found::Unknown].map(|q| [*p, q]))
            {
                let found = |source: PasswordId| says[source.0];
                let decisions = [old.login(&client, &known[0], found), new.login(&client, &known[1], found)];
                differs(QuestionKind::Connect, decisions, "login");
            }
            for (action, topics) in [(Action::Publish, &publish), (Action::Subscribe, &subscribe)] {
                for topic in topics {
                    let decisions = [
                        old.check_acl(&client, action, topic, &known[0]),
                        new.check_acl(&client, action, topic, &known[1]),
                    ];
                    differs(action.into(), decisions, topic);
                }
            }
        }
    }
}

/// What both policies say to a witness, asked again.
fn asked_again(policies: [&Policy; 2], change: &PolicyChange) -> Option<Difference> {
    let PolicyChange { difference, witness } = change;
    let client = witness.sample.client();
    let mut number = 0;
    let decisions = policies.map(|policy| {
        let lists = witness.sample.lists(number);
        number += 1;
        match &witness.asked {
            ClientQuestion::Topic { action, topic } => policy.check_acl(&client, *action, topic, lists),
            ClientQuestion::Login { passwords } => policy.login(&client, lists, |source| {
                let name = &policy.passwords()[source.0].name;
                passwords.iter().find(|says| says.source == *name).map_or(Found::Unreadable, |says| says.found)
            }),
        }
    });
    differ(policies, difference.question, decisions)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(30) })]

    #[test]
    fn every_difference_is_found_and_every_one_that_is_found_is_one(versions in versions()) {
        let [old, new] = versions.map(|text| text.yaml());
        let (old, new) = (policy(&old), policy(&new));
        let policies = [&old, &new];
        let found = diff(&old, &new, NOW, &mut Budget::new(STEPS));
        let mut known = BTreeSet::new();
        for change in &found.changes {
            let told = &change.difference;
            prop_assert_eq!(asked_again(policies, change), Some(told.clone()), "{}", change.witness);
            prop_assert!(known.insert(told.clone()), "{:?} twice", told);
        }
        let mut missing = None;
        each_difference(policies, |difference, show| {
            let unknown = found.unknown.iter().any(|unknown| unknown.question == difference.question);
            if !unknown && !known.contains(&difference) {
                missing.get_or_insert_with(|| format!("{difference:?}: {}", show()));
            }
        });
        prop_assert_eq!(missing, None);
    }
}
