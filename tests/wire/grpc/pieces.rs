//! Clients that write a call in pieces, as EMQX's did.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::dialect::named;
use super::server::{Place, RULES};
use super::story::Call::{self, Connected, Publish};
use super::story::client;
use super::wire::in_body;
use crate::support::wait::PATIENCE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
/// The flags: the last of its stream, and all of the headers.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A call that is allowed.
const ASKS: Call = Publish(client("dev-1"), "up/dev-1/t");
/// The answers, byte by byte.
const ALLOWED: [u8; 4] = [8, 2, 24, 1];
const DENIED: [u8; 4] = [8, 2, 24, 0];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The kind, flags, stream and payload of the next frame.
fn read_frame(stream: &mut TcpStream) -> (u8, u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).unwrap();
    (kind, flags, u32::from_be_bytes(id), payload)
}

/// The headers of a call: well-known names by their numbers, and texts as they are.
fn headers(path: &str) -> Vec<u8> {
    const POST: u8 = 0x83;
    const HTTP: u8 = 0x86;
    const PATH: u8 = 4;
    const CONTENT_TYPE: [u8; 2] = [15, 16];
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [&[POST, HTTP, PATH][..], &text(path), &CONTENT_TYPE, &text("application/grpc")].concat()
}

/// Opens a connection. It gathers what it writes, which is the system's way where a program says nothing.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    stream.write_all(&frame(SETTINGS, ACK, 0, &[])).unwrap();
    stream
}

/// Reads the answers to so many calls, by their streams.
fn answers(stream: &mut TcpStream, count: usize) -> BTreeMap<u32, Vec<u8>> {
    let mut answers: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut ended = 0;
    while ended < count {
        match read_frame(stream) {
            (DATA, _, id, payload) => answers.entry(id).or_default().extend(payload),
            (HEADERS, flags, _, _) => ended += usize::from(flags & END_STREAM != 0),
            (GO_AWAY, _, _, why) => panic!("{}", why.escape_ascii()),
            _ => {}
        }
    }
    answers
}

/// Reads the answer to the call of this stream.
fn answer(stream: &mut TcpStream, id: u32) -> Vec<u8> {
    let mut answer = Vec::new();
    loop {
        match read_frame(stream) {
            (DATA, _, of, payload) if of == id => answer.extend(payload),
            (HEADERS, flags, of, _) if of == id && flags & END_STREAM != 0 => return answer,
            _ => {}
        }
    }
}

/// Writes two pieces twenty times, and reads the answer to the stream that the second ends. The system's own way is to
/// acknowledge the first after 40 ms, and the second is held back until then.
#[track_caller]
fn check_prompt(address: SocketAddr, broker: &Broker, two: impl Fn(u32) -> (u32, [Vec<u8>; 2])) {
    let mut stream = connect(address);
    // At first it acknowledges at once.
    for id in (1..100).step_by(2) {
        stream.write_all(&pieces(broker, ASKS, id).concat()).unwrap();
        assert_eq!(answer(&mut stream, id), in_body(&ALLOWED));
    }
    let mut times = Vec::new();
    for n in 0..20 {
        let (id, [first, second]) = two(101 + 4 * n);
        let began = Instant::now();
        stream.write_all(&first).unwrap();
        stream.write_all(&second).unwrap();
        assert_eq!(answer(&mut stream, id), in_body(&ALLOWED));
        times.push(began.elapsed());
    }
    times.sort();
    assert!(times[times.len() / 2] < Duration::from_millis(20), "{times:?}");
}

/// The headers and the body of a call, each as a piece of its own.
fn pieces(broker: &Broker, call: Call, id: u32) -> [Vec<u8>; 2] {
    let headers = headers(&broker.dialect.path(broker.method(&call).name()));
    let body = in_body(&broker.bytes(&call));
    [frame(HEADERS, END_HEADERS, id, &headers), frame(DATA, END_STREAM, id, &body)]
}

#[tokio::test]
async fn a_call_in_two_pieces_is_not_kept_waiting_for_an_acknowledgement() {
    let place = Place::new(RULES);
    let server = place.serve();
    let broker = Broker::at(named("v1a"), server.address);
    check_prompt(server.address, &broker, |id| (id, pieces(&broker, ASKS, id)));
}

#[tokio::test]
async fn a_call_behind_one_that_waits_is_not_kept_waiting_either() {
    let place = Place::new(RULES);
    let server = place.serve();
    let broker = Broker::at(named("v1a"), server.address);
    broker.call(Connected(client("dev-1"))).await;
    // It waits until it is written down.
    let _lock = place.lock();
    check_prompt(server.address, &broker, |id| {
        let waits = pieces(&broker, Connected(client("dev-2")), id).concat();
        (id + 2, [waits, pieces(&broker, ASKS, id + 2).concat()])
    });
}

/// A broker that was held up sends the rest of calls that were answered at their deadline.
#[tokio::test]
async fn pieces_that_come_too_late_by_the_thousand_are_no_attack() {
    let place = Place::new("version: 1\ndeadline: 100ms\nacl: { default: allow }\n");
    let server = place.serve();
    let broker = Broker::at(named("v1a"), server.address);
    let mut stream = connect(server.address);
    let late: Vec<u32> = (1..).step_by(2).take(1500).collect();
    for id in &late {
        stream.write_all(&pieces(&broker, ASKS, *id)[0]).unwrap();
    }
    let denied = late.iter().map(|id| (*id, in_body(&DENIED))).collect();
    assert_eq!(answers(&mut stream, late.len()), denied);
    for id in &late {
        stream.write_all(&pieces(&broker, ASKS, *id)[1]).unwrap();
    }
    let next = 2 * 1500 + 1;
    stream.write_all(&pieces(&broker, ASKS, next).concat()).unwrap();
    assert_eq!(answer(&mut stream, next), in_body(&ALLOWED));
}
