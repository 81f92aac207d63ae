//! Clients that are kept out, before and after the server dies.

use std::fs;

use super::broker::{ALLOWED, Broker, DENIED};
use super::dialect;
use super::raw::Raw;
use super::server::{Place, RULES};
use super::story::Call::Authenticate;
use super::story::{Client, client};
use super::wire::in_body;
use crate::support::history::Kept as _;
use crate::support::program::program;
use crate::support::wait::PATIENCE;
use crate::support::wait::until_async;

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
        let are_written = async || place.rows("SELECT why FROM bans").len() == 2;
        until_async(are_written, || format!("{}: no ban is written", dialect.name)).await;
        // SIGKILL.
        drop(server);
        let server = place.serve();
        let broker = Broker::at(dialect, server.address);
        // Under another name, from the same address.
        assert_eq!(broker.call(Authenticate(client("dev-1"), b"right")).await, DENIED, "{}", dialect.name);
        assert_eq!(broker.call(Authenticate(client("dev-2"), b"right")).await, DENIED, "{}", dialect.name);
        let mut lift = program();
        lift.args(["history", "lift", "--all", "--policy"]).arg(place.path("rules.yaml"));
        assert_eq!(String::from_utf8(lift.output().unwrap().stdout).unwrap(), "2 bans are lifted\n");
        let is_let_in = async || broker.call(Authenticate(client("dev-1"), b"right")).await == ALLOWED;
        until_async(is_let_in, || format!("{}: it is not let in", dialect.name)).await;
        server.end().await;
        let refused = place.rows("SELECT count(*) > 0 FROM denials WHERE rule = 'lockout'");
        assert_eq!(refused, ["1"], "{}", dialect.name);
    }
}

/// What `right` is stored as.
const BCRYPT: &str = "$2b$10$C81T8V6V0SNIJMp6Phm.p.uKFrLz5v6l6/8MXbdXyICyGGa1XGObm";

#[tokio::test]
async fn guesses_sent_at_once_are_not_all_tried() {
    for dialect in dialect::all() {
        let lockout = "auth:\n  lockout: { by: [[username, clientid]], failures: 3, within: 5m, ban: 15m }\n";
        // No check is given up on a busy machine.
        let place = Place::new(&(RULES.replace("auth:\n", lockout) + "deadline: 30s\n"));
        // It takes long enough for all guesses to arrive.
        fs::write(place.path("devices.passwd"), format!("dev-1:{BCRYPT}\n")).unwrap();
        let server = place.serve();
        let broker = Broker::at(dialect, server.address);
        // The guesser has another clientid than the client whose password is remembered.
        let of_dev_1 = |clientid| Client { username: Some("dev-1"), ..client(clientid) };
        assert_eq!(broker.call(Authenticate(of_dev_1("dev-1"), b"right")).await, ALLOWED, "{}", dialect.name);
        let mut passwords: Vec<Vec<u8>> = (0..40).map(|n: u8| n.to_string().into_bytes()).collect();
        passwords.push(b"right".to_vec());
        let login = |password: Vec<u8>| in_body(&broker.bytes(&Authenticate(of_dev_1("dev-2"), password.leak())));
        let mut guesser = Raw::greeted(server.address, &[]).await;
        assert!(guesser.burst(&dialect.path("OnClientAuthenticate"), passwords.into_iter().map(login)).await);
        let seen = guesser.see(PATIENCE, |seen| seen.answers == 41).await;
        assert_eq!((seen.answers, seen.allowed), (41, 0), "{}", dialect.name);
        assert_eq!(broker.call(Authenticate(of_dev_1("dev-1"), b"right")).await, ALLOWED, "{}", dialect.name);
        server.end().await;
        assert_eq!(place.rows("SELECT clientid, username FROM bans"), ["\"dev-2\" \"dev-1\""], "{}", dialect.name);
    }
}
