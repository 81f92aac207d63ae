//! The program, for the benchmarks.

use std::process::ExitCode;

fn main() -> ExitCode {
    exhook_policy::run()
}
