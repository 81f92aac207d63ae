use eetf::{Atom, Binary, ByteList, FixInteger, List, Term, Tuple};

use super::*;

fn atom(text: &str) -> Term {
    Atom::from(text).into()
}

fn binary(bytes: impl AsRef<[u8]>) -> Term {
    Binary::from(bytes.as_ref().to_vec()).into()
}

fn integer(value: i32) -> Term {
    FixInteger::from(value).into()
}

fn list(elements: impl Into<Vec<Term>>) -> Term {
    List::from(elements.into()).into()
}

fn tuple(elements: impl Into<Vec<Term>>) -> Term {
    Tuple::from(elements.into()).into()
}

fn properties(pairs: &[(&str, Term)]) -> Term {
    list(pairs.iter().map(|(key, value)| tuple([atom(key), value.clone()])).collect::<Vec<_>>())
}

fn clientinfo() -> Vec<(&'static str, Term)> {
    vec![
        ("node", atom("emqx@127.0.0.1")),
        ("clientid", binary("dev-1")),
        ("username", binary("alice")),
        ("password", binary(b"\xFF\x00")),
        ("peerhost", binary("10.0.0.7")),
        ("sockport", integer(8883)),
        ("protocol", atom("mqtt")),
        ("mountpoint", binary("m/")),
        ("is_superuser", atom("false")),
        ("anonymous", atom("true")),
    ]
}

fn conninfo() -> Vec<(&'static str, Term)> {
    vec![
        ("node", atom("emqx@127.0.0.1")),
        ("clientid", binary("dev-1")),
        ("username", binary("alice")),
        ("peerhost", binary("::ffff:10.0.0.7")),
        ("sockport", integer(8883)),
        ("proto_name", binary("MQTT")),
        ("proto_ver", integer(5)),
        ("keepalive", integer(60)),
    ]
}

const CLIENT: Client<'static> = Client {
    clientid: "dev-1",
    username: "alice",
    peerhost: Peerhost::Addr(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7))),
    sockport: 8883,
    protocol: "mqtt",
    mountpoint: "m/",
    node: "emqx@127.0.0.1",
    is_superuser: false,
    anonymous: true,
    extra: Extra::NONE,
};

const ATTEMPT: Attempt<'static> = Attempt {
    clientid: "dev-1",
    username: "alice",
    peerhost: CLIENT.peerhost,
    sockport: 8883,
    proto_name: "MQTT",
    proto_ver: 5,
    keepalive: 60,
    node: "emqx@127.0.0.1",
    extra: Extra::NONE,
};

fn state(mode: &str) -> Term {
    tuple([atom("exhook_policy"), integer(1), atom(mode)])
}

fn frame(function: &str, args: &[Term]) -> Vec<u8> {
    let mut bytes = Vec::new();
    tuple([atom("C"), integer(1), atom("rules"), atom(function), list(args)]).encode(&mut bytes).unwrap();
    bytes
}

fn read(frame: &[u8]) -> PortCall<'_> {
    match Incoming::read(frame).unwrap() {
        Incoming::Call(call) => call,
        Incoming::Message => panic!("a message"),
    }
}

/// Reads a call of the hook with these arguments and a state behind them.
#[track_caller]
fn check(hook: Hook, args: &[Term], expected: Result<Event<'_>, &str>) {
    let args = [args, &[state("enforce")]].concat();
    let bytes = frame(&format!("on_{}", hook.name()), &args);
    let event = read(&bytes).event(hook).map_err(|error| error.to_string());
    assert_eq!(event, expected.map_err(str::to_owned));
    if let Ok(event) = event {
        assert_eq!(event.hook(), hook);
    }
}

