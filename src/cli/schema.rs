//! `exhook-policy schema`: the JSON Schema of policies and of their tests, for editors.

use std::io::Write;
use std::process::ExitCode;

use super::out::stdout;
use exhook_policy_core::{policy, suite};

/// Print the JSON Schema of policies, or of their tests.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// Print that of test files
    #[arg(long)]
    tests: bool,
}

/// Prints the schema to stdout. The code is 2 where that cannot be written to.
pub fn run(args: &SchemaArgs) -> ExitCode {
    let schema = if args.tests { suite::schema() } else { policy::schema() };
    let mut out = stdout();
    match out.write_all(schema.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}
