//! The program `exhook-policy`: login and topic rules for the EMQX broker in one YAML file, with connection history in
//! SQLite. It runs as a port program of the broker, or as a gRPC server that brokers call.
//!
//! What decides is `exhook_policy_core`, what can be said of a policy is `exhook_policy_tools`, and what runs it beside
//! a broker is `exhook_policy_runtime`. Here are the commands, thin leaves over all of these:
//!
//! - [`launch`]: by which name the program was called: the broker's `python3` or `java`, or a person's
//!   `exhook-policy`.
//! - [`replay`]: recorded events, JSON lines or frames, put to a policy again.
//! - [`mqtt`]: a small MQTT client.
//! - [`broker_tests`]: the tests of a policy, tried on a live broker with that client.
//! - [`doctor`]: reads a broker's settings for what fails open.
//! - [`cli`]: the commands.

pub mod broker_tests;
pub mod cli;
pub mod doctor;
pub mod launch;
pub mod mqtt;
pub mod replay;

use std::process::ExitCode;

/// Does what the program does by the name and the arguments with which the process was called. The exit code is that of
/// the command, or 2 where the call is not understood.
pub fn run() -> ExitCode {
    exhook_policy_runtime::process::keep_others_from_writing();
    let mut args = std::env::args_os();
    match launch::called_as(&args.next().unwrap_or_default()) {
        Some(called) => launch::run(&called, &args.collect::<Vec<_>>()),
        None => cli::run(),
    }
}
