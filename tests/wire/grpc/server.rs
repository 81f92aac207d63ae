//! A folder with a policy, and the program that serves it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::files::files_below;
use crate::support::history::Kept;
use crate::support::passwords::password_file;
use crate::support::program;
use crate::support::wait::PATIENCE;
use crate::support::wait::until_async;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The policy that most tests are about. It takes every hook.
pub(crate) const RULES: &str = r#"version: 1
lists:
  retired: [dev-9]
clients:
  devices: { clientid: { glob: "dev-*" } }
passwords:
  devices: { file: devices.passwd }
auth:
  rules:
    - { id: retired, deny: { clientid: { in: retired } } }
    - { id: fleet, allow: devices, password: devices }
    - { id: readers, allow: { clientid: { glob: "read-*" } } }
    - { id: guests, ignore: { clientid: { glob: "guest-*" } } }
acl:
  rules:
    - { id: no-secrets, deny: everyone, topics: ["ops/#"] }
    - { id: own-topics, allow: devices, publish: ["up/${clientid}/#"], subscribe: ["down/${clientid}/#"] }
    - { id: guests, ignore: { clientid: { glob: "guest-*" } }, topics: ["+"] }
history:
  database: history.db
  record: [connections, denials, attempts, subscriptions, messages]
log: [events]
"#;

/// The same, but that it says little.
pub(crate) fn rules_in_silence() -> String {
    RULES.replace("log: [events]\n", "log: []\n")
}

/// A folder with a policy and what it names.
pub(crate) struct Place(TempDir);

impl Place {
    /// With this policy, and the password `right` for dev-1 to dev-9.
    pub(crate) fn new(rules: &str) -> Self {
        let users: Vec<String> = (1..=9).map(|n| format!("dev-{n}")).collect();
        let passwords = password_file(users.iter().map(String::as_str), b"right");
        Place(program::folder(rules, &[("devices.passwd", &passwords)]))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A number that no file of it has yet, for the name of the next one.
    pub(crate) fn next_number(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }

    /// The command that serves the policy.
    pub(crate) fn command(&self) -> Command {
        let mut command = program::program();
        command.args(["serve", "--policy"]).arg(self.path("rules.yaml"));
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Serves it at a port that the system chooses.
    #[track_caller]
    pub(crate) fn serve(&self) -> Server {
        let mut command = self.command();
        command.args(["--listen", "127.0.0.1:0"]);
        self.start(command)
    }

    /// Starts a command that serves, and waits for its address.
    #[track_caller]
    pub(crate) fn start(&self, mut command: Command) -> Server {
        let console = self.path(&format!("{}.console", self.next_number()));
        let child = command.stdout(Stdio::null()).stderr(fs::File::create(&console).unwrap()).spawn();
        let mut server = Server { child: child.unwrap(), address: ([0; 4], 0).into(), console };
        let line = server.wait_for_line("listening on ");
        server.address = line.split_whitespace().next().unwrap().parse().unwrap();
        // The policy loads after that, and is in force or not.
        server.wait_for_line("exhook-policy: the policy ");
        server
    }

    /// The exit code of `status`, and what it prints.
    pub(crate) fn status(&self) -> (i32, String) {
        let mut command = program::program();
        let output = command.args(["status", "--policy"]).arg(self.path("rules.yaml")).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// Waits until the metrics in `page.prom` have this line.
    pub(crate) async fn wait_for_metric(&self, line: &str) {
        let page = || fs::read_to_string(self.path("page.prom")).unwrap_or_default();
        let is_there = async || page().lines().any(|found| found == line);
        until_async(is_there, || format!("no line {line:?} in {}", page())).await;
    }

    /// Keeps all others from writing the history, as long as it lives.
    pub(crate) fn lock(&self) -> Connection {
        let database = self.database();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        database
    }

    /// Every file in it, with its bytes.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files_below(self.0.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

impl Kept for Place {
    const QUOTED: bool = true;

    fn database_file(&self) -> PathBuf {
        self.path("history.db")
    }
}

impl Drop for Place {
    /// Where `EXHOOK_POLICY_EVIDENCE` is set, what a failed test leaves behind is kept.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("EXHOOK_POLICY_EVIDENCE").is_some() {
            self.0.disable_cleanup(true);
        }
    }
}

/// A running `serve`. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    console: PathBuf,
}

impl Server {
    pub(crate) fn console(&self) -> String {
        fs::read_to_string(&self.console).unwrap()
    }

    /// Waits for a line with this text in it, and gives what stands behind.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().unwrap();
            let console = self.console();
            let mut found = console.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some((_, rest)) = found.find_map(|line| line.split_once(text)) {
                return rest.trim_end().to_owned();
            }
            assert!(ended.is_none() && Instant::now() < end, "no line with {text:?}: {console}");
            sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its memory, in MiB.
    pub(crate) fn resident(&self) -> u64 {
        program::memory_kib(self.id(), "VmRSS:") >> 10
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Tells it to end and waits until it did, in order; gives what it said.
    pub(crate) async fn end(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait().await;
        let console = self.console();
        assert_eq!(status.code(), Some(0), "{console}");
        console
    }

    /// Waits for its end. Meanwhile the clients let go of their connections.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let console = self.console.clone();
        let has_ended = async || self.child.try_wait().unwrap().is_some();
        until_async(has_ended, || format!("it does not end: {}", fs::read_to_string(&console).unwrap())).await;
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
