//! What was measured, as files.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::rows::{file, thousandth};
use crate::vm::Vm;

pub use crate::rows::{Machine, Spread};

/// What one section measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    pub machine: Machine,
    pub rounds: usize,
    pub seconds: f64,
    pub rows: Vec<Row>,
}

/// What one driver did at one thing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub driver: String,
    /// By its name, a measure's value in each round.
    pub values: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    pub fn new(settings: &Settings, length: Duration) -> Self {
        Figures {
            machine: Machine::here(Some(Vm::release())),
            rounds: settings.rounds,
            seconds: length.as_secs_f64(),
            rows: Vec::new(),
        }
    }

    /// Adds the values of one round.
    pub fn push(&mut self, what: &str, driver: &str, values: &[(&str, f64)]) {
        let at = self.rows.iter().position(|row| row.what == what && row.driver == driver);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row { what: what.to_owned(), driver: driver.to_owned(), values: BTreeMap::new() });
            self.rows.len() - 1
        });
        for (name, value) in values {
            self.rows[at].values.entry((*name).to_owned()).or_default().push(thousandth(*value));
        }
        let told: Vec<String> = values.iter().map(|(name, value)| format!("{name} {value:.1}")).collect();
        println!("  {what}, {driver}: {}", told.join(", "));
    }

    /// A measure in each round; empty where it was not made.
    pub fn values(&self, what: &str, driver: &str, measure: &str) -> &[f64] {
        let row = self.rows.iter().find(|row| row.what == what && row.driver == driver);
        row.and_then(|row| row.values.get(measure)).map_or(&[], Vec::as_slice)
    }

    pub fn spread(&self, what: &str, driver: &str, measure: &str) -> Option<Spread> {
        Spread::of(self.values(what, driver, measure))
    }

    /// A measure of one driver by that of another, round by round.
    pub fn ratio(&self, what: &str, [driver, to]: [&str; 2], measure: &str) -> Option<Spread> {
        let pairs = self.values(what, driver, measure).iter().zip(self.values(what, to, measure));
        Spread::of(&pairs.map(|(value, to)| value / to).collect::<Vec<_>>())
    }

    pub fn read(name: &str) -> Option<Self> {
        let text = fs::read_to_string(file(name)).ok()?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file(name).display())))
    }

    /// Writes the figures where there are any; a section that measured nothing leaves the last ones.
    pub fn write(&self, name: &str) {
        if self.rows.is_empty() {
            return;
        }
        let text = serde_json::to_string_pretty(self).expect("JSON");
        fs::write(file(name), text + "\n").expect("a file");
    }
}

/// A part of all values, the nearest one above: 0.5 is the median.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part).ceil() as usize;
    values[at.clamp(1, values.len()) - 1]
}
