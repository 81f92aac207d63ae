//! Connections that begin and end, each answered when it is in the database.

use rusqlite::Connection;

use crate::Settings;
use crate::calls::closed_values;
use crate::figures::Figures;
use crate::place::{Driver, OURS, Place, rules};
use crate::vm::{Opened, Vm};

pub const WHAT: &str = "pairs, 64 callers";
const CALLERS: usize = 64;
pub const FULL: &str = "exhook-policy, sync: full";

pub fn measure(settings: &Settings) -> Figures {
    let place = Place::new();
    let normal = place.policy("normal", &rules(&history("normal")));
    let full = place.policy("full", &rules(&history("full")));
    let mut figures = Figures::new(settings, settings.length);
    let told = of(&mut figures, settings, &[place.constant(), place.ours(OURS, &normal), place.ours(FULL, &full)]);
    for (folder, told) in [normal, full].iter().zip(&told[1..]) {
        let database = Connection::open(folder.join("data/history.db")).expect("the history");
        let kept: f64 = database.query_one("SELECT count(*) FROM connections", [], |row| row.get(0)).expect("rows");
        assert!((kept - told / 2.0).abs() < 0.5, "{kept} connections of {told} events");
    }
    figures
}

pub fn history(sync: &str) -> String {
    format!("history:\n  database: data/history.db\n  sync: {sync}\n")
}

/// Measures several drivers side by side, and gives how many events each was told.
pub fn of(figures: &mut Figures, settings: &Settings, drivers: &[Driver]) -> Vec<f64> {
    let mut vm = Vm::start();
    let mut drivers: Vec<(usize, Opened)> = drivers.iter().map(|driver| vm.open(driver)).enumerate().collect();
    let mut told = vec![0.0; drivers.len()];
    for (n, driver) in &drivers {
        told[*n] += vm.closed(driver, "pairs", CALLERS, 300).0.calls;
    }
    for _ in 0..settings.rounds {
        for (n, driver) in &drivers {
            let (sample, cpu) = vm.closed(driver, "pairs", CALLERS, settings.length.as_millis());
            told[*n] += sample.calls;
            figures.push(WHAT, driver.name, &closed_values(&sample, cpu));
        }
        drivers.rotate_left(1);
    }
    told
}
