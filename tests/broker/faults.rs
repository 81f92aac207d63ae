//! Policies that do not load.

use std::fs;

use super::vm::{Place, RULES};

#[test]
fn a_policy_that_does_not_load_fails_init_and_denies() {
    let place = Place::new("version: 1\nauht: {}\n", 1);
    let played = place.play("broken", &[]);
    assert!(played.console().contains("rules.yaml"), "{}", played.console());
}

#[test]
fn a_policy_that_breaks_while_the_driver_is_away_denies() {
    breaks_later(RULES, "denied");
}

#[test]
fn a_policy_in_audit_mode_that_breaks_while_the_driver_is_away_has_no_opinion() {
    breaks_later(&RULES.replace("version: 1\n", "version: 1\nmode: audit\n"), "no_opinion");
}

fn breaks_later(rules: &str, expected: &str) {
    let place = Place::new(rules, 1);
    let mut running = place.start("broken_later", &[expected.as_ref()]);
    running.wait_ready();
    fs::write(place.path("policy/rules.yaml"), "version: 1\nauht: {}\n").unwrap();
    fs::write(place.path("policy/broken"), "").unwrap();
    running.finish();
}
