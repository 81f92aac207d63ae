//! The program `exhook-policy`, which is the broker's port driver where it is called `python3` or `java`.

use std::process::ExitCode;

use exhook_policy::{cli, launch, put};

fn main() -> ExitCode {
    put::keep_others_from_writing();
    let mut args = std::env::args_os();
    match launch::called_as(&args.next().unwrap_or_default()) {
        Some(called) => launch::run(&called, &args.collect::<Vec<_>>()),
        None => cli::run(),
    }
}
