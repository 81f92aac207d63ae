use super::*;
use exhook_policy_runtime::files::policies;

const POLICY: &str = r#"
version: 1
passwords: { all: { file: all.passwd } }
auth:
  rules:
    - { id: lab, allow: { clientid: lab, sockport: 1885, peerhost: 10.0.0.0/8 } }
    - { id: port, allow: { clientid: port, sockport: 1884 } }
    - { id: anonymous, allow: { clientid: nobody, anonymous: false } }
    - { id: certificate, allow: { clientid: cert, cn: "${clientid}" } }
    - { id: bare, allow: { clientid: bare, cn: "", dn: "" } }
    - { id: cluster, allow: { clientid: cluster, cluster: emqxcl } }
    - { id: peerport, allow: { clientid: peerport, peerport: { not: 1 } } }
    - { id: known, allow: everyone, password: all }
acl:
  rules:
    - { id: mounted, allow: { mountpoint: "m/" }, publish: [a] }
    - { id: coap, allow: { protocol: coap }, publish: [b] }
    - { id: super, allow: { is_superuser: true }, publish: [c] }
    - { id: node, allow: { node: { glob: "emqx@*" } }, publish: [d] }
    - { id: left, ignore: everyone, publish: [e] }
    - { id: all, allow: everyone, topics: [f] }
"#;

/// What comes of a test with this client and this line, asked from 127.0.0.1 at port 1884.
#[track_caller]
fn check(client: &str, line: &str, version: MqttVersion, expected: Result<bool, &str>) {
    check_for("", client, line, version, expected);
}

/// The same of a policy with this line more.
#[track_caller]
fn check_for(broker: &str, client: &str, line: &str, version: MqttVersion, expected: Result<bool, &str>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), format!("{broker}{POLICY}")).unwrap();
    let tests =
        format!("passwords: {{ all: {{ u: right }} }}\ntests: [{{ name: t, client: {client}, expect: [{line}] }}]\n");
    let suite = policies::parse_suite(tests.as_bytes(), &folder.path().join("rules.test.yaml")).unwrap();
    let local = "127.0.0.1:40000".parse().unwrap();
    let expectations = Expectations { suite: &suite, addresses: Vec::new(), local, port: 1884, at: None };
    let found = expectations.expected(&suite.tests[0].cases[0], version).map(|expected| expected.allowed);
    assert_eq!(found, expected.map_err(str::to_owned), "{client} {line}");
}

#[test]
fn what_hangs_on_the_time_is_shown_where_it_is_so_now() {
    let rule = POLICY.replace(
        "acl:\n  rules:\n",
        "acl:\n  rules:\n    - { id: week, allow: everyone, publish: [w], when: { days: mon-fri } }\n",
    );
    let check = |line: &str, expected: Result<bool, &str>| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yaml"), &rule).unwrap();
        let tests = format!("tests: [{{ name: t, client: {{ clientid: port, sockport: 1884 }}, expect: [{line}] }}]\n");
        let suite = policies::parse_suite(tests.as_bytes(), &folder.path().join("rules.test.yaml")).unwrap();
        let local = "127.0.0.1:40000".parse().unwrap();
        let expectations =
            Expectations { suite: &suite, addresses: Vec::new(), local, port: 1884, at: Some(1_796_115_600_000) };
        let found = expectations.expected(&suite.tests[0].cases[0], MqttVersion::V5).map(|expected| expected.allowed);
        assert_eq!(found, expected.map_err(str::to_owned), "{line}");
    };
    check("{ publish: w, allow: week, at: 2026-12-02T12:00Z }", Ok(true));
    check(
        "{ publish: w, deny: default, at: 2026-12-06T12:00Z }",
        Err(
            "from here the client has `at` 2026-12-01T09:00:00+00:00, not 2026-12-06T12:00:00+00:00, and the policy decides otherwise",
        ),
    );
}

