//! A folder with a policy, and the program that serves it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes a tenth of it.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

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

/// A folder with a policy and what it names.
pub(crate) struct Place(TempDir);

impl Place {
    /// With this policy, and the password `right` for dev-1 to dev-9.
    pub(crate) fn new(rules: &str) -> Self {
        let place = Place(TempDir::new().unwrap());
        fs::write(place.path("rules.yaml"), rules).unwrap();
        let hash = mosquitto_hash(b"right");
        let passwords: Vec<String> = (1..=9).map(|n| format!("dev-{n}:{hash}\n")).collect();
        fs::write(place.path("devices.passwd"), passwords.concat()).unwrap();
        place
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_exhook-policy"));
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_exhook-policy"));
        let output = command.args(["status", "--policy"]).arg(self.path("rules.yaml")).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// Waits until the metrics in `page.prom` have this line.
    pub(crate) async fn wait_for_metric(&self, line: &str) {
        let end = Instant::now() + LONGEST;
        loop {
            let page = fs::read_to_string(self.path("page.prom")).unwrap_or_default();
            if page.lines().any(|found| found == line) {
                return;
            }
            assert!(Instant::now() < end, "no line {line:?} in {page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.path("history.db")).unwrap()
    }

    /// Keeps all others from writing the history, as long as it lives.
    pub(crate) fn lock(&self) -> Connection {
        let database = self.database();
        database.busy_timeout(LONGEST).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        database
    }

    /// The rows of a query, the columns of each joined by a space.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        let database = self.database();
        let mut statement = database.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let mut text = Vec::new();
            for column in 0..columns {
                text.push(match row.get_ref(column)? {
                    ValueRef::Null => "-".to_owned(),
                    ValueRef::Integer(n) => n.to_string(),
                    value @ (ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_)) => {
                        format!("{:?}", String::from_utf8_lossy(value.as_bytes()?))
                    }
                });
            }
            Ok(text.join(" "))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Every file in it, with its bytes.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        let mut files = Vec::new();
        walk(self.0.path(), &mut files);
        files
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
        let end = Instant::now() + LONGEST;
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
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
        let end = Instant::now() + LONGEST;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.console());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A hash as `mosquitto_passwd` makes it, with few rounds.
pub(crate) fn mosquitto_hash(password: &[u8]) -> String {
    let salt = b"twelve bytes";
    let mut hash = [0; 64];
    pbkdf2::pbkdf2_hmac::<sha2::Sha512>(password, salt, 101, &mut hash);
    format!("$7$101${}${}", STANDARD.encode(salt), STANDARD.encode(hash))
}
