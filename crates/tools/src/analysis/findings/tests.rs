//! Random policies in a world so small that every question can be asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::{Action, Client, Extra, Peerhost};
use exhook_policy_core::policy;
use exhook_policy_core::policy::lists::{List, Lists};
use exhook_policy_core::policy::model::{ListSource, Who};
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::policy::{Found, TopicRule};
use exhook_policy_core::text::Identity;
use exhook_policy_core::topic::Request;

/// The names in the policies and one that is in none.
const NAMES: [&str; 5] = ["a", "b", "n", "nn", ""];
const PORTS: [u16; 3] = [1, 2, 3];
const PEERS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "odd"];

/// Where the policies begin to decide, in the night to a Thursday of 1970, by day, on a Saturday
/// and ten years later.
const TIMES: [i64; 4] = [0, 43_200_000, 216_000_000, 315_576_000_000];

/// Whom a rule is about, and now and then when.
fn who() -> impl Strategy<Value = String> {
    let when = select(vec![
        "{ days: mon-fri }",
        "{ days: sat-sun }",
        "{ until: 1970-01-03, hours: \"06:00-18:00\" }",
        "[{ from: 1970-02-01 }, { hours: \"18:00-06:00\" }]",
    ]);
    (kind(), prop::option::weighted(0.15, when)).prop_map(|(who, when)| match when {
        None => who,
        Some(when) => format!("{who}, when: {when}"),
    })
}

fn kind() -> impl Strategy<Value = String> {
    let text = || {
        select(vec![
            "a",
            "[a, b]",
            "\"\"",
            "{ glob: \"?\" }",
            "{ regex: \"[ab]*\" }",
            "{ in: fleet }",
            "{ in: few }",
            "{ not: a }",
            "{ not: { in: fleet } }",
            "{ not: [\"\", b] }",
        ])
    };
    let tie =
        select(vec!["clientid: \"${username}\"", "username: \"${clientid}\"", "username: { not: \"${clientid}\" }"]);
    let condition = prop_oneof![
        3 => text().prop_map(|text| format!("clientid: {text}")),
        2 => text().prop_map(|text| format!("username: {text}")),
        2 => tie.prop_map(str::to_owned),
        1 => select(vec!["1", "{ not: 1 }", "[1, 2]"]).prop_map(|port| format!("sockport: {port}")),
        1 => select(vec!["10.0.0.0/8", "{ not: 10.0.0.1 }"]).prop_map(|host| format!("peerhost: {host}")),
    ];
    let kind = prop::collection::vec(condition, 1..3).prop_map(|conditions| {
        let mut by_field: BTreeMap<String, String> = BTreeMap::new();
        for condition in conditions {
            by_field.insert(condition.split(':').next().unwrap().to_owned(), condition);
        }
        format!("{{ {} }}", by_field.into_values().collect::<Vec<_>>().join(", "))
    });
    let kind = kind.boxed();
    prop_oneof![
        3 => Just("everyone".to_owned()),
        5 => kind.clone(),
        2 => (kind.clone(), kind).prop_map(|(one, other)| format!("[{one}, {other}]")),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    select(vec![
        "\"#\"",
        "\"a/#\"",
        "\"a/+\"",
        "\"+/b\"",
        "a/b",
        "b",
        "\"+\"",
        "\"a/${clientid}\"",
        "\"a/${clientid}/#\"",
        "\"${username}/b\"",
        "\"+/${username}\"",
        "{ glob: \"a/*\" }",
        "{ glob: \"**/b\" }",
        "{ regex: \"a(/[ab])?\" }",
        "{ glob: \"a/${clientid}*\" }",
    ])
    .prop_map(str::to_owned)
}

/// Policies with one rule a line. Password sources are `p0` and `p1`.
fn policies() -> impl Strategy<Value = String> {
    let patterns = || prop::collection::vec(pattern(), 1..3).prop_map(|all| all.join(", "));
    let key = || select(vec!["topics", "publish", "subscribe"]);
    let verdict = || prop_oneof![4 => Just("allow"), 4 => Just("deny"), 1 => Just("ignore")];
    let acl = (verdict(), who(), key(), patterns());
    let acl = acl.prop_map(|(verdict, who, key, patterns)| format!("{verdict}: {who}, {key}: [{patterns}]"));
    let auth = (verdict(), who(), select(vec!["", "", ", password: p0", ", password: p1"]));
    let auth = auth.prop_map(|(verdict, who, password)| {
        format!("{verdict}: {who}{}", if verdict == "allow" { password } else { "" })
    });
    (prop::collection::vec(auth, 1..5), prop::collection::vec(acl, 1..5)).prop_map(|(auth, acl)| {
        let rules = |rules: Vec<String>| -> String {
            rules.iter().enumerate().map(|(n, rule)| format!("    - {{ id: r{n}, {rule} }}\n")).collect::<Vec<_>>().concat()
        };
        format!(
            "version: 1\nlists: {{ fleet: {{ file: f }}, few: [b] }}\npasswords: {{ p0: {{ file: p }}, p1: {{ file: q }} }}\n\
             auth:\n  rules:\n{}acl:\n  rules:\n{}",
            rules(auth),
            rules(acl)
        )
    })
}

fn topics(action: Action) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut last = vec![String::new()];
    // No pattern names a third level.
    for levels in [&["a", "b", "n", "z"][..], &["a", "b", "n", "z"], &["z"]] {
        let more: &[&str] = if action == Action::Subscribe { &["+"] } else { &[] };
        let deeper =
            |topic: &String| levels.iter().chain(more).map(|level| format!("{topic}{level}/")).collect::<Vec<_>>();
        last = last.iter().flat_map(deeper).collect();
        all.extend(last.iter().map(|topic| topic.trim_end_matches('/').to_owned()));
        if action == Action::Subscribe {
            all.extend(last.iter().map(|topic| format!("{topic}#")));
        }
    }
    if action == Action::Subscribe {
        all.push("#".to_owned());
    }
    all
}

