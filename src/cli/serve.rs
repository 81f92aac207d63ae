//! `serve`: the policy for EMQX 4.3 and later, which call a gRPC service.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use exhook_policy_runtime::engine::{Engine, Setup};
use exhook_policy_runtime::grpc::{Renewed, Tls, server};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::Recorder;
use exhook_policy_runtime::state::Folder;

/// How long the console may take for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The policy
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Where brokers connect to; may be given more than once. Not needed where systemd hands over sockets
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    listen: Vec<String>,
    /// Where it keeps its status and the last good policy (default: the folder `state` beside the policy, or systemd's)
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The server's certificate, and those between it and the root: PEM. Connections are then by TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate: PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Refuse clients without a certificate by one of these authorities: PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
}

/// Runs `serve`: 0 told to end; 2 it cannot be served. A policy that does not load is served too: everything is denied until it does.
pub fn run(args: &ServeArgs) -> ExitCode {
    let log = Log::stderr();
    let panics = log.clone();
    // The usual hook writes to stderr itself, and waits for its reader.
    std::panic::set_hook(Box::new(move |info| panics.line(format_args!("a fault in this program: {info}"))));
    let served = serve(args, &log);
    log.flush(LAST_LINES);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // A closed stderr leaves the exit code to tell.
            let _ = writeln!(io::stderr(), "error: {problem}");
            ExitCode::from(2)
        }
    }
}

fn serve(args: &ServeArgs, log: &Log) -> Result<(), String> {
    let tls = args.tls_cert.clone().zip(args.tls_key.clone()).map(|(certificate, key)| Tls {
        certificate,
        key,
        client_ca: args.client_ca.clone(),
    });
    let sockets = sockets(&args.listen)?;
    // Before anyone is told that it listens.
    let renewed = tls.as_ref().map(Renewed::new).transpose()?;
    for socket in &sockets {
        let address = socket.local_addr().map_err(|error| format!("a socket cannot be used: {error}"))?;
        log.line(format_args!("listening on {address}{}", Guarded { tls: tls.as_ref(), address }));
    }
    let load = |sink| {
        let state = Folder::of(&args.policy, args.state.as_deref());
        let (file, recorder) = (args.policy.clone(), Recorder::server());
        Engine::load_or_deny(Setup { file, state, recorder, sink, log: log.clone() })
    };
    server::run(sockets, renewed, load, log)
}

/// The sockets that systemd handed over, or else those of the addresses.
fn sockets(addresses: &[String]) -> Result<Vec<TcpListener>, String> {
    let mut handed_over = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed_over.len() {
        let socket = handed_over.take_tcp_listener(index).map_err(|error| format!("a socket of systemd: {error}"))?;
        sockets.extend(socket);
    }
    if !sockets.is_empty() {
        return Ok(sockets);
    }
    for address in addresses {
        let problem = |error: io::Error| format!("cannot listen on {address}: {error}");
        let resolved: Vec<SocketAddr> = address.to_socket_addrs().map_err(problem)?.collect();
        let (bound, refused): (Vec<_>, Vec<_>) = resolved.iter().map(TcpListener::bind).partition(Result::is_ok);
        // Of a name with several addresses, one is enough.
        if let (true, Some(Err(error))) = (bound.is_empty(), refused.into_iter().next()) {
            return Err(problem(error));
        }
        sockets.extend(bound.into_iter().flatten());
    }
    Ok(sockets)
}

/// What keeps strangers from a socket, where that is worth a word.
struct Guarded<'a> {
    tls: Option<&'a Tls>,
    address: SocketAddr,
}

impl fmt::Display for Guarded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apart = !self.address.ip().to_canonical().is_loopback();
        match self.tls {
            None if apart => f.write_str(
                " without TLS: whoever is on the way can read passwords, and whoever reaches it can ask and write history",
            ),
            None => Ok(()),
            Some(Tls { client_ca: None, .. }) if apart => {
                f.write_str(" by TLS, from anyone: --client-ca makes it ask for a certificate")
            }
            Some(Tls { client_ca: None, .. }) => f.write_str(" by TLS"),
            Some(Tls { client_ca: Some(_), .. }) => f.write_str(" by TLS, from clients with a certificate"),
        }
    }
}
