//! From the start to the first answers, and the memory that a driver takes.

use std::io::Write;
use std::time::Instant;

use crate::Settings;
use crate::figures::Figures;
use crate::frames::{self, Client};
use crate::pipe::Piped;
use crate::place::{CONSTANT, Driver, OURS, Place};
use crate::process::memory_mib;

pub const RECORDING: &str = "exhook-policy with history";
/// Starts in one round.
const STARTS: usize = 10;
/// How many calls are made before the memory is looked at.
const CALLS: u32 = 5000;
/// How many of them are outstanding.
const WINDOW: u32 = 64;

const SMALL: &str = "version: 1
lists:
  retired: [device-0000000098, device-0000000099]
auth:
  rules:
    - { id: retired, deny: { clientid: { in: retired } } }
    - { id: devices, allow: { username: \"${clientid}\" } }
acl:
  rules:
    - { id: servers-only, deny: everyone, topics: [\"s/#\"] }
    - { id: own-topics, allow: everyone, publish: [\"t/${clientid}/#\"], subscribe: [\"c/${clientid}/#\"] }
";

pub fn measure(settings: &Settings) -> Figures {
    let place = Place::new();
    let small = place.policy("small", SMALL);
    let recording = place.policy("recording", &format!("{SMALL}history:\n  database: data/history.db\n"));
    let drivers = [place.constant(), place.ours(OURS, &small), place.ours(RECORDING, &recording)];
    let mut figures = Figures::new(settings, settings.length);
    // The first one finds nothing in the kernel's caches, and makes the database.
    for driver in &drivers {
        start(driver).0.finish();
    }
    for _ in 0..settings.rounds {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..STARTS {
            for (driver, times) in drivers.iter().zip(&mut times) {
                let (piped, to_init, to_login) = start(driver);
                times.push((to_init, to_login));
                piped.finish();
            }
        }
        for (driver, times) in drivers.iter().zip(times) {
            let (mut to_init, mut to_login): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
            let (resident, most) = memory(driver);
            let values = [
                ("init_ms", crate::figures::quantile(&mut to_init, 0.5)),
                ("login_ms", crate::figures::quantile(&mut to_login, 0.5)),
                ("rss_mib", resident),
                ("most_mib", most),
            ];
            figures.push("start", driver.name, &values);
        }
    }
    figures
}

/// Starts a driver and gives the milliseconds to the answer to `init`, and to that of the first login.
fn start(driver: &Driver) -> (Piped, f64, f64) {
    let (mut init, mut login) = (Vec::new(), Vec::new());
    frames::init(&mut init);
    frames::authenticate(&mut login, 1, &Client::number(1), "secret");
    let begin = Instant::now();
    let mut piped = Piped::start(driver);
    piped.ask(&init);
    let to_init = begin.elapsed();
    assert!(piped.ask(&login).allows, "{}", driver.name);
    let to_login = begin.elapsed();
    (piped, to_init.as_secs_f64() * 1e3, to_login.as_secs_f64() * 1e3)
}

/// The memory of a driver that has worked, now and at most.
fn memory(driver: &Driver) -> (f64, f64) {
    let (mut piped, _, _) = start(driver);
    let mut calls = Vec::new();
    let records = driver.name == RECORDING || driver.name == CONSTANT;
    for n in 0..CALLS {
        let (client, id) = (Client::number(n as usize % 90), n % WINDOW + 1);
        match n % 4 {
            0 => frames::authenticate(&mut calls, id, &client, "secret"),
            1 if records => frames::connected(&mut calls, id, &client),
            2 if records => frames::disconnected(&mut calls, id, &client),
            _ => frames::check_acl(&mut calls, id, &client, "publish", &format!("t/{}/x", client.clientid)),
        }
        if id == WINDOW || n + 1 == CALLS {
            piped.input.write_all(&calls).expect("the driver reads");
            (0..id).for_each(|_| assert!(piped.replies.next().id > 0));
            calls.clear();
        }
    }
    let memory = memory_mib(piped.child.id());
    piped.finish();
    memory
}
