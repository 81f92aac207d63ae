//! Every version's broker gets the answers that the policy gives, in its own numbers.

use std::borrow::Cow;

use prost_reflect::Value;

use super::broker::{ALLOWED, Answer, Broker, DENIED, Taken};
use super::dialect::{self, Dialect};
use super::server::{Place, RULES};
use super::story::Call::{self, *};
use super::story::client;
use crate::support::history::Kept as _;

/// A client's day.
fn story() -> Vec<(Call, Taken)> {
    let (dev, retired, reader, guest, stranger) =
        (client("dev-1"), client("dev-9"), client("read-1"), client("guest-1"), client("nobody"));
    let told = |call| (call, Taken::Nothing);
    vec![
        told(Connect(dev)),
        (Authenticate(dev, b"wrong"), DENIED),
        told(Connack(dev, "not_authorized", None)),
        (Authenticate(dev, b"right"), ALLOWED),
        (Authenticate(dev, b""), DENIED),
        (Authenticate(retired, b"right"), DENIED),
        (Authenticate(reader, b""), ALLOWED),
        (Authenticate(stranger, b"right"), DENIED),
        (Authenticate(guest, b"right"), Taken::Ignored),
        told(Created(dev)),
        told(Connected(dev)),
        told(Connack(dev, "success", None)),
        told(Subscribing(dev, "down/dev-1/#")),
        (Subscribe(dev, "down/dev-1/#"), ALLOWED),
        (Subscribe(dev, "down/#"), DENIED),
        (Publish(dev, "up/dev-1/t"), ALLOWED),
        (Publish(dev, "up/dev-2/t"), DENIED),
        (Publish(guest, "ops/x"), DENIED),
        (Publish(guest, "x"), Taken::Ignored),
        told(Subscribed(dev, Some("group"), "down/dev-1/#", 1)),
        told(Subscribed(dev, None, "down/dev-1/a", 2)),
        told(Unsubscribing(dev, "down/dev-1/a")),
        told(Unsubscribed(dev, None, "down/dev-1/a")),
        // A newer connection takes the session over.
        told(Resumed(dev)),
        told(Connected(dev)),
        told(TakenOver(dev)),
        told(Disconnected(dev, "{shutdown,normal}")),
        told(Terminated(dev, "{shutdown,normal}")),
        told(Discarded(stranger)),
    ]
}

#[tokio::test]
async fn each_dialect_gets_its_answers() {
    for dialect in dialect::all() {
        let place = Place::new(RULES);
        let server = place.serve();
        let broker = Broker::at(dialect, server.address);
        broker.load().await.unwrap();
        for (call, expected) in story() {
            assert_eq!(broker.call(call).await, expected, "{} {call:?}", dialect.name);
        }
        check_published(&broker, true).await;
        server.end().await;
        assert_eq!(
            place.rows("SELECT clientid, closed_by, reason FROM connections"),
            [r#""dev-1" "takeover" "takeovered""#, r#""dev-1" "event" "normal""#],
            "{}",
            dialect.name
        );
        assert_eq!(place.rows("SELECT topic, qos, payload FROM messages"), [r#""up/dev-1/t" 1 "20.5""#]);
        assert_eq!(place.rows("SELECT count(*) FROM subscriptions"), ["0"]);
    }
}

/// A message goes on as it came, where the broker takes the answer for one that it knows.
async fn check_published(broker: &Broker, loaded: bool) {
    let dialect = broker.dialect;
    let taken = broker.call(Published(client("dev-1"), "up/dev-1/t", "20.5")).await;
    let comes_back = match dialect.name {
        "v1a" | "v1c" | "v1d" => true,
        // Which of two numbers it is can be told only by what the broker said when it loaded the provider.
        "v1b" => loaded,
        _ => false,
    };
    if !comes_back {
        assert_eq!(taken, Taken::Ignored, "{}", dialect.name);
        return;
    }
    let Taken::SoFar(Answer::Message(message)) = taken else { panic!("{}: {taken:?}", dialect.name) };
    let field = |name| message.get_field_by_name(name).map(Cow::into_owned);
    let expected = [
        ("node", Value::String(super::broker::NODE.to_owned())),
        ("id", Value::String("0005A4E2B3C7D8F9".to_owned())),
        ("qos", Value::U32(1)),
        ("from", Value::String("dev-1".to_owned())),
        ("topic", Value::String("up/dev-1/t".to_owned())),
        ("payload", Value::Bytes("20.5".into())),
        ("timestamp", Value::U64(1_795_000_000_000)),
    ];
    for (name, value) in expected {
        assert_eq!(field(name), Some(value), "{} {name}", dialect.name);
    }
    if let Some(Value::Map(headers)) = field("headers") {
        assert_eq!(headers.len(), 3, "{}: {headers:?}", dialect.name);
    }
}

/// A server that was started anew is not loaded again by brokers that have its hooks.
#[tokio::test]
async fn a_broker_that_never_loads_the_provider_gets_its_answers_too() {
    let place = Place::new(RULES);
    let server = place.serve();
    for dialect in dialect::all() {
        let broker = Broker::at(dialect, server.address);
        for (call, expected) in story() {
            let taken = broker.call(call).await;
            // The oldest may not understand that it is left alone, and go on alone.
            let left = expected == Taken::Ignored && dialect.name == "v1a" && taken == Taken::Unknown;
            assert!(taken == expected || left, "{} {call:?}: {taken:?}", dialect.name);
        }
        check_published(&broker, false).await;
    }
}

/// The hooks that a broker is told, for a policy.
async fn hooks(dialect: &'static Dialect, rules: &str) -> Vec<String> {
    let place = Place::new(rules);
    let server = place.serve();
    let loaded = Broker::at(dialect, server.address).load().await.unwrap();
    let mut names: Vec<_> = loaded.iter().map(|(name, _)| name.clone()).collect();
    for (name, topics) in loaded {
        assert!(topics == 0 || name.starts_with("message."), "{name} has topics");
    }
    names.sort();
    names
}

#[tokio::test]
async fn a_broker_is_told_hooks_by_its_own_names() {
    for dialect in dialect::all() {
        let mut known = dialect.hooks();
        assert_eq!(known.len(), 19);
        known.retain(|hook| !["message.delivered", "message.dropped", "message.acked"].contains(&hook.as_str()));
        assert_eq!(hooks(dialect, RULES).await, known, "{}", dialect.name);
    }
    // Some of 5 take "no opinion" of a login for a denial, so in audit mode they must not ask.
    let audit = RULES.replace("version: 1\n", "version: 1\nmode: audit\n");
    for dialect in dialect::all() {
        let asks = hooks(dialect, &audit).await.contains(&"client.authenticate".to_owned());
        assert_eq!(asks, !["v2a", "v2b"].contains(&dialect.name), "{}", dialect.name);
    }
    let acl = "version: 1\nacl: { default: deny }\n";
    assert_eq!(hooks(dialect::named("v1a"), acl).await, ["client.check_acl"]);
    assert_eq!(hooks(dialect::named("v3"), acl).await, ["client.authorize"]);
}

#[tokio::test]
async fn in_audit_mode_everything_is_left_to_the_broker() {
    let place = Place::new(&RULES.replace("version: 1\n", "version: 1\nmode: audit\n"));
    let server = place.serve();
    for dialect in dialect::all() {
        let broker = Broker::at(dialect, server.address);
        broker.load().await.unwrap();
        for call in [Authenticate(client("dev-9"), b""), Publish(client("dev-1"), "ops/x")] {
            assert_eq!(broker.call(call).await, Taken::Ignored, "{}", dialect.name);
        }
    }
}
