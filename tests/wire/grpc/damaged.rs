//! Messages apart from any connection: whole, cut off and damaged.

use exhook_policy_core::event::json;
use exhook_policy_runtime::grpc;

use super::broker::Broker;
use super::dialect;
use super::story::Call::{self, *};
use super::story::{Client, client};

const DEV: Client = Client { cn: "dev-1.example", proto_ver: 5, ..client("dev-1") };

/// One of each message.
const CALLS: [Call; 11] = [
    Connect(DEV),
    Connack(DEV, "success", Some("dev-1")),
    Connected(DEV),
    Disconnected(DEV, "{shutdown,normal}"),
    Authenticate(DEV, b"s3cret"),
    Subscribe(DEV, "$share/group/down/dev-1/#"),
    Subscribing(DEV, "down/dev-1/#"),
    Subscribed(DEV, Some("group"), "down/dev-1/#", 2),
    Unsubscribed(DEV, Some("group"), "down/dev-1/#"),
    Terminated(DEV, "takeovered"),
    Published(DEV, "up/dev-1/t", "20.5"),
];

/// The event, if it is one; it can be captured and read again.
fn event(path: &str, message: &[u8]) -> Result<String, String> {
    let event = grpc::event(path, message)?;
    let line = json::write(&event.as_event(), 0);
    assert_eq!(json::read(&line).as_ref(), Ok(&event), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
    Ok(line)
}

#[tokio::test]
async fn whatever_is_damaged_is_an_event_or_refused() {
    let mut refused = 0;
    for dialect in dialect::all() {
        // It is never connected.
        let broker = Broker::at(dialect, ([127, 0, 0, 1], 1).into());
        for call in CALLS {
            let (path, message) = (dialect.path(broker.method(&call).name()), broker.bytes(&call));
            event(&path, &message).unwrap();
            for at in 0..message.len() {
                refused += usize::from(event(&path, &message[..at]).is_err());
                let mut damaged = message.to_vec();
                damaged[at] ^= 0x81;
                refused += usize::from(event(&path, &damaged).is_err());
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[track_caller]
fn check_refused(path: &str, message: &[u8], expected: &str) {
    assert_eq!(event(path, message), Err(expected.to_owned()));
}

#[test]
fn why_a_message_is_no_event_is_said() {
    let authorize = "/emqx.exhook.v2.HookProvider/OnClientAuthorize";
    check_refused("/other.Service/OnClientAuthorize", b"", "the path is no hook provider's");
    check_refused("/emqx.exhook.v2.HookProvider/OnProviderLoaded", b"", "the path is no hook's");
    check_refused("/emqx.exhook.v2.HookProvider/OnMessageAcked", b"", "the path is no hook's");
    check_refused(authorize, b"", "the clientinfo is missing");
    check_refused(authorize, &[10, 0, 16, 2], "it is asked for neither publish nor subscribe");
    check_refused(authorize, &[10, 4, 0x30, 0xff, 0xff, 0x7f], "the sockport is no port");
    check_refused(authorize, &[10, 4, 0x68, 0xff, 0xff, 0x7f], "the peerport is no port");
    check_refused("/emqx.exhook.v1.HookProvider/OnClientConnect", b"", "the conninfo is missing");
    check_refused("/emqx.exhook.v1.HookProvider/OnMessagePublish", b"", "the message is missing");
    let subscribed = "/emqx.exhook.v1.HookProvider/OnSessionSubscribed";
    check_refused(subscribed, &[10, 0, 26, 3, 8, 0xff, 0x7f], "the quality of service is out of range");
    check_refused(authorize, &[0xff], "failed to decode Protobuf message: invalid varint");
}