/// Every client, with every content that the list `fleet` can have.
fn world(policy: &Policy) -> Vec<(Client<'static>, Lists)> {
    let mut all = Vec::new();
    for members in 0..16 {
        let fleet =
            ["a", "b", "n", "nn"].iter().enumerate().filter(|(n, _)| members >> n & 1 == 1).map(|(_, name)| (1, *name));
        let fleet: Vec<_> = fleet.collect();
        let lists = policy.lists().iter().map(|def| {
            let entries = match &def.source {
                ListSource::Inline(entries) => entries.iter().map(|entry| (1, entry.as_str())).collect(),
                ListSource::File { .. } | ListSource::Sqlite { .. } => fleet.clone(),
            };
            Some(Arc::new(List::build(def.uses(), entries).unwrap()))
        });
        let lists = Lists::new(lists.collect());
        for (clientid, username) in NAMES.iter().flat_map(|one| NAMES.map(|other| (*one, other))) {
            for (sockport, peer) in PORTS.iter().flat_map(|port| PEERS.map(|peer| (*port, peer))) {
                let client = Client {
                    clientid,
                    username,
                    peerhost: Peerhost::parse(peer),
                    sockport,
                    protocol: "mqtt",
                    mountpoint: "",
                    node: "n",
                    is_superuser: false,
                    anonymous: false,
                    extra: Extra::NONE,
                };
                let timed = |at| Client { extra: Extra { at: Some(at), ..Extra::NONE }, ..client };
                if policy.asks_time() {
                    all.extend(TIMES.map(|at| (timed(at), lists.clone())));
                } else {
                    all.push((client, lists.clone()));
                }
            }
        }
    }
    all
}

/// What brute force knows of a policy.
struct Truth {
    /// The ids of rules that decided something.
    deciding: BTreeSet<String>,
    deciding_logins: BTreeSet<String>,
    /// Pairs of an allow that decided and a later deny about the same topic name.
    overruled: BTreeSet<(usize, usize)>,
}

fn is(who: &Who, client: &Client<'_>, lists: &Lists) -> bool {
    who.holds(client, lists) == Holds::Yes
}

fn identity<'a>(client: &Client<'a>) -> Identity<'a> {
    Identity { clientid: client.clientid, username: client.username }
}

