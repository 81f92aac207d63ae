use std::path::Path;
use std::sync::Arc;

use crate::decision::Verdict;
use crate::event::{Action, Client, Extra, Peerhost};
use crate::policy::lists::{List, Lists};
use crate::policy::{Found, Policy, parse};

const POLICY: &str = r#"
version: 1
lists: { retired: [dev-7], fleet: { file: fleet.txt }, offices: [10.0.0.0/8] }
clients:
  devices: { clientid: { in: fleet }, username: "${clientid}" }
  people: { username: { glob: "op-*" }, peerhost: { in: offices } }
passwords: { staff: { file: staff.passwd } }
auth:
  rules:
    - { id: retired, deny: { clientid: { in: retired } } }
    - { id: staff, allow: people, password: staff }
    - { id: gateway, allow: { clientid: [gw-1, gw-2], sockport: 8883 } }
    - { id: devices, allow: devices }
acl:
  rules:
    - { id: secret, deny: everyone, topics: ["ops/#", { glob: "a/*/b" }] }
    - { id: sys, ignore: everyone, subscribe: ["s/x"] }
    - { id: own, allow: devices, publish: ["t/${clientid}/#"] }
    - { id: read, allow: [devices, people], subscribe: ["t/#", "s/#"] }
    - { id: ports, allow: { clientid: { not: gw-1 }, sockport: { not: [1883, 1884] } }, publish: ["x"] }
"#;

/// The fleet is `dev-1`, `dev-7` and `a/b`, or cannot be read.
fn lists(policy: &Policy, fleet: bool) -> Lists {
    let contents = policy.lists().iter().map(|def| {
        let entries = match def.name.as_str() {
            "retired" => vec!["dev-7"],
            "offices" => vec!["10.0.0.0/8"],
            _ if fleet => vec!["dev-1", "dev-7", "a/b"],
            _ => return None,
        };
        Some(Arc::new(List::build(def.uses(), entries.into_iter().enumerate()).unwrap()))
    });
    Lists::new(contents.collect())
}

fn client<'a>(clientid: &'a str, username: &'a str, peerhost: &'a str) -> Client<'a> {
    Client {
        clientid,
        username,
        peerhost: Peerhost::parse(peerhost),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "emqx@127.0.0.1",
        is_superuser: false,
        anonymous: false,
        extra: Extra::NONE,
    }
}

fn policy() -> Policy {
    Policy::compile(parse(POLICY, "rules.yaml", Path::new("")).unwrap().model)
}

/// Compares the lines of a trace, and behind them the decision.
#[track_caller]
fn check(client: &Client<'_>, asked: &str, fleet: bool, found: Found, expected: &str) {
    let policy = policy();
    let lists = lists(&policy, fleet);
    let trace = match asked.split_once(' ') {
        None => policy.trace_login(client, &lists, |_| found),
        Some((action, topic)) => {
            let action = if action == "publish" { Action::Publish } else { Action::Subscribe };
            policy.trace_acl(client, action, topic, &lists)
        }
    };
    let verdict = match trace.decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Ignore => "ignore",
    };
    let mut lines: Vec<String> = trace.tried.iter().map(ToString::to_string).collect();
    lines.push(format!("{verdict} {}", trace.decision.rule));
    assert_eq!(lines.join("\n"), expected.trim());
}

