//! The broker mosquitto, on a port of its own, until it is dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running broker.
pub(crate) struct Mosquitto {
    process: Child,
    /// `HOST:PORT`.
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

/// Debian has it where only administrators look.
const PROGRAMS: [&str; 3] = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

impl Mosquitto {
    /// One that lets everyone in and everything through.
    pub(crate) fn open() -> Self {
        Self::start(|_| "allow_anonymous true\n".to_owned())
    }

    /// One with these users and this `acl_file`.
    pub(crate) fn closed(users: &[(&str, &str)], acl_file: &Path) -> Self {
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
