//! Disks that are full, read-only, or hang.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::host::{self, Driver};
use super::load::{Load, Played, SLOWEST, all_answered, check};
use super::produce::{Disk, FreezingDisk, HungDisk, Lock, ReadOnly};
use super::server::{Place, rules_in_silence};
use super::story::{Call, client};
use crate::support::machine::cannot_run;
use crate::support::scale::long;

fn rules(database: &str) -> String {
    rules_in_silence().replace("database: history.db", &format!("database: {database}"))
}

/// Plays while the fault is there, and then until the driver says that it writes again.
fn played_through(driver: &mut Driver, begin: impl FnOnce(), fault: &str, end: impl FnOnce()) -> Played {
    let mut load = Load::start(driver, 16).at_most(4_000);
    load.play(driver, Instant::now() + Duration::from_millis(500));
    begin();
    let while_it_lasts = long(Duration::from_secs(3), Duration::from_secs(30));
    load.play(driver, Instant::now() + while_it_lasts);
    driver.wait_for_line(fault);
    end();
    let patience = Instant::now() + Duration::from_secs(30);
    while !driver.console().contains("is written again") {
        assert!(Instant::now() < patience, "{}", driver.console());
        load.play(driver, Instant::now() + Duration::from_millis(100));
    }
    load.play(driver, Instant::now() + Duration::from_millis(200));
    load.drain(driver);
    load.done()
}

/// Ends in order, with everything in the database that was answered, at whatever time.
#[track_caller]
fn all_is_there(driver: Driver, place: &Place, database: &str, played: Played) {
    let (status, _, console) = driver.end();
    assert_eq!(status.code(), Some(0), "{console}");
    assert!(!console.contains("are lost") && !console.contains("panic"), "{console}");
    let played = played.settled();
    let early = played.acknowledged();
    check(&rusqlite::Connection::open(place.path(database)).unwrap(), &played.stories);
    println!("{early} calls answered, decisions within {:?}", played.slowest_decision);
}

#[test]
fn a_full_disk_holds_up_nobody_and_loses_nothing() {
    let place = Place::new(&rules("disk/history.db"));
    match Disk::of(&place.path("disk"), 64) {
        Ok(disk) => {
            let mut driver = Driver::start(&place);
            let full = "database or disk is full";
            let played = played_through(&mut driver, || disk.fill(), full, || disk.free());
            all_answered(&played);
            all_is_there(driver, &place, "disk/history.db", played);
        }
        Err(why) => {
            cannot_run("a full file system, but a file that may not grow", why);
            let mut command = Command::new("sh");
            // Without the signal, to write more fails.
            command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
            let driver = host::command(&place);
            command.arg(driver.get_program()).args(driver.get_args()).current_dir(place.path(""));
            command.envs(driver.get_envs().filter_map(|(key, value)| Some((key, value?)))).arg0("sh");
            let mut driver = Driver::start_as(&place, command);
            let pid = Pid::from_child(&driver.child);
            let limit = move |bytes| {
                let old = rustix::process::getrlimit(Resource::Fsize);
                prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: old.maximum }).unwrap();
            };
            let played = played_through(&mut driver, || limit(Some(4096)), "cannot be written", || limit(None));
            all_answered(&played);
            all_is_there(driver, &place, "disk/history.db", played);
        }
    }
}

/// There is a history already, and then a driver is started that may not write this of it.
#[track_caller]
fn check_read_only(what: &str) {
    let place = Place::new(&rules("data/history.db"));
    let mut driver = Driver::start(&place);
    let mut load = Load::start(&mut driver, 8).at_most(4_000);
    load.play(&mut driver, Instant::now() + Duration::from_millis(300));
    load.drain(&driver);
    assert!(driver.end().0.success());
    let before = load.done();

    let read_only = ReadOnly::at(&place.path(what));
    let mut driver = Driver::start(&place);
    let mut played = played_through(&mut driver, || {}, "cannot be written", move || drop(read_only));
    all_answered(&played);
    played.stories.extend(before.stories);
    all_is_there(driver, &place, "data/history.db", played);
}

#[test]
fn a_file_that_is_read_only_holds_up_nobody_and_is_tried_again() {
    check_read_only("data/history.db");
}

#[test]
fn a_folder_that_is_read_only_holds_up_nobody_and_is_tried_again() {
    check_read_only("data");
}

