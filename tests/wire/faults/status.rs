//! `exhook-policy status` after a driver or server was killed, was refused, or never came.

use std::fs;

use regex::Regex;
use rustix::process::Signal;

use super::host::{Driver, frame_of};
use super::server::{Place, RULES};
use super::story::{Call, client};
use crate::support::program::{program, said};
use crate::support::wait::until_or;

/// What `status` says, without what differs each time, and its exit code.
fn status(place: &Place) -> (String, i32) {
    let mut status = program();
    let (said, code) = said(status.args(["status", "--policy", "rules.yaml"]).current_dir(place.path("")));
    let said = said.replace(fs::canonicalize(place.path("")).unwrap().to_str().unwrap(), "FOLDER");
    let said = Regex::new(r"\d{4}-\d\d-\d\dT[\d:]+Z").unwrap().replace_all(&said, "TIME").into_owned();
    let said = Regex::new(r"(?m)^(driver|server) \d+").unwrap().replace_all(&said, "$1 N").into_owned();
    let said = Regex::new(r", exhook-policy \S+ \(SQLite \S+\)").unwrap().replace_all(&said, "").into_owned();
    (Regex::new(r"  [0-9a-f]{12}, ").unwrap().replace_all(&said, "  HASH, ").into_owned(), code)
}

#[track_caller]
fn check(place: &Place, expected: &str) {
    assert_eq!(status(place), (expected.to_owned(), 1));
}

#[track_caller]
fn wait_until_well(place: &Place) {
    until_or(|| status(place).1 == 0, || status(place).0);
}

#[test]
fn of_a_driver_that_never_came_nothing_is_known() {
    let place = Place::new(RULES);
    let none = "exhook-policy: there is no state folder state: no driver or server has been started with it, and if none runs with \
                another one (--state), brokers decide by their own settings\n";
    assert_eq!(status(&place), (none.to_owned(), 2));
    let mut driver = Driver::start(&place);
    driver.write(&frame_of(7, "rules", "init", Vec::new()));
    wait_until_well(&place);
    assert!(driver.end().0.success());
    check(
        &place,
        "no driver or server of this policy runs with the state folder state\n  if none runs with another one (--state), brokers \
         decide by their own settings\n",
    );
}

#[tokio::test]
async fn of_what_was_killed_the_broker_decides() {
    let place = Place::new(&RULES.replace("version: 1", "version: 1\nmode: audit"));
    let mut driver = Driver::start(&place);
    driver.write(&frame_of(7, "rules", "init", Vec::new()));
    driver.ask(&Call::Authenticate(client("read-1"), b""));
    wait_until_well(&place);
    driver.kill();
    let (said, code) = status(&place);
    let lines: Vec<&str> = said.lines().take(7).collect();
    let expected = [
        "driver N (gone), since TIME",
        "  file      FOLDER/rules.yaml",
        "  as of     TIME",
        "  last had  HASH, mode audit, since TIME",
        "  reloads   0 in force, 0 refused",
        "  waiting   history 0, logins 0",
        "  WRONG     the driver is gone, and did not end in order: the broker decides by its own settings, until it starts a driver \
         again",
    ];
    assert_eq!((&lines[..], code), (&expected[..], 1));

    let mut server = place.serve();
    wait_until_well(&place);
    server.signal(Signal::KILL);
    server.wait().await;
    let (said, code) = status(&place);
    let gone = "  WRONG     the server is gone, and did not end in order: brokers decide by their own settings, until the server is \
                started again\n";
    assert!(said.starts_with("server N (gone), ") && said.contains(gone) && code == 1, "{said}");
}

#[test]
fn a_driver_whose_init_was_refused_and_that_ended_denies_nothing() {
    let place = Place::new("version: 2\n");
    let mut driver = Driver::start(&place);
    driver.write(&frame_of(7, "rules", "init", Vec::new()));
    driver.wait_for_line("the policy rules is not in force");
    let (said, code) = status(&place);
    let denied = "  WRONG     no policy is in force: every login and topic is denied, or left to the broker if the last policy was in \
                  audit mode\n  WRONG     the file as it stands is not in force, since TIME:\n";
    assert!(said.contains(denied) && code == 1, "{said}");
    assert!(driver.end().0.success());
    let (said, code) = status(&place);
    let gone = "  WRONG     the driver is gone, and had no policy in force: the broker decides by its own settings, until it starts a \
                driver again\n  WRONG     the file as it then stood was not in force, since TIME:\n    error[";
    assert!(said.starts_with("driver N (gone), since TIME\n") && said.contains(gone) && code == 1, "{said}");
}

/// A version that writes it otherwise may run.
#[test]
fn a_status_that_cannot_be_read_says_nothing_of_what_runs() {
    let place = Place::new(RULES);
    fs::create_dir(place.path("state")).unwrap();
    fs::write(place.path("state/status-1-2.json"), "{\"pid\": 3}\n").unwrap();
    check(
        &place,
        "whether a driver or server of this policy runs cannot be read in the state folder state\nexhook-policy: no status can be \
         read in state/status-1-2.json: missing field `written_at` at line 1 column 10\n",
    );
}
