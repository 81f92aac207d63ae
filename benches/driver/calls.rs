//! Logins and topic decisions, as many as come: callers that call again when they are answered.

use crate::Settings;
use crate::figures::Figures;
use crate::place::{Driver, OURS, Place, rules};
use crate::vm::{Opened, Sample, Vm};

pub const HOOKS: [&str; 2] = ["client_authenticate", "client_check_acl"];
pub const CALLERS: [usize; 3] = [16, 64, 256];

pub fn measure(settings: &Settings) -> Figures {
    let place = Place::new();
    let policy = place.policy("policy", &rules(""));
    let mut figures = Figures::new(settings, settings.length);
    of(&mut figures, settings, &[place.constant(), place.ours(OURS, &policy)]);
    figures
}

/// Measures several drivers side by side.
pub fn of(figures: &mut Figures, settings: &Settings, drivers: &[Driver]) {
    let mut vm = Vm::start();
    let mut drivers: Vec<Opened> = drivers.iter().map(|driver| vm.open(driver)).collect();
    for driver in &drivers {
        for hook in HOOKS {
            vm.closed(driver, hook, 64, 300);
        }
    }
    for _ in 0..settings.rounds {
        for hook in HOOKS {
            for callers in CALLERS {
                for driver in &drivers {
                    let (sample, cpu) = vm.closed(driver, hook, callers, settings.length.as_millis());
                    all_allowed(driver, &sample);
                    let what = format!("{hook}, {callers} callers");
                    figures.push(&what, driver.name, &closed_values(&sample, cpu));
                }
            }
        }
        // Whatever the first of a round finds, each finds it.
        drivers.rotate_left(1);
    }
}

pub fn closed_values(sample: &Sample, cpu: f64) -> [(&'static str, f64); 4] {
    [("calls_per_s", sample.per_second), ("cpu_us", cpu), ("p50_us", sample.p50), ("p99_us", sample.p99)]
}

/// What is measured is allowed by every policy here: a driver that denies does something else.
pub fn all_allowed(driver: &Opened, sample: &Sample) {
    assert!(sample.allowed >= sample.calls, "{}: {sample:?}", driver.name);
}
