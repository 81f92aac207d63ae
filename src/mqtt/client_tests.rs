use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use super::*;

const PATIENCE: Duration = Duration::from_millis(400);
const NOBODY: MqttLogin<'static> = MqttLogin { clientid: "c", username: "u", password: "p" };

/// A broker that answers each packet with the next of these, and then hangs up, or says nothing more.
fn broker(answers: Vec<Vec<u8>>, hangs_up: bool) -> (Vec<SocketAddr>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 1024];
        for answer in answers {
            let _ = stream.read(&mut bytes).unwrap();
            stream.write_all(&answer).unwrap();
        }
        if !hangs_up {
            while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
        }
    });
    (vec![address], thread)
}

const IN_V5: &[u8] = &[0x20, 3, 0, 0, 0];

/// Logs in, asks, and gives what was answered, as text.
fn asked(
    answers: &[&[u8]],
    hangs_up: bool,
    ask: impl FnOnce(&mut MqttConnection) -> Result<MqttReply, MqttError>,
) -> String {
    let answers = std::iter::once(IN_V5).chain(answers.iter().copied()).map(<[u8]>::to_vec).collect();
    let (addresses, thread) = broker(answers, hangs_up);
    let LoginResult::In(mut connection) = MqttConnection::login(&addresses, MqttVersion::V5, NOBODY, PATIENCE).unwrap()
    else {
        panic!("refused");
    };
    let said = match ask(&mut connection) {
        Ok(MqttReply::Done) => "done".to_owned(),
        Ok(MqttReply::Refused(refusal)) => format!("{refusal}; open: {}", connection.is_open()),
        Err(error) => format!("error: {error}"),
    };
    connection.disconnect();
    thread.join().unwrap();
    said
}

#[track_caller]
fn login(answers: &[&[u8]], hangs_up: bool, expected: &str) {
    let (addresses, thread) = broker(answers.iter().map(|answer| answer.to_vec()).collect(), hangs_up);
    let said = match MqttConnection::login(&addresses, MqttVersion::V5, NOBODY, PATIENCE) {
        Ok(LoginResult::In(_)) => "in".to_owned(),
        Ok(LoginResult::Refused(refusal)) => refusal.to_string(),
        Err(error) => format!("error: {error}"),
    };
    thread.join().unwrap();
    assert_eq!(said, expected);
}

#[test]
fn a_login_has_an_end() {
    login(&[IN_V5], true, "in");
    login(&[&[0x20, 3, 0, 0x87, 0]], true, "not authorized (code 0x87)");
    login(&[&[0x20, 2, 0, 1]], true, "the broker does not speak this version of MQTT (code 0x01)");
    login(&[&[]], true, "the broker closed the connection");
    login(&[], false, "error: the broker sent no CONNACK within 400ms");
    login(&[&[0x20, 3, 0]], false, "error: the broker sent no CONNACK within 400ms");
    login(&[&[0x90, 4, 0, 1, 0, 0]], true, "error: the broker answered the CONNECT with another packet than a CONNACK");
    login(&[b"SSH-2.0-"], true, "error: the broker sent what is no packet of a broker (it begins with byte 0x53)");
}

#[test]
fn a_broker_that_is_not_there_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = MqttConnection::login(&[address], MqttVersion::V3, NOBODY, PATIENCE).err().unwrap();
    assert_eq!(error.to_string(), format!("no connection to the broker: {address}: Connection refused (os error 111)"));
    assert!(
        resolve("localhost").unwrap_err().to_string().starts_with("localhost is no address of a broker, HOST:PORT")
    );
    assert_eq!(resolve("127.0.0.1:1883").unwrap(), ["127.0.0.1:1883".parse().unwrap()]);
}

