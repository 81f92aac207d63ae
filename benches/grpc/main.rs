//! The gRPC server beside one that answers a constant: calls a second, and CPU a call.
//!
//! ```sh
//! cargo bench -p exhook-policy-benches --bench grpc                      # writes benches/figures/grpc.json
//! cargo bench -p exhook-policy-benches --bench grpc -- --rounds 3        # each measured so often
//! cargo bench -p exhook-policy-benches --bench driver -- report          # the page's tables from it
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unreachable,
    unreachable_pub,
    reason = "a benchmark ends by a panic, and prints"
)]

mod client;
mod constant;
#[expect(dead_code, reason = "other benchmarks write frames")]
#[path = "../common/frames.rs"]
mod frames;
#[path = "../common/policies.rs"]
mod policies;
#[expect(dead_code, reason = "the driver's benchmark asks for more")]
#[path = "../driver/process.rs"]
mod process;
#[expect(dead_code, reason = "the page reads what this writes")]
#[path = "../common/rows.rs"]
mod rows;
#[expect(dead_code, reason = "other benchmarks ask without a server")]
#[path = "../common/subjects.rs"]
mod subjects;

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::client::{Load, Request};
use crate::rows::{Part, Report, Row, Spread};
use crate::subjects::Question::{Authenticate, Publish, Wildcard};
use crate::subjects::Subject;

/// How many calls are under way at any time, over all connections.
const CALLERS: usize = 64;
const CONNECTIONS: [usize; 3] = [1, 8, 64];
const LENGTH: Duration = Duration::from_secs(1);
/// What is asked before anything is measured.
const WARM: Duration = Duration::from_millis(300);

/// What servers say meanwhile.
const CONSOLE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/grpc-bench.log");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, address] = arguments.as_slice()
        && word == "--constant"
    {
        return constant::run(address.parse().expect("an address"));
    }
    let mut rounds = 9;
    if let Some(at) = arguments.iter().position(|argument| argument == "--rounds") {
        rounds = arguments.get(at + 1).and_then(|rounds| rounds.parse().ok()).expect("a number of rounds");
    }
    let mut report = Report::new(rounds);
    measure(&mut report);
    report.write("grpc");
    ExitCode::SUCCESS
}

/// What one server did in each round.
#[derive(Default)]
struct Measured {
    calls: Vec<f64>,
    cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

fn measure(report: &mut Report) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let subject = Subject::Fleet;
    subject.write(folder.path());
    let ours = Server::ours(&folder.path().join("rules.yaml"));
    let constant = Server::constant();
    for question in [Authenticate, Publish, Wildcard] {
        let asked = subject.questions(question);
        let requests: Vec<Request> = asked.iter().map(Request::of).collect();
        let allowed = subjects::allowed(folder.path(), &asked);
        for connections in CONNECTIONS {
            let case = format!("{question}, {connections} connections");
            let mut measured = [Measured::default(), Measured::default()];
            let mut loads = [&ours, &constant].map(|server| Load::start(server.address, connections, CALLERS));
            for load in &mut loads {
                load.run(&requests, WARM);
            }
            for round in 0..report.rounds {
                // Who begins changes from round to round.
                for which in [round % 2, 1 - round % 2] {
                    let server = [&ours, &constant][which];
                    let before = process::cpu_us(server.child.id());
                    let mut ran = loads[which].run(&requests, LENGTH);
                    let cpu = process::cpu_us(server.child.id()) - before;
                    let expected = if which == 0 { allowed as f64 / asked.len() as f64 } else { 1.0 };
                    let share = ran.allowed as f64 / ran.calls as f64;
                    assert!((share - expected).abs() < 0.02, "{case}: {share} is allowed, not {expected}");
                    let measured = &mut measured[which];
                    measured.calls.push(ran.calls as f64 / ran.seconds);
                    measured.cpu.push(cpu / ran.calls as f64);
                    measured.p50.push(ran.latency(0.5));
                    measured.p99.push(ran.latency(0.99));
                }
            }
            let [ours, constant] = &measured;
            for (what, unit, ours, constant) in [
                ("calls", "/s", &ours.calls, &constant.calls),
                ("CPU a call", "us", &ours.cpu, &constant.cpu),
                ("median", "us", &ours.p50, &constant.p50),
                ("p99", "us", &ours.p99, &constant.p99),
            ] {
                let ratios: Vec<f64> = ours.iter().zip(constant).map(|(ours, constant)| ours / constant).collect();
                let row = Row::new(Part::Grpc, &case, what, unit, Spread::of_rounds(ours));
                let (constant, ratio) = (Some(Spread::of_rounds(constant)), Some(Spread::of_rounds(&ratios)));
                report.push(Row { constant, ratio, ..row });
            }
        }
    }
}

/// A server process; it ends with the benchmark.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn ours(policy: &Path) -> Self {
        Server::start(|address| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_exhook-policy-measured"));
            command.args(["serve", "--policy"]).arg(policy).args(["--listen", &address.to_string()]);
            command
        })
    }

    fn constant() -> Self {
        Server::start(|address| {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.args(["--constant", &address.to_string()]);
            command
        })
    }

    fn start(command: impl FnOnce(SocketAddr) -> Command) -> Self {
        // A port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let child = command(address).stdin(Stdio::null()).stderr(console()).spawn().expect("a server");
        let server = Server { child, address };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "the server does not listen: see {CONSOLE}");
            sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended: io::Result<_> = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("a server cannot be ended: {error}");
        }
    }
}

fn console() -> File {
    OpenOptions::new().create(true).append(true).open(CONSOLE).expect("a log")
}
