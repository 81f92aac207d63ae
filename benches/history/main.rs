//! What an event of a connection costs, from its call to the answer behind the commit.
//!
//! `cargo bench -p exhook-policy-benches --bench history` prints all of it, and writes it to `benches/figures/indexes.json`; a word behind `--`
//! chooses a part, which is printed alone:
//!
//! - `events`: microseconds of CPU and instructions an event, in the driver's own code;
//! - `indexes`: microseconds an event by the indexes of the file, its page size and the like, in plain SQL;
//! - `latency`: how long a single event waits for its commit;
//! - `loop WORKLOAD EVENTS`: one run of the first, to be looked at with a profiler.

#![expect(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark reports to a terminal, or fails, and counts nothing that a float cannot hold"
)]

mod driver;
mod indexes;
#[expect(dead_code, reason = "the page reads what this writes")]
#[path = "../common/rows.rs"]
mod rows;
mod workload;

use std::env;
use std::fs;
use std::time::Duration;

use rows::Report;
use workload::Workload;

/// How often each thing is measured.
const ROUNDS: usize = 3;

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut rows = Report::new(ROUNDS);
    match words.as_slice() {
        [] => {
            driver::events(&mut rows);
            driver::latency(&mut rows);
            indexes::table(&mut rows);
            rows.write("indexes");
        }
        ["events"] => driver::events(&mut rows),
        ["latency"] => driver::latency(&mut rows),
        ["indexes"] => indexes::table(&mut rows),
        ["loop", name, events] => {
            let workload = *Workload::ALL.iter().find(|workload| workload.name == *name).unwrap();
            println!("{}", driver::run(workload, events.parse().unwrap()));
        }
        other => panic!("what is {other:?}?"),
    }
}

/// The CPU time of this process's threads whose names fit.
pub(crate) fn cpu(fits: impl Fn(&str) -> bool) -> Duration {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if fits(fs::read_to_string(task.join("comm")).unwrap().trim_end()) {
            let text = fs::read_to_string(task.join("schedstat")).unwrap();
            nanoseconds += text.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(nanoseconds)
}
