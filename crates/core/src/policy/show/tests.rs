use std::path::Path;

use super::*;
use crate::policy::{Policy, parse};

/// Compares what is said of whom the only login rule is about, and whom it is not about.
#[track_caller]
fn check(who: &str, words: &str, form: &str) {
    let text = format!(
        "version: 1\nlists: {{ fleet: [a], nets: [10.0.0.0/8] }}\nclients: {{ devices: {{ clientid: a }} }}\nauth: {{ rules: [{{ deny: {who} }}] }}\n"
    );
    let policy = Policy::compile(parse(&text, "rules.yaml", Path::new("")).unwrap().model);
    let who = &policy.auth_rules()[0].who;
    assert_eq!(Words::of(&policy).who(who), words);
    assert_eq!(Words::of(&policy).who_json(who).to_string(), form);
}

#[test]
fn kinds_of_client() {
    check("everyone", "everyone", r#""everyone""#);
    check("devices", "`devices`", r#""devices""#);
    check(
        "[devices, { username: x }, everyone]",
        "`devices`, or username is \"x\", or everyone",
        r#"["devices",{"username":"x"},"everyone"]"#,
    );
    check(
        "{ clientid: { in: fleet }, username: \"${clientid}\" }",
        "username is \"${clientid}\" and clientid is in list `fleet`",
        r#"{"clientid":{"in":"fleet"},"username":"${clientid}"}"#,
    );
}

#[test]
fn conditions() {
    check(
        "{ clientid: [a, b, { in: fleet }] }",
        "clientid is \"a\" or \"b\" or is in list `fleet`",
        r#"{"clientid":["a","b",{"in":"fleet"}]}"#,
    );
    check(
        "{ clientid: { not: [a, { glob: \"x*\" }] } }",
        "clientid is not \"a\" and does not match glob \"x*\"",
        r#"{"clientid":{"not":["a",{"glob":"x*"}]}}"#,
    );
    check(
        "{ clientid: [{ not: [a, { in: fleet }] }, b] }",
        "clientid (is not \"a\" and is not in list `fleet`) or is \"b\"",
        r#"{"clientid":[{"not":["a",{"in":"fleet"}]},"b"]}"#,
    );
    check(
        "{ clientid: [{ not: a }, { not: b }] }",
        "clientid is not \"a\" or is not \"b\"",
        r#"{"clientid":[{"not":"a"},{"not":"b"}]}"#,
    );
    check(
        "{ clientid: { not: { not: { regex: \"a|b\" } } } }",
        "clientid matches regex \"a|b\"",
        r#"{"clientid":{"not":{"not":{"regex":"a|b"}}}}"#,
    );
    check(
        "{ peerhost: [127.0.0.1, { in: nets }, 192.0.2.0/24] }",
        "peerhost is 127.0.0.1 or is in list `nets` or 192.0.2.0/24",
        r#"{"peerhost":["127.0.0.1",{"in":"nets"},"192.0.2.0/24"]}"#,
    );
    check(
        "{ peerhost: { not: { glob: \"10.*\" } } }",
        "peerhost does not match glob \"10.*\"",
        r#"{"peerhost":{"not":{"glob":"10.*"}}}"#,
    );
    check("{ sockport: { not: [1, 2] } }", "sockport is not 1 or 2", r#"{"sockport":{"not":[1,2]}}"#);
    check(
        "{ is_superuser: false, anonymous: true }",
        "is_superuser is false and anonymous is true",
        r#"{"anonymous":true,"is_superuser":false}"#,
    );
    check(
        "{ cn: \"${clientid}\", dn: { not: { in: fleet } }, cluster: [a, b], peerport: { not: 1883 } }",
        "cluster is \"a\" or \"b\" and cn is \"${clientid}\" and peerport is not 1883 and dn is not in list `fleet`",
        r#"{"cluster":["a","b"],"cn":"${clientid}","dn":{"not":{"in":"fleet"}},"peerport":{"not":1883}}"#,
    );
    let many: Vec<String> = (0..9).map(|n| format!("c{n}")).collect();
    let form = serde_json::json!({ "clientid": many }).to_string();
    check(
        &format!("{{ clientid: [{}] }}", many.join(", ")),
        r#"clientid is "c0" or "c1" or "c2" or "c3" or "c4" or "c5" or 3 more"#,
        &form,
    );
}