fn truth(policy: &Policy, world: &[(Client<'static>, Lists)]) -> Truth {
    let mut truth = Truth { deciding: BTreeSet::new(), deciding_logins: BTreeSet::new(), overruled: BTreeSet::new() };
    let asked = [Action::Publish, Action::Subscribe].map(|action| (action, topics(action)));
    let mut known: BTreeSet<(String, String, Vec<bool>)> = BTreeSet::new();
    let mut logins: BTreeSet<Vec<bool>> = BTreeSet::new();
    for (client, lists) in world {
        // Clients whom all rules take for the same need not be asked twice.
        let kinds = policy.auth_rules().iter().map(|rule| is(&rule.who, client, lists)).collect();
        let asked_before = !logins.insert(kinds);
        let sources = [Found::Right, Found::Wrong, Found::Unknown];
        let found = sources.into_iter().flat_map(|one| sources.map(|other| [one, other]));
        for found in found.filter(|_| !asked_before) {
            truth.deciding_logins.insert(policy.login(client, lists, |source| found[source.0]).rule.to_owned());
        }
        let holds: Vec<bool> = policy.acl_rules().iter().map(|rule| is(&rule.who, client, lists)).collect();
        if !known.insert((client.clientid.to_owned(), client.username.to_owned(), holds.clone())) {
            continue;
        }
        for (action, topics) in &asked {
            for topic in topics {
                let decision = policy.check_acl(client, *action, topic, lists);
                truth.deciding.insert(decision.rule.to_owned());
                let Some(request) = Request::parse(*action, topic) else { continue };
                if decision.verdict != Verdict::Allow || request.is_wildcard() {
                    continue;
                }
                let allow = policy.acl_rules().iter().position(|rule| rule.id == decision.rule);
                let Some(allow) = allow else { continue };
                for (deny, rule) in policy.acl_rules().iter().enumerate().skip(allow + 1) {
                    if rule.verdict == Verdict::Deny
                        && holds[deny]
                        && rule.patterns(*action).touch(&request, identity(client))
                    {
                        truth.overruled.insert((allow, deny));
                    }
                }
            }
        }
    }
    truth
}

/// Whether somebody in the world is asked and refused whoever subscribes to each pattern, as far as
/// they can: for each pattern of the rule by its place, whether all are denied.
fn denied(policy: &Policy, rule: &TopicRule, world: &[(Client<'static>, Lists)]) -> Vec<Option<bool>> {
    let all = rule.written(Action::Subscribe).iter().map(|pattern| {
        let mut asked = None;
        for (client, lists) in world.iter().filter(|(client, lists)| is(&rule.who, client, lists)) {
            let Some(filter) = pattern.filled(identity(client)).filter(|_| pattern.is_safe(identity(client))) else {
                continue;
            };
            let denied = policy.check_acl(client, Action::Subscribe, &filter, lists).verdict == Verdict::Deny;
            asked = Some(asked.unwrap_or(true) && denied);
        }
        asked
    });
    all.collect()
}

fn check(text: &str, met: &mut Met) -> Result<(), TestCaseError> {
    let loaded = policy::parse(text, "rules.yaml", Path::new("")).unwrap();
    let policy = Policy::compile(loaded.model.clone());
    let found = findings(&loaded, 0, &mut Budget::new(WORK));
    let line = |diagnostic: &Diagnostic| {
        let at = diagnostic.span().unwrap().start;
        text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    };
    let told = |code: Code, at: usize| found.diagnostics.iter().any(|one| one.code() == code && line(one) == at);
    let world = world(&policy);
    let truth = truth(&policy, &world);
    let settled = found.unsettled.is_empty();
    met.settled += usize::from(settled);
    for one in &found.diagnostics {
        *met.codes.entry(one.code().name()).or_default() += 1;
    }
    let ignores = policy.acl_rules().iter().any(|rule| rule.verdict == Verdict::Ignore);
    // Odd names have topics of their own, and the world has none.
    let odd_topics = ["/${", "${username}/"].iter().any(|placeholder| text.contains(placeholder));
    let settled_topics = settled && !odd_topics;
    for rule in policy.auth_rules() {
        let somebody = world.iter().any(|(client, lists)| is(&rule.who, client, lists));
        let decides = truth.deciding_logins.contains(&rule.id);
        prop_assert!(!decides || !told(Code::NeverDecides, rule.line), "{} decides:\n{text}", rule.id);
        prop_assert!(
            !somebody || !told(Code::MatchesNobody, rule.line) || text.contains("}, {"),
            "{}:\n{text}",
            rule.id
        );
        prop_assert!(
            decides || !settled || told(Code::NeverDecides, rule.line) || told(Code::MatchesNobody, rule.line),
            "nothing is said of the login rule {}:\n{text}",
            rule.id
        );
    }
    for (place, rule) in policy.acl_rules().iter().enumerate() {
        let decides = truth.deciding.contains(&rule.id);
        prop_assert!(!decides || !told(Code::NeverDecides, rule.line), "{} decides:\n{text}", rule.id);
        let late = told(Code::LateDeny, rule.line) || told(Code::CrossingTopics, rule.line);
        let overruled = truth.overruled.iter().any(|(_, deny)| *deny == place);
        prop_assert!(!late || overruled || odd_topics, "{} is not cut:\n{text}", rule.id);
        let told_of = [Code::NeverDecides, Code::MatchesNobody, Code::LateDeny];
        prop_assert!(
            decides || ignores || !settled_topics || told_of.iter().any(|code| told(*code, rule.line)),
            "nothing is said of the rule {}:\n{text}",
            rule.id
        );
        let denied = denied(&policy, rule, &world);
        let all_denied = rule.verdict == Verdict::Allow && denied.contains(&Some(true));
        let told_denied = told(Code::DeniedAsWritten, rule.line);
        prop_assert!(!told_denied || all_denied, "{} is not denied:\n{text}", rule.id);
        prop_assert!(
            !all_denied || told_denied || !settled_topics || told(Code::NeverDecides, rule.line),
            "{} is denied as it is written:\n{text}",
            rule.id
        );
    }
    Ok(())
}

/// How often each code was found, and how many policies were settled.
#[derive(Debug, Default)]
struct Met {
    codes: BTreeMap<&'static str, usize>,
    settled: usize,
}

#[test]
fn what_is_found_is_so_and_what_is_so_is_found() {
    // Each takes a tenth of a second.
    let cases = std::env::var("PROPTEST_CASES").map_or(64, |cases| cases.parse().unwrap());
    let met = RefCell::new(Met::default());
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(cases) };
    // The same policies each time: the world is finite, and now and then a policy tells apart what
    // it does not hold.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&policies(), |text| check(&text, &mut met.borrow_mut()));
    result.unwrap_or_else(|error| panic!("{error}"));
    let met = met.into_inner();
    assert!(met.settled > cases as usize / 2, "{met:?}");
    for code in [Code::NeverDecides, Code::LateDeny, Code::CrossingTopics] {
        assert!(met.codes.contains_key(code.name()), "{met:?}");
    }
}
