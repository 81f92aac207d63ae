//! `exhook-policy history lift`

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgGroup;

use super::database;
use exhook_policy_runtime::history::{self, Whom};
use exhook_policy_runtime::limits::Peer;

/// Lets in again whom `lockout` or `flapping` keeps out
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("whom").required(true).multiple(true).args(["clientid", "username", "peerhost", "all"]))]
pub struct Lift {
    /// The database
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub database: Option<PathBuf>,
    /// The policy that names the database [default: rules.yaml]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Bans on this client
    #[arg(long)]
    pub clientid: Option<String>,
    /// Bans on a client of this cluster
    #[arg(long, requires = "clientid")]
    pub cluster: Option<String>,
    /// Bans on this user name
    #[arg(long)]
    pub username: Option<String>,
    /// Bans on this address, or on its network
    #[arg(long, value_name = "ADDRESS", value_parser = parse_peer)]
    pub peerhost: Option<Peer>,
    /// All bans
    #[arg(long, conflicts_with_all = ["clientid", "username", "peerhost"])]
    pub all: bool,
}

pub(super) fn parse_peer(text: &str) -> Result<Peer, String> {
    Peer::parse(text).ok_or_else(|| format!("{text:?} is no address, and no network as `history bans` shows it"))
}

/// 0 where a ban was lifted, 1 where there was none, 2 where that cannot be done.
pub(super) fn run(args: &Lift) -> ExitCode {
    match lift(args) {
        Ok(0) => {
            let _ = writeln!(io::stdout(), "no ban is lifted: there is none that holds");
            ExitCode::from(1)
        }
        Ok(count) => {
            let bans = if count == 1 { "1 ban is".to_owned() } else { format!("{count} bans are") };
            let _ = writeln!(io::stdout(), "{bans} lifted");
            ExitCode::SUCCESS
        }
        Err(text) => {
            let _ = writeln!(io::stderr(), "exhook-policy: {text}");
            ExitCode::from(2)
        }
    }
}

pub(super) fn lift(args: &Lift) -> Result<usize, String> {
    let path = database(args.database.as_deref(), args.policy.as_deref())?;
    let whom = Whom {
        clientid: args.clientid.as_deref(),
        cluster: args.cluster.as_deref(),
        username: args.username.as_deref(),
        peerhost: args.peerhost,
    };
    history::lift(&path, whom).map_err(|text| format!("cannot write {}: {text}", path.display()))
}
