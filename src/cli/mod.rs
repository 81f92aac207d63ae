//! The commands. Each is an `Args` struct and one function that gives an exit code: 0 fine; 1 it looked
//! and found something; 2 it could not look.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod ask;
pub mod check;
pub mod completions;
pub mod convert;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod fmt;
pub mod history;
pub mod install;
mod out;
pub mod passwd;
pub mod replay;
pub mod schema;
#[cfg(feature = "grpc")]
pub mod serve;
pub mod status;
pub mod test;
pub mod world;

/// Login and topic rules for the EMQX broker in one YAML file.
#[derive(Debug, Parser)]
#[command(name = "exhook-policy", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find what is wrong with policies
    Check(check::CheckArgs),
    /// Run the tests of policies
    Test(test::TestArgs),
    /// Say what a policy decides, and why
    Explain(ask::explain::ExplainArgs),
    /// Say who can do something, from the rules
    WhoCan(ask::who_can::WhoCanArgs),
    /// Say what a client can do, from the rules
    WhatCan(ask::what_can::WhatCanArgs),
    /// Put recorded events to a policy, and compare
    Replay(replay::ReplayArgs),
    /// Find what a change of a policy opens and closes
    Diff(diff::DiffArgs),
    /// Show who is online, who was, and who was refused
    History(history::Args),
    /// Add, change or remove an entry of a password file
    Passwd(passwd::PasswdArgs),
    /// Make the folder that the broker starts the driver from, and print the broker's settings
    Install(install::InstallArgs),
    /// Serve a policy to EMQX 4.3 and later, over gRPC
    #[cfg(feature = "grpc")]
    Serve(serve::ServeArgs),
    /// Show how the running drivers and servers are: which policy is in force, and why not the file
    Status(status::StatusArgs),
    /// Look for what fails open in a broker's settings and files
    Doctor(doctor::DoctorArgs),
    /// Play recorded traffic of a real broker through a driver, and show what becomes of it
    Demo(demo::DemoArgs),
    /// Convert the rules of another broker into a policy
    Convert(convert::ConvertArgs),
    /// Lay policies and their tests out uniformly, comments kept
    Fmt(fmt::FmtArgs),
    /// Print the JSON Schema of policies, for editors
    Schema(schema::SchemaArgs),
    /// Print a shell's completions
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(completions::ManArgs),
}

/// Reads the command line and runs the command.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => ask::explain::run(&args),
        Command::WhoCan(args) => ask::who_can::run(&args),
        Command::WhatCan(args) => ask::what_can::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::History(args) => history::run(&args),
        Command::Passwd(args) => passwd::run(&args),
        Command::Install(args) => install::run(&args),
        #[cfg(feature = "grpc")]
        Command::Serve(args) => serve::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::run_man(&args),
    }
}
