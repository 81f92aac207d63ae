//! Whatever is sent, and whatever fails, there is an answer, and what asks is denied.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use h2::Reason;
use rustix::process::Signal;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::broker::{ALLOWED, Answer, Broker, DENIED, Taken};
use super::dialect::{self, named};
use super::server::{Place, RULES};
use super::story::Call::{self, *};
use super::story::client;
use super::wire::{Reply, Wire, in_body};
use crate::support::history::Kept as _;

const AUTHORIZE: &str = "/emqx.exhook.v2.HookProvider/OnClientAuthorize";
pub(crate) const CONNECTED: &str = "/emqx.exhook.v2.HookProvider/OnClientConnected";

/// Allowed by the policy.
pub(crate) fn allowed() -> Call {
    Publish(client("dev-1"), "up/dev-1/t")
}

pub(crate) fn answered(message: &[u8]) -> Reply {
    Reply { status: "0".to_owned(), bytes: in_body(message) }
}

/// The answers, byte by byte.
pub(crate) const YES: [u8; 4] = [8, 2, 24, 1];
const NO: [u8; 4] = [8, 2, 24, 0];
pub(crate) const TOLD: [u8; 0] = [];

/// What it is, the path, headers, the body, and the answer.
type Case<'a> = (&'a str, &'a str, &'a [(&'static str, &'a str)], &'a [u8], &'a [u8]);

#[tokio::test]
async fn what_is_no_call_is_denied_and_the_connection_goes_on() {
    // So nothing else denies.
    let place = Place::new("version: 1\nacl: { default: allow }\n");
    let mut server = place.serve();
    let wire = Wire::connect(server.address).await;
    let broker = Broker::at(named("v2b"), server.address);
    let good = broker.bytes(&allowed());
    let body = in_body(&good);
    let longer = [&[0, 0, 0, 1, 0][..], &good].concat();
    let nobody = in_body(&[0x1a, 1, b't']);
    let damaged = String::from_utf8_lossy(&good).find("dev-1").unwrap();
    let not_utf8: Vec<u8> = good.iter().enumerate().map(|(at, b)| if at == damaged { 0xff } else { *b }).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&good).unwrap();
    let mut zipped = in_body(&gzip.finish().unwrap());
    zipped[0] = 1;
    let odd_flag = [&[7], &body[1..]].concat();
    let neither = in_body(&[&good[..], &[16, 2]].concat());
    let port = in_body(&[&good[..], &[10, 4, 0x30, 0xff, 0xff, 0x7f]].concat());

    let cases: &[Case<'_>] = &[
        ("a good call", AUTHORIZE, &[], &body, &YES),
        ("no bytes", AUTHORIZE, &[], b"", &NO),
        ("half of a frame's head", AUTHORIZE, &[], &body[..3], &NO),
        ("an empty message", AUTHORIZE, &[], &in_body(b""), &NO),
        ("bytes that are no frame", AUTHORIZE, &[], b"GET / HTTP/1.1\r\n\r\n", &NO),
        ("bytes that are no message", AUTHORIZE, &[], &in_body(&[0xff; 40]), &NO),
        ("a frame cut off", AUTHORIZE, &[], &body[..body.len() - 1], &NO),
        ("a frame that promises more", AUTHORIZE, &[], &longer, &NO),
        ("a frame that promises too much", AUTHORIZE, &[], &[0, 0xff, 0xff, 0xff, 0xff, 1], &NO),
        ("a frame of an unknown kind", AUTHORIZE, &[], &odd_flag, &NO),
        ("a message without a client", AUTHORIZE, &[], &nobody, &NO),
        ("a clientid that is no text", AUTHORIZE, &[], &in_body(&not_utf8), &NO),
        ("neither publish nor subscribe", AUTHORIZE, &[], &neither, &NO),
        ("a port that is none", AUTHORIZE, &[], &port, &NO),
        ("gzip", AUTHORIZE, &[("grpc-encoding", "gzip")], &zipped, &NO),
        ("gzip that is none", AUTHORIZE, &[("grpc-encoding", "gzip")], &[1, 0, 0, 0, 1, 9], &NO),
        ("gzip without its name", AUTHORIZE, &[], &zipped, &NO),
        ("an unknown compression", AUTHORIZE, &[("grpc-encoding", "zstd")], &zipped, &NO),
        ("another content", AUTHORIZE, &[("content-type", "text/html")], &body, &YES),
        ("no content", AUTHORIZE, &[("content-type", "")], b"<html>", &NO),
        ("no time", AUTHORIZE, &[("grpc-timeout", "0m")], &[], &NO),
        ("a time that is none", AUTHORIZE, &[("grpc-timeout", "soon")], &body, &YES),
        ("what tells, without bytes", CONNECTED, &[], b"", &TOLD),
        ("what tells, with others", CONNECTED, &[], &in_body(&[0xff; 40]), &TOLD),
        ("an old name", "/emqx.exhook.v2.HookProvider/OnClientCheckAcl", &[], &body, &YES),
        ("a new name", "/emqx.exhook.v1.HookProvider/OnClientAuthorize", &[], &body, &YES),
        ("a name that asks", "/emqx.exhook.v4.HookProvider/OnTenantAuthorize", &[], &body, &NO),
        ("a name that tells", "/emqx.exhook.v2.HookProvider/OnMessageAcked", &[], &body, &TOLD),
        ("no name", "/emqx.exhook.v2.HookProvider/", &[], b"", &TOLD),
    ];
    for (name, path, headers, body, expected) in cases {
        let reply = wire.send(path, headers, body.to_vec()).await.reply().await;
        assert_eq!(reply, answered(expected), "{name}");
        assert_eq!(wire.call(&broker, allowed()).await, answered(&YES), "after {name}");
    }
    let other = wire.send("/other.Service/OnClientAuthorize", &[], body.clone()).await.reply().await;
    assert_eq!((other.status.as_str(), other.bytes.len()), ("12", 0));
    // Each was said, and why.
    server.wait_for_line("a call of \"/emqx.exhook.v2.HookProvider/\" of no hook: left to the broker");
    let console = server.console();
    let refused = cases.iter().filter(|(.., answer)| *answer == NO).count();
    assert_eq!(console.matches(": denied\n").count(), refused, "{console}");
    assert!(refused > 15 && console.contains("a call of client.check_acl: the clientinfo is missing: denied\n"));
}

