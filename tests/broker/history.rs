//! Connections as the database has them after a broker's day.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::TransactionBehavior;

use super::vm::{Place, RULES};
use crate::support::history::Kept as _;

#[test]
fn a_client_that_takes_its_session_over_stays_online() {
    let place = Place::new(RULES, 9);
    place.play("take_over", &[]);
    let connections = place.rows("SELECT clientid, closed_by, reason IS NULL FROM connections ORDER BY clientid, id");
    assert_eq!(
        connections,
        [
            "dev-1 takeover 0",
            "dev-1 - 1",
            "dev-2 takeover 0",
            "dev-2 - 1",
            "dev-3 takeover 0",
            "dev-3 - 1",
            "dev-4 takeover 0",
            "dev-4 - 1",
            "dev-5 takeover 0",
            "dev-5 event 0",
            "dev-6 event 0",
            "dev-6 - 1",
        ]
    );
    assert_eq!(
        place.rows("SELECT clientid FROM online ORDER BY clientid"),
        ["dev-1", "dev-2", "dev-3", "dev-4", "dev-6"]
    );
    assert_eq!(place.rows("SELECT clientid FROM clients WHERE online = 0"), ["dev-5"]);
}

#[test]
fn a_new_driver_closes_nothing_and_a_new_broker_what_the_old_one_left() {
    let place = Place::new(RULES, 9);
    place.play("driver_restart", &[]);
    assert_eq!(
        place.rows("SELECT clientid, closed_by, reason FROM connections ORDER BY id"),
        ["dev-1 - -", "dev-2 event normal", "dev-3 - -", "dev-4 - -"],
    );
    // Of the clients that were connected before the driver was away, two have not been heard of since.
    assert_eq!(place.rows("SELECT clientid, unsure FROM online ORDER BY id"), ["dev-1 0", "dev-3 1", "dev-4 0"]);
    assert_eq!(
        place.rows("SELECT clientid, action, rule, mode FROM denials ORDER BY id"),
        ["dev-5 connect fleet enforce", "dev-1 publish default enforce"],
    );

    place.play("next_broker", &["dev-3".as_ref()]);
    assert_eq!(
        place.rows("SELECT clientid, closed_by FROM connections ORDER BY id"),
        ["dev-1 restart", "dev-2 event", "dev-3 restart", "dev-4 restart", "dev-3 -"],
    );
    assert_eq!(place.rows("SELECT clientid, unsure FROM online"), ["dev-3 0"]);
    assert_eq!(place.rows("SELECT count(*) FROM connections WHERE disconnected_at < connected_at"), ["0"]);
}

#[test]
fn a_broker_with_both_drivers_has_one_history() {
    let place = Place::new(RULES, 2);
    place.play("both", &[]);
    assert_eq!(place.rows("SELECT clientid, closed_by FROM connections ORDER BY clientid"), ["dev-1 event", "dev-2 -"],);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let place = Place::new(RULES, 1);
    let played = place.play("killed", &["6".as_ref()]);
    let acknowledged: BTreeSet<String> = played.lines().into_iter().collect();
    let stored: BTreeSet<String> = place.rows("SELECT clientid FROM connections").into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() > 100, "{} acknowledged", acknowledged.len());
    assert_eq!(place.rows("PRAGMA integrity_check"), ["ok"]);
}

#[test]
fn a_database_that_someone_else_holds_disturbs_no_login_and_loses_nothing() {
    // What is told waits for the disk up to the deadline, which here is the shorter one of a policy
    // that names none.
    let place = Place::new(&RULES.replace("deadline: 30s\n", ""), 20_000);
    let mut running = place.start("locked", &["9".as_ref()]);
    running.wait_ready();
    let mut other = place.database();
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    std::thread::sleep(Duration::from_secs(7));
    drop(lock);
    drop(other);
    let played = running.finish();

    let number = |name: &str| -> u64 {
        let lines = played.lines();
        lines.iter().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    };
    assert!(number("slowest_login_ms") < 1000, "a login took {} ms", number("slowest_login_ms"));
    assert!(number("slowest_connected_ms") < 4000, "a connected took {} ms", number("slowest_connected_ms"));
    assert!(number("logins") > 50, "{} logins", number("logins"));
    let told: BTreeSet<String> =
        played.lines().iter().filter_map(|line| line.strip_prefix("connected ")).map(str::to_owned).collect();
    let mut stored: BTreeSet<String> = place.rows("SELECT clientid FROM connections").into_iter().collect();
    assert!(stored.remove("dev-0"));
    assert_eq!(told, stored);
    let console = played.console();
    assert!(console.contains("history"), "nothing was said of it: {console}");
}
