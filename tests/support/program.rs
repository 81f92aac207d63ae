//! The program, run as a person or a broker runs it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_exhook-policy");

/// The options of a broker's command line, behind `-u -m erlport.cli`.
pub(crate) const OPTIONS: [&str; 4] = ["--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536"];

pub(crate) fn program() -> Command {
    Command::new(PROGRAM)
}

/// The program as a broker starts it to talk to it over pipes, with the policy in a folder. Its
/// link is made where it is to be.
pub(crate) fn driver(link: &Path, policy: &Path) -> Command {
    if !link.exists() {
        symlink(PROGRAM, link).unwrap();
    }
    let mut command = Command::new(link);
    command.args(["-u", "-m", "erlport.cli"]).args(OPTIONS).env("PYTHONPATH", policy);
    command
}

/// Gives a command its whole input, and waits for its end.
pub(crate) fn run_with(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // One that ends at once reads none of it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What a command says, on stdout and then on stderr, and its exit code.
pub(crate) fn said(command: &mut Command) -> (String, i32) {
    let output = command.output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code().unwrap())
}

/// What a command says in a folder, behind its command line, and its exit code. Paths are shown as
/// from `here`.
pub(crate) fn transcript(command: &str, arguments: &[&str], folder: &Path, here: &str) -> String {
    let (said, code) = said(program().arg(command).args(arguments).current_dir(folder));
    let said = said.replace(&format!("{}/", fs::canonicalize(folder).unwrap().display()), here);
    format!("$ exhook-policy {command} {}\n{said}exit code {code}\n", arguments.join(" "))
}

/// What a process has in memory, in KiB, as this line of its status says; 0 where it has ended.
pub(crate) fn memory_kib(process: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let number = status.lines().find_map(|found| found.strip_prefix(line)?.split_whitespace().next());
    number.map_or(0, |kib| kib.parse().unwrap())
}

/// A folder with a policy, and with these files beside it.
pub(crate) fn folder(policy: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().chain(&[("rules.yaml", policy)]) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}