/// What is not answered by anything else is answered in time.
const IMPATIENT: &str = "version: 1\ndeadline: 300ms\nacl: { default: allow }\n";

#[tokio::test]
async fn a_body_that_never_comes_is_waited_for_until_the_deadline() {
    let place = Place::new(IMPATIENT);
    let mut server = place.serve();
    let wire = Wire::connect(server.address).await;
    let broker = Broker::at(named("v2b"), server.address);
    let mut calls = Vec::new();
    for (path, expected) in [(AUTHORIZE, answered(&NO)), (CONNECTED, answered(&TOLD))] {
        let mut begun = wire.open(path, &[]).await;
        begun.body.send_data(in_body(&broker.bytes(&allowed()))[..9].to_vec().into(), false).unwrap();
        calls.push((begun, expected.clone()));
        calls.push((wire.open(path, &[]).await, expected));
    }
    assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    for (call, expected) in calls {
        assert_eq!(call.reply().await, expected);
    }
    server.wait_for_line("a call of client.check_acl: was not answered within 285ms: denied");
    // The hooks are told to a broker that never says which it is.
    for package in ["v1", "v2", "v3"] {
        let path = format!("/emqx.exhook.{package}.HookProvider/OnProviderLoaded");
        let reply = wire.open(&path, &[("grpc-timeout", "100m")]).await.reply().await;
        assert!(reply.status == "0" && reply.bytes.len() > 5, "{reply:?}");
    }
    server.wait_for_line("a broker loads this provider: was not answered within 95ms");
}

/// The conditions on certificates, of a policy that is for these brokers, where the first rule is about nobody here.
fn certificates(brokers: &str) -> String {
    format!(
        "version: 1\n{brokers}auth:\n  rules:\n    - {{ id: own, allow: {{ cn: \"${{clientid}}\" }} }}\n\
         \x20   - {{ id: rest, allow: {{ clientid: {{ glob: \"dev-*\" }} }} }}\n"
    )
}

