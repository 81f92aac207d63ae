//! Every call is answered once, with its id, in its turn.

use super::*;

#[test]
fn init_tells_the_hooks_in_the_brokers_form() {
    let mut host = Host::start();
    host.send(&call(7, "init", &[]));
    let (id, result) = host.reply();
    assert_eq!(id, 7.into());
    let string = |text: &str| eetf::ByteList::from(text).into();
    let everything = list(&[tuple(&[string("topics"), list(&[string("#")])])]);
    let row = |hook, callback, options| tuple(&[string(hook), string("rules"), string(callback), options]);
    let rows = list(&[
        row("client_authenticate", "on_client_authenticate", list(&[])),
        row("message_publish", "on_message_publish", everything),
    ]);
    assert_eq!(result, tuple(&[Id::from(0).0, tuple(&[rows, state("enforce")])]));
    host.send(&call(1, "deinit", &[]));
    host.check(1, "'ok'");
    host.end_saying(READY);
}

#[test]
fn calls_are_answered() {
    let mut host = Host::ready();
    host.send(&[login(1, "allow"), login(2, "deny")].concat());
    host.check(1, "{0,'true'}");
    host.check(2, "{0,'false'}");
    host.end_saying(READY);
}

#[test]
fn an_id_goes_back_as_it_came() {
    let mut host = Host::ready();
    let ids: [&[u8]; 4] = [b"a\x05", b"b\0\0\0\x05", b"o\0\0\0\x01\0\x05", b"h\x01d\0\x01x"];
    for id in ids {
        let mut bytes = login(5, "allow")[4..].to_vec();
        let at = bytes.windows(2).position(|pair| pair == b"a\x05").unwrap();
        bytes.splice(at..at + 2, id.iter().copied());
        let mut framed = Vec::new();
        frame::push(&mut framed, Packet::Four, &[&bytes]).unwrap();
        host.send(&framed);
    }
    for id in ids {
        let id = [&[131], id].concat();
        assert_eq!(host.reply().0.0, Term::decode(&id[..]).unwrap());
    }
    host.end_saying(READY);
}

#[test]
fn what_a_read_made_ready_is_one_write() {
    let mut host = Host::start();
    let mut output = host.output.take().unwrap();
    let mut packet = vec![0; 1 << 16];
    host.send(&call(1, "init", &[]));
    assert!(output.read(&mut packet).unwrap() > 0);
    let calls: Vec<u8> = (1..=20).flat_map(|id| login(id, "allow")).collect();
    host.send(&calls);
    let count = output.read(&mut packet).unwrap();
    let mut frames = Frames::new(Packet::Four);
    frames.extend(&packet[..count]);
    for id in 1..=20 {
        assert_eq!(reply_in(frames.next().unwrap().unwrap()).0, Id::from(id).0);
    }
    assert_eq!(frames.finish(), Ok(()));
    host.end_saying(READY);
}

#[test]
fn ids_that_repeat_are_kept_apart() {
    let mut host = Host::ready();
    host.send(&[login(1, "later"), login(1, "later"), login(1, "later")].concat());
    let (first, sink) = host.later();
    let (second, _) = host.later();
    let (third, _) = host.later();
    sink(&[(second, Answer::Deny)]);
    host.check(1, "{0,'false'}");
    // Once answered, it is answered.
    sink(&[(second, Answer::Allow)]);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'true'}");
    sink(&[(first, Answer::NoOpinion)]);
    host.check(1, "'undefined'");
    sink(&[(third, Answer::Deny), (third, Answer::Allow), (first, Answer::Allow), (99, Answer::Allow)]);
    host.check(1, "{0,'false'}");
    host.end_saying(READY);
}

#[test]
fn the_oldest_call_is_answered_first() {
    let mut host = Host::ready();
    let count = 300;
    for id in 1..=count {
        host.send(&login(id, "later"));
    }
    let mut answers = Vec::new();
    let mut sink = None;
    for _ in 1..=count {
        let (token, to) = host.later();
        answers.push((token, Answer::Allow));
        sink = Some(to);
    }
    answers.reverse();
    sink.unwrap()(&answers);
    for id in 1..=count {
        host.check(id, "{0,'true'}");
    }
    host.end_saying(READY);
}

#[test]
fn a_call_is_answered_at_its_deadline() {
    let mut host = Host::with(Mode::Enforce, SHORT);
    host.init();
    host.send(&[login(1, "later"), created(2, "later"), login(3, "allow")].concat());
    host.check_all(&[(1, "{0,'false'}"), (2, "'undefined'"), (3, "{0,'true'}")]);
    let (token, sink) = host.later();
    sink(&[(token, Answer::Allow)]);
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate was not answered within 100ms: denied\n\
         a call of on_session_created was not answered within 100ms: left to the broker\n"
    ));
}