#[test]
fn each_hook_has_its_arguments() {
    let client = properties(&clientinfo());
    let attempt = properties(&conninfo());
    let user_properties = properties(&[("User-Property", list([tuple([binary("k"), binary("v")])]))]);
    let assigned =
        properties(&[("Response-Information", atom("undefined")), ("Assigned-Client-Identifier", binary("x"))]);
    let so_far = atom("true");
    let options =
        properties(&[("is_new", atom("true")), ("nl", integer(0)), ("qos", integer(2)), ("share", binary("g"))]);
    let topic = binary("a/b");
    let filters = list([tuple([binary("a/#"), integer(1)])]);
    let reason = binary("normal");
    let c = CLIENT;

    check(Hook::ClientConnect, &[attempt.clone(), user_properties.clone()], Ok(Event::Connect(ATTEMPT)));
    let connack = |code, assigned| Event::Connack { attempt: ATTEMPT, code, assigned };
    check(Hook::ClientConnack, &[attempt.clone(), atom("success"), list([])], Ok(connack("success", None)));
    check(Hook::ClientConnack, &[attempt.clone(), atom("banned"), assigned], Ok(connack("banned", Some("x"))));
    check(Hook::ClientConnack, &[attempt, atom("success"), atom("undefined")], Ok(connack("success", None)));
    check(Hook::ClientConnected, std::slice::from_ref(&client), Ok(Event::Connected(c)));
    check(
        Hook::ClientDisconnected,
        &[client.clone(), reason.clone()],
        Ok(Event::Disconnected { client: c, reason: "normal" }),
    );
    let login = Event::Authenticate { client: c, password: Password::new(b"\xFF\x00") };
    check(Hook::ClientAuthenticate, &[client.clone(), so_far.clone()], Ok(login));
    let asked = |action| Event::CheckAcl { client: c, action, topic: "a/b" };
    check(
        Hook::ClientCheckAcl,
        &[client.clone(), atom("publish"), topic.clone(), so_far.clone()],
        Ok(asked(Action::Publish)),
    );
    check(
        Hook::ClientCheckAcl,
        &[client.clone(), atom("subscribe"), topic.clone(), so_far.clone()],
        Ok(asked(Action::Subscribe)),
    );
    check(Hook::ClientSubscribe, &[client.clone(), user_properties, filters], Ok(Event::Subscribe(c)));
    check(Hook::ClientUnsubscribe, &[client.clone(), list([]), list([])], Ok(Event::Unsubscribe(c)));
    check(Hook::SessionCreated, std::slice::from_ref(&client), Ok(Event::SessionCreated(c)));
    check(Hook::SessionResumed, std::slice::from_ref(&client), Ok(Event::SessionResumed(c)));
    check(Hook::SessionDiscarded, std::slice::from_ref(&client), Ok(Event::SessionDiscarded(c)));
    check(Hook::SessionTakenOver, std::slice::from_ref(&client), Ok(Event::SessionTakenOver(c)));
    check(
        Hook::SessionSubscribed,
        &[client.clone(), topic.clone(), options],
        Ok(Event::SessionSubscribed { client: c, topic: "a/b", qos: 2 }),
    );
    check(
        Hook::SessionUnsubscribed,
        &[client.clone(), topic.clone()],
        Ok(Event::SessionUnsubscribed { client: c, topic: "a/b" }),
    );
    check(Hook::SessionTerminated, &[client, reason], Ok(Event::SessionTerminated { client: c, reason: "normal" }));
    let message = properties(&[
        ("node", atom("emqx@127.0.0.1")),
        ("id", binary("0005")),
        ("qos", integer(1)),
        ("from", binary("dev-1")),
        ("topic", topic),
        ("payload", binary(b"\xFF")),
        ("timestamp", eetf::BigInteger::from(1_600_000_000_000_i64).into()),
    ]);
    let published = Message {
        from: "dev-1",
        topic: "a/b",
        qos: 1,
        payload: Payload::new(b"\xFF"),
        timestamp: 1_600_000_000_000,
        node: "emqx@127.0.0.1",
        cluster: None,
    };
    check(Hook::MessagePublish, &[message], Ok(Event::MessagePublish(published)));
}

#[test]
fn fields_come_in_any_order_among_others() {
    let mut fields = clientinfo();
    fields.reverse();
    fields.insert(3, ("new", tuple([])));
    // The first of two counts.
    fields.push(("clientid", binary("other")));
    check(Hook::ClientConnected, &[properties(&fields)], Ok(Event::Connected(CLIENT)));
}

#[track_caller]
fn check_field(key: &str, value: Term, expected: Result<Client<'_>, &str>) {
    let mut fields = clientinfo();
    fields.iter_mut().find(|(name, _)| *name == key).unwrap().1 = value;
    // The length of the value moves what is told of the place.
    let bytes = frame("on_client_connected", &[properties(&fields), state("enforce")]);
    let event = read(&bytes).event(Hook::ClientConnected);
    let event =
        event.map_err(|error| error.to_string().split(" at byte ").next().unwrap().trim_end_matches(',').to_owned());
    assert_eq!(event, expected.map(Event::Connected).map_err(str::to_owned));
}

