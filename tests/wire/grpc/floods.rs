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
use super::server::{Place, Server};
use super::story::Call::{Connected, Publish};
use super::story::client;
use super::wire::{Reply, Wire, in_body};
use crate::support::history::Kept as _;
use crate::support::machine::{Busy, busy};
use crate::support::wait::PATIENCE;
use crate::support::wait::until;

const AUTHORIZE: &str = "/emqx.exhook.v2.HookProvider/OnClientAuthorize";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// So that nothing is over before its time.
const PATIENT: &str = "version: 1\ndeadline: 50s\nacl: { default: allow }\n";
/// The calls that a connection may have under way.
const CALLS: usize = 16_384;

/// A server that is flooded, and a broker that it serves meanwhile.
struct Flooded {
    server: Server,
    broker: Broker,
    wire: Wire,
    /// The server's memory before, in MiB.
    before: u64,
    place: Place,
    _busy: Busy,
}

impl Flooded {
    async fn new() -> Self {
        Flooded::by(PATIENT).await
    }

    async fn by(policy: &str) -> Self {
        let place = Place::new(policy);
        let server = place.serve();
        Flooded::of(place, server).await
    }

    async fn of(place: Place, server: Server) -> Self {
        let busy = busy();
        let broker = Broker::at(named("v2b"), server.address);
        let wire = Wire::connect(server.address).await;
        let before = server.resident();
        let flooded = Flooded { server, broker, wire, before, place, _busy: busy };
        flooded.answers().await;
        flooded
    }

    /// The broker's calls are answered over the connection that it has.
    async fn answers(&self) {
        self.answers_over(&self.wire).await;
    }

    async fn connect(&self) -> Wire {
        Wire::connect(self.server.address).await
    }

    async fn answers_over(&self, wire: &Wire) {
        assert_eq!(wire.call(&self.broker, allowed()).await, answered(&YES));
    }

    /// The body of a call that is allowed.
    fn body(&self) -> Vec<u8> {
        in_body(&self.broker.bytes(&allowed()))
    }

    /// Connects as a peer with these settings.
    async fn greeted(&self, settings: &[(u16, u32)]) -> Raw {
        Raw::greeted(self.server.address, settings).await
    }

    /// How much more memory the server has by now, in MiB.
    fn more(&self) -> u64 {
        self.server.resident().saturating_sub(self.before)
    }
}

