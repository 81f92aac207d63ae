//! A policy that is invalid when the process starts is in force soon after it is mended, though
//! nothing is called.

use std::fs;
use std::time::{Duration, Instant};

use super::broker::{ALLOWED, Broker};
use super::dialect::named;
use super::host::{Driver, frame_of};
use super::server::{Place, RULES};
use super::story::{Call, client};

const INVALID: &str = "version: 1\nauht: {}\n";
/// Two seconds are promised; a busy machine takes longer.
const SOON: Duration = Duration::from_secs(6);

#[track_caller]
fn is_mended(place: &Place, wait: impl FnOnce()) {
    fs::write(place.path("rules.yaml"), RULES).unwrap();
    let mended = Instant::now();
    wait();
    let took = mended.elapsed();
    println!("in force after {took:?}");
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_driver_takes_up_a_mended_policy_without_a_call() {
    let place = Place::new(INVALID);
    let mut driver = Driver::start(&place);
    assert_eq!(driver.ask(&Call::Authenticate(client("read-1"), b"")).0, Some(false));
    driver.wait_for_line("the policy rules is not in force");
    assert_eq!(place.status().0, 1);
    // Another mistake is no better, and is said.
    fs::write(place.path("rules.yaml"), "version: 2\n").unwrap();
    driver.wait_for_line("error[unsupported-version]");
    assert_eq!(driver.ask(&Call::Authenticate(client("read-1"), b"")).0, Some(false));
    is_mended(&place, || driver.wait_for_line("the policy rules is in force, mode enforce"));
    assert_eq!(driver.ask(&Call::Authenticate(client("read-1"), b"")).0, Some(true));
    let (status, _, console) = driver.end();
    assert!(status.success(), "{console}");
}

/// The broker was told that the policy does not load, and the driver is there still.
#[test]
fn a_driver_whose_init_was_refused_takes_up_a_mended_policy() {
    let place = Place::new(INVALID);
    fs::remove_file(place.path("rules.yaml")).unwrap();
    let mut driver = Driver::start(&place);
    driver.write(&frame_of(7, "rules", "init", Vec::new()));
    driver.wait_for_line("the policy rules is not in force");
    is_mended(&place, || driver.wait_for_line("the policy rules is in force, mode enforce"));
    assert_eq!(driver.ask(&Call::Authenticate(client("read-1"), b"")).0, Some(true));
    assert!(driver.end().0.success());
}

#[tokio::test]
async fn a_server_takes_up_a_mended_policy_without_a_call() {
    let place = Place::new(INVALID);
    let mut server = place.serve();
    is_mended(&place, || drop(server.wait_for_line("is in force anew, mode enforce")));
    let broker = Broker::at(named("v3"), server.address);
    assert_eq!(broker.call(Call::Authenticate(client("read-1"), b"")).await, ALLOWED);
    server.end().await;
}
