use proptest::prelude::*;

use super::*;

/// What is read from these bytes, and how many are left.
fn read_all(version: MqttVersion, bytes: &[u8]) -> (Result<Option<IncomingPacket>, String>, usize) {
    let mut buffer = BytesMut::from(bytes);
    let read = read(version, &mut buffer).map_err(|error| error.to_string());
    (read, buffer.len())
}

#[track_caller]
fn check(version: MqttVersion, bytes: &[u8], expected: IncomingPacket) {
    for end in 0..bytes.len() {
        assert_eq!(read_all(version, bytes.get(..end).unwrap()), (Ok(None), end), "{end} bytes");
    }
    // What follows stays in the buffer.
    let two = [bytes, &[0xd0]].concat();
    assert_eq!(read_all(version, &two), (Ok(Some(expected)), 1));
}

#[track_caller]
fn refuses(version: MqttVersion, bytes: &[u8], expected: &str) {
    assert_eq!(read_all(version, bytes).0, Err(expected.to_owned()));
}

fn message(retained: bool) -> IncomingPacket {
    IncomingPacket::Publish(MqttMessage { topic: "a/é".to_owned(), payload: b"xy".to_vec(), retained })
}

#[test]
fn packets_of_both_versions_are_read() {
    use MqttRefusal::{Closed, NotAuthorized, Other};
    use MqttVersion::{V3, V5};
    check(V3, &[0x20, 2, 0, 0], IncomingPacket::Ack(Ack::Connect, 0, None));
    check(V3, &[0x20, 2, 0, 5], IncomingPacket::Ack(Ack::Connect, 0, Some(NotAuthorized(5))));
    check(V3, &[0x20, 2, 0, 4], IncomingPacket::Ack(Ack::Connect, 0, Some(NotAuthorized(4))));
    check(V3, &[0x20, 2, 0, 3], IncomingPacket::Ack(Ack::Connect, 0, Some(Other(3))));
    check(V3, &[0x90, 3, 0, 7, 1], IncomingPacket::Ack(Ack::Subscribe, 7, None));
    check(V3, &[0x90, 3, 0, 7, 0x80], IncomingPacket::Ack(Ack::Subscribe, 7, Some(NotAuthorized(0x80))));
    check(V3, &[0x40, 2, 1, 2], IncomingPacket::Ack(Ack::Publish, 258, None));
    check(V3, &[0xb0, 2, 0, 1], IncomingPacket::Ack(Ack::Unsubscribe, 1, None));
    check(V3, &[0x30, 8, 0, 4, b'a', b'/', 0xc3, 0xa9, b'x', b'y'], message(false));
    check(V3, &[0x31, 8, 0, 4, b'a', b'/', 0xc3, 0xa9, b'x', b'y'], message(true));
    check(V3, &[0xd0, 0], IncomingPacket::Ack(Ack::Ping, 0, None));

    check(V5, &[0x20, 3, 0, 0, 0], IncomingPacket::Ack(Ack::Connect, 0, None));
    check(V5, &[0x20, 3, 0, 0x87, 0], IncomingPacket::Ack(Ack::Connect, 0, Some(NotAuthorized(0x87))));
    check(V5, &[0x20, 3, 0, 0x8a, 0], IncomingPacket::Ack(Ack::Connect, 0, Some(Other(0x8a))));
    check(V5, &[0x20, 2, 0, 1], IncomingPacket::Ack(Ack::Connect, 0, Some(Other(1))));
    check(V5, &[0x90, 4, 0, 7, 0, 0], IncomingPacket::Ack(Ack::Subscribe, 7, None));
    check(V5, &[0x90, 4, 0, 7, 0, 0x87], IncomingPacket::Ack(Ack::Subscribe, 7, Some(NotAuthorized(0x87))));
    check(V5, &[0x90, 4, 0, 7, 0, 0x8f], IncomingPacket::Ack(Ack::Subscribe, 7, Some(Other(0x8f))));
    check(V5, &[0x40, 2, 0, 1], IncomingPacket::Ack(Ack::Publish, 1, None));
    check(V5, &[0x40, 3, 0, 1, 0x10], IncomingPacket::Ack(Ack::Publish, 1, None));
    check(V5, &[0x40, 3, 0, 1, 0x87], IncomingPacket::Ack(Ack::Publish, 1, Some(NotAuthorized(0x87))));
    check(V5, &[0x40, 4, 0, 1, 0x87, 0], IncomingPacket::Ack(Ack::Publish, 1, Some(NotAuthorized(0x87))));
    check(V5, &[0xb0, 4, 0, 1, 0, 0], IncomingPacket::Ack(Ack::Unsubscribe, 1, None));
    check(V5, &[0x30, 9, 0, 4, b'a', b'/', 0xc3, 0xa9, 0, b'x', b'y'], message(false));
    check(V5, &[0xd0, 0], IncomingPacket::Ack(Ack::Ping, 0, None));
    check(V5, &[0xe0, 0], IncomingPacket::Disconnect(Closed));
    check(V5, &[0xe0, 1, 0x87], IncomingPacket::Disconnect(NotAuthorized(0x87)));
    check(V5, &[0xe0, 2, 0x8e, 0], IncomingPacket::Disconnect(Other(0x8e)));
}

