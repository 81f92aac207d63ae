//! What was measured, as files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::vm::Vm;

/// What one section measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    pub machine: Machine,
    pub rounds: usize,
    pub seconds: f64,
    pub rows: Vec<Row>,
}

/// Where it was measured.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub rustc: String,
    pub erlang: String,
    pub date: String,
    /// How many processes wanted a core in the minute before.
    pub load: f64,
}

/// What one driver did at one thing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub driver: String,
    /// By its name, a measure's value in each round.
    pub values: BTreeMap<String, Vec<f64>>,
}

/// The middle of several values, the least and the largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Figures {
    pub fn new(settings: &Settings, length: Duration) -> Self {
        Figures { machine: Machine::here(), rounds: settings.rounds, seconds: length.as_secs_f64(), rows: Vec::new() }
    }

    /// Adds the values of one round.
    pub fn push(&mut self, what: &str, driver: &str, values: &[(&str, f64)]) {
        let at = self.rows.iter().position(|row| row.what == what && row.driver == driver);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row { what: what.to_owned(), driver: driver.to_owned(), values: BTreeMap::new() });
            self.rows.len() - 1
        });
        for (name, value) in values {
            // A thousandth of a microsecond is as fine as anything is measured.
            let value = (value * 1000.0).round() / 1000.0;
            self.rows[at].values.entry((*name).to_owned()).or_default().push(value);
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

impl Spread {
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median =
            if values.len().is_multiple_of(2) { f64::midpoint(values[half - 1], values[half]) } else { values[half] };
        Some(Spread { median, min, max })
    }
}

impl Machine {
    fn here() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let rustc = Command::new("rustc").arg("-V").output();
        Machine {
            cpu: model.map_or("unknown", |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: first_line(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
            rustc: rustc.map(|output| first_line(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default(),
            erlang: Vm::release(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures").join(name).with_extension("json")
}

/// A part of all values, the nearest one above: 0.5 is the median.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part).ceil() as usize;
    values[at.clamp(1, values.len()) - 1]
}
