//! Policies and sources that mean harm, under the running program.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use super::host::{Driver, frame_of};
use super::server::Place;
use super::story::{Call, client};

/// The policy does not load: that is told at once, and everything is denied in time.
#[track_caller]
fn check_refused(name: &str, make: impl FnOnce(&Place)) {
    let place = Place::new("");
    make(&place);
    let mut driver = Driver::start(&place);
    let begun = Instant::now();
    driver.write(&frame_of(7, "rules", "init", Vec::new()));
    let (answer, took) = driver.ask(&Call::Authenticate(client("read-1"), b""));
    assert_eq!(answer, Some(false), "{name}");
    assert!(took < Duration::from_secs(3), "{name}: {took:?}");
    driver.wait_for_line("is not in force");
    assert!(begun.elapsed() < Duration::from_secs(40), "{name}: it took {:?} to refuse", begun.elapsed());
    assert_eq!(driver.ask(&Call::Publish(client("read-1"), "t")).0, Some(false), "{name}");
    assert!(driver.memory_kib() < 400 * 1024, "{name}: {} KiB", driver.memory_kib());
    let (status, _, console) = driver.end();
    assert!(status.success() && !console.contains("a fault in the driver"), "{name}: {console}");
}

#[test]
fn a_policy_that_means_harm_is_refused_and_denies() {
    let text = |text: String| move |place: &Place| fs::write(place.path("rules.yaml"), text).unwrap();
    check_refused("nothing", text(String::new()));
    check_refused("no text", |place| {
        fs::write(place.path("rules.yaml"), [0xff, 0xfe, 0x00, 0x80].repeat(5000)).unwrap();
    });
    check_refused("deep", text(format!("version: 1\nx: {}", "[{a: ".repeat(100_000))));
    let mut bomb = "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let uses = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{uses}]").unwrap();
    }
    check_refused("aliases", text(bomb));
    check_refused("large", text(format!("version: 1\nx: \"{}\"\n", "\\n".repeat(4 << 20))));
    check_refused(
        "a regex",
        text(
            "version: 1\nauth: { rules: [{ id: a, allow: { clientid: { regex: \"(a{1000}){1000}\" } } }] }\n"
                .to_owned(),
        ),
    );
    let replaced = |place: &Place| fs::remove_file(place.path("rules.yaml")).unwrap();
    check_refused("endless", |place| {
        replaced(place);
        symlink("/dev/zero", place.path("rules.yaml")).unwrap();
    });
    check_refused("a pipe", |place| {
        replaced(place);
        assert!(Command::new("mkfifo").arg(place.path("rules.yaml")).status().unwrap().success());
    });
    check_refused("a folder", |place| {
        replaced(place);
        fs::create_dir(place.path("rules.yaml")).unwrap();
    });
}

/// The policy loads, and a source of it cannot be read: what needs it is denied, and nothing else.
#[track_caller]
fn check_source(name: &str, source: &str, make: impl FnOnce(&Place)) {
    let place = Place::new(&format!(
        "version: 1\ndeadline: 30s\nlists:\n  l: {{ file: {list} }}\npasswords:\n  p: {{ file: {passwords} }}\nauth:\n  rules:\n\
         \x20   - {{ id: open, allow: {{ clientid: open }} }}\n\
         \x20   - {{ id: listed, allow: {{ clientid: listed, username: {{ in: l }} }} }}\n\
         \x20   - {{ id: known, allow: {{ clientid: known }}, password: p }}\n",
        list = if source == "list" { "odd" } else { "devices.passwd" },
        passwords = if source == "passwords" { "odd" } else { "devices.passwd" },
    ));
    make(&place);
    let mut driver = Driver::start(&place);
    for (clientid, expected) in [("open", true), (if source == "list" { "listed" } else { "known" }, false)] {
        let (answer, took) = driver.ask(&Call::Authenticate(client(clientid), b"right"));
        assert_eq!((answer, took < Duration::from_secs(3)), (Some(expected), true), "{name}: {clientid}, {took:?}");
    }
    assert!(driver.memory_kib() < 150 * 1024, "{name}: {} KiB", driver.memory_kib());
    assert!(driver.end().0.success(), "{name}");
}

#[test]
fn a_source_that_is_no_file_denies_what_needs_it() {
    for source in ["list", "passwords"] {
        check_source("missing", source, |_| {});
        check_source("endless", source, |place| symlink("/dev/zero", place.path("odd")).unwrap());
        check_source("a pipe", source, |place| {
            assert!(Command::new("mkfifo").arg(place.path("odd")).status().unwrap().success());
        });
        check_source("a folder", source, |place| fs::create_dir(place.path("odd")).unwrap());
        check_source("a terminal", source, |place| symlink("/dev/tty", place.path("odd")).unwrap());
    }
}
