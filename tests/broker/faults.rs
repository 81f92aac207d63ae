//! Policies that do not load, and policies that change.

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

#[test]
fn a_policy_that_changes_is_in_force_and_the_broker_is_told_nothing_twice() {
    let place = Place::new(RULES, 2);
    let mut running = place.start("changed", &[]);
    running.wait_ready();
    let changed = RULES.replace("retired: [dev-9]", "retired: [dev-9, dev-1]") + "  record: [connections, attempts]\n";
    fs::write(place.path("policy/rules.yaml.new"), changed).unwrap();
    fs::rename(place.path("policy/rules.yaml.new"), place.path("policy/rules.yaml")).unwrap();
    // The second driver knows from the broker itself what that was told by the first.
    let missing = "NOT IN FORCE: the broker did not register client.connect, client.connack, which the policy needs now, and does not \
                   call it until: emqx_ctl plugins unload emqx_extension_hook && emqx_ctl plugins load emqx_extension_hook \
                   (only while the driver runs; if the broker no longer starts it, restart the broker and unload nothing)";
    running.wait_for_lines(missing, 2);
    fs::write(place.path("policy/seen"), "").unwrap();
    let console = running.finish().console();
    assert_eq!(console.matches("is in force anew, mode enforce").count(), 1, "{console}");
}