#[tokio::test]
async fn what_is_not_known_of_certificates_denies_until_the_broker_says_its_version() {
    for dialect in dialect::all() {
        for (brokers, known) in [("", false), ("broker: \"4.3\"\n", true), ("broker: [\"4.2\", \"5.8\"]\n", false)] {
            let place = Place::new(&certificates(brokers));
            let mut server = place.serve();
            let broker = Broker::at(dialect, server.address);
            // These two do not say it with each call.
            let says = !["v1a", "v1b"].contains(&dialect.name);
            let first = broker.call(Authenticate(client("dev-1"), b"")).await;
            assert_eq!(first, if says || known { ALLOWED } else { DENIED }, "{} {brokers}", dialect.name);
            server.wait_for_line("NOT KNOWN: ");
            broker.load().await.unwrap();
            assert_eq!(broker.call(Authenticate(client("dev-1"), b"")).await, ALLOWED, "{}", dialect.name);
        }
    }
}

#[tokio::test]
async fn the_broker_s_deadline_counts_where_it_is_the_shorter_one() {
    let place = Place::new("version: 1\ndeadline: 50s\nacl: { default: allow }\n");
    let mut server = place.serve();
    let wire = Wire::connect(server.address).await;
    assert_eq!(wire.open(AUTHORIZE, &[("grpc-timeout", "200m")]).await.reply().await, answered(&NO));
    server.wait_for_line("was not answered within 190ms: denied");
}