#[test]
fn a_disk_that_hangs_for_a_while_holds_up_nobody_and_loses_nothing() {
    let place = Place::new(&rules("disk/history.db"));
    let mut disk = FreezingDisk::at(&place.path("disk"));
    let mut driver = Driver::start(&place);
    let mut load = Load::start(&mut driver, 16).at_most(4_000);
    load.play(&mut driver, Instant::now() + Duration::from_millis(500));
    let time = long(Duration::from_secs(3), Duration::from_secs(60));
    match &mut disk {
        Ok(disk) => {
            disk.freeze().unwrap();
            load.play(&mut driver, Instant::now() + time);
            disk.thaw();
        }
        Err(why) => {
            cannot_run("a disk that hangs while it is written to, but a lock that is held", why);
            let _lock = Lock::on(&place.path("disk/history.db"));
            load.play(&mut driver, Instant::now() + time);
        }
    }
    load.play(&mut driver, Instant::now() + Duration::from_secs(1));
    load.drain(&driver);
    let played = load.done();
    all_answered(&played);
    assert!(played.early() > 0, "nothing was answered while the disk hung");
    all_is_there(driver, &place, "disk/history.db", played);
}

#[test]
fn a_disk_that_hangs_from_the_start_holds_up_nobody_and_ends_the_driver_in_time() {
    let place = Place::new(&rules("disk/history.db"));
    let disk = HungDisk::at(&place.path("disk"));
    if let Err(why) = &disk {
        cannot_run("a disk on which every access hangs, but a file in the place of the folder", why);
        fs::write(place.path("disk"), "").unwrap();
    }
    let mut driver = Driver::start(&place);
    let mut load = Load::start(&mut driver, 16).at_most(4_000);
    load.play(&mut driver, Instant::now() + Duration::from_secs(3));
    load.drain(&driver);
    let played = load.done();
    all_answered(&played);
    assert!(played.acknowledged() > 100, "{}", played.acknowledged());
    let begun = Instant::now();
    let (status, ..) = driver.end();
    assert!(status.success() && begun.elapsed() < Duration::from_secs(15), "{status} after {:?}", begun.elapsed());
    drop(disk);
}

/// What stands where the database should be, or around it.
#[track_caller]
fn check_no_database(name: &str, make: impl FnOnce(&Place)) {
    let place = Place::new(&rules("data/history.db"));
    fs::create_dir(place.path("data")).unwrap();
    make(&place);
    let mut driver = Driver::start(&place);
    let mut load = Load::start(&mut driver, 8);
    // Those that come first wait until the deadline, the later ones for nothing.
    load.play(&mut driver, Instant::now() + Duration::from_secs(3));
    load.drain(&driver);
    driver.wait_for_line("history.db cannot be written: ");
    let played = load.done();
    assert!(played.slowest_decision < SLOWEST && played.slowest_told < SLOWEST, "{name}");
    assert!(played.acknowledged() > 100, "{name}: {}", played.acknowledged());
    assert_eq!(driver.ask(&Call::Authenticate(client("dev-1"), b"right")).0, Some(true), "{name}");
    let begun = Instant::now();
    let (status, _, console) = driver.end();
    assert!(status.success() && begun.elapsed() < Duration::from_secs(15), "{name}: {status} {:?}", begun.elapsed());
    assert!(console.contains("events are lost") && !console.contains("panic"), "{name}: {console}");
}

#[test]
fn what_is_no_database_stops_no_call() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            check_no_database("a text", |place| {
                fs::write(place.path("data/history.db"), "no database, but long enough to be one\n".repeat(500))
                    .unwrap();
            });
        });
        scope.spawn(|| check_no_database("a folder", |place| fs::create_dir(place.path("data/history.db")).unwrap()));
        scope.spawn(|| {
            check_no_database("a file for the folder", |place| {
                fs::remove_dir(place.path("data")).unwrap();
                fs::write(place.path("data"), "").unwrap();
            });
        });
        scope.spawn(|| {
            check_no_database("a pipe", |place| {
                assert!(Command::new("mkfifo").arg(place.path("data/history.db")).status().unwrap().success());
            });
        });
        scope.spawn(|| {
            check_no_database("a link to itself", |place| {
                std::os::unix::fs::symlink("history.db", place.path("data/history.db")).unwrap();
            });
        });
    });
}
