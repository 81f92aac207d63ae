//! Random policies against every client of a small world.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use exhook_policy_core::event::{Client, Extra, Peerhost};
use exhook_policy_core::policy::lists::{List, Lists};
use exhook_policy_core::policy::model::ListSource;

const LISTS: &str = "lists:
  few: [a, ab, bb, \"\"]
  far: { file: far.txt }
  paid: { sqlite: x.db, query: \"SELECT 1\" }
  inner: [10.0.0.0/8, 10.1.1.1]
  nets: { file: nets.txt }
";

/// Every text of up to three of these letters, and some that topics take for something else.
fn names() -> Vec<String> {
    let mut names = vec![String::new()];
    let mut longest = names.clone();
    for _ in 0..3 {
        longest = longest.iter().flat_map(|name| ["a", "b"].map(|letter| format!("{name}{letter}"))).collect();
        names.extend(longest.iter().cloned());
    }
    names.extend(["$a", "a/b", "+", "b/a/b"].map(str::to_owned));
    names
}

const HOSTS: [&str; 7] = ["10.1.1.1", "10.1.1.2", "11.0.0.0", "9.255.255.255", "::1", "2001:db8::5", "odd"];

fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => select(vec!["a", "b", "ab", "", "aab", "a/b"]).prop_map(|text| format!("{text:?}")),
        2 => select(vec!["${clientid}", "${username}", "a${clientid}", "${username}b", "a${username}"])
            .prop_map(|text| format!("{text:?}")),
        2 => select(vec!["a*", "*b", "?", "{a,b}b", "*"]).prop_map(|glob| format!("{{ glob: {glob:?} }}")),
        1 => select(vec!["a+", "[ab]{2}", "b.*", "(ab)*"]).prop_map(|regex| format!("{{ regex: {regex:?} }}")),
        2 => select(vec!["few", "far", "paid"]).prop_map(|list| format!("{{ in: {list} }}")),
    ];
    nested(leaf)
}

fn host() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec!["10.0.0.0/8", "10.1.1.1", "10.1.1.0/24", "::/0", "\"2001:db8::/32\""]).prop_map(str::to_owned),
        select(vec!["inner", "nets"]).prop_map(|list| format!("{{ in: {list} }}")),
    ];
    nested(leaf)
}

fn nested(leaf: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    leaf.prop_recursive(2, 5, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("{{ not: {inner} }}")),
            prop::collection::vec(inner, 1..3).prop_map(|each| format!("[{}]", each.join(", "))),
        ]
    })
}

fn kind() -> impl Strategy<Value = String> {
    let field = |name: &'static str, weight, value: BoxedStrategy<String>| {
        prop::option::weighted(weight, value.prop_map(move |value| format!("{name}: {value}")))
    };
    let port = select(vec!["1", "2", "{ not: 1 }", "[1, 2]"]).prop_map(str::to_owned);
    let peerport = select(vec!["1", "2", "{ not: 1 }", "[1, 2]"]).prop_map(str::to_owned);
    let flag = select(vec!["true", "false"]).prop_map(str::to_owned);
    let fields = (
        field("clientid", 0.6, text().boxed()),
        field("username", 0.6, text().boxed()),
        field("mountpoint", 0.1, text().boxed()),
        field("peerhost", 0.2, host().boxed()),
        field("sockport", 0.2, port.boxed()),
        field("anonymous", 0.1, flag.boxed()),
        field("cn", 0.2, text().boxed()),
        field("peerport", 0.1, peerport.boxed()),
    );
    fields.prop_map(|(a, b, c, d, e, f, g, h)| {
        let fields: Vec<String> = [a, b, c, d, e, f, g, h].into_iter().flatten().collect();
        if fields.is_empty() { "everyone".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
    })
}

fn who() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => kind(),
        1 => prop::collection::vec(kind(), 1..3).prop_map(|kinds| format!("[{}]", kinds.join(", "))),
    ]
}

/// The lists of a policy, where those from elsewhere have these entries.
fn contents(policy: &Policy, texts: &[&str], networks: &[&str]) -> Lists {
    let list = |def: &exhook_policy_core::policy::model::ListDef| {
        let entries: Vec<&str> = match &def.source {
            ListSource::Inline(entries) => entries.iter().map(String::as_str).collect(),
            ListSource::File { .. } | ListSource::Sqlite { .. } if def.name == "nets" => networks.to_vec(),
            ListSource::File { .. } => texts.iter().copied().filter(|text| !text.is_empty()).collect(),
            ListSource::Sqlite { .. } => texts.iter().copied().skip(1).step_by(2).chain([""]).collect(),
        };
        Some(Arc::new(List::build(def.uses(), (1..).zip(entries)).unwrap()))
    };
    Lists::new(policy.lists().iter().map(list).collect())
}