#[test]
fn in_audit_mode_nothing_is_denied() {
    let mut host = Host::with(Mode::Audit, SHORT);
    host.init();
    host.send(&[login(1, "later"), login(2, "fault"), call(3, "on_client_authenticate", &[])].concat());
    host.send(&call(4, "on_thing_check_acl", &[]));
    host.check_all(&[(1, "'undefined'"), (2, "'undefined'"), (3, "'undefined'"), (4, "'undefined'")]);
    assert_eq!(host.end().0, Ok(()));
}

#[test]
fn a_fault_denies_one_call() {
    let mut host = Host::ready();
    host.send(&[login(1, "fault"), created(2, "fault"), login(3, "allow")].concat());
    host.check(1, "{0,'false'}");
    host.check(2, "'undefined'");
    host.check(3, "{0,'true'}");
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate: the driver failed: denied\n\
         a call of on_session_created: the driver failed: left to the broker\n"
    ));
}

#[test]
fn what_cannot_be_read_is_answered_if_it_is_known_whose_it_is() {
    let mut host = Host::ready();
    let whole = login(5, "allow");
    // In the middle of the arguments.
    let mut cut = Vec::new();
    frame::push(&mut cut, Packet::Four, &[&whole[4..whole.len() - 50]]).unwrap();
    // Before the function.
    let mut nameless = Vec::new();
    frame::push(&mut nameless, Packet::Four, &[&whole[4..20]]).unwrap();
    let mut longer = Vec::new();
    frame::push(&mut longer, Packet::Four, &[&whole[4..], b"x"]).unwrap();
    let empty = vec![0; 4];
    let no_call = [0, 0, 0, 2, 131, 106];

    host.send(&[cut.clone(), nameless, empty, no_call.to_vec(), longer].concat());
    host.send(&call(6, "on_session_created", &[atom("x"), state("enforce")]));
    host.send(&login(7, "deny"));
    host.check(5, "{0,'false'}");
    host.check(5, "{0,'false'}");
    host.check(6, "'undefined'");
    host.check(7, "{0,'false'}");
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate: the term is cut off at byte 248: denied\n\
         skipped a frame of 16 bytes: the term is cut off at byte 16\n\
         skipped a frame of 0 bytes: no external term: the first byte is not 131\n\
         skipped a frame of 2 bytes: expected a tuple at byte 1\n\
         a call of on_client_authenticate: 1 bytes follow the term: denied\n\
         a call of on_session_created: expected a list at byte 40: left to the broker\n"
    ));
}

#[test]
fn what_cannot_be_read_is_counted() {
    let mut host = Host::ready();
    let whole = login(1, "allow");
    let mut cut = Vec::new();
    frame::push(&mut cut, Packet::Four, &[&whole[4..whole.len() - 50]]).unwrap();
    // Compressed, and longer than it says.
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&whole[5..]).unwrap();
    let size = u32::try_from(whole.len() - 10).unwrap().to_be_bytes();
    let mut long = Vec::new();
    frame::push(&mut long, Packet::Four, &[&[131, 80], &size, &packed.finish().unwrap()]).unwrap();
    host.send(&[cut, call(2, "on_session_created", &[atom("x"), state("enforce")]), long].concat());
    host.check(1, "{0,'false'}");
    host.check(2, "'undefined'");
    host.check(1, "{0,'false'}");
    host.end_counting(&[("client_authenticate", "deny", 2), ("session_created", "no opinion", 1)]);
}

#[test]
fn an_unknown_function_is_answered() {
    let mut host = Host::ready();
    host.send(&[call(1, "on_message_acked", &[]), call(2, "authenticate", &[]), call(3, "x_check_acl", &[])].concat());
    host.check(1, "'undefined'");
    host.check(2, "{0,'false'}");
    host.check(3, "{0,'false'}");
    host.end_saying(&format!(
        "{READY}no such function, on_message_acked: left to the broker\n\
         no such function, authenticate: denied\n\
         no such function, x_check_acl: denied\n"
    ));
}

#[test]
fn messages_are_ignored() {
    let mut host = Host::ready();
    let mut term = Vec::new();
    tuple(&[atom("M"), atom("hello")]).encode(&mut term).unwrap();
    let mut message = Vec::new();
    frame::push(&mut message, Packet::Four, &[&term]).unwrap();
    host.send(&[message, login(1, "allow")].concat());
    host.check(1, "{0,'true'}");
    host.end_saying(READY);
}