#[test]
fn logins() {
    let staff = client("c", "op-1", "10.1.2.3");
    check(
        &staff,
        "login",
        true,
        Found::Right,
        r#"
`retired` (line 10): clientid "c" is not in list `retired`
`staff` (line 11): decides
allow staff
"#,
    );
    check(
        &staff,
        "login",
        true,
        Found::Unknown,
        r#"
`retired` (line 10): clientid "c" is not in list `retired`
`staff` (line 11): password source `staff` does not know the user
`gateway` (line 12): clientid "c" is not "gw-1" or "gw-2"
`devices` (line 13): username "op-1" is not "${clientid}" (here "c")
deny default
"#,
    );
    check(
        &staff,
        "login",
        true,
        Found::Wrong,
        r#"
`retired` (line 10): clientid "c" is not in list `retired`
`staff` (line 11): the password is not that of password source `staff`; this denies
deny staff
"#,
    );
    check(
        &staff,
        "login",
        true,
        Found::Unreadable,
        r#"
`retired` (line 10): clientid "c" is not in list `retired`
`staff` (line 11): password source `staff` cannot be read; this denies
deny error
"#,
    );
    check(
        &client("", "", "odd\n"),
        "login",
        false,
        Found::Right,
        r#"
`retired` (line 10): clientid "" is not in list `retired`
`staff` (line 11): username "" does not match glob "op-*"
`gateway` (line 12): clientid "" is not "gw-1" or "gw-2"
`devices` (line 13): username "" is not "${clientid}" (nothing, since a value in it is empty)
deny default
"#,
    );
    check(
        &client("dev-1", "dev-1", "10.0.0.1"),
        "login",
        false,
        Found::Right,
        r#"
`retired` (line 10): clientid "dev-1" is not in list `retired`
`staff` (line 11): username "dev-1" does not match glob "op-*"
`gateway` (line 12): clientid "dev-1" is not "gw-1" or "gw-2"
`devices` (line 13): cannot be told, since list `fleet` cannot be read; this denies
deny error
"#,
    );
}

#[test]
fn topics() {
    let device = client("dev-1", "dev-1", "10.0.0.1");
    check(
        &device,
        "publish t/dev-2/x",
        true,
        Found::Right,
        r#"
`secret` (line 16): topic "t/dev-2/x" is not in "ops/#" or glob "a/*/b"
`sys` (line 17): says nothing of publishing
`own` (line 18): topic "t/dev-2/x" is not covered by "t/${clientid}/#"
`read` (line 19): says nothing of publishing
`ports` (line 20): sockport 1883 is 1883 or 1884
deny default
"#,
    );
    check(
        &client("a/b", "a/b", "10.0.0.1"),
        "publish t/a/b/x",
        true,
        Found::Right,
        r#"
`secret` (line 16): topic "t/a/b/x" is not in "ops/#" or glob "a/*/b"
`sys` (line 17): says nothing of publishing
`own` (line 18): topic "t/a/b/x" is not covered by "t/${clientid}/#"; the client's values do not fit into "t/${clientid}/#", which matches nothing
`read` (line 19): says nothing of publishing
`ports` (line 20): sockport 1883 is 1883 or 1884
deny default
"#,
    );
    check(
        &client("c", "bob", "10.0.0.1"),
        "subscribe t/+",
        true,
        Found::Right,
        r#"
`secret` (line 16): no topic of "t/+" is in "ops/#" or glob "a/*/b"
`sys` (line 17): no topic of "t/+" is in "s/x"
`own` (line 18): says nothing of subscribing
`read` (line 19): username "bob" is not "${clientid}" (here "c"), and username "bob" does not match glob "op-*"
`ports` (line 20): says nothing of subscribing
deny default
"#,
    );
    check(
        &device,
        "subscribe #",
        true,
        Found::Right,
        "`secret` (line 16): decides; it would receive \"ops\"\ndeny secret\n",
    );
    check(
        &device,
        "subscribe s/+",
        true,
        Found::Right,
        r#"
`secret` (line 16): no topic of "s/+" is in "ops/#" or glob "a/*/b"
`sys` (line 17): leaves a part of it to the broker, "s/x" for one
`own` (line 18): says nothing of subscribing
`read` (line 19): would allow it, but rule `sys` leaves a part of it to the broker
ignore sys
"#,
    );
    check(
        &device,
        "subscribe +/x/y",
        false,
        Found::Right,
        r#"
`secret` (line 16): decides; it would receive "ops/x/y"
deny secret
"#,
    );
    check(&device, "publish a/+", true, Found::Right, "deny invalid-topic\n");
}