#[tokio::test]
async fn ten_thousand_calls_under_way_are_all_answered() {
    let flooded = Flooded::new().await;
    let body = flooded.body();
    for connections in [1, 8, 64] {
        let mut wires = Vec::new();
        for _ in 0..connections {
            let wire = flooded.connect().await;
            // With its answer comes what the server allows.
            flooded.answers_over(&wire).await;
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
    let flooded = Flooded::new().await;
    let body = flooded.body();
    for _ in 0..3 {
        let mut raw = flooded.greeted(&[]).await;
        assert!(raw.calls(10_000, AUTHORIZE, Some(&body)).await);
        let seen = raw.see(PATIENCE, |seen| seen.answers == 10_000 || seen.is_closed).await;
        assert_eq!((seen.answers, seen.refused, seen.is_closed), (10_000, 0, false));
    }
}

#[tokio::test]
async fn bodies_that_never_come_are_bounded_and_harm_no_broker() {
    let mut flooded = Flooded::new().await;
    let mut most = 0;
    for _ in 0..2 {
        let mut raw = flooded.greeted(&[]).await;
        assert!(raw.calls(CALLS + 10_000, AUTHORIZE, None).await);
        // Those beyond get the answer that denies. Where that is not taken soon enough, HTTP/2 refuses others.
        let seen = raw.see(PATIENCE, |seen| seen.answers + seen.refused >= 10_000).await;
        assert_eq!((seen.answers + seen.refused, seen.is_closed), (10_000, false));
        assert!(seen.answers > 1_000, "{seen:?}");
        flooded.answers().await;
        most = most.max(flooded.more());
    }
    flooded.server.wait_for_line("more than 16384 calls are under way on this connection: denied");
    assert!(most < 160, "{most} MiB");
}

#[tokio::test]
async fn answers_that_are_not_taken_close_the_connection() {
    let mut flooded = Flooded::new().await;
    let body = flooded.body();
    // A window of one byte is as good as none.
    for window in [0, 1] {
        let mut raw = flooded.greeted(&[(INITIAL_WINDOW, window)]).await;
        assert!(raw.calls(CALLS, AUTHORIZE, Some(&body)).await);
        // The beginnings of the answers need no window. All are decided before it goes on to call.
        let seen = raw.see(PATIENCE, |seen| seen.begun == CALLS || seen.is_closed).await;
        assert_eq!((seen.begun, seen.answers, seen.is_closed), (CALLS, 0, false), "a window of {window}");
        let goes_on = raw.calls(5_000, AUTHORIZE, Some(&body)).await;
        assert!(!goes_on || raw.is_closed().await, "a window of {window}");
        flooded.answers().await;
    }
    flooded.server.wait_for_line("it goes on to call, and takes none of its answers");
    let more = flooded.more();
    assert!(more < 160, "{more} MiB");
}

#[tokio::test]
async fn many_connections_with_many_calls_give_way_to_a_broker() {
    let mut flooded = Flooded::new().await;
    let mut raws = Vec::new();
    for _ in 0..5 {
        let mut raw = flooded.greeted(&[]).await;
        raw.calls(CALLS - 1_000, AUTHORIZE, None).await;
        flooded.answers().await;
        raws.push(raw);
    }
    flooded.server.wait_for_line("it had more under way than any other");
    assert_eq!(flooded.server.console().matches("it had more under way than any other").count(), 1);
    let more = flooded.more();
    assert!(more < 500, "{more} MiB");
    flooded.answers().await;
}

#[tokio::test]
async fn a_connection_may_watch_the_health_eight_times() {
    let flooded = Flooded::new().await;
    let mut watches = Vec::new();
    for _ in 0..8 {
        watches.push(flooded.wire.send(WATCH, &[], in_body(&[])).await.begun().await);
    }
    for _ in 0..1_000 {
        let reply = flooded.wire.send(WATCH, &[], in_body(&[])).await.reply().await;
        assert_eq!(reply, Reply { status: "8".to_owned(), bytes: Vec::new() });
    }
    drop(watches);
    flooded.answers().await;
    // Those that are over leave their places.
    let end = Instant::now() + PATIENCE;
    while flooded.wire.send(WATCH, &[], in_body(&[])).await.begun().await.1.is_end_stream() {
        assert!(Instant::now() < end, "nobody can watch any more");
    }
    // The health can be asked for all the while, but not by a request without an end, or a huge one.
    assert!(health(flooded.server.address, "").await.is_some());
    let reply = flooded.wire.open(CHECK, &[("grpc-timeout", "100m")]).await.reply().await;
    assert_eq!(reply.status, "8");
    let huge = HealthCheckRequest { service: "s".repeat(2_000) };
    let reply = flooded.wire.send(CHECK, &[], in_body(&prost::Message::encode_to_vec(&huge))).await.reply().await;
    assert_eq!(reply.status, "8");
}

#[tokio::test]
async fn names_that_are_too_long_are_not_kept() {
    let mut flooded = Flooded::new().await;
    let mut wires = Vec::new();
    for number in 0..30 {
        let wire = flooded.connect().await;
        let mut call = flooded.broker.bytes(&allowed()).to_vec();
        // The client is field 1 of the call, and its node is field 1 of that. What comes later counts.
        let name = vec![b'a' + number % 26; 3_500_000];
        let node = [&varint(1 << 3 | 2)[..], &varint(name.len()), &name].concat();
        call.extend([&varint(CLIENT << 3 | 2)[..], &varint(node.len()), &node].concat());
        assert_eq!(wire.send(AUTHORIZE, &[], in_body(&call)).await.reply().await, answered(&YES));
        wires.push(wire);
    }
    flooded.server.wait_for_line("has names of 3500006 bytes for its node and cluster, of 1024 at most");
    let more = flooded.more();
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
    let flooded = Flooded::new().await;
    let mut raw = flooded.greeted(&[]).await;
    let goes_on = raw.endless_headers(AUTHORIZE, 10_000).await;
    assert!(!goes_on || raw.is_closed().await);
    flooded.answers_over(&flooded.connect().await).await;
}

#[tokio::test]
async fn silent_and_idle_connections_give_way_to_brokers() {
    let place = Place::new(PATIENT);
    let serve = place.command();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\" --listen 127.0.0.1:0"]);
    command.arg(serve.get_program()).args(serve.get_args()).current_dir(place.path(""));
    let server = place.start(command);
    let mut flooded = Flooded::of(place, server).await;
    let id = flooded.server.id();
    let descriptors = || {
        let all = fs::read_dir(format!("/proc/{id}/fd")).unwrap();
        let leads_to = all.map(|entry| fs::read_link(entry.unwrap().path()).unwrap_or_default());
        leads_to.filter(|path| path.to_string_lossy().starts_with("socket:")).count()
    };
    let before = descriptors();
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(Raw::connect(flooded.server.address).await);
    }
    until(|| descriptors() >= before + 10);
    assert_eq!(descriptors(), before + 10);
    for _ in 0..100 {
        silent.push(Raw::connect(flooded.server.address).await);
        silent.push(flooded.greeted(&[]).await);
    }
    // Another broker gets in, and the first has kept its place.
    for _ in 0..20 {
        flooded.answers_over(&flooded.connect().await).await;
    }
    flooded.answers().await;
    flooded
        .server
        .wait_for_line("all 32 places for connections are taken: closed the oldest connection that has sent nothing");
    let lines = flooded.server.console().matches("places for connections").count();
    assert!(lines <= 20, "{lines} lines");
}