fn clients(names: &[String], rules: &str, mut each: impl FnMut(Client<'_>)) {
    let hosts = if rules.contains("peerhost") { &HOSTS[..] } else { &HOSTS[..1] };
    let ports = if rules.contains("sockport") { &[1, 2, 3][..] } else { &[1] };
    let flags = if rules.contains("anonymous") { &[false, true][..] } else { &[false] };
    let mountpoints = if rules.contains("mountpoint") { &["", "a", "ab", "aab", "b"][..] } else { &[""] };
    let cns = if rules.contains("cn:") { &["", "a", "ab", "aab", "b"][..] } else { &[""] };
    let peerports = if rules.contains("peerport") { &[1, 2, 3][..] } else { &[1] };
    let mut others = Vec::new();
    for host in hosts {
        for port in ports {
            for anonymous in flags {
                for mountpoint in mountpoints {
                    for cn in cns {
                        others.extend(peerports.iter().map(|peerport| Client {
                            clientid: "",
                            username: "",
                            peerhost: Peerhost::parse(host),
                            sockport: *port,
                            protocol: "mqtt",
                            mountpoint,
                            node: "n",
                            is_superuser: false,
                            anonymous: *anonymous,
                            extra: Extra { cn: Some(cn), peerport: Some(*peerport), ..Extra::NONE },
                        }));
                    }
                }
            }
        }
    }
    for clientid in names {
        for username in names {
            for other in &others {
                each(Client { clientid, username, ..*other });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Where samples are complete, no client is treated by kinds as no sample is.
    #[test]
    fn each_client_is_like_a_sample(
        whos in prop::collection::vec(who(), 1..4),
        texts in prop::collection::vec(select(vec!["a", "b", "ab", "", "aab", "bbb"]), 0..4),
        networks in prop::collection::vec(select(vec!["10.1.1.1", "::/1", "11.0.0.0"]), 0..3),
    ) {
        let rules: Vec<String> = whos.iter().map(|who| format!("{{ deny: {who} }}")).collect();
        let text = format!("{LISTS}auth: {{ rules: [{}] }}", rules.join(", "));
        let policy = policy(&text);
        let whos: Vec<&Who> = policy.auth_rules().iter().map(|rule| &rule.who).collect();
        let found = AnalysisContext::new(&[&policy], 0).samples_about(whos[0], &whos[1..], &[], &mut Budget::new(WORK));
        let answers = |client: &Client<'_>, lists: &Lists| -> Vec<Holds> {
            whos.iter().map(|who| who.holds(client, lists)).collect()
        };
        let known: HashSet<Vec<Holds>> =
            found.samples.iter().map(|sample| answers(&sample.client(), sample.lists(0))).collect();
        for answers in &known {
            prop_assert_eq!(answers[0], Holds::Yes);
            prop_assert!(!answers.contains(&Holds::CannotTell));
        }
        prop_assert_eq!(known.len(), found.samples.len(), "alike");
        let simple = rules.concat().matches("${").count() < 2;
        prop_assert!(found.complete || !simple, "{}", text);
        if found.complete {
            let lists = contents(&policy, &texts, &networks);
            let mut missed = None;
            clients(&names(), &rules.concat(), |client| {
                let answers = answers(&client, &lists);
                if answers[0] == Holds::Yes && !known.contains(&answers) {
                    missed = Some(format!("{client:?}"));
                }
            });
            prop_assert_eq!(missed, None, "{}", text);
        }
    }
}

fn topic() -> impl Strategy<Value = String> {
    let filters = select(vec![
        "x/${clientid}",
        "x/a",
        "x/+",
        "x/#",
        "x/${username}",
        "${clientid}/a",
        "x/a${clientid}",
        "x/a/b",
        "+/a",
        "#",
        "x/${clientid}/b",
    ]);
    let globs = select(vec!["x/*", "x/**/b", "x/${clientid}/**", "x/a*"]);
    let regexes = select(vec!["x/${clientid}/.*", "x/[ab]", "y/.*", "x/${username}|y"]);
    prop_oneof![
        6 => filters.prop_map(|filter| format!("{filter:?}")),
        1 => globs.prop_map(|glob| format!("{{ glob: {glob:?} }}")),
        1 => regexes.prop_map(|regex| format!("{{ regex: {regex:?} }}")),
    ]
}

fn rules() -> impl Strategy<Value = Vec<String>> {
    let who = select(vec![
        "everyone",
        "{ clientid: a }",
        "{ username: \"${clientid}\" }",
        "{ clientid: { in: far } }",
        "{ username: { glob: \"a*\" } }",
        "{ clientid: { not: [a, ab] } }",
    ]);
    let rule = (select(vec!["allow", "deny", "ignore"]), who, prop::collection::vec(topic(), 1..3));
    let rule = rule.prop_map(|(verdict, who, topics)| format!("{verdict}: {who}, topics: [{}]", topics.join(", ")));
    prop::collection::vec(rule, 1..4)
}

/// Every topic of up to three levels of these words.
fn all_topics() -> Vec<String> {
    let words = ["x", "a", "b", "$a", "y", ""];
    let mut topics: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut longest = topics.clone();
    for _ in 0..2 {
        longest =
            longest.iter().flat_map(|topic| ["a", "b", "ab", "q"].map(|word| format!("{topic}/{word}"))).collect();
        topics.extend(longest.iter().cloned());
    }
    topics
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Where the questions are complete, two policies answer nothing that they do not answer to one
    /// of them.
    #[test]
    fn each_topic_of_each_client_is_like_a_question(
        old in rules(),
        new in rules(),
        texts in prop::collection::vec(select(vec!["a", "b", "ab"]), 0..3),
    ) {
        let text = |rules: &[String]| {
            let rules = rules.iter().enumerate().map(|(n, rule)| format!("{{ id: r{n}, {rule} }}"));
            format!("{LISTS}acl: {{ rules: [{}] }}", rules.collect::<Vec<_>>().join(", "))
        };
        let (old, new) = (policy(&text(&old)), policy(&text(&new)));
        let policies = [&old, &new];
        let context = AnalysisContext::new(&policies, 0);
        let mut kinds = Vec::new();
        let mut sets = Vec::new();
        for (policy, rules) in [old.acl_rules(), new.acl_rules()].into_iter().enumerate() {
            kinds.extend(rules.iter().map(|rule| ClientKind { policy, who: &rule.who }));
            sets.extend(rules.iter().map(|rule| rule.patterns(Action::Publish)));
        }
        let mut budget = Budget::new(WORK);
        let samples = context.samples(&Who::Everyone, &kinds, &mut budget);
        let mut known = HashSet::new();
        let mut wrong = None;
        let complete = topics(&policies, &samples, Action::Publish, &sets, &mut budget, |witness, decisions| {
            known.insert(decisions.iter().map(|decision| decision.rule.to_owned()).collect::<Vec<_>>());
            if decisions.contains(&Decision::ERROR) {
                wrong = Some(witness.to_string());
            }
            ControlFlow::Continue(())
        });
        prop_assert_eq!(wrong, None);
        if complete {
            let lists = [contents(&old, &texts, &[]), contents(&new, &texts, &[])];
            let topics = all_topics();
            let mut missed = None;
            let names: Vec<String> = names().into_iter().filter(|name| name.len() < 3 || name.contains('/')).collect();
            clients(&names, "", |client| {
                for topic in topics.iter().filter(|topic| !topic.is_empty()) {
                    let decide = |number: usize| {
                        policies[number].check_acl(&client, Action::Publish, topic, &lists[number]).rule.to_owned()
                    };
                    let decided = vec![decide(0), decide(1)];
                    if !known.contains(&decided) {
                        missed = Some(format!("{client:?} {topic}: {decided:?}"));
                    }
                }
            });
            prop_assert_eq!(missed, None, "{}\n{}", text_of(&old), text_of(&new));
        }
    }
}

fn text_of(policy: &Policy) -> String {
    let rules = policy.acl_rules().iter().map(|rule| {
        let topics: Vec<&str> =
            rule.written(Action::Publish).iter().map(exhook_policy_core::topic::Pattern::source).collect();
        format!("{} {:?} {:?} {topics:?}", rule.id, rule.verdict, rule.who)
    });
    rules.collect::<Vec<_>>().join("\n")
}
