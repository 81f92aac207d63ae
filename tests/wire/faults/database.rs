//! The history database deleted, replaced, damaged, locked, or written by many.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::broker::Broker;
use super::dialect::named;
use super::host::Driver;
use super::load::{Load, Played, all_answered, check};
use super::produce::Lock;
use super::server::{Place, rules_in_silence};
use super::story::{Call, client};
use crate::support::history::Kept as _;
use crate::support::random::Random;
use crate::support::scale::{long, times};

fn played_for(driver: &mut Driver, clients: i32, time: Duration) -> Played {
    let mut load = Load::start(driver, clients).at_most(4_000);
    load.play(driver, Instant::now() + time);
    load.drain(driver);
    load.done()
}

#[track_caller]
fn ended(driver: Driver) -> String {
    let (status, _, console) = driver.end();
    assert!(status.success() && !console.contains("panic"), "{status} {console}");
    console
}

/// Longer than it may take to notice that a file is another one, and to open it.
const NOTICED: Duration = Duration::from_secs(8);

#[test]
fn a_wal_that_is_deleted_costs_nothing_that_was_acknowledged() {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    let before = played_for(&mut driver, 16, Duration::from_millis(500));
    fs::remove_file(place.path("history.db-wal")).unwrap();
    let after = played_for(&mut driver, 16, NOTICED);
    driver.kill();
    all_answered(&after);
    check(&place.database(), &before.settled().stories);
    // The last of it is under the promise again.
    let mut driver = Driver::start(&place);
    let last = played_for(&mut driver, 16, Duration::from_millis(500));
    driver.kill();
    let stories = [after.settled().stories, last.stories].concat();
    check(&place.database(), &stories);
}

#[test]
fn a_database_that_is_deleted_is_made_anew() {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    played_for(&mut driver, 16, Duration::from_millis(300));
    for file in ["history.db", "history.db-wal", "history.db-shm"] {
        fs::remove_file(place.path(file)).unwrap();
    }
    let meanwhile = played_for(&mut driver, 16, NOTICED);
    all_answered(&meanwhile);
    let after = played_for(&mut driver, 16, Duration::from_millis(500));
    assert!(ended(driver).contains("its file was removed or replaced"));
    check(&place.database(), &after.stories);
}

#[test]
fn a_database_in_the_place_of_another_is_written_from_then_on() {
    let place = Place::new(&rules_in_silence());
    // A backup of before.
    let mut driver = Driver::start(&place);
    let backed_up = played_for(&mut driver, 8, Duration::from_millis(300));
    ended(driver);
    fs::copy(place.path("history.db"), place.path("backup.db")).unwrap();
    let mut driver = Driver::start(&place);
    played_for(&mut driver, 8, Duration::from_millis(300));
    fs::rename(place.path("backup.db"), place.path("history.db")).unwrap();
    for file in ["history.db-wal", "history.db-shm"] {
        fs::remove_file(place.path(file)).unwrap();
    }
    all_answered(&played_for(&mut driver, 8, NOTICED));
    let after = played_for(&mut driver, 8, Duration::from_millis(500));
    ended(driver);
    check(&place.database(), &[backed_up.settled().stories, after.stories].concat());
}

/// Damages the file, and sees that a driver goes on answering: one that runs, and one that is started on it.
#[track_caller]
fn check_damaged(name: &str, damage: impl FnOnce(&Place, u64)) {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    played_for(&mut driver, 16, Duration::from_millis(500));
    ended(driver);
    let mut driver = Driver::start(&place);
    played_for(&mut driver, 8, Duration::from_millis(100));
    let size = fs::metadata(place.path("history.db")).unwrap().len();
    assert!(size > 20_000, "{size}");
    damage(&place, size);
    all_answered(&played_for(&mut driver, 8, Duration::from_millis(1500)));
    // It may have lost events by now, but never its head.
    let (status, _, console) = driver.end();
    assert!(status.success() && !console.contains("panic"), "{name}: {status} {console}");
    let mut driver = Driver::start(&place);
    all_answered(&played_for(&mut driver, 8, Duration::from_millis(1500)));
    assert_eq!(driver.ask(&Call::Authenticate(client("dev-1"), b"right")).0, Some(true), "{name}");
    assert_eq!(driver.ask(&Call::Authenticate(client("dev-1"), b"wrong")).0, Some(false), "{name}");
    let begun = Instant::now();
    let (status, _, console) = driver.end();
    assert!(status.success() && !console.contains("panic"), "{name}: {status} {console}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{name}: it took {:?} to end", begun.elapsed());
    println!("{name}: {}", console.lines().find(|line| line.contains("history:")).unwrap_or("not noticed"));
}