#[tokio::test]
async fn told_to_end_it_waits_for_no_watch_and_no_idle_connection() {
    let mut flooded = Flooded::new().await;
    let (_open, mut watch) = flooded.wire.send(WATCH, &[], in_body(&[])).await.begun().await;
    let _silent = Raw::connect(flooded.server.address).await;
    let _idle = flooded.greeted(&[]).await;
    let mut dead = flooded.greeted(&[(INITIAL_WINDOW, 0)]).await;
    assert!(dead.calls(100, AUTHORIZE, Some(&flooded.body())).await);
    flooded.answers().await;
    let begun = Instant::now();
    flooded.server.signal(Signal::TERM);
    assert_eq!(flooded.server.wait().await.code(), Some(0));
    // The deadline, for which calls would be waited, is 50 s.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    while watch.data().await.is_some() {}
    assert_eq!(watch.trailers().await.unwrap().unwrap()["grpc-status"], "14");
    assert!(!flooded.server.console().contains("not answered"), "{}", flooded.server.console());
}

#[tokio::test]
async fn a_call_under_way_is_answered_at_the_end_beside_a_watch() {
    let mut flooded = Flooded::by(&format!("{PATIENT}history: {{ database: history.db }}\n")).await;
    flooded.broker.call(Connected(client("dev-1"))).await;
    let _watch = flooded.wire.send(WATCH, &[], in_body(&[])).await.begun().await;
    let lock = flooded.place.lock();
    let mut call = flooded.wire.send(CONNECTED, &[], in_body(&flooded.broker.bytes(&Connected(client("dev-2"))))).await;
    assert!(call.waits(Duration::from_millis(50)).await);
    flooded.server.signal(Signal::TERM);
    flooded.server.wait_for_line("told to end: no new connections are taken");
    // Longer than a connection without a call is kept.
    assert!(call.waits(Duration::from_millis(1_500)).await);
    drop(lock);
    assert_eq!(call.reply().await, answered(&TOLD));
    assert_eq!(flooded.server.wait().await.code(), Some(0));
    assert_eq!(flooded.place.rows("SELECT count(*) FROM connections"), ["2"]);
}

/// One thread reads a connection, and the calls of all clients of a broker come over a few of them.
#[tokio::test]
async fn costly_questions_hold_up_no_call_of_their_connection() {
    let rules: String = (900..920)
        .map(|least| format!("    - {{ deny: everyone, topics: [{{ regex: \"cost.*a.{{{least}}}b\" }}] }}\n"))
        .collect::<Vec<_>>()
        .concat();
    let flooded = Flooded::by(&format!("version: 1\ndeadline: 50s\nacl:\n  default: allow\n  rules:\n{rules}")).await;
    let costly: &str = format!("cost{}", "a".repeat(4000)).leak();
    let publish = |topic| in_body(&flooded.broker.bytes(&Publish(client("dev-1"), topic)));
    let bodies = std::iter::repeat_n(publish(costly), 50).chain([publish("x/y")]);
    let mut raw = flooded.greeted(&[]).await;
    assert!(raw.burst(AUTHORIZE, bodies).await);
    let first = raw.see(PATIENCE, |seen| seen.allowed > 0).await;
    assert!(first.allowed == 1 && first.answers < 25, "{first:?}");
    let rest = raw.see(PATIENCE, |seen| seen.answers + first.answers == 51).await;
    assert_eq!((rest.answers + first.answers, rest.allowed), (51, 0));
}