#[test]
fn what_is_no_packet_of_a_broker_is_refused() {
    use MqttVersion::{V3, V5};
    refuses(V3, b"HTTP/1.1 400", "the broker sent what is no packet of a broker (it begins with byte 0x48)");
    refuses(V5, &[0xa2, 5, 0, 1, 0, 0, 0], "the broker sent what is no packet of a broker (it begins with byte 0xa2)");
    refuses(V3, &[0xe0, 0], "the broker sent what is no packet of a broker (it begins with byte 0xe0)");
    refuses(V5, &[0xf0, 0], "the broker sent what is no packet of a broker (it begins with byte 0xf0)");
    refuses(V3, &[0x20, 0], "the broker sent what is no MQTT packet (PayloadRequired)");
    refuses(V3, &[0x20, 2, 0, 9], "the broker sent what is no MQTT packet (InvalidConnectReturnCode(9))");
    refuses(V5, &[0x20, 3, 0, 0, 5], "the broker sent what is no MQTT packet (MalformedPacket)");
    refuses(V3, &[0x30, 3, 0, 9, b'a'], "the broker sent what is no MQTT packet (BoundaryCrossed(9))");
    refuses(
        V3,
        &[0x20, 0xff, 0xff, 0xff, 0xff, 1],
        "the broker sent what is no MQTT packet (MalformedRemainingLength)",
    );
    // Refused by its length alone, before any of it is there.
    refuses(V5, &[0x30, 0xff, 0xff, 0xff, 0x7f], "the broker sent a packet of 268435455 bytes; up to 2097152 are read");
}

proptest! {
    #[test]
    fn nothing_that_a_broker_sends_brings_the_reader_down(
        first: u8, body in proptest::collection::vec(any::<u8>(), 0..100), five: bool,
    ) {
        let version = if five { MqttVersion::V5 } else { MqttVersion::V3 };
        let length = u8::try_from(body.len()).unwrap();
        let (_, left) = read_all(version, &[&[first, length], body.as_slice()].concat());
        prop_assert!(left == 0 || left == body.len() + 2);
        let _ = read_all(version, &body);
    }

    /// The bodies that reach deepest: a number, and properties of MQTT 5.
    #[test]
    fn properties_do_not_bring_the_reader_down(
        kind in prop_oneof![Just(CONNACK), Just(PUBACK), Just(SUBACK), Just(UNSUBACK), Just(DISCONNECT)],
        code: u8, length in 0_u8..40, property in 0_u8..45, rest in proptest::collection::vec(0_u8..12, 0..40),
    ) {
        let begin: &[u8] = match kind {
            PUBACK => &[0, 1, code],
            SUBACK | UNSUBACK => &[0, 1],
            CONNACK => &[0, code],
            _ => &[code],
        };
        let body = [begin, &[length, property], rest.as_slice()].concat();
        let (_, left) = read_all(MqttVersion::V5, &[&[kind << 4, u8::try_from(body.len()).unwrap()], body.as_slice()].concat());
        prop_assert_eq!(left, 0);
    }
}

/// What is written, read by the other end of mqttbytes.
#[test]
fn what_is_sent_is_what_was_asked_for() {
    let packets = [
        OutgoingPacket::Connect { clientid: "c", username: "u", password: "pw" },
        OutgoingPacket::Connect { clientid: "c", username: "u", password: "" },
        OutgoingPacket::Connect { clientid: "c", username: "", password: "" },
        OutgoingPacket::Subscribe(1, "a/+/#"),
        OutgoingPacket::Unsubscribe(2, "a/+/#"),
        OutgoingPacket::Publish(3, "a/b", b"xy"),
        OutgoingPacket::Publish(3, "a/b", b""),
        OutgoingPacket::Ping,
        OutgoingPacket::Disconnect,
    ];
    let v3: &[&[u8]] = &[
        b"\x10\x14\0\x04MQTT\x04\xc2\0\x78\0\x01c\0\x01u\0\x02pw",
        b"\x10\x10\0\x04MQTT\x04\x82\0\x78\0\x01c\0\x01u",
        b"\x10\x0d\0\x04MQTT\x04\x02\0\x78\0\x01c",
        b"\x82\x0a\0\x01\0\x05a/+/#\0",
        b"\xa2\x09\0\x02\0\x05a/+/#",
        b"\x32\x09\0\x03a/b\0\x03xy",
        b"\x32\x07\0\x03a/b\0\x03",
        b"\xc0\0",
        b"\xe0\0",
    ];
    let v5: &[&[u8]] = &[
        b"\x10\x15\0\x04MQTT\x05\xc2\0\x78\0\0\x01c\0\x01u\0\x02pw",
        b"\x10\x11\0\x04MQTT\x05\x82\0\x78\0\0\x01c\0\x01u",
        b"\x10\x0e\0\x04MQTT\x05\x02\0\x78\0\0\x01c",
        b"\x82\x0b\0\x01\0\0\x05a/+/#\0",
        b"\xa2\x0a\0\x02\0\0\x05a/+/#",
        b"\x32\x0a\0\x03a/b\0\x03\0xy",
        b"\x32\x08\0\x03a/b\0\x03\0",
        b"\xc0\0",
        b"\xe0\0",
    ];
    for (version, expected) in [(MqttVersion::V3, v3), (MqttVersion::V5, v5)] {
        for (packet, expected) in packets.iter().zip(expected) {
            let mut bytes = BytesMut::new();
            write(version, *packet, &mut bytes).unwrap();
            assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{version}");
        }
    }
}
