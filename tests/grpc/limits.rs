//! Clients that are kept out, before and after the server dies.

use std::process::Command;
use std::time::{Duration, Instant};

use super::broker::{ALLOWED, Broker, DENIED};
use super::dialect;
use super::server::{LONGEST, Place, RULES};
use super::story::Call::Authenticate;
use super::story::client;

#[tokio::test]
async fn who_is_kept_out_stays_out_when_the_server_is_killed_until_that_is_lifted() {
    for dialect in dialect::all() {
        let lockout = "auth:\n  lockout: { by: [clientid, peerhost], failures: 3, within: 5m, ban: 15m }\n";
        let place = Place::new(&RULES.replace("auth:\n", lockout));
        let server = place.serve();
        let broker = Broker::at(dialect, server.address);
        for _ in 0..3 {
            assert_eq!(broker.call(Authenticate(client("dev-1"), b"wrong")).await, DENIED, "{}", dialect.name);
        }
        assert_eq!(broker.call(Authenticate(client("dev-1"), b"right")).await, DENIED, "{}", dialect.name);
        let end = Instant::now() + LONGEST;
        while place.rows("SELECT why FROM bans").len() < 2 {
            assert!(Instant::now() < end, "{}: no ban is written", dialect.name);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // SIGKILL.
        drop(server);
        let server = place.serve();
        let broker = Broker::at(dialect, server.address);
        // Under another name, from the same address.
        assert_eq!(broker.call(Authenticate(client("dev-1"), b"right")).await, DENIED, "{}", dialect.name);
        assert_eq!(broker.call(Authenticate(client("dev-2"), b"right")).await, DENIED, "{}", dialect.name);
        let mut lift = Command::new(env!("CARGO_BIN_EXE_exhook-policy"));
        lift.args(["history", "lift", "--all", "--policy"]).arg(place.path("rules.yaml"));
        assert_eq!(String::from_utf8(lift.output().unwrap().stdout).unwrap(), "2 bans are lifted\n");
        while broker.call(Authenticate(client("dev-1"), b"right")).await != ALLOWED {
            assert!(Instant::now() < end + LONGEST, "{}: it is not let in", dialect.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.end().await;
        let refused = place.rows("SELECT count(*) > 0 FROM denials WHERE rule = 'lockout'");
        assert_eq!(refused, ["1"], "{}", dialect.name);
    }
}