#[test]
fn fields_have_their_types() {
    let nameless = Client { username: "", ..CLIENT };
    check_field("username", atom("undefined"), Ok(nameless));
    check_field("username", binary(""), Ok(nameless));
    check_field("username", list([]), Ok(nameless));
    check_field("username", binary("undefined"), Ok(Client { username: "undefined", ..CLIENT }));
    check_field("username", ByteList::from("bob").into(), Ok(Client { username: "bob", ..CLIENT }));
    check_field("username", integer(1), Err("expected the username"));
    check_field("username", binary(b"\xFF"), Err("the username is not UTF-8"));
    check_field("clientid", binary(b"\xC3"), Err("the clientid is not UTF-8"));
    check_field("clientid", binary("é\0"), Ok(Client { clientid: "é\0", ..CLIENT }));
    check_field("peerhost", binary("nowhere"), Ok(Client { peerhost: Peerhost::Other("nowhere"), ..CLIENT }));
    check_field("sockport", integer(65_535), Ok(Client { sockport: 65_535, ..CLIENT }));
    check_field("sockport", integer(65_536), Err("expected a port"));
    check_field("sockport", integer(-1), Err("expected a port"));
    check_field("sockport", binary("1883"), Err("expected an integer"));
    check_field("protocol", binary("mqtt"), Ok(CLIENT));
    check_field("mountpoint", atom("undefined"), Ok(Client { mountpoint: "", ..CLIENT }));
    check_field("is_superuser", atom("true"), Ok(Client { is_superuser: true, ..CLIENT }));
    check_field("is_superuser", atom("undefined"), Err("expected true or false"));
    check_field("anonymous", integer(0), Err("expected an atom"));
}

#[test]
fn what_a_rule_may_ask_about_has_to_be_there() {
    for missing in clientinfo() {
        let mut fields = clientinfo();
        fields.retain(|(key, _)| *key != missing.0);
        let error = match missing.0 {
            "password" => None,
            name @ ("is_superuser" | "anonymous") => Some(format!("{name} is missing")),
            name => Some(format!("the {name} is missing")),
        };
        let expected = error.as_deref().map_or(Ok(Event::Connected(CLIENT)), Err);
        check(Hook::ClientConnected, &[properties(&fields)], expected);
    }
}

/// Gateways of other protocols give other things there.
#[test]
fn what_is_only_written_down_may_be_anything() {
    for odd in [atom("undefined"), binary("1.2"), integer(-1), integer(70_000), tuple([])] {
        let mut fields = conninfo();
        fields.retain(|(key, _)| *key != "proto_ver" && *key != "keepalive");
        fields.push(("proto_ver", odd.clone()));
        fields.push(("keepalive", odd));
        let expected = Attempt { proto_ver: 0, keepalive: 0, ..ATTEMPT };
        check(Hook::ClientConnect, &[properties(&fields), list([])], Ok(Event::Connect(expected)));
    }
    let client = properties(&clientinfo());
    let reasons = [
        (atom("kicked"), "kicked"),
        (binary(b"caf\xC3\xA9 \xFF!"), "café "),
        (tuple([atom("shutdown"), atom("normal")]), ""),
        (list([]), ""),
    ];
    for (given, reason) in reasons {
        check(Hook::ClientDisconnected, &[client.clone(), given], Ok(Event::Disconnected { client: CLIENT, reason }));
    }
}

#[test]
fn arguments_are_counted() {
    let client = properties(&clientinfo());
    check(Hook::ClientAuthenticate, &[], Err("expected 3 arguments, found 1"));
    check(Hook::ClientConnected, &[client.clone(), client.clone()], Err("expected 2 arguments, found 3"));
    check(
        Hook::ClientCheckAcl,
        &[client.clone(), atom("read"), binary("a"), atom("true")],
        Err("expected publish or subscribe at byte 257"),
    );
    let stateless = frame("on_client_connected", &[client]);
    assert_eq!(read(&stateless).event(Hook::ClientConnected), Ok(Event::Connected(CLIENT)));
    let bytes = frame("on_client_connected", &[integer(1), integer(2)]);
    assert_eq!(read(&bytes).event(Hook::ClientConnected).unwrap_err().to_string(), "expected a list at byte 36");
}

