//! A policy and its history are the same by whichever way the broker calls.

use super::broker::{Answer, Broker, Taken};
use super::dialect;
use super::port::Driver;
use super::server::{Place, RULES};
use super::story::Call::{self, *};
use super::story::{Client, client};
use crate::support::history::Kept as _;

/// What the history says of it: all that does not differ by nature.
const ROWS: [&str; 8] = [
    "SELECT clientid, username, peerhost, sockport, protocol, proto_ver, node, disconnected_at IS NULL, reason, closed_by
     FROM connections ORDER BY id",
    "SELECT clientid, online, connections, last_reason FROM clients ORDER BY clientid",
    "SELECT clientid, username, peerhost, sockport, protocol, proto_ver, node, unsure FROM online ORDER BY id",
    "SELECT clientid, username, peerhost, action, topic, rule, mode, sum(count) FROM denials GROUP BY 1, 4, 5, 6",
    "SELECT clientid, username, peerhost, sockport, proto_name, proto_ver, keepalive, node, connack
     FROM attempts ORDER BY id",
    "SELECT clientid, topic, qos FROM subscriptions ORDER BY clientid, topic",
    "SELECT at, clientid, topic, qos, payload FROM messages ORDER BY id",
    "SELECT clientid FROM handovers ORDER BY clientid",
];

fn story() -> Vec<Call> {
    let dev = client("dev-1");
    let nameless = Client { username: None, proto_ver: 5, ..client("read-1") };
    let empty = Client { username: Some(""), ..client("read-2") };
    // It sends no clientid, and gets one.
    let before = Client { username: None, proto_ver: 5, ..client("") };
    let after = Client { clientid: "read-chosen", ..before };
    vec![
        Connect(dev),
        Authenticate(dev, b"wrong"),
        Connack(dev, "not_authorized", None),
        Connect(dev),
        Authenticate(dev, b"right"),
        Created(dev),
        Connected(dev),
        Connack(dev, "success", None),
        Subscribing(dev, "down/dev-1/#"),
        Subscribe(dev, "down/dev-1/#"),
        Subscribed(dev, Some("group"), "down/dev-1/#", 1),
        Subscribed(dev, None, "down/dev-1/b", 2),
        Subscribed(dev, None, "down/dev-1/c", 0),
        Unsubscribing(dev, "down/dev-1/b"),
        Unsubscribed(dev, None, "down/dev-1/b"),
        Publish(dev, "up/dev-1/t"),
        Published(dev, "up/dev-1/t", "20.5"),
        Publish(dev, "ops/secret"),
        Publish(dev, "ops/secret"),
        Subscribe(dev, "#"),
        Connect(nameless),
        Authenticate(nameless, b""),
        Created(nameless),
        Connected(nameless),
        Connack(nameless, "success", None),
        Publish(nameless, "up/read-1/t"),
        Subscribed(nameless, Some("group"), "kept/#", 1),
        Connect(empty),
        Authenticate(empty, b"something"),
        Created(empty),
        Connected(empty),
        Connack(empty, "success", None),
        Connect(before),
        Authenticate(after, b""),
        Created(after),
        Connected(after),
        Connack(before, "success", Some("read-chosen")),
        // A newer connection takes the session of the first over, one starts anew, and one is gone before it is known.
        Connect(dev),
        Authenticate(dev, b"right"),
        Resumed(dev),
        Connected(dev),
        Connack(dev, "success", None),
        TakenOver(dev),
        Terminated(dev, "takeovered"),
        Disconnected(nameless, "{shutdown,normal}"),
        Connected(nameless),
        Disconnected(nameless, "{shutdown,{shutdown,tcp_closed}}"),
        Connected(nameless),
        Connected(nameless),
        Discarded(nameless),
        Disconnected(empty, "undefined"),
        Terminated(empty, "undefined"),
        Disconnected(after, "keepalive_timeout"),
        Terminated(after, "{shutdown,expired}"),
        Connect(client("dev-9")),
        Authenticate(client("dev-9"), b"right"),
        Authenticate(client("guest-1"), b"right"),
        Publish(client("guest-1"), "x"),
        Connack(client("dev-9"), "banned", None),
    ]
}

fn rows(place: &Place) -> Vec<String> {
    let rows: Vec<Vec<String>> = ROWS.iter().map(|query| place.rows(query)).collect();
    assert!(rows.iter().all(|rows| !rows.is_empty()) || rows[7].is_empty(), "{rows:?}");
    let named = rows.into_iter().zip(ROWS).flat_map(|(rows, query)| {
        let table = query.split("FROM ").nth(1).unwrap().split_whitespace().next().unwrap();
        rows.into_iter().map(move |row| format!("{table}: {row}"))
    });
    named.collect()
}

#[tokio::test]
async fn one_story_is_decided_and_recorded_alike_by_port_and_by_every_dialect() {
    let by_port = Place::new(RULES);
    let mut driver = Driver::start(&by_port);
    let decided: Vec<_> = story().iter().map(|call| driver.call(call)).collect();
    driver.end();
    let recorded = rows(&by_port);
    // The story is not lost on the way.
    assert_eq!(recorded.iter().filter(|row| row.starts_with("connections: ")).count(), 8, "{recorded:#?}");
    assert_eq!(decided.iter().flatten().count(), 13, "{decided:?}");

    for dialect in dialect::all() {
        let place = Place::new(RULES);
        let server = place.serve();
        let broker = Broker::at(dialect, server.address);
        broker.load().await.unwrap();
        for (call, decided) in story().into_iter().zip(&decided) {
            let taken = match broker.call(call).await {
                Taken::Final(Answer::Allow(allowed)) => Some(allowed),
                Taken::Nothing | Taken::Ignored | Taken::SoFar(Answer::Message(_)) => None,
                other => panic!("{} {call:?}: {other:?}", dialect.name),
            };
            assert_eq!(taken, *decided, "{} {call:?}", dialect.name);
        }
        server.end().await;
        assert_eq!(rows(&place), recorded, "{}", dialect.name);
    }
}
