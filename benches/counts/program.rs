//! The driver of the port alone, as the program starts it.

use std::process::ExitCode;

#[expect(unreachable_pub, reason = "the program has it in a library")]
#[path = "../../src/launch.rs"]
mod launch;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    match launch::called_as(&args.next().unwrap_or_default()) {
        Some(called) => launch::run(&called, &args.collect::<Vec<_>>()),
        None => ExitCode::from(2),
    }
}
