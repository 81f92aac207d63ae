//! What is asked is answered, whatever stands around it.

use super::vm::{Place, RULES};
use crate::support::history::Kept as _;

#[test]
fn every_way_of_starting_the_driver_works() {
    Place::new(RULES, 1).play("slots", &[]);
}

#[test]
fn hooks_are_answered_as_the_policy_says() {
    let place = Place::new(RULES, 9);
    place.play("answers", &[]);
    assert_eq!(
        place.rows("SELECT clientid, username, closed_by, reason FROM connections"),
        ["dev-2 dev-2 event keepalive_timeout"],
    );
}

#[test]
fn only_what_the_policy_needs_is_registered() {
    let check = |rules: &str, expected: &[&str]| {
        let place = Place::new(rules, 1);
        assert_eq!(place.play("hooks", &[]).lines(), expected, "{rules}");
    };
    check(
        RULES,
        &[
            "client_authenticate",
            "client_check_acl",
            "client_connected",
            "client_disconnected",
            "session_discarded",
            "session_takeovered",
        ],
    );
    check("version: 1\nacl: { default: deny }\n", &["client_check_acl"]);
    check("version: 1\nauth: { default: deny }\n", &["client_authenticate"]);
    check(
        "version: 1\nhistory: { database: h.db, record: [subscriptions] }\n",
        &["session_created", "session_subscribed", "session_terminated", "session_unsubscribed"],
    );
}

#[test]
fn thousands_of_calls_may_be_outstanding() {
    let place = Place::new(RULES, 609);
    let played = place.play("many", &["600".as_ref()]);
    assert!(played.lines()[0].parse::<usize>().unwrap() >= 600 * 6);
    assert_eq!(place.rows("SELECT count(*) FROM connections"), ["600"]);
}

#[test]
fn in_audit_mode_there_is_no_opinion_and_what_would_have_been_said_is_recorded() {
    let place = Place::new(&RULES.replace("version: 1\n", "version: 1\nmode: audit\n"), 9);
    place.play("audit", &[]);
    assert_eq!(place.rows("SELECT DISTINCT mode FROM denials"), ["audit"]);
    assert_eq!(place.rows("SELECT action, rule FROM denials WHERE clientid = 'dev-9'"), ["connect retired"],);
}
