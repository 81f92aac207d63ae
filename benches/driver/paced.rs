//! How long an answer takes at a pace that leaves everyone idle most of the time.

use crate::Settings;
use crate::calls::{HOOKS, all_allowed};
use crate::figures::Figures;
use crate::place::{OURS, Place, rules};
use crate::vm::{Opened, Vm};

const RATE: usize = 1000;

pub fn measure(settings: &Settings) -> Figures {
    let place = Place::new();
    let policy = place.policy("policy", &rules(""));
    let mut figures = Figures::new(settings, settings.length);
    let mut vm = Vm::start();
    let mut drivers: Vec<Opened> = [place.constant(), place.ours(OURS, &policy)].iter().map(|d| vm.open(d)).collect();
    for driver in &drivers {
        vm.closed(driver, HOOKS[0], 64, 300);
    }
    for _ in 0..settings.rounds {
        for hook in HOOKS {
            for driver in &drivers {
                let sample = vm.paced(driver, &[(hook, RATE)], 0, settings.length.as_millis())[0];
                all_allowed(driver, &sample);
                let values = [("p50_us", sample.p50), ("p99_us", sample.p99), ("max_us", sample.max)];
                figures.push(hook, driver.name, &values);
            }
        }
        drivers.rotate_left(1);
    }
    figures
}
