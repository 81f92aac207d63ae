//! A folder with launchers and a policy, and Erlang VMs that play scenarios to the driver in it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::history::Kept;
use crate::support::passwords::password_file;
use crate::support::program::PROGRAM;
use crate::support::wait::until_or;
use tempfile::TempDir;

/// No scenario takes a fifth of it.
const LONGEST: Duration = Duration::from_secs(180);

/// The policy that most scenarios are played against. A busy machine gives up no check of a
/// password.
pub(crate) const RULES: &str = r#"version: 1
deadline: 30s
lists:
  retired: [dev-9]
  offices: [10.0.0.0/8]
clients:
  devices: { clientid: { glob: "dev-*" }, username: "${clientid}" }
passwords:
  devices: { file: devices.passwd }
auth:
  rules:
    - { id: retired, deny: { clientid: { in: retired } } }
    - { id: fleet, allow: devices, password: devices }
    - { id: gateway, allow: { clientid: gw-1, peerhost: { in: offices } } }
acl:
  rules:
    - id: no-secrets
      deny: everyone
      topics: ["ops/secret/#"]
    - id: own-topics
      allow: devices
      publish: ["dev/${clientid}/up/#"]
      subscribe: ["dev/${clientid}/down/#"]
    - id: gateway-reads
      allow: { clientid: gw-1 }
      subscribe: ["dev/+/up/#"]
history:
  database: data/history.db
"#;

/// The launchers, the policy's folder and all that is written while scenarios are played.
pub(crate) struct Place {
    dir: TempDir,
}

/// What a VM left behind.
pub(crate) struct Played {
    /// The lines of the scenario's report, which may hold any bytes.
    pub(crate) report: Vec<Vec<u8>>,
    /// What the driver wrote to stderr, and Erlang to both.
    pub(crate) console: Vec<u8>,
}

impl Place {
    /// A place with this policy and the passwords of the devices 0 to `devices`: `right` for each.
    pub(crate) fn new(rules: &str, devices: usize) -> Self {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        for folder in ["bin", "policy", "logs"] {
            fs::create_dir(place.path(folder)).unwrap();
        }
        for slot in ["python3", "java"] {
            std::os::unix::fs::symlink(PROGRAM, place.path("bin").join(slot)).unwrap();
        }
        fs::write(place.path("policy/rules.yaml"), rules).unwrap();
        let users: Vec<String> = (0..=devices).map(|n| format!("dev-{n}")).collect();
        let passwords = password_file(users.iter().map(String::as_str), b"right");
        fs::write(place.path("policy/devices.passwd"), passwords).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Plays a scenario to its end.
    #[track_caller]
    pub(crate) fn play(&self, scenario: &str, more: &[&OsStr]) -> Played {
        self.start(scenario, more).finish()
    }

    /// Starts a VM on a scenario.
    pub(crate) fn start(&self, scenario: &str, more: &[&OsStr]) -> Running {
        let number = fs::read_dir(self.path("logs")).unwrap().count();
        let report = self.path(&format!("logs/{number}-{scenario}.report"));
        let console = self.path(&format!("logs/{number}-{scenario}.console"));
        let vm = Command::new("erl")
            .args(["-noinput", "-pa"])
            .arg(compiled())
            .args(["-run", "scenarios", "main", "-extra", scenario])
            .args([self.path("bin").as_os_str(), "python3".as_ref(), self.path("policy").as_os_str()])
            .arg(&report)
            .args(more)
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&console).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{NO_ERLANG}: {error}"));
        Running { scenario: scenario.to_owned(), vm, report, console }
    }
}

impl Kept for Place {
    fn database_file(&self) -> PathBuf {
        self.path("policy/data/history.db")
    }
}

/// A VM that plays a scenario.
pub(crate) struct Running {
    scenario: String,
    vm: Child,
    report: PathBuf,
    console: PathBuf,
}

impl Running {
    /// Waits until the scenario says that it is ready.
    pub(crate) fn wait_ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.vm.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{}", String::from_utf8_lossy(&fs::read(&self.console).unwrap()));
    }

    /// Waits until a line is on the console so many times.
    #[track_caller]
    pub(crate) fn wait_for_lines(&self, line: &str, count: usize) {
        let console = || String::from_utf8_lossy(&fs::read(&self.console).unwrap()).into_owned();
        until_or(
            || console().matches(line).count() >= count,
            || format!("{line} is not there {count} times:\n{}", console()),
        );
    }

    /// Waits for the end, which must be a good one.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Played {
        let end = Instant::now() + LONGEST;
        let status = loop {
            match self.vm.try_wait().unwrap() {
                Some(status) => break status.to_string(),
                None if Instant::now() > end => break format!("not over after {LONGEST:?}"),
                None => sleep(Duration::from_millis(10)),
            }
        };
        let console = fs::read(&self.console).unwrap();
        assert!(
            status == "exit status: 0",
            "scenario {}: {status}\n{}",
            self.scenario,
            String::from_utf8_lossy(&console)
        );
        let report = fs::read(&self.report).unwrap();
        Played {
            report: report.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).filter(|l| !l.is_empty()).collect(),
            console,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only after a failed assertion is it still running.
        let _ = self.vm.kill();
        let _ = self.vm.wait();
    }
}

impl Played {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.report.iter().map(|line| String::from_utf8(line.clone()).unwrap()).collect()
    }

    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&self.console).into_owned()
    }
}

const NO_ERLANG: &str = "cannot run Erlang; `tests/run` installs it (Debian: erlang-base)";

/// The folder of the compiled modules.
fn compiled() -> &'static Path {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/erlang");
        let output = Command::new("erlc")
            .args(["-Werror", "-o"])
            .arg(dir.path())
            .args(["host.erl", "client.erl", "scenarios.erl"].map(|file| sources.join(file)))
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{NO_ERLANG}: {error}"));
        assert!(output.status.success(), "erlc: {}", String::from_utf8_lossy(&output.stdout));
        dir
    })
    .path()
}