#[test]
fn an_answer_is_the_one_to_the_question() {
    let subscribe = |connection: &mut MqttConnection| connection.subscribe("a");
    assert_eq!(asked(&[&[0x90, 4, 0, 1, 0, 0]], false, subscribe), "done");
    // Messages and answers to other questions come before it.
    let late = [0x30, 4, 0, 1, b'a', 0, 0x40, 2, 0, 1, 0x90, 4, 0, 9, 0, 0, 0x90, 4, 0, 1, 0, 0x87];
    assert_eq!(asked(&[&late], false, subscribe), "not authorized (code 0x87); open: true");
    assert_eq!(asked(&[&[0xe0, 1, 0x87]], true, subscribe), "not authorized (code 0x87); open: false");
    assert_eq!(asked(&[&[]], true, subscribe), "the broker closed the connection; open: false");
    assert_eq!(asked(&[&[0x90, 4, 0, 9, 0, 0]], false, subscribe), "error: the broker sent no SUBACK within 400ms");
    let publish = |connection: &mut MqttConnection| connection.publish("a", b"x");
    assert_eq!(asked(&[&[0x40, 3, 0, 1, 0x87]], false, publish), "not authorized (code 0x87); open: true");
    assert_eq!(asked(&[], false, publish), "error: the broker sent no PUBACK within 400ms");
    let unsubscribe = |connection: &mut MqttConnection| connection.unsubscribe("a");
    assert_eq!(asked(&[&[0xb0, 4, 0, 1, 0, 0]], false, unsubscribe), "done");
    let long = |connection: &mut MqttConnection| connection.publish(&"a".repeat(65_536), b"");
    assert_eq!(asked(&[], false, long), "error: a text is longer than the 65535 bytes that MQTT carries");
}

#[test]
fn a_flood_does_not_hold_the_client_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(IN_V5).unwrap();
        let flood = [0x30, 4, 0, 1, b'a', 0].repeat(1000);
        while stream.write_all(&flood).is_ok() {}
    });
    let LoginResult::In(mut connection) = MqttConnection::login(&[address], MqttVersion::V5, NOBODY, PATIENCE).unwrap()
    else {
        panic!("refused");
    };
    let began = Instant::now();
    assert_eq!(connection.subscribe("a").unwrap_err().to_string(), "the broker sent no SUBACK within 400ms");
    assert!(began.elapsed() < PATIENCE * 5, "{:?}", began.elapsed());
    drop(connection);
    thread.join().unwrap();
}

/// Whether the message `a`: `x` is seen, where the broker sends this after a SUBACK and answers PINGREQs or not.
#[track_caller]
fn sees(messages: &[u8], pongs: bool, expected: Result<bool, &str>) {
    let granted = [&[0x90, 4, 0, 1, 0, 0], messages].concat();
    let mut answers = vec![IN_V5.to_vec(), granted];
    if pongs {
        answers.push(vec![0xd0, 0]);
    }
    let (addresses, thread) = broker(answers, false);
    let LoginResult::In(mut connection) = MqttConnection::login(&addresses, MqttVersion::V5, NOBODY, PATIENCE).unwrap()
    else {
        panic!("refused");
    };
    connection.watch("a", b"x");
    assert_eq!(connection.subscribe("a").unwrap(), MqttReply::Done);
    let seen = connection.arrived(Duration::from_millis(50)).map_err(|error| error.to_string());
    assert_eq!(seen, expected.map_err(str::to_owned));
    if seen == Ok(true) && pongs {
        // The broker waits for one packet more.
        assert_eq!(connection.ask(OutgoingPacket::Ping, Ack::Ping, 0).unwrap(), MqttReply::Done);
    }
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn a_message_is_seen_or_it_is_certain_that_none_came() {
    sees(&[0x30, 5, 0, 1, b'a', 0, b'x'], true, Ok(true));
    sees(&[], true, Ok(false));
    let other_topic = [0x30, 5, 0, 1, b'b', 0, b'x'];
    let other_payload = [0x30, 5, 0, 1, b'a', 0, b'y'];
    let retained = [0x31, 5, 0, 1, b'a', 0, b'x'];
    sees(&[other_topic, other_payload, retained].concat(), true, Ok(false));
    sees(&[], false, Err("the broker sent no PINGRESP within 400ms"));
    sees(&[0xe0, 0], false, Err("the broker closed the connection of the observer"));
}
