//! A policy that changes while it is served.

use std::fs;
use std::time::Instant;

use tonic_health::pb::health_check_response::ServingStatus;

use super::broker::{ALLOWED, Broker, DENIED};
use super::dialect::{self, named};
use super::faults::health;
use super::server::{Place, RULES};
use super::story::Call::{Authenticate, Connected};
use super::story::client;
use crate::support::wait::PATIENCE;

#[tokio::test]
async fn a_policy_that_is_mended_is_served_and_each_broker_is_told_what_it_missed() {
    let place = Place::new("version: 1\nauht: {}\n");
    let mut server = place.serve();
    let brokers: Vec<Broker> = dialect::all().iter().map(|dialect| Broker::at(dialect, server.address)).collect();
    for broker in &brokers {
        broker.load().await.unwrap();
        assert_eq!(broker.call(Authenticate(client("read-1"), b"")).await, DENIED);
    }
    assert_eq!(health(server.address, "").await, Some(ServingStatus::NotServing));

    fs::write(place.path("rules.yaml"), RULES).unwrap();
    server.wait_for_line("is in force anew, mode enforce");
    let end = Instant::now() + PATIENCE;
    while health(server.address, "").await != Some(ServingStatus::Serving) {
        assert!(Instant::now() < end);
    }
    for broker in &brokers {
        assert_eq!(broker.call(Authenticate(client("read-1"), b"")).await, ALLOWED, "{}", broker.dialect.name);
        broker.call(Connected(client("read-1"))).await;
    }
    // All were told of logins and topics alone.
    let line = server.wait_for_line("NOT IN FORCE: ");
    assert!(line.contains(" did not register client.connect, client.connack, client.connected, "), "{line}");
    for broker in &brokers {
        broker.load().await.unwrap();
    }
    let said = server.end().await;
    assert!(said.contains("emqx_ctl exhook server disable NAME && emqx_ctl exhook server enable NAME"), "{said}");
    assert!(said.contains("disable and enable the server on the page of ExHook"), "{said}");
}

#[tokio::test]
async fn a_policy_that_goes_into_audit_mode_says_who_takes_no_opinion_for_a_refusal() {
    for (dialect, is_refused) in [("v2b", true), ("v3", false)] {
        let place = Place::new(RULES);
        let mut server = place.serve();
        Broker::at(named(dialect), server.address).load().await.unwrap();
        fs::write(place.path("rules.yaml"), RULES.replace("version: 1", "version: 1\nmode: audit")).unwrap();
        server.wait_for_line("is in force anew, mode audit");
        if is_refused {
            let line = server.wait_for_line("REFUSED: ");
            let expected = " calls client.authenticate, which the policy does not decide, as it is in audit mode: the broker \
                            refuses every login that none of its own authenticators lets in, until: disable and enable";
            assert!(line.contains(expected), "{line}");
        }
        assert_eq!(server.end().await.contains("REFUSED: "), is_refused);
    }
}

#[tokio::test]
async fn an_invalid_policy_changes_no_answer() {
    let place = Place::new(RULES);
    let mut server = place.serve();
    let broker = Broker::at(named("v3"), server.address);
    broker.load().await.unwrap();
    let ask = || broker.call(Authenticate(client("dev-1"), b"right"));
    assert_eq!(ask().await, ALLOWED);
    fs::write(place.path("rules.yaml"), RULES.replace("fleet, allow", "fleet, alow")).unwrap();
    server.wait_for_line("is NOT in force as it stands now");
    assert_eq!(ask().await, ALLOWED);
    assert_eq!(health(server.address, "").await, Some(ServingStatus::Serving));
    fs::write(
        place.path("rules.yaml"),
        RULES.replace("fleet, allow", "fleet, deny").replace(", password: devices", ""),
    )
    .unwrap();
    server.wait_for_line("is in force anew");
    assert_eq!(ask().await, DENIED);
}
