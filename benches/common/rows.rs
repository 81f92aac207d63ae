//! Figures as rows, each of what one case took: how the benchmarks without Erlang write them, and the page reads them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What one benchmark measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    /// How often most of it was measured.
    pub rounds: usize,
    pub rows: Vec<Row>,
}

/// Where it was measured.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub rustc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erlang: Option<String>,
    pub date: String,
    /// How many processes wanted a core in the minute before.
    pub load: f64,
}

/// What one case took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub part: Part,
    pub case: String,
    /// Which one of the sizes that the case is measured at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    pub what: String,
    pub unit: String,
    pub ours: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<Spread>,
    /// Ours by the constant's, round by round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Spread>,
    /// What is asked for at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<f64>,
}

/// The table of the page that a row stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Frames,
    Growth,
    Worst,
    Events,
    Latency,
    Indexes,
    Grpc,
}

/// The middle of several values, the least and the largest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Report {
    pub fn new(rounds: usize) -> Self {
        Report { machine: Machine::here(None), rounds, rows: Vec::new() }
    }

    pub fn push(&mut self, row: Row) {
        println!("  {row}");
        self.rows.push(row);
    }

    pub fn read(name: &str) -> Option<Self> {
        let text = fs::read_to_string(file(name)).ok()?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file(name).display())))
    }

    pub fn write(&self, name: &str) {
        let text = serde_json::to_string_pretty(self).expect("JSON");
        fs::write(file(name), text + "\n").expect("a file of figures");
        println!("\nwritten: {}", file(name).display());
    }
}

impl Row {
    /// A row of a case that has one size and nothing to stand beside.
    pub fn new(part: Part, case: &str, what: &str, unit: &str, ours: Spread) -> Self {
        let [case, what, unit] = [case, what, unit].map(str::to_owned);
        Row { part, case, size: None, what, unit, ours, constant: None, ratio: None, goal: None }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = self.size.map_or_else(|| self.case.clone(), |size| format!("{}: {size}", self.case));
        write!(f, "{case:<58} {:<22} {:<30} {:<3}", self.what, self.ours.to_string(), self.unit)?;
        if let Some(constant) = self.constant {
            write!(f, " constant {constant}")?;
        }
        if let Some(ratio) = self.ratio {
            write!(f, " ratio {ratio}")?;
        }
        if let Some(goal) = self.goal {
            write!(f, " goal {goal:.3}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3} to {:.3})", self.median, self.min, self.max)
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

    /// Of the values of some rounds, to a thousandth: nothing is measured finer.
    pub fn of_rounds(values: &[f64]) -> Self {
        let Spread { median, min, max } = Spread::of(values).expect("a round");
        Spread { median: thousandth(median), min: thousandth(min), max: thousandth(max) }
    }
}

/// The nearest thousandth.
pub fn thousandth(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Machine {
    pub fn here(erlang: Option<String>) -> Self {
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
            erlang,
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// The file of a benchmark's figures.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("figures").join(name).with_extension("json")
}