#[test]
fn what_hangs_on_where_a_client_comes_from_is_told() {
    let lab = "{ clientid: lab, sockport: 1885, peerhost: 10.1.1.1 }";
    check(
        lab,
        "{ authenticate: \"\", allow: lab }",
        MqttVersion::V5,
        Err("from here the client has `peerhost` 127.0.0.1, not 10.1.1.1, `sockport` 1884, not 1885, and the policy \
             decides otherwise"),
    );
    let port = "{ clientid: port, sockport: 1883 }";
    check(
        port,
        "{ authenticate: \"\", deny: default }",
        MqttVersion::V5,
        Err("from here the client has `sockport` 1884, not 1883, and the policy decides otherwise"),
    );
    // The rest differs too, and makes no difference.
    check("{ clientid: port, sockport: 1884 }", "{ authenticate: \"\", allow: port }", MqttVersion::V5, Ok(true));
    for (field, topic, rule, differs) in [
        ("mountpoint: \"m/\"", "a", "mounted", "`mountpoint` \"\", not \"m/\""),
        ("protocol: coap", "b", "coap", "`protocol` \"mqtt\", not \"coap\""),
        ("is_superuser: true", "c", "super", "`is_superuser` false, not true"),
    ] {
        let client = format!("{{ clientid: c, {field} }}");
        let line = format!("{{ publish: {topic}, allow: {rule} }}");
        let reason = format!("from here the client has {differs}, and the policy decides otherwise");
        check(&client, &line, MqttVersion::V5, Err(&reason));
    }
    check(
        "{ clientid: c }",
        "{ publish: d, allow: node }",
        MqttVersion::V5,
        Ok(true), // Another node of any such name makes no difference.
    );
    for (client, rule, differs) in [
        (
            "{ clientid: cert, cn: cert }",
            "certificate",
            "from here the client has `cn` \"\", not \"cert\", and the policy decides otherwise",
        ),
        ("{ clientid: bare }", "bare", "it is so where `cn` is \"\", which is not known of this broker"),
        (
            "{ clientid: cluster }",
            "cluster",
            "it is so where `cluster` is \"emqxcl\", which is not known of this broker",
        ),
        ("{ clientid: peerport }", "peerport", "it is so where `peerport` is 49152, which is not known of this broker"),
    ] {
        check(client, &format!("{{ authenticate: \"\", allow: {rule} }}"), MqttVersion::V5, Err(differs));
    }
    // A policy may say what its brokers tell.
    let tells = "broker: \"5.8\"";
    check_for(tells, "{ clientid: bare }", "{ authenticate: \"\", allow: bare }", MqttVersion::V5, Ok(true));
    check("{ clientid: cert }", "{ authenticate: \"\", deny: default }", MqttVersion::V5, Ok(false));
    check(
        "{ clientid: nobody }",
        "{ authenticate: \"\", allow: anonymous }",
        MqttVersion::V5,
        Err("it is so where `anonymous` is false, which is not known of this broker"),
    );
}

#[test]
fn what_no_client_can_send_is_told() {
    let named = "{ clientid: c, username: u }";
    check(named, "{ publish: e, ignore: left }", MqttVersion::V5, Err("the policy leaves it to the broker"));
    check(
        "{ clientid: \"\" }",
        "{ publish: f, allow: all }",
        MqttVersion::V5,
        Err("a broker gives a client without a clientid one of its own"),
    );
    check(
        "{ clientid: c }",
        "{ authenticate: right, deny: default }",
        MqttVersion::V3,
        Err("MQTT 3.1.1 carries no password without a username"),
    );
    check("{ clientid: c }", "{ authenticate: right, deny: default }", MqttVersion::V5, Ok(false));
    check(
        "{ clientid: \"c\\0\" }",
        "{ publish: f, allow: all }",
        MqttVersion::V5,
        Err("MQTT carries no NUL in a clientid"),
    );
    let long = format!("{{ authenticate: {}, deny: known }}", "x".repeat(65_536));
    check(named, &long, MqttVersion::V5, Err("MQTT carries no password of 65536 bytes"));
    let no_name = "this is no topic name, and a broker disconnects who publishes to it";
    check(named, "{ publish: \"a/+\", deny: invalid-topic }", MqttVersion::V5, Err(no_name));
    let no_filter = "this is no topic filter, and a broker disconnects who subscribes to it";
    check(named, "{ subscribe: \"a/#/b\", deny: invalid-topic }", MqttVersion::V3, Err(no_filter));
    let delayed = "{ publish: $delayed/5/f, allow: all }";
    check(named, delayed, MqttVersion::V5, Ok(true));
    let unseen = "in MQTT 3.1.1 only its arrival would show it, and nobody can subscribe to this name";
    check(named, delayed, MqttVersion::V3, Err(unseen));
    check(named, "{ subscribe: f, allow: all }", MqttVersion::V3, Ok(true));
    check(named, "{ subscribe: g, deny: default }", MqttVersion::V3, Ok(false));
}
