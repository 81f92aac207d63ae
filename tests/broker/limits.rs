//! Clients that are kept out, before and after the driver dies.

use std::fs;

use super::vm::{Place, RULES};
use crate::support::history::Kept as _;
use crate::support::program::{self, said};
use crate::support::wait::until_or;

#[test]
fn who_is_kept_out_stays_out_when_the_driver_is_killed_until_that_is_lifted() {
    let lockout = "auth:\n  lockout: { by: [[username, peerhost]], failures: 3, within: 5m, ban: 15m }\n";
    let place = Place::new(&RULES.replace("auth:\n", lockout), 9);
    let mut running = place.start("locked_out", &[]);
    let ban = "SELECT username, peerhost, why FROM bans WHERE lifted IS NULL";
    until_or(|| !place.rows_so_far(ban).is_empty(), || "no ban is written".to_owned());
    assert_eq!(place.rows(ban), ["dev-1 127.0.0.1 lockout"]);
    fs::write(place.path("policy/banned"), "").unwrap();
    running.wait_ready();
    let mut lift = program::program();
    lift.args(["history", "lift", "--username", "dev-1", "--peerhost", "127.0.0.1", "--policy"]);
    assert_eq!(
        said(lift.arg(place.path("policy/rules.yaml"))),
        (
            "1 ban is lifted
"
            .to_owned(),
            0
        )
    );
    running.finish();
    assert_eq!(place.rows(ban), Vec::<String>::new());
    let refused = place.rows("SELECT sum(count) FROM denials WHERE rule = 'lockout'");
    assert!(refused.first().unwrap().parse::<u32>().unwrap() >= 2, "{refused:?}");
}

/// What `right` is stored as.
const BCRYPT: &str = "$2b$10$C81T8V6V0SNIJMp6Phm.p.uKFrLz5v6l6/8MXbdXyICyGGa1XGObm";

#[test]
fn guesses_sent_at_once_are_not_all_tried() {
    let lockout = "auth:\n  lockout: { by: [[username, peerhost]], failures: 3, within: 5m, ban: 15m }\n";
    let place = Place::new(&RULES.replace("auth:\n", lockout), 9);
    // It takes long enough for all guesses to arrive.
    fs::write(place.path("policy/devices.passwd"), format!("dev-1:{BCRYPT}\n")).unwrap();
    place.play("guesses_at_once", &[]);
    assert_eq!(place.rows("SELECT username, peerhost, why FROM bans"), ["dev-1 192.0.2.1 lockout"]);
    let refused = place.rows("SELECT sum(count) > 0 FROM denials WHERE rule = 'lockout' AND peerhost = '192.0.2.1'");
    assert_eq!(refused, ["1"]);
}
