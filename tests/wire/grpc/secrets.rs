//! A password that a client sent is nowhere to be found afterwards.

use std::fs;

use super::broker::{ALLOWED, Broker, DENIED};
use super::dialect;
use super::server::{Place, RULES};
use super::story::Call::*;
use super::story::client;
use super::wire::{Wire, in_body};
use crate::support::passwords::mosquitto_hash;

/// The right one, a wrong one, and one that is no text.
const SECRETS: [&[u8]; 3] = [b"0pen sesame", b"s3cret mess", b"\xff\xfe\0s3cret!!"];

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

#[tokio::test]
async fn no_password_is_in_any_answer_line_capture_or_database() {
    let rules =
        RULES.replace("log: [events]", "log: [denials, decisions, connections, events]\ncapture: { file: seen.jsonl }");
    let place = Place::new(&rules);
    fs::write(place.path("devices.passwd"), format!("dev-1:{}\n", mosquitto_hash(SECRETS[0]))).unwrap();
    let mut server = place.serve();
    let wire = Wire::connect(server.address).await;
    let mut replies = Vec::new();
    for dialect in dialect::all() {
        let broker = Broker::at(dialect, server.address);
        broker.load().await.unwrap();
        let login = Authenticate(client("dev-1"), SECRETS[0]);
        assert_eq!(broker.call(login).await, ALLOWED);
        assert_eq!(broker.call(Authenticate(client("dev-1"), SECRETS[1])).await, DENIED);
        broker.call(Connected(client("dev-1"))).await;

        let message = broker.bytes(&login).to_vec();
        let at = find(&message, SECRETS[0]).unwrap();
        let mut binary = message.clone();
        binary[at..at + SECRETS[2].len()].copy_from_slice(SECRETS[2]);
        // The text of the password where others stand, and messages that end or go wrong behind it.
        let elsewhere = [&[0x12, 11], SECRETS[1]].concat();
        let damaged = [&message[..], &[0xff; 12]].concat();
        let cut_off = &in_body(&message)[..at + 20];
        let other = format!("/emqx.exhook.v2.HookProvider/OnOtherAuthenticate{}", dialect.name);
        let path = dialect.path("OnClientAuthenticate");
        for (path, body) in [
            (&path, in_body(&binary)),
            (&path, in_body(&elsewhere)),
            (&path, in_body(&damaged)),
            (&path, cut_off.to_vec()),
            (&other, in_body(&message)),
            (&dialect.path("OnClientConnected"), in_body(&message)),
            (&dialect.path("OnProviderLoaded"), in_body(&message)),
        ] {
            let reply = wire.send(path, &[], body).await.reply().await;
            assert_eq!(reply.status, "0");
            replies.push(reply.bytes);
        }
    }
    server.wait_for_line("a call of client.authenticate: ");
    // There was something to leave out.
    let console = server.end().await;
    assert!(console.contains("authenticate") && console.contains("dev-1"), "{console}");
    for name in ["seen.jsonl", "history.db"] {
        assert!(find(&fs::read(place.path(name)).unwrap(), b"dev-1").is_some(), "{name}");
    }
    for secret in SECRETS {
        for reply in &replies {
            assert_eq!(find(reply, secret), None);
        }
        for (file, bytes) in place.files() {
            assert_eq!(find(&bytes, secret), None, "{} holds {}", file.display(), secret.escape_ascii());
        }
    }
}