#[tokio::test]
async fn calls_that_are_given_up_by_the_hundred_are_no_attack() {
    let place = Place::new(RULES);
    let server = place.serve();
    let wire = Wire::connect(server.address).await;
    let broker = Broker::at(named("v2b"), server.address);
    let body = in_body(&broker.bytes(&Authenticate(client("dev-1"), b"right")));
    let path = broker.dialect.path("OnClientAuthenticate");
    for round in 0..3 {
        let mut calls = Vec::new();
        for n in 0..400 {
            let mut call = wire.open(&path, &[]).await;
            if n % 2 == round % 2 {
                call.body.send_data(body.clone().into(), true).unwrap();
            }
            calls.push(call);
        }
        for call in &mut calls {
            call.body.send_reset(Reason::CANCEL);
        }
        assert_eq!(wire.call(&broker, allowed()).await, answered(&YES));
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_denies() {
    let place = Place::new(&RULES.replace("retired: [dev-9]", "retired: { file: nowhere.txt }"));
    let server = place.serve();
    for dialect in dialect::all() {
        let broker = Broker::at(dialect, server.address);
        assert_eq!(broker.call(Authenticate(client("dev-1"), b"right")).await, DENIED);
        assert_eq!(broker.call(allowed()).await, ALLOWED);
    }
}

#[tokio::test]
async fn a_policy_that_does_not_load_denies_all() {
    let place = Place::new("version: 1\nauht: {}\n");
    let mut server = place.serve();
    for dialect in dialect::all() {
        let broker = Broker::at(dialect, server.address);
        let hooks: Vec<_> = broker.load().await.unwrap().into_iter().map(|(hook, _)| hook).collect();
        let acl = if dialect.knows("client.authorize") { "client.authorize" } else { "client.check_acl" };
        assert_eq!(hooks, ["client.authenticate", acl]);
        for call in [Authenticate(client("read-1"), b""), allowed()] {
            assert_eq!(broker.call(call).await, DENIED, "{}", dialect.name);
        }
        assert_eq!(broker.call(Connected(client("dev-1"))).await, Taken::Nothing);
        let published = broker.call(Published(client("dev-1"), "t", "1")).await;
        assert!(matches!(published, Taken::Ignored | Taken::SoFar(Answer::Message(_))), "{published:?}");
    }
    assert_eq!(health(server.address, "").await, Some(ServingStatus::NotServing));
    server.wait_for_line("is not in force: every login and topic is denied until it is mended");
}

/// What the health service says of a service.
pub(crate) async fn health(address: SocketAddr, service: &str) -> Option<ServingStatus> {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel).check(request).await.ok().map(|response| response.into_inner().status())
}

#[tokio::test]
async fn its_health_may_be_asked_for() {
    let place = Place::new(RULES);
    let server = place.serve();
    for (service, expected) in [
        ("", Some(ServingStatus::Serving)),
        ("emqx.exhook.v1.HookProvider", Some(ServingStatus::Serving)),
        ("emqx.exhook.v2.HookProvider", Some(ServingStatus::Serving)),
        ("emqx.exhook.v3.HookProvider", Some(ServingStatus::Serving)),
        ("other.Service", None),
    ] {
        assert_eq!(health(server.address, service).await, expected, "{service}");
    }
}

#[tokio::test]
async fn a_database_that_someone_else_holds_disturbs_no_login_and_loses_nothing() {
    let place = Place::new(RULES);
    let server = place.serve();
    let broker = Broker::at(named("v1c"), server.address);
    broker.call(Connected(client("dev-1"))).await;
    let wire = Wire::connect(server.address).await;
    let lock = place.lock();
    let path = broker.dialect.path("OnClientConnected");
    let mut connected = wire.send(&path, &[], in_body(&broker.bytes(&Connected(client("dev-2"))))).await;
    assert!(connected.waits(Duration::from_millis(50)).await);
    assert_eq!(broker.call(Authenticate(client("dev-3"), b"right")).await, ALLOWED);
    assert_eq!(broker.call(allowed()).await, ALLOWED);
    assert_eq!(connected.reply().await, answered(&TOLD));
    drop(lock);
    server.end().await;
    let rows = place.rows("SELECT clientid FROM connections ORDER BY id");
    assert_eq!(rows, ["\"dev-1\"", "\"dev-2\""]);
}

#[tokio::test]
async fn told_to_end_it_answers_what_waits_and_loses_nothing() {
    let place = Place::new(RULES);
    let mut server = place.serve();
    let broker = Broker::at(named("v3"), server.address);
    broker.call(Connected(client("dev-1"))).await;
    let wire = Wire::connect(server.address).await;
    let lock = place.lock();
    let path = broker.dialect.path("OnClientConnected");
    let mut calls = Vec::new();
    for clientid in ["dev-2", "dev-3", "dev-4"] {
        calls.push(wire.send(&path, &[], in_body(&broker.bytes(&Connected(client(clientid))))).await);
    }
    assert!(calls[0].waits(Duration::from_millis(50)).await);
    server.signal(Signal::TERM);
    server.wait_for_line("told to end: no new connections are taken");
    drop(lock);
    for call in calls {
        assert_eq!(call.reply().await, answered(&TOLD));
    }
    assert_eq!(server.wait().await.code(), Some(0));
    assert!(!server.console().contains("some calls were not answered"), "{}", server.console());
    assert_eq!(place.rows("SELECT count(*) FROM connections"), ["4"]);
}

#[tokio::test]
async fn a_server_that_was_killed_goes_on_where_it_was() {
    for dialect in dialect::all() {
        let place = Place::new(RULES);
        let mut server = place.serve();
        let address = server.address;
        let broker = Broker::at(dialect, address);
        broker.load().await.unwrap();
        broker.call(Connected(client("dev-1"))).await;
        broker.call(Connected(client("dev-2"))).await;
        server.signal(Signal::KILL);
        server.wait().await;

        let mut again = place.command();
        again.args(["--listen", &address.to_string()]);
        let server = place.start(again);
        // The broker has its hooks, and does not ask for them again.
        let broker = Broker::at(dialect, address);
        assert_eq!(broker.call(Authenticate(client("dev-3"), b"right")).await, ALLOWED);
        assert_eq!(broker.call(Authenticate(client("dev-3"), b"wrong")).await, DENIED);
        broker.call(Disconnected(client("dev-1"), "normal")).await;
        // Brokers load it again when they please.
        let hooks = broker.load().await.unwrap();
        for _ in 0..2 {
            assert_eq!(broker.load().await.unwrap(), hooks);
        }
        broker.call(Connected(client("dev-3"))).await;
        server.end().await;
        assert_eq!(
            place.rows("SELECT clientid, closed_by, reason FROM connections ORDER BY id"),
            [r#""dev-1" "event" "normal""#, r#""dev-2" - -"#, r#""dev-3" - -"#],
            "{}",
            dialect.name
        );
    }
}
