//! The time of day set back and forth under a running driver.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::host::{self, Driver};
use super::load::{Load, check_but};
use super::server::{Place, rules_in_silence};
use super::story::{Call, client};
use crate::support::history::Kept as _;
use crate::support::machine::cannot_run;

/// A library that moves the clock back by so many seconds as `clock` has bytes.
fn shim(place: &Place) -> Result<(), String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/faults/clock.c");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&place.path("clock.so"), &source])
        .arg("-ldl")
        .output()
        .map_err(|error| format!("cc: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn set_back(place: &Place, seconds: u64) {
    File::create(place.path("clock")).unwrap().set_len(seconds).unwrap();
}

#[test]
fn a_clock_that_is_set_back_and_forth_loses_nothing_and_ends_no_connection_before_it_began() {
    let place = Place::new(&rules_in_silence().replace("  record:", "  keep: 90d\n  record:"));
    set_back(&place, 3600);
    let mut command = host::command(&place);
    match shim(&place) {
        Ok(()) => {
            command.env("LD_PRELOAD", place.path("clock.so")).env("EXHOOK_POLICY_TEST_CLOCK", place.path("clock"));
        }
        Err(why) => cannot_run("a clock that is set, but only a driver that runs meanwhile", why),
    }
    let mut driver = Driver::start_as(&place, command);
    let mut load = Load::start(&mut driver, 16);
    for seconds in [3600, 3600 + 7200, 3600, 365 * 86_400, 0, 3600 + 86_400] {
        set_back(&place, seconds);
        load.play(&mut driver, Instant::now() + Duration::from_millis(700));
    }
    load.drain(&driver);
    let played = load.done();
    assert!(played.slowest_decision < Duration::from_secs(3), "{:?}", played.slowest_decision);
    // A password that is remembered is so by a clock that is never set.
    assert_eq!(driver.ask(&Call::Authenticate(client("dev-1"), b"right")).0, Some(true));
    let (status, _, console) = driver.end();
    assert!(status.success() && !console.contains("panic"), "{console}");
    check_but(&place.database(), &played.settled().stories, true);
    assert_eq!(place.rows("SELECT count(*) FROM connections WHERE disconnected_at < connected_at"), ["0"]);
    let span = place.rows("SELECT (max(connected_at) - min(connected_at)) / 86400000 > 300 FROM connections");
    assert_eq!(span == ["1"], place.path("clock.so").exists(), "the clock was not set");
}