#[test]
fn a_call_of_another_size_is_no_event() {
    #[track_caller]
    fn check(behind: &[Term]) {
        let mut call = vec![atom("C"), integer(1), atom("rules"), atom("on_client_connected")];
        call.extend_from_slice(behind);
        let mut bytes = Vec::new();
        tuple(call).encode(&mut bytes).unwrap();
        let error = read(&bytes).event(Hook::ClientConnected).unwrap_err();
        assert_eq!(error.to_string(), "expected a call with its arguments alone at byte 36");
    }
    let args = list([properties(&clientinfo()), state("enforce")]);
    check(&[]);
    check(&[args.clone(), args]);
}

#[test]
fn the_state_is_known_again() {
    #[track_caller]
    fn check(args: &[Term], expected: Option<(Mode, Option<u32>)>) {
        let state = read(&frame("on_x", args)).state();
        assert_eq!(state.map(|state| (state.mode, state.hooks.map(HookSet::bits))), expected);
    }
    let of = |version: i32, rest: &[Term]| {
        tuple([atom("exhook_policy"), integer(version)].into_iter().chain(rest.iter().cloned()).collect::<Vec<_>>())
    };
    check(&[of(2, &[atom("audit"), integer(0x8010)])], Some((Mode::Audit, Some(0x8010))));
    check(
        &[integer(1), properties(&clientinfo()), of(2, &[atom("enforce"), integer(0)])],
        Some((Mode::Enforce, Some(0))),
    );
    // As the version before wrote it, which may have started with this broker.
    check(&[of(1, &[atom("audit")])], Some((Mode::Audit, None)));
    check(&[of(1, &[atom("audit")]), integer(1)], None);
    check(&[of(1, &[atom("off")])], None);
    check(&[], None);
    check(&[integer(1), integer(2)], None);
    check(&[tuple([])], None);
    check(&[of(2, &[atom("audit")])], None);
    check(&[of(3, &[atom("audit"), integer(0)])], None);
    check(&[of(2, &[atom("audit"), integer(-1)])], None);
    check(&[of(2, &[atom("audit"), atom("x")])], None);
    check(&[tuple([atom("other"), integer(1), atom("audit")])], None);
    check(&[of(1, &[atom("audit"), integer(0)])], None);
}

#[test]
fn only_calls_and_messages_come_in() {
    #[track_caller]
    fn check(term: &Term, expected: &str) {
        let mut bytes = Vec::new();
        term.encode(&mut bytes).unwrap();
        let read = match Incoming::read(&bytes) {
            Ok(Incoming::Call(call)) => format!("{:?} {} {}", call.id, call.module, call.function),
            Ok(Incoming::Message) => "message".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(read, expected);
    }
    let call = |kind, function| tuple([atom(kind), integer(300), atom("rules"), function, list([])]);
    check(&call("C", atom("init")), "[98, 0, 0, 1, 44] rules init");
    check(&call("C", atom("é")), "[98, 0, 0, 1, 44] rules é");
    check(&call("C", binary("init")), "[98, 0, 0, 1, 44] rules init");
    check(&call("C", list([])), "[98, 0, 0, 1, 44] rules ");
    check(&call("C", binary(b"\xFF")), "the function is not UTF-8, at byte 18");
    check(&call("C", integer(1)), "expected the function at byte 18");
    check(&tuple([atom("C"), integer(1), binary("m"), atom("f")]), "[97, 1] m f");
    check(&call("X", atom("init")), "expected a call at byte 6");
    check(&tuple([atom("M"), integer(1)]), "message");
    check(&tuple([atom("C"), integer(1)]), "expected a call at byte 6");
    check(&list([]), "expected a tuple at byte 1");
}

#[test]
fn the_usual_form_is_read_as_every_other() {
    let usual = clientinfo();
    let read = |fields: &[(&str, Term)]| {
        let mut bytes = Vec::new();
        properties(fields).encode(&mut bytes).unwrap();
        let mut args = Reader::versioned(&bytes).unwrap();
        let quick = usual_client(&mut { args }).is_some();
        let (client, password) = client_with_password(&mut args).unwrap();
        args.end().unwrap();
        assert!(client == CLIENT && password.expose() == b"\xFF\x00", "{fields:?}");
        quick
    };
    assert!(read(&usual));
    let mut turned = usual.clone();
    turned.reverse();
    assert!(!read(&turned));
    let more = [&usual[..], &[("zone", atom("external"))]].concat();
    assert!(!read(&more));
    let twice = [&usual[..9], &[("clientid", binary("later")), ("anonymous", atom("true"))]].concat();
    assert!(!read(&twice));
    // As long as the usual one, with another key among them.
    let mut other = usual.clone();
    other.rotate_left(1);
    assert!(!read(&other));
}
