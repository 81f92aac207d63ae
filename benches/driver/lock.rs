//! Logins while another process holds the history's write lock.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use crate::Settings;
use crate::figures::Figures;
use crate::history::history;
use crate::place::{OURS, Place, rules};
use crate::vm::{Opened, Vm};

const HELD: Duration = Duration::from_secs(7);
const LOGINS: usize = 1000;
/// Each of them waits for the database or the deadline: up to 200 are outstanding meanwhile.
const EVENTS: usize = 100;

pub fn measure(settings: &Settings) -> Figures {
    let place = Place::new();
    let policy = place.policy("policy", &rules(&history("normal")));
    let database = policy.join("data/history.db");
    let mut figures = Figures::new(settings, HELD);
    let mut vm = Vm::start();
    let driver = vm.open(&place.ours(OURS, &policy));
    vm.closed(&driver, "client_authenticate", 64, 300);
    let mut told = 0.0;
    // Each takes a quarter of a minute.
    figures.rounds = settings.rounds.min(3);
    for _ in 0..figures.rounds {
        told += mixed(&mut figures, &mut vm, &driver, "undisturbed", told as usize);
        let held = hold(&database);
        told += mixed(&mut figures, &mut vm, &driver, "locked", told as usize);
        held.join().expect("the lock was held");
    }
    vm.close(&driver);
    let database = Connection::open(&database).expect("the history");
    let kept: f64 = database.query_one("SELECT count(*) FROM connections", [], |row| row.get(0)).expect("rows");
    figures.push("events", OURS, &[("told", told), ("lost", told - kept)]);
    figures
}

/// Logins and events, each at its pace; gives how many events there were.
fn mixed(figures: &mut Figures, vm: &mut Vm, driver: &Opened, what: &str, from: usize) -> f64 {
    let paces = [("client_authenticate", LOGINS), ("client_connected", EVENTS)];
    let samples = vm.paced(driver, &paces, from, HELD.as_millis());
    let (logins, events) = (samples[0], samples[1]);
    let values = [
        ("p50_us", logins.p50),
        ("p99_us", logins.p99),
        ("max_us", logins.max),
        ("late", logins.late),
        ("denied", logins.denied),
        ("event_p50_us", events.p50),
        ("event_max_us", events.max),
        ("event_late", events.late),
    ];
    figures.push(what, driver.name, &values);
    events.calls
}

/// Takes the write lock, and gives it back a few seconds later.
fn hold(database: &Path) -> thread::JoinHandle<()> {
    let database = Connection::open(database).expect("the history");
    let (locked, told) = mpsc::channel();
    let held = thread::spawn(move || {
        database.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
        locked.send(()).expect("someone waits");
        thread::sleep(HELD);
        database.execute_batch("ROLLBACK").expect("the end");
    });
    told.recv().expect("the lock is held");
    held
}
