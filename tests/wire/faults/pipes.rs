//! The broker's pipes, and the console.

use std::collections::HashSet;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::host::{self, Driver, frame};
use super::load::{Load, check};
use super::server::{Place, RULES, rules_in_silence};
use super::story::{Call, client};
use crate::support::history::Kept as _;
use crate::support::scale::{long, times};
use crate::support::terms::framed;
use crate::support::wait::PATIENCE;

#[test]
fn input_that_ends_within_a_frame_loses_nothing_that_came_before() {
    for cut in [1, 3, 4, 5, 40] {
        let place = Place::new(&rules_in_silence());
        let mut driver = Driver::start(&place);
        let mut load = Load::start(&mut driver, 32);
        load.play(&mut driver, Instant::now() + Duration::from_millis(400));
        let last: Vec<&'static str> = (0..200).map(|n| &*format!("read-cut-{n}").leak()).collect();
        for (id, clientid) in (1000..).zip(&last) {
            driver.send(id, &Call::Connected(client(clientid)));
        }
        driver.write(&frame(999, "rules", &Call::Connected(client("read-never")))[..cut]);
        let (status, replies, console) = driver.end();
        load.take(&replies);
        assert_eq!(status.code(), Some(1), "{console}");
        assert!(console.contains("the driver stops: the input ended within a frame"), "{console}");
        assert_eq!(replies.iter().filter(|reply| reply.id >= 1000).count(), last.len(), "cut after {cut}: {console}");
        let played = load.done();
        assert_eq!(played.unanswered, 0, "{console}");
        check(&place.database(), &played.settled().stories);
        let rows = place.rows("SELECT count(*) FROM connections WHERE clientid GLOB 'read-cut-*'");
        assert_eq!(rows, [last.len().to_string()]);
    }
}

/// Nobody reads the replies; the driver reads the calls all the same, and all are answered in the end.
#[test]
fn replies_that_are_not_read_keep_no_call_from_being_read() {
    let time = long(Duration::from_secs(3), Duration::from_secs(60));
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    driver.ask(&Call::Publish(client("read-1"), "up/x"));
    let reading = Arc::clone(&driver.reading);
    let stopped = reading.lock().unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    let mut slowest = Duration::ZERO;
    // On a busy machine it takes longer until there are enough of them.
    while begun.elapsed() < time || sent <= 5_000 {
        assert!(begun.elapsed() < time + PATIENCE, "{sent} calls are less than a pipe holds the replies of");
        // Calls of a known broker are at most as many as its clients; these are far more than a pipe holds.
        for _ in 0..20 {
            let clientid = format!("read-{sent}").leak();
            let call = match sent % 4 {
                0 => Call::Connected(client(clientid)),
                1 => Call::Disconnected(client(clientid), "normal"),
                2 => Call::Authenticate(client(clientid), b""),
                _ => Call::Publish(client(clientid), "up/x"),
            };
            sent += 1;
            let writing = Instant::now();
            driver.send(sent, &call);
            slowest = slowest.max(writing.elapsed());
        }
        thread::sleep(Duration::from_millis(2));
    }
    assert!(slowest < Duration::from_secs(2), "a write took {slowest:?}");
    let memory = driver.memory_kib();
    assert!(memory < 200 * 1024, "{memory} KiB after {sent} calls");
    drop(stopped);
    let mut seen = HashSet::new();
    let end = Instant::now() + PATIENCE;
    for _ in 0..sent {
        let reply = driver.reply_by(end).unwrap_or_else(|_| panic!("replies are missing: {}", driver.console()));
        assert!(seen.insert(reply.id), "{reply:?} came twice");
    }
    let (status, ..) = driver.end();
    assert!(status.success());
}

/// Starts the driver with such a stderr, and has it say much.
#[track_caller]
fn check_console(name: &str, change: impl FnOnce(Command, &Place) -> Command) {
    let place = Place::new(&RULES.replace("log: [events]", "log: [decisions, events]"));
    let command = change(host::command(&place), &place);
    let mut driver = Driver::spawn(command, place.path("none.console"));
    let mut load = Load::start(&mut driver, 32);
    load.play(&mut driver, Instant::now() + Duration::from_millis(1500));
    load.drain(&driver);
    // Much of it is about what is denied or not understood.
    for id in 1..=times(5_000, 100_000) {
        driver.write(&framed(b"\x83h\x02junk"));
        driver.send(i32::try_from(id).unwrap() + 100, &Call::Publish(client("read-1"), "ops/x"));
    }
    assert_eq!(driver.ask(&Call::Authenticate(client("dev-1"), b"right")).0, Some(true), "{name}");
    assert_eq!(driver.ask(&Call::Authenticate(client("dev-1"), b"wrong")).0, Some(false), "{name}");
    assert!(driver.memory_kib() < 150 * 1024, "{name}: {} KiB", driver.memory_kib());
    let played = load.done();
    assert!(played.slowest_decision < Duration::from_secs(3), "{name}: {:?}", played.slowest_decision);
    assert!(played.acknowledged() > 100, "{name}: {}", played.acknowledged());
    let begun = Instant::now();
    let (status, ..) = driver.end();
    assert!(status.success() && begun.elapsed() < Duration::from_secs(14), "{name}: {status} {:?}", begun.elapsed());
    // Nothing that was meant for the console is anywhere else.
    check(&place.database(), &played.settled().stories);
}

#[test]
fn a_console_that_takes_nothing_holds_up_nobody() {
    thread::scope(|scope| {
        scope.spawn(|| {
            check_console("closed", |driver, place| {
                let mut shell = Command::new("sh");
                shell.args(["-c", "exec \"$0\" \"$@\" 2>&-"]).arg(driver.get_program()).args(driver.get_args());
                shell
                    .envs(driver.get_envs().filter_map(|(key, value)| Some((key, value?))))
                    .current_dir(place.path(""));
                shell
            });
        });
        scope.spawn(|| {
            check_console("a full disk", |mut driver, _| {
                driver.stderr(File::options().write(true).open("/dev/full").unwrap());
                driver
            });
        });
        scope.spawn(|| {
            check_console("a pipe that nobody reads", |mut driver, _| {
                driver.stderr(unread());
                driver
            });
        });
        scope.spawn(|| {
            check_console("a pipe whose other end is gone", |mut driver, _| {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                driver.stderr(writer);
                driver
            });
        });
    });
}

/// The writing end of a pipe whose other end stays open, and is never read.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    thread::spawn(move || {
        thread::sleep(PATIENCE);
        drop(reader);
    });
    writer.into()
}
