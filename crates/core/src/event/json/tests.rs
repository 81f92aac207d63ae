//! Every event comes back as it was written, and no line that is not one is taken for it.

use proptest::prelude::*;

use super::super::owned::OwnedPeerhost;
use super::super::{Password, Payload};
use super::*;

const CLIENT: Client<'_> = Client {
    clientid: "c\"\u{0}é",
    username: "u",
    peerhost: Peerhost::Other("unix"),
    sockport: 8883,
    protocol: "mqtt",
    mountpoint: "m/",
    node: "n@h",
    is_superuser: true,
    anonymous: false,
    extra: Extra { cluster: Some("k"), peerport: Some(40_001), cn: Some(""), ..Extra::NONE },
};

const CLIENT_TEXT: &str = r#"{"clientid":"c\"\u0000é","username":"u","peerhost":"unix","sockport":8883,"protocol":"mqtt","mountpoint":"m/","node":"n@h","is_superuser":true,"anonymous":false,"cluster":"k","peerport":40001,"cn":""}"#;

#[track_caller]
fn check_written(event: Event<'_>, expected: &str) {
    assert_eq!(write(&event, 17), expected.replace("CLIENT", CLIENT_TEXT));
}

#[test]
fn the_form_of_each_kind_of_event() {
    let attempt = Attempt {
        clientid: "",
        username: "u",
        peerhost: Peerhost::parse("::ffff:10.0.0.7"),
        sockport: 1883,
        proto_name: "MQTT",
        proto_ver: 5,
        keepalive: 60,
        node: "n",
        extra: Extra::NONE,
    };
    let attempt_text = r#"{"clientid":"","username":"u","peerhost":"10.0.0.7","sockport":1883,"proto_name":"MQTT","proto_ver":5,"keepalive":60,"node":"n"}"#;
    check_written(
        Event::Connack { attempt, code: "success", assigned: Some("x") },
        &format!(r#"{{"at":17,"hook":"client.connack","client":{attempt_text},"code":"success","assigned":"x"}}"#),
    );
    check_written(Event::Connect(attempt), &format!(r#"{{"at":17,"hook":"client.connect","client":{attempt_text}}}"#));
    check_written(Event::SessionTakenOver(CLIENT), r#"{"at":17,"hook":"session.takeovered","client":CLIENT}"#);
    check_written(
        Event::CheckAcl { client: CLIENT, action: Action::Subscribe, topic: "a/#" },
        r#"{"at":17,"hook":"client.check_acl","client":CLIENT,"action":"subscribe","topic":"a/#"}"#,
    );
    check_written(
        Event::Disconnected { client: CLIENT, reason: "normal" },
        r#"{"at":17,"hook":"client.disconnected","client":CLIENT,"reason":"normal"}"#,
    );
    check_written(
        Event::SessionSubscribed { client: CLIENT, topic: "a", qos: 2 },
        r#"{"at":17,"hook":"session.subscribed","client":CLIENT,"topic":"a","qos":2}"#,
    );
    let message = Message {
        from: "c",
        topic: "t",
        qos: 1,
        payload: Payload::new(b"secret"),
        timestamp: -5,
        node: "n",
        cluster: None,
    };
    check_written(
        Event::MessagePublish(message),
        r#"{"at":17,"hook":"message.publish","message":{"from":"c","topic":"t","qos":1,"size":6,"timestamp":-5,"node":"n"}}"#,
    );
}

#[test]
fn a_login_says_of_its_password_whether_there_was_one() {
    let login = |bytes: &'static [u8]| Event::Authenticate { client: CLIENT, password: Password::new(bytes) };
    for (bytes, word) in [(&b"s3cret"[..], "given"), (b"", "none")] {
        let expected = format!(r#"{{"at":17,"hook":"client.authenticate","client":CLIENT,"password":"{word}"}}"#);
        check_written(login(bytes), &expected);
    }
}

fn of(verdict: Verdict, rule: &str) -> DecisionLine<'_> {
    DecisionLine { decision: Decision { verdict, rule }, reason: None, policy: None }
}

#[test]
fn decisions_and_gaps_are_lines_too() {
    let client = OwnedClient::named("c");
    let event = Event::CheckAcl { client: client.as_client(), action: Action::Publish, topic: "t" };
    let text = write_decided(&event, 17, of(Verdict::Deny, "no-t"), std::iter::empty());
    assert!(text.ends_with(r#","topic":"t","decision":{"verdict":"deny","rule":"no-t"}}"#), "{text}");
    let decision = Some(Decided {
        verdict: Verdict::Deny,
        rule: "no-t".into(),
        passwords: BTreeMap::new(),
        reason: None,
        policy: None,
    });
    assert_eq!(
        read_line(&text),
        Ok(Line::Told(Box::new(Told { at: Some(17), event: OwnedEvent::from(&event), decision })))
    );
    let login = Event::Authenticate { client: client.as_client(), password: Password::left_out(true) };
    let said = [("staff", Found::Wrong), ("devices", Found::Unknown)];
    let reason = Some(DenialReason::WrongPassword);
    let decided = DecisionLine { reason, policy: Some("3f2a9c1b22aa"), ..of(Verdict::Deny, "staff") };
    let text = write_decided(&login, 17, decided, said.into_iter());
    let expected = r#""decision":{"verdict":"deny","rule":"staff","passwords":{"devices":"unknown","staff":"wrong"},"reason":"wrong-password","policy":"3f2a9c1b22aa"}}"#;
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(write_dropped(3, 17), r#"{"at":17,"dropped":3}"#);
    assert_eq!(read_line(&write_dropped(3, 17)), Ok(Line::Dropped(3)));
}

#[test]
fn what_is_left_out_has_a_default() {
    let login = OwnedEvent::Authenticate { client: OwnedClient::named("c"), password_given: true };
    assert_eq!(read(r#"{"client":{"clientid":"c"},"hook":"client.authenticate"}"#), Ok(login));
    let told = read_line(r#" {"hook":"session.created","client":{"clientid":"c"}} "#);
    let event = OwnedEvent::Plain(Plain::SessionCreated, OwnedClient::named("c"));
    assert_eq!(told, Ok(Line::Told(Box::new(Told { at: None, event, decision: None }))));
}

#[track_caller]
fn check_refused(line: &str, expected: &str) {
    assert_eq!(read(line).unwrap_err().to_string(), expected);
}

#[test]
fn what_is_no_event_is_refused_in_words() {
    check_refused("", "EOF while parsing a value at column 0");
    check_refused("{}", "`hook` is missing");
    check_refused(r#"{"hook":"client.authenticate"}"#, "`client` is missing");
    check_refused(r#"{"hook":"client.authenticate","client":{}}"#, "`client.clientid` is missing");
    check_refused(r#"{"hook":"client_authenticate"}"#, "\"client_authenticate\" is no hook at column 30");
    check_refused(
        r#"{"hook":"client.check_acl","client":{"clientid":"c"},"topic":"t","action":"pub"}"#,
        "\"pub\" is no action (publish, subscribe) at column 80",
    );
    check_refused(r#"{"hook":"client.check_acl","client":{"clientid":"c"},"topic":"t"}"#, "`action` is missing");
    check_refused(
        r#"{"hook":"client.connected","client":{"clientid":"c"},"topic":"t"}"#,
        "`topic` means nothing in client.connected",
    );
    check_refused(
        r#"{"hook":"client.connected","client":{"clientid":"c","proto_ver":4}}"#,
        "`proto_ver` means nothing in the client of this hook",
    );
    check_refused(
        r#"{"hook":"client.connected","client":{"clientid":"c"},"decision":{"verdict":"allow","rule":"r"}}"#,
        "`decision` means nothing in client.connected",
    );
    check_refused(
        r#"{"hook":"client.check_acl","client":{"clientid":"c"},"action":"publish","topic":"t","decision":{}}"#,
        "`decision.verdict` is missing",
    );
    check_refused(
        r#"{"hook":"client.connected","client":{"clientid":null}}"#,
        "invalid type: null, expected a string at column 52",
    );
    check_refused(r#"{"dropped":1}"#, "it counts dropped lines, and is no event");
    check_refused(r#"{"dropped":1,"hook":"client.connected"}"#, "`hook` means nothing in a line with `dropped`");
    check_refused(r#"{"at":1,"at":2}"#, "duplicate field `at` at column 12");
    assert!(read(&"[".repeat(1000)).unwrap_err().to_string().contains("expected"));
    let deep = format!(r#"{{"hook":"client.connected","password":{}"#, "[".repeat(1000));
    check_refused(&deep, "recursion limit exceeded at column 165");
    check_refused(&" ".repeat(LONGEST + 1), "it has 4194305 bytes, and 4194304 are the most");
    let unknown = read(&format!(r#"{{"a\u001b{}":1}}"#, "x".repeat(9999))).unwrap_err().to_string();
    assert!(unknown.starts_with("unknown field `a\u{fffd}xxx") && unknown.len() < 310, "{unknown}");
}

#[test]
fn no_message_repeats_a_password() {
    for password in [r#""hunter-2""#, "4711", r#"["hunter-2"]"#, r#"{"hunter-2":4711}"#, "4711.5", "null", "true"] {
        let line = format!(r#"{{"hook":"client.authenticate","client":{{"clientid":"c"}},"password":{password}}}"#);
        let message = read(&line).unwrap_err().to_string();
        assert!(message.starts_with("`password` is `given` or `none`, and never the password itself"), "{message}");
        assert!(!message.contains("hunter-2") && !message.contains("4711"), "{message}");
    }
    let inside = r#"{"hook":"client.authenticate","client":{"clientid":"c","password":"hunter-2"}}"#;
    assert!(read(inside).unwrap_err().to_string().starts_with("unknown field `password`, expected one of "));
}

fn any_text() -> BoxedStrategy<Box<str>> {
    prop_oneof![".{0,8}", "[\u{0}-\u{1f}\"\\\\é\u{10ffff}]{0,8}"].prop_map(String::into_boxed_str).boxed()
}

fn any_host() -> impl Strategy<Value = OwnedPeerhost> {
    prop_oneof![any::<std::net::IpAddr>().prop_map(|addr| addr.to_string()), any_text().prop_map(String::from),]
        .prop_map(|text| Peerhost::parse(&text).into())
}

prop_compose! {
    fn any_extra()(
        [cluster, cn, dn] in [(); 3].map(|()| prop::option::of(any_text())),
        peerport in prop::option::of(any::<u16>()),
    ) -> OwnedExtra {
        OwnedExtra { cluster, peerport, cn, dn, ..OwnedExtra::default() }
    }
}

// Boxed below, since the values of a choice take the stack of all its arms.
prop_compose! {
    fn any_client()(
        texts in [any_text(), any_text(), any_text(), any_text(), any_text()],
        peerhost in any_host(),
        sockport in any::<u16>(),
        is_superuser in any::<bool>(),
        anonymous in any::<bool>(),
        extra in any_extra(),
    ) -> OwnedClient {
        let [clientid, username, protocol, mountpoint, node] = texts;
        OwnedClient { clientid, username, peerhost, sockport, protocol, mountpoint, node, is_superuser, anonymous, extra }
    }
}

prop_compose! {
    fn any_attempt()(
        texts in [any_text(), any_text(), any_text(), any_text()],
        peerhost in any_host(),
        sockport in any::<u16>(),
        proto_ver in any::<u8>(),
        keepalive in any::<u16>(),
        extra in any_extra(),
    ) -> OwnedAttempt {
        let [clientid, username, proto_name, node] = texts;
        OwnedAttempt { clientid, username, peerhost, sockport, proto_name, proto_ver, keepalive, node, extra }
    }
}

fn any_event() -> impl Strategy<Value = OwnedEvent> {
    let plain = prop::sample::select(vec![
        Plain::Connected,
        Plain::Subscribe,
        Plain::Unsubscribe,
        Plain::SessionCreated,
        Plain::SessionResumed,
        Plain::SessionDiscarded,
        Plain::SessionTakenOver,
    ]);
    let action = prop::sample::select(vec![Action::Publish, Action::Subscribe]);
    let message =
        (any_text(), any_text(), any::<u8>(), any::<u64>(), any::<i64>(), any_text(), prop::option::of(any_text()));
    prop_oneof![
        any_attempt().boxed().prop_map(OwnedEvent::Connect),
        (any_attempt().boxed(), any_text(), prop::option::of(any_text()))
            .prop_map(|(attempt, code, assigned)| OwnedEvent::Connack { attempt, code, assigned }),
        (any_client().boxed(), any::<bool>())
            .prop_map(|(client, password_given)| OwnedEvent::Authenticate { client, password_given }),
        (any_client().boxed(), action, any_text()).prop_map(|(client, action, topic)| OwnedEvent::CheckAcl {
            client,
            action,
            topic
        }),
        (plain, any_client().boxed()).prop_map(|(which, client)| OwnedEvent::Plain(which, client)),
        (any_client().boxed(), any_text()).prop_map(|(client, reason)| OwnedEvent::Disconnected { client, reason }),
        (any_client().boxed(), any_text(), any::<u8>())
            .prop_map(|(client, topic, qos)| OwnedEvent::SessionSubscribed { client, topic, qos }),
        (any_client().boxed(), any_text())
            .prop_map(|(client, topic)| OwnedEvent::SessionUnsubscribed { client, topic }),
        (any_client().boxed(), any_text())
            .prop_map(|(client, reason)| OwnedEvent::SessionTerminated { client, reason }),
        message.prop_map(|(from, topic, qos, size, timestamp, node, cluster)| {
            OwnedEvent::MessagePublish(OwnedMessage { from, topic, qos, size, timestamp, node, cluster })
        }),
    ]
}

proptest! {
    #[test]
    fn every_event_comes_back(
        event in any_event(),
        at in any::<i64>(),
        verdict in prop::sample::select(vec![Verdict::Allow, Verdict::Deny, Verdict::Ignore]),
        rule in any_text(),
        passwords in prop::collection::btree_map(any_text(), prop::sample::select(Found::ALL.to_vec()), 0..3),
        reason in prop::option::of(prop::sample::select(DenialReason::ALL.to_vec())),
        policy in prop::option::of(any_text()),
    ) {
        prop_assert_eq!(&OwnedEvent::from(&event.as_event()), &event);
        let text = write(&event.as_event(), at);
        prop_assert!(!text.contains(|c: char| c < ' '));
        prop_assert_eq!(read_line(&text), Ok(Line::Told(Box::new(Told { at: Some(at), event: event.clone(), decision: None }))));
        if event.hook().kind() == Kind::Asks {
            let said = passwords.iter().map(|(source, found)| (&**source, *found));
            let text = write_decided(&event.as_event(), at, DecisionLine { reason, policy: policy.as_deref(), ..of(verdict, &rule) }, said);
            let decision = Some(Decided { verdict, rule, passwords, reason, policy });
            prop_assert_eq!(read_line(&text), Ok(Line::Told(Box::new(Told { at: Some(at), event, decision }))));
        }
    }

    #[test]
    fn a_damaged_line_is_read_or_refused(event in any_event(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let text = write(&event.as_event(), 0);
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        // What is read is an event that can be written.
        if let Ok(event) = read(&chars.iter().collect::<String>()) {
            prop_assert_eq!(read(&write(&event.as_event(), 0)), Ok(event));
        }
        prop_assert!(read(&text.chars().take(at).collect::<String>()).is_err());
    }
}
