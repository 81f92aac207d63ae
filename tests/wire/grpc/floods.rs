//! Peers that take more than their share: each is bounded, and no broker is harmed.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tonic_health::pb::HealthCheckRequest;

use super::broker::Broker;
use super::dialect::named;
use super::faults::{CONNECTED, TOLD, YES, allowed, answered, health};
use super::raw::{INITIAL_WINDOW, Raw};
use super::server::{LONGEST, Place};
use super::story::Call::{Connected, Publish};
use super::story::client;
use super::wire::{Reply, Wire, framed};

const AUTHORIZE: &str = "/emqx.exhook.v2.HookProvider/OnClientAuthorize";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// So that nothing is over before its time.
const PATIENT: &str = "version: 1\ndeadline: 50s\nacl: { default: allow }\n";
/// The calls that a connection may have under way.
const CALLS: usize = 16_384;

#[tokio::test]
async fn ten_thousand_calls_under_way_are_all_answered() {
    let place = Place::new(PATIENT);
    let server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let body = framed(&broker.bytes(&allowed()));
    for connections in [1, 8, 64] {
        let mut wires = Vec::new();
        for _ in 0..connections {
            let wire = Wire::connect(server.address).await;
            // With its answer comes what the server allows.
            assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
            wires.push(wire);
        }
        let mut calls = Vec::new();
        for number in 0..10_000 {
            calls.push(wires[number % connections].open(AUTHORIZE, &[]).await);
        }
        // The last is answered before there is an end of any other.
        while let Some(mut call) = calls.pop() {
            call.body.send_data(body.clone().into(), true).unwrap();
            assert_eq!(call.reply().await, answered(&YES));
        }
    }
}

#[tokio::test]
async fn ten_thousand_small_calls_at_once_are_all_answered() {
    let place = Place::new(PATIENT);
    let server = place.serve();
    let body = framed(&Broker::at(named("v2b"), server.address).bytes(&allowed()));
    for _ in 0..3 {
        let mut raw = Raw::greeted(server.address, &[]).await;
        assert!(raw.calls(10_000, AUTHORIZE, Some(&body)).await);
        let seen = raw.see(LONGEST, |seen| seen.answers == 10_000 || seen.is_closed).await;
        assert_eq!((seen.answers, seen.refused, seen.is_closed), (10_000, 0, false));
    }
}

#[tokio::test]
async fn bodies_that_never_come_are_bounded_and_harm_no_broker() {
    let place = Place::new(PATIENT);
    let mut server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let wire = Wire::connect(server.address).await;
    assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    let before = server.resident();
    let mut most = 0;
    for _ in 0..2 {
        let mut raw = Raw::greeted(server.address, &[]).await;
        assert!(raw.calls(CALLS + 10_000, AUTHORIZE, None).await);
        // Those beyond get the answer that denies. Where that is not taken soon enough, HTTP/2 refuses others.
        let seen = raw.see(LONGEST, |seen| seen.answers + seen.refused >= 10_000).await;
        assert_eq!((seen.answers + seen.refused, seen.is_closed), (10_000, false));
        assert!(seen.answers > 1_000, "{seen:?}");
        assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
        most = most.max(server.resident() - before);
    }
    server.wait_for_line("more than 16384 calls are under way on this connection: denied");
    assert!(most < 160, "{most} MiB");
}

#[tokio::test]
async fn answers_that_are_not_taken_close_the_connection() {
    let place = Place::new(PATIENT);
    let mut server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let wire = Wire::connect(server.address).await;
    let body = framed(&broker.bytes(&allowed()));
    let before = server.resident();
    // A window of one byte is as good as none.
    for window in [0, 1] {
        let mut raw = Raw::greeted(server.address, &[(INITIAL_WINDOW, window)]).await;
        assert!(raw.calls(CALLS, AUTHORIZE, Some(&body)).await);
        // The beginnings of the answers need no window. All are decided before it goes on to call.
        let seen = raw.see(LONGEST, |seen| seen.begun == CALLS || seen.is_closed).await;
        assert_eq!((seen.begun, seen.answers, seen.is_closed), (CALLS, 0, false), "a window of {window}");
        let goes_on = raw.calls(5_000, AUTHORIZE, Some(&body)).await;
        assert!(!goes_on || raw.is_closed().await, "a window of {window}");
        assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    }
    server.wait_for_line("it goes on to call, and takes none of its answers");
    let more = server.resident() - before;
    assert!(more < 160, "{more} MiB");
}

