//! The whole driver behind a real Erlang VM, beside a driver that answers a constant. See `benches/README.md`.
//!
//! ```sh
//! cargo bench -p exhook-policy-benches --bench driver                               # everything
//! cargo bench -p exhook-policy-benches --bench driver -- calls start --rounds 3 --seconds 1
//! cargo bench -p exhook-policy-benches --bench driver -- report                     # the page's tables and the plots again
//! ```

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    unreachable_pub,
    reason = "a benchmark ends by a panic, talks to the terminal and counts nothing that a float cannot hold"
)]

mod calls;
#[path = "../common/constant.rs"]
mod constant;
mod figures;
#[path = "../common/frames.rs"]
mod frames;
mod history;
mod lines;
mod lock;
mod paced;
mod page;
mod pipe;
mod place;
mod plot;
mod process;
mod python;
#[expect(dead_code, reason = "other benchmarks write rows")]
#[path = "../common/rows.rs"]
mod rows;
mod start;
mod storm;
mod tables;
mod vm;
mod without_erlang;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use figures::Figures;

/// How often and how long each thing is measured.
pub struct Settings {
    /// How often each driver has its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub length: Duration,
}

type Measure = fn(&Settings) -> Figures;

/// What there is to measure, by the name to call it; the result goes to the file of the name.
const SECTIONS: [(&str, Measure); 7] = [
    ("calls", calls::measure),
    ("paced", paced::measure),
    ("history", history::measure),
    ("lock", lock::measure),
    ("start", start::measure),
    ("storm", storm::measure),
    ("python", python::measure),
];

const USAGE: &str = "\
usage: cargo bench -p exhook-policy-benches --bench driver -- [report] [calls paced history lock start storm python] [--rounds N] [--seconds S]";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    // A driver is known by the name that the broker calls it by.
    let name = args.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some(OsStr::new("python3")) {
        return constant::run();
    }
    let args: Vec<String> = args.map(|arg| arg.into_string().expect("UTF-8")).collect();
    let (asked, settings) = match read(&args) {
        Ok(read) => read,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    for (name, measure) in SECTIONS.iter().filter(|(name, _)| asked.contains(name)) {
        println!("{name}: {} rounds", settings.rounds);
        measure(&settings).write(name);
    }
    page::write();
    ExitCode::SUCCESS
}

fn read(args: &[String]) -> Result<(Vec<&'static str>, Settings), String> {
    let mut settings = Settings { rounds: 9, length: Duration::from_secs(1) };
    let mut asked = Vec::new();
    let mut report = false;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().and_then(|value| value.parse().ok()).filter(|value: &f64| *value > 0.0);
        match arg.as_str() {
            // What cargo says itself.
            "--bench" => {}
            "--rounds" => settings.rounds = value().ok_or("--rounds takes a number")?.ceil() as usize,
            "--seconds" => settings.length = Duration::from_secs_f64(value().ok_or("--seconds takes a number")?),
            "report" => report = true,
            name => asked.push(
                SECTIONS
                    .map(|(known, _)| known)
                    .into_iter()
                    .find(|known| *known == name)
                    .ok_or_else(|| format!("no section {name}"))?,
            ),
        }
    }
    if asked.is_empty() && !report {
        asked = SECTIONS.map(|(name, _)| name).to_vec();
    }
    Ok((asked, settings))
}
