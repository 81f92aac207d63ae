//! The tests of a policy, tried on mosquitto, each on a port of its own.
//!
//! With `UPDATE_GOLDEN=1` the expected texts are written instead of compared.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::golden::check_golden;
use crate::support::live::{BOTH, broker, probed, report};

/// A running broker.
struct Mosquitto {
    process: Child,
    /// `HOST:PORT`.
    address: String,
    _folder: tempfile::TempDir,
}

/// Debian has it where only administrators look.
const PROGRAMS: [&str; 3] = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

impl Mosquitto {
    /// One that lets everyone in and everything through.
    fn open() -> Self {
        Self::start(|_| "allow_anonymous true\n".to_owned())
    }

    /// One with these users and this `acl_file`.
    fn closed(users: &[(&str, &str)], acl_file: &Path) -> Self {
        Self::start(|folder| {
            let passwords = folder.join("passwords");
            for (user, password) in users {
                let mut made = Command::new("mosquitto_passwd");
                made.arg("-b").args((!passwords.exists()).then_some("-c")).arg(&passwords).args([user, password]);
                assert!(made.status().unwrap().success());
            }
            let acl = folder.join("acl");
            fs::copy(acl_file, &acl).unwrap();
            format!("allow_anonymous false\npassword_file {}\nacl_file {}\n", passwords.display(), acl.display())
        })
    }

    fn start(settings: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        // As root it becomes another user, who must read the files; here it stays who it is.
        let user = fs::metadata(folder.path()).map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata)).unwrap();
        let user = if user == 0 { "user root\n" } else { "" };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let conf = folder.path().join("mosquitto.conf");
        fs::write(&conf, format!("listener {port} 127.0.0.1\n{user}{settings}")).unwrap();
        let start = |program: &&str| {
            Command::new(program).arg("-c").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let process = PROGRAMS.iter().find_map(start).expect("mosquitto is not installed; tests/run installs it");
        let broker = Mosquitto { process, address: format!("127.0.0.1:{port}"), _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(&broker.address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "mosquitto does not start");
            thread::sleep(Duration::from_millis(20));
        }
        broker
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker/mosquitto")
}

#[track_caller]
fn check(name: &str, said: &str) {
    check_golden(&folder().join(format!("{name}.txt")), said);
}

fn on_mosquitto(mosquitto: &Mosquitto, tests: &str) -> String {
    report(&folder().join(tests), &broker(mosquitto.address.clone(), BOTH))
}

#[test]
fn mosquitto_with_the_same_rules() {
    let acl_file = folder().join("acl_file");
    let mosquitto = Mosquitto::closed(&[("dev-1", "s3cret"), ("ops", "b0ss")], &acl_file);
    check("closed", &on_mosquitto(&mosquitto, "rules.test.yaml"));
    // It grants every subscription, and is found out.
    check("subscriptions", &on_mosquitto(&mosquitto, "subscriptions.test.yaml"));
}

#[test]
fn mosquitto_without_rules() {
    check("open", &on_mosquitto(&Mosquitto::open(), "rules.test.yaml"));
}

#[test]
fn the_doctor_sees_that_mosquitto_lets_strangers_in() {
    assert_eq!(
        probed(&Mosquitto::open().address, &folder(), None),
        "problem  a login at BROKER: a client of an unknown name, NOBODY, gets in with a password that nobody gave \
         it: the policy is not enforced [1]"
    );
}
