//! A folder with launchers and policies.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// How many names are allowed.
pub const NAMES: usize = 10_000;
/// How many topic filters are allowed.
pub const FILTERS: usize = 100;

pub const CONSTANT: &str = "constant";
pub const OURS: &str = "exhook-policy";

/// What drivers and VMs say.
pub const CONSOLE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/driver-bench.log");

/// The launchers and the policies' folders. On a real disk, since SQLite waits for it.
pub struct Place {
    dir: TempDir,
}

/// A driver and the folder of its policy.
#[derive(Clone)]
pub struct Driver {
    pub name: &'static str,
    pub program: PathBuf,
    /// The module that the program is told to run.
    pub module: &'static str,
    pub search_path: String,
}

impl Driver {
    /// The arguments that the broker gives.
    pub fn args(&self) -> Vec<&str> {
        let options = ["--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536"];
        ["-u", "-m", self.module].into_iter().chain(options).collect()
    }
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        for (name, program) in [
            (CONSTANT, std::env::current_exe().expect("this program")),
            (OURS, PathBuf::from(env!("CARGO_BIN_EXE_exhook-policy-measured"))),
        ] {
            fs::create_dir_all(dir.path().join("bin").join(name)).expect("a folder");
            symlink(program, dir.path().join("bin").join(name).join("python3")).expect("a launcher");
        }
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a policy's folder and gives its path.
    pub fn policy(&self, folder: &str, text: &str) -> PathBuf {
        let path = self.path(folder);
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("rules.yaml"), text).expect("a policy");
        write_lines(&path.join("names.txt"), (0..NAMES).map(|n| format!("device-{n:010}")));
        path
    }

    pub fn constant(&self) -> Driver {
        self.driver(CONSTANT, CONSTANT, &self.path("nowhere"))
    }

    pub fn ours(&self, name: &'static str, policy: &Path) -> Driver {
        self.driver(name, OURS, policy)
    }

    fn driver(&self, name: &'static str, launcher: &str, policy: &Path) -> Driver {
        let program = self.path("bin").join(launcher).join("python3");
        let search_path = format!("/nonexistent/priv/python3:{}", policy.display());
        Driver { name, program, module: "erlport.cli", search_path }
    }
}

pub fn write_lines(path: &Path, lines: impl Iterator<Item = String>) {
    fs::write(path, lines.collect::<Vec<_>>().join("\n") + "\n").expect("a file");
}

/// The topic filters, of three kinds. `benches/erlang/fleet.erl` has a topic for each.
pub fn filters() -> impl Iterator<Item = String> {
    (0..FILTERS).map(|n| match n % 3 {
        0 => format!("site/{n}/+/state"),
        1 => format!("site/{n}/up/#"),
        _ => format!("site/{n}/room/light"),
    })
}

/// A policy of 10,000 names in a list and a rule for each topic filter, and what stands behind them.
pub fn rules(more: &str) -> String {
    let mut text = String::from(
        "version: 1\nlists:\n  names: { file: names.txt }\n\
         auth:\n  rules:\n    - { id: names, allow: { clientid: { in: names } } }\n",
    );
    push_filters(&mut text);
    text.push_str(more);
    text
}

pub fn push_filters(text: &mut String) {
    text.push_str("acl:\n  rules:\n");
    for (n, filter) in filters().enumerate() {
        writeln!(text, "    - {{ id: f{n}, allow: everyone, topics: [\"{filter}\"] }}").expect("memory");
    }
}

/// Where the next process says what it says.
pub fn console() -> File {
    OpenOptions::new().create(true).append(true).open(CONSOLE).expect("a log")
}
