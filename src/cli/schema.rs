//! `exhook-policy schema`: the JSON Schema of policies, for editors.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::policy;

/// Print the JSON Schema of policies.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the schema to stdout. The code is 2 where that cannot be written to.
pub fn run(_: &Args) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(policy::schema().as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}