#[tokio::test]
async fn many_connections_with_many_calls_give_way_to_a_broker() {
    let place = Place::new(PATIENT);
    let mut server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let wire = Wire::connect(server.address).await;
    assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    let before = server.resident();
    let mut raws = Vec::new();
    for _ in 0..5 {
        let mut raw = Raw::greeted(server.address, &[]).await;
        raw.calls(CALLS - 1_000, AUTHORIZE, None).await;
        assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
        raws.push(raw);
    }
    server.wait_for_line("it had more under way than any other");
    assert_eq!(server.console().matches("it had more under way than any other").count(), 1);
    let more = server.resident() - before;
    assert!(more < 500, "{more} MiB");
    assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
}

#[tokio::test]
async fn a_connection_may_watch_the_health_eight_times() {
    let place = Place::new(PATIENT);
    let server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let wire = Wire::connect(server.address).await;
    let mut watches = Vec::new();
    for _ in 0..8 {
        watches.push(wire.send(WATCH, &[], framed(&[])).await.begun().await);
    }
    for _ in 0..1_000 {
        let reply = wire.send(WATCH, &[], framed(&[])).await.reply().await;
        assert_eq!(reply, Reply { status: "8".to_owned(), bytes: Vec::new() });
    }
    drop(watches);
    assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    // Those that are over leave their places.
    let end = Instant::now() + LONGEST;
    while wire.send(WATCH, &[], framed(&[])).await.begun().await.1.is_end_stream() {
        assert!(Instant::now() < end, "nobody can watch any more");
    }
    // The health can be asked for all the while, but not by a request without an end, or a huge one.
    assert!(health(server.address, "").await.is_some());
    let reply = wire.open(CHECK, &[("grpc-timeout", "100m")]).await.reply().await;
    assert_eq!(reply.status, "8");
    let huge = HealthCheckRequest { service: "s".repeat(2_000) };
    let reply = wire.send(CHECK, &[], framed(&prost::Message::encode_to_vec(&huge))).await.reply().await;
    assert_eq!(reply.status, "8");
}

#[tokio::test]
async fn names_that_are_too_long_are_not_kept() {
    let place = Place::new(PATIENT);
    let mut server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let before = server.resident();
    let mut wires = Vec::new();
    for number in 0..30 {
        let wire = Wire::connect(server.address).await;
        let mut call = broker.bytes(&allowed()).to_vec();
        // The client is field 1 of the call, and its node is field 1 of that. What comes later counts.
        let name = vec![b'a' + number % 26; 3_500_000];
        let node = [&varint(1 << 3 | 2)[..], &varint(name.len()), &name].concat();
        call.extend([&varint(CLIENT << 3 | 2)[..], &varint(node.len()), &node].concat());
        assert_eq!(wire.send(AUTHORIZE, &[], framed(&call)).await.reply().await, answered(&YES));
        wires.push(wire);
    }
    server.wait_for_line("has names of 3500006 bytes for its node and cluster, of 1024 at most");
    let more = server.resident() - before;
    assert!(more < 100, "{more} MiB");
}

/// The number of the field of a call that has the client.
const CLIENT: usize = 1;

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(u8::try_from(number & 127).unwrap() | 128);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

#[tokio::test]
async fn headers_without_an_end_close_the_connection() {
    let place = Place::new(PATIENT);
    let server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let mut raw = Raw::greeted(server.address, &[]).await;
    let goes_on = raw.endless_headers(AUTHORIZE, 10_000).await;
    assert!(!goes_on || raw.is_closed().await);
    assert_eq!(Wire::connect(server.address).await.call(&broker, allowed()).await, answered(&YES));
}