fn overwrite(place: &Place, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(place.path("history.db")).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_damaged_database_stops_no_call() {
    let mut random = Random::new("damage a database");
    for _ in 0..times(1, 200) {
        let seed = random.next();
        thread::scope(|scope| {
            scope.spawn(|| check_damaged("its head", |place, _| overwrite(place, 0, &[0xff; 200])));
            scope.spawn(|| {
                check_damaged("bytes here and there", |place, size| {
                    let mut at = seed % 500;
                    while at < size {
                        overwrite(place, at, &[0xa5, 0x5a, 0xff, 0x00, 0x81]);
                        at += 97 + seed % 1000;
                    }
                });
            });
            scope.spawn(|| {
                check_damaged("every page but the first", |place, size| {
                    overwrite(place, 4096, &vec![0xa5; usize::try_from(size - 4096).unwrap()]);
                });
            });
            scope.spawn(|| {
                check_damaged("cut off within a page", |place, size| {
                    let file = OpenOptions::new().write(true).open(place.path("history.db")).unwrap();
                    file.set_len(size / 2 + 100).unwrap();
                });
            });
            scope.spawn(|| {
                check_damaged("emptied", |place, _| {
                    OpenOptions::new().write(true).open(place.path("history.db")).unwrap().set_len(0).unwrap();
                });
            });
            scope.spawn(|| {
                check_damaged("a text", |place, _| {
                    fs::write(place.path("history.db"), "no database, but long enough to be one\n".repeat(999))
                        .unwrap();
                });
            });
            scope.spawn(|| {
                check_damaged("another program's", |place, _| {
                    for file in ["history.db", "history.db-wal", "history.db-shm"] {
                        let _ = fs::remove_file(place.path(file));
                    }
                    let other = Connection::open(place.path("history.db")).unwrap();
                    other.execute_batch("CREATE TABLE connections (a); INSERT INTO connections VALUES (1)").unwrap();
                });
            });
        });
    }
}

#[test]
fn a_lock_that_another_process_holds_for_long_holds_up_nobody_and_loses_nothing() {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    let mut load = Load::start(&mut driver, 16).at_most(4_000);
    load.play(&mut driver, Instant::now() + Duration::from_millis(500));
    let lock = Lock::on(&place.path("history.db"));
    load.play(&mut driver, Instant::now() + long(Duration::from_secs(4), Duration::from_secs(90)));
    driver.wait_for_line("cannot be written: another process holds its lock");
    drop(lock);
    load.play(&mut driver, Instant::now() + Duration::from_secs(1));
    load.drain(&driver);
    let played = load.done();
    all_answered(&played);
    let console = ended(driver);
    assert!(console.contains("is written again") && !console.contains("are lost"), "{console}");
    check(&place.database(), &played.settled().stories);
}

/// Drivers of one pool, each with clients of its own, on one database; some are killed on the way.
#[track_caller]
fn check_pool(drivers: usize, killed: usize) {
    let place = Place::new(&rules_in_silence());
    let time = long(Duration::from_secs(2), Duration::from_secs(20));
    let play = |number: usize| {
        let mut driver = Driver::start(&place);
        let mut load = Load::start(&mut driver, 12);
        if number < killed {
            load.play(&mut driver, Instant::now() + time / 2);
            load.take(&driver.kill());
            load.done()
        } else {
            load.play(&mut driver, Instant::now() + time);
            load.drain(&driver);
            ended(driver);
            load.done().settled()
        }
    };
    let play = &play;
    let played: Vec<Played> = thread::scope(|scope| {
        let threads: Vec<_> = (0..drivers)
            .map(|number| {
                // A file's name is the number of files there are.
                thread::sleep(Duration::from_millis(30));
                scope.spawn(move || play(number))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let stories: Vec<_> = played.into_iter().flat_map(|played| played.stories).collect();
    let acknowledged = stories.iter().filter(|story| story.is_acknowledged()).count();
    assert!(acknowledged > 20 * drivers, "{acknowledged}");
    check(&place.database(), &stories);
}

#[test]
fn two_drivers_on_one_database_lose_nothing() {
    check_pool(2, 0);
    check_pool(2, 1);
}

#[test]
fn eight_drivers_on_one_database_lose_nothing() {
    check_pool(8, 3);
}

#[test]
fn a_server_and_a_driver_on_one_database_lose_nothing() {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    let server = place.serve();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = runtime.block_on(async { Broker::at(named("v2b"), server.address) });
    let (told, played) = thread::scope(|scope| {
        let told = scope.spawn(|| {
            runtime.block_on(async {
                let mut told = Vec::new();
                let end = Instant::now() + Duration::from_secs(2);
                while Instant::now() < end {
                    let clientid: &'static str = format!("read-grpc-{}", told.len()).leak();
                    broker.call(Call::Connected(client(clientid))).await;
                    told.push(format!("\"{clientid}\" -"));
                }
                told
            })
        });
        let played = played_for(&mut driver, 12, Duration::from_secs(2));
        (told.join().unwrap(), played)
    });
    ended(driver);
    runtime.block_on(server.end());
    assert!(told.len() > 20, "{}", told.len());
    check(&place.database(), &played.settled().stories);
    let rows =
        place.rows("SELECT clientid, disconnected_at FROM connections WHERE clientid GLOB 'read-grpc-*' ORDER BY id");
    assert_eq!(rows, told);
}
