//! An Erlang VM that calls drivers as it is told.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::place::{CONSOLE, Driver, console};
use crate::process::cpu_us;

const NO_ERLANG: &str = "cannot run Erlang (Debian: erlang-base)";

pub struct Vm {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

/// A driver that a VM has open.
pub struct Opened {
    pub name: &'static str,
    pub pid: u32,
}

/// What came of calls to one hook.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    pub calls: f64,
    pub per_second: f64,
    /// Microseconds, as are the next two.
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub allowed: f64,
    pub denied: f64,
    /// Calls that were not answered within the broker's 5 s.
    pub late: f64,
}

impl Vm {
    pub fn start() -> Self {
        let mut child = Command::new("erl")
            .args(["-noshell", "-pa"])
            .arg(compiled())
            .args(["-run", "bench", "main"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(console())
            .spawn()
            .unwrap_or_else(|error| panic!("{NO_ERLANG}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Vm { input: child.stdin.take(), output, child }
    }

    /// The release of Erlang that runs.
    pub fn release() -> String {
        Vm::start().command("otp").concat()
    }

    /// Starts a driver and waits for it to have loaded.
    pub fn open(&mut self, driver: &Driver) -> Opened {
        let args: Vec<String> = driver.args().iter().map(|arg| format!("{arg:?}")).collect();
        let program = driver.program.to_str().expect("UTF-8");
        let (name, args, path) = (driver.name, args.join(","), &driver.search_path);
        let lines =
            self.command(&format!("{{open, {name:?}, {{{program:?}, [{args}]}}, [{{\"PYTHONPATH\", {path:?}}}]}}"));
        let pid = lines[0].strip_prefix("pid=").and_then(|pid| pid.parse().ok()).expect("a process");
        Opened { name: driver.name, pid }
    }

    /// Ends a driver's input and waits for its end.
    pub fn close(&mut self, driver: &Opened) {
        self.command(&format!("{{close, {:?}}}", driver.name));
    }

    /// Callers that call again when they are answered; gives the driver's processor time a call, too. `what`
    /// is a hook, or `pairs` of connected and disconnected.
    pub fn closed(&mut self, driver: &Opened, what: &str, callers: usize, millis: u128) -> (Sample, f64) {
        let before = cpu_us(driver.pid);
        let samples = self.samples(&format!("{{closed, {:?}, {what}, {callers}, {millis}}}", driver.name));
        (samples[0], (cpu_us(driver.pid) - before) / samples[0].calls)
    }

    /// Calls at a pace, whether or not the earlier ones were answered: hooks, each with its calls a second.
    pub fn paced(&mut self, driver: &Opened, paces: &[(&str, usize)], from: usize, millis: u128) -> Vec<Sample> {
        let paces: Vec<String> = paces.iter().map(|(hook, rate)| format!("{{{hook}, {rate}}}")).collect();
        self.samples(&format!("{{paced, {:?}, [{}], {from}, {millis}}}", driver.name, paces.join(",")))
    }

    /// So many logins at once.
    pub fn storm(&mut self, driver: &Opened, from: usize, count: usize) -> Sample {
        self.samples(&format!("{{storm, {:?}, {from}, {count}}}", driver.name))[0]
    }

    fn samples(&mut self, command: &str) -> Vec<Sample> {
        self.command(command).iter().map(|line| Sample::read(line)).collect()
    }

    fn command(&mut self, command: &str) -> Vec<String> {
        let input = self.input.as_mut().expect("open until it is dropped");
        writeln!(input, "{command}.").and_then(|()| input.flush()).expect("the VM takes commands");
        let mut lines = Vec::new();
        loop {
            let line = self.output.next().unwrap_or_else(|| panic!("the VM is gone, see {CONSOLE}")).expect("text");
            if line == "done" {
                return lines;
            }
            lines.push(line);
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It closes its drivers at the end of its input.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

impl Sample {
    fn read(line: &str) -> Self {
        let value = |name: &str| {
            let pair = line.split(' ').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
            pair.and_then(|(_, value)| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name}: {line}"))
        };
        Sample {
            calls: value("calls"),
            per_second: value("calls") * 1e6 / value("elapsed"),
            p50: value("p50"),
            p99: value("p99"),
            max: value("max"),
            allowed: value("allowed"),
            denied: value("denied"),
            late: value("late"),
        }
    }
}

/// The folder of the compiled modules.
fn compiled() -> &'static Path {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("erlang");
        let status = Command::new("erlc")
            .args(["-Werror", "-o"])
            .arg(dir.path())
            .args(["bench.erl", "fleet.erl", "load.erl", "owner.erl"].map(|file| sources.join(file)))
            .status()
            .unwrap_or_else(|error| panic!("{NO_ERLANG}: {error}"));
        assert!(status.success(), "erlc: {status}");
        dir
    })
    .path()
}