#[tokio::test]
async fn silent_and_idle_connections_give_way_to_brokers() {
    let place = Place::new(PATIENT);
    let serve = place.command();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\" --listen 127.0.0.1:0"]);
    command.arg(serve.get_program()).args(serve.get_args()).current_dir(place.path(""));
    let mut server = place.start(command);
    let broker = Broker::at(named("v2b"), server.address);
    let first = Wire::connect(server.address).await;
    assert_eq!(first.call(&broker, allowed()).await, answered(&YES));
    let descriptors = || {
        let all = fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
        let leads_to = all.map(|entry| fs::read_link(entry.unwrap().path()).unwrap_or_default());
        leads_to.filter(|path| path.to_string_lossy().starts_with("socket:")).count()
    };
    let before = descriptors();
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(Raw::connect(server.address).await);
    }
    let end = Instant::now() + LONGEST;
    while descriptors() < before + 10 {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(descriptors(), before + 10);
    for _ in 0..100 {
        silent.push(Raw::connect(server.address).await);
        silent.push(Raw::greeted(server.address, &[]).await);
    }
    // Another broker gets in, and the first has kept its place.
    for _ in 0..20 {
        let wire = Wire::connect(server.address).await;
        assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    }
    assert_eq!(first.call(&broker, allowed()).await, answered(&YES));
    server.wait_for_line("all 32 places for connections are taken: closed the oldest connection that has sent nothing");
    let lines = server.console().matches("places for connections").count();
    assert!(lines <= 20, "{lines} lines");
}

#[tokio::test]
async fn told_to_end_it_waits_for_no_watch_and_no_idle_connection() {
    let place = Place::new(PATIENT);
    let mut server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let wire = Wire::connect(server.address).await;
    assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    let (_open, mut watch) = wire.send(WATCH, &[], framed(&[])).await.begun().await;
    let _silent = Raw::connect(server.address).await;
    let _idle = Raw::greeted(server.address, &[]).await;
    let mut dead = Raw::greeted(server.address, &[(INITIAL_WINDOW, 0)]).await;
    assert!(dead.calls(100, AUTHORIZE, Some(&framed(&broker.bytes(&allowed())))).await);
    assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().await.code(), Some(0));
    // The deadline, for which calls would be waited, is 50 s.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    while watch.data().await.is_some() {}
    assert_eq!(watch.trailers().await.unwrap().unwrap()["grpc-status"], "14");
    assert!(!server.console().contains("not answered"), "{}", server.console());
}

#[tokio::test]
async fn a_call_under_way_is_answered_at_the_end_beside_a_watch() {
    let place = Place::new("version: 1\ndeadline: 50s\nacl: { default: allow }\nhistory: { database: history.db }\n");
    let mut server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    broker.call(Connected(client("dev-1"))).await;
    let wire = Wire::connect(server.address).await;
    let _watch = wire.send(WATCH, &[], framed(&[])).await.begun().await;
    let lock = place.lock();
    let mut call = wire.send(CONNECTED, &[], framed(&broker.bytes(&Connected(client("dev-2"))))).await;
    assert!(call.waits(Duration::from_millis(50)).await);
    server.signal(Signal::TERM);
    server.wait_for_line("told to end: no new connections are taken");
    // Longer than a connection without a call is kept.
    assert!(call.waits(Duration::from_millis(1_500)).await);
    drop(lock);
    assert_eq!(call.reply().await, answered(&TOLD));
    assert_eq!(server.wait().await.code(), Some(0));
    assert_eq!(place.rows("SELECT count(*) FROM connections"), ["2"]);
}

/// One thread reads a connection, and the calls of all clients of a broker come over a few of them.
#[tokio::test]
async fn costly_questions_hold_up_no_call_of_their_connection() {
    let rules: String = (900..920)
        .map(|least| format!("    - {{ deny: everyone, topics: [{{ regex: \"cost.*a.{{{least}}}b\" }}] }}\n"))
        .collect::<Vec<_>>()
        .concat();
    let place = Place::new(&format!("version: 1\ndeadline: 50s\nacl:\n  default: allow\n  rules:\n{rules}"));
    let server = place.serve();
    let broker = Broker::at(named("v2b"), server.address);
    let costly: &str = format!("cost{}", "a".repeat(4000)).leak();
    let publish = |topic| framed(&broker.bytes(&Publish(client("dev-1"), topic)));
    let bodies = std::iter::repeat_n(publish(costly), 50).chain([publish("x/y")]);
    let mut raw = Raw::greeted(server.address, &[]).await;
    assert!(raw.burst(AUTHORIZE, bodies).await);
    let first = raw.see(LONGEST, |seen| seen.allowed > 0).await;
    assert!(first.allowed == 1 && first.answers < 25, "{first:?}");
    let rest = raw.see(LONGEST, |seen| seen.answers + first.answers == 51).await;
    assert_eq!((rest.answers + first.answers, rest.allowed), (51, 0));
}
