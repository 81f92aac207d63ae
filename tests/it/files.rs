//! The files that the program reads and makes: inputs without an end, pipes without a writer, and
//! who may write what it made.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::support::program::PROGRAM;
use crate::support::wait::{until_or, until_some};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// A folder with a policy, files beside it, and a named pipe without a writer.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("rules.yaml"), "version: 1\nhistory: { database: data/h.db }\n").unwrap();
        place.pipe("pipe");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pipe(&self, name: &str) {
        mknodat(CWD, self.path(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    /// What a command of a shell says in this folder; `$0` is the program.
    fn run(&self, script: &str) -> Output {
        let mut child = Command::new("bash")
            .args(["-c", script, PROGRAM])
            .current_dir(self.0.path())
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let read = |mut from: Box<dyn Read + Send>| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                from.read_to_end(&mut bytes).unwrap();
                bytes
            })
        };
        let stdout = read(Box::new(child.stdout.take().unwrap()));
        let stderr = read(Box::new(child.stderr.take().unwrap()));
        let id = child.id();
        let status =
            until_some(|| child.try_wait().unwrap(), || format!("{script} does not come to its end, as process {id}"));
        Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    #[track_caller]
    fn check(&self, script: &str, code: i32, said: &str) {
        let output = self.run(script);
        let all = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(all.contains(said), "{script}: {all}");
        assert_eq!(output.status.code(), Some(code), "{script}: {all}");
    }
}

#[test]
fn what_has_no_end_is_refused_by_every_command() {
    let place = Place::new();
    let event = r#"{"hook":"client.check_acl","client":{"clientid":"c"},"action":"publish","topic":"t"}"#;
    fs::write(place.path("events"), format!("{event}\n")).unwrap();
    let too_large = "error[too-large]: the file has 67108865 bytes, and 67108864 is the most";
    place.check("$0 check /dev/zero", 1, too_large);
    place.check("$0 check - < /dev/zero", 1, too_large);
    place.check("ln -s /dev/zero zero.test.yaml; $0 test zero.test.yaml", 1, "error[too-large]: the file is too large");
    place.check("$0 explain /dev/zero connect", 2, too_large);
    place.check("$0 explain rules.yaml --event /dev/zero", 2, "error: the event cannot be read: larger than 4 MiB");
    place.check("$0 diff rules.yaml /dev/zero", 2, too_large);
    place.check(
        "$0 diff rules.yaml rules.yaml --events /dev/zero",
        2,
        "error: /dev/zero: a line is larger than 64 MiB",
    );
    place.check("$0 replay rules.yaml /dev/zero", 2, "error: /dev/zero: a line is larger than 64 MiB");
    place.check("$0 replay /dev/zero events", 2, too_large);
    place.check("$0 fmt /dev/zero", 2, "error: /dev/zero: larger than 64 MiB\n");
    place.check("$0 fmt - < /dev/zero", 2, "error: -: larger than 64 MiB\n");
    place.check("$0 convert acl-conf /dev/zero", 2, "error: /dev/zero: larger than 64 MiB\n");
    place.check("$0 convert mosquitto --acl-file /dev/zero", 2, "error: /dev/zero: larger than 64 MiB\n");
    place.check("$0 install bin --policy /dev/zero", 1, too_large);
    place.check("$0 doctor --policy /dev/zero", 2, too_large);
    place.check("$0 passwd /dev/zero ann --stdin <<< secret", 2, "not a regular file");
    place.check("$0 history online --database /dev/zero", 2, "cannot read /dev/zero: it is no regular file");
    let list = "exhook-policy: cannot read /dev/zero: larger than 512 MiB\n";
    place.check("$0 history resync --database h.db /dev/zero", 2, list);
    let stdin = "exhook-policy: cannot read stdin: larger than 512 MiB\n";
    place.check("$0 history resync --database h.db < /dev/zero", 2, stdin);
}

#[test]
fn a_named_pipe_without_a_writer_holds_nothing_up() {
    let place = Place::new();
    let pipe = "it is a named pipe, and is not read";
    for command in ["check pipe", "explain pipe connect", "diff pipe rules.yaml", "replay pipe events"] {
        let code = if command == "check pipe" { 2 } else { place.run(&format!("$0 {command}")).status.code().unwrap() };
        place.check(&format!("$0 {command}"), code, &format!("the file cannot be read: {pipe}"));
        assert!(code > 0);
    }
    place.pipe("pipe.test.yaml");
    place.check("$0 test .", 2, &format!("the file cannot be read: {pipe}\n--> pipe.test.yaml"));
    place.check("$0 replay rules.yaml pipe", 2, &format!("error: pipe: {pipe}"));
    place.check("$0 diff rules.yaml rules.yaml --events pipe", 2, &format!("error: pipe: {pipe}"));
    place.check("$0 explain rules.yaml --event pipe", 2, &format!("error: the event cannot be read: {pipe}"));
    place.check("$0 fmt pipe", 2, &format!("error: pipe: {pipe}\n"));
    place.check("$0 convert acl-conf pipe", 2, &format!("error: pipe: {pipe}\n"));
    place.check("$0 convert mosquitto --acl-file pipe", 2, &format!("error: pipe: {pipe}\n"));
    place.check("$0 install bin --policy pipe", 2, pipe);
    place.check("$0 history resync --database h.db pipe", 2, &format!("exhook-policy: cannot read pipe: {pipe}\n"));
    place.check("$0 history online --database pipe", 2, "exhook-policy: cannot read pipe: it is no regular file\n");
    place.check("$0 passwd pipe ann --stdin <<< secret", 2, "not a regular file");
    place.check("$0 serve --policy rules.yaml --tls-cert pipe --tls-key pipe", 2, &format!("pipe: {pipe}"));
    assert!(!place.path("bin").exists());
}

/// Each file of a broker, as a pipe: the finding says that it cannot be read.
#[test]
fn doctor_is_not_held_up_by_a_pipe_among_the_brokers_files() {
    let of_4 = ["etc/acl.conf", "etc/emqx.conf", "data/loaded_plugins", "data/loaded_modules"];
    let of_5 = ["etc/emqx.conf", "data/configs/cluster.hocon"];
    let folders = [
        ("stock", [&of_4[..], &["etc/plugins/emqx_extension_hook.conf"]].concat()),
        ("plugin-stock", [&of_4[..], &["etc/plugins/emqx_exhook.conf"]].concat()),
        ("hocon-stock", [&of_5[..], &["etc/base.hocon", "etc/acl.conf"]].concat()),
        ("hocon-closed", [&of_5[..], &["releases/emqx_vars"]].concat()),
    ];
    for (folder, names) in folders {
        let of_broker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor").join(folder);
        for name in names {
            let place = Place::new();
            assert!(place.run(&format!("cp -r '{}'/. .", of_broker.display())).status.success());
            fs::remove_file(place.path(name)).unwrap();
            place.pipe(name);
            let output = place.run("$0 doctor --etc etc --policy policy/rules.yaml");
            let said = String::from_utf8(output.stdout).unwrap();
            let is_said = said.lines().any(|line| {
                line.starts_with(&format!("unseen   {name}: ")) && line.contains("cannot be read: it is a named pipe")
            });
            assert!(is_said, "{folder}/{name}: {said}");
            assert_eq!(output.status.code(), Some(2), "{folder}/{name}: {said}");
        }
    }
    let place = Place::new();
    fs::create_dir(place.path("etc")).unwrap();
    place.pipe("etc/emqx.conf");
    place.check("$0 doctor --etc etc", 2, "emqx.conf: the settings: the file cannot be read: it is a named pipe");
}

#[test]
fn the_pipe_of_a_shell_is_read_where_a_person_names_a_file() {
    let place = Place::new();
    fs::write(place.path("acl.conf"), "{deny, all}.\n").unwrap();
    place.check("$0 check <(sleep 0.2; cat rules.yaml)", 0, "");
    place.check("$0 fmt --check <(cat rules.yaml)", 0, "");
    place.check("$0 fmt - < rules.yaml", 0, "version: 1\n");
    place.check("$0 check - < rules.yaml", 0, "");
    place.check("$0 convert acl-conf <(cat acl.conf)", 0, "version: 1\n");
    place.check("$0 replay rules.yaml <(true)", 0, "0 events, 0 questions");
    place.check("$0 check /dev/stdin < rules.yaml", 0, "");
}

/// What is below a folder, with its mode as `find` prints it.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
        if !metadata.is_symlink() {
            found.push((path.display().to_string(), metadata.permissions().mode() & 0o7777));
        }
    }
    found
}

const POLICY: &str = "version: 1
if_invalid: last-good
auth: { rules: [{ allow: everyone }] }
acl: { rules: [{ allow: everyone, topics: [t] }] }
history: { database: data/deep/h.db, record: [connections, denials] }
capture: { file: captures/deep/events.jsonl, events: [connections] }
metrics: { file: metrics/deep/x.prom }
";

/// What a broker sent, to the policy `allhooks`.
const RECORDING: &[u8] = include_bytes!("../../examples/captures/4.2.14/ordinary.bin");

/// Lets a driver run under this umask until it has made all its files, and gives back their modes while it runs.
fn run_a_driver(place: &Place, umask: &str) -> Vec<(String, u32)> {
    fs::create_dir(place.path("policy")).unwrap();
    fs::write(place.path("policy/allhooks.yaml"), POLICY).unwrap();
    fs::create_dir(place.path("started")).unwrap();
    symlink(PROGRAM, place.path("started/python3")).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"])
        .arg(place.path("started/python3"))
        .args(["-u", "-m", "erlport.cli", "--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536"])
        .env("PYTHONPATH", place.path("policy"))
        .current_dir(place.path("policy"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(place.path("console")).unwrap())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let answers = thread::spawn(move || stdout.read_to_end(&mut Vec::new()).unwrap());
    stdin.write_all(RECORDING).unwrap();
    let made = [
        "data/deep/h.db",
        "data/deep/h.db-wal",
        "data/deep/h.db-shm",
        "captures/deep/events.jsonl",
        "metrics/deep/x.prom",
        "state",
    ];
    until_or(
        || made.iter().all(|name| place.path("policy").join(name).exists()),
        || format!("{:?}: {}", modes(&place.path("policy")), fs::read_to_string(place.path("console")).unwrap()),
    );
    let while_it_runs = modes(&place.path("policy"));
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(answers.join().unwrap() > 0);
    while_it_runs
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn without_a_umask_nothing_that_is_made_is_for_others_to_write() {
    let place = Place::new();
    fs::write(place.path("acl.conf"), "{deny, all}.\n").unwrap();
    fs::copy(PROGRAM, place.path("open")).unwrap();
    for name in ["rules.yaml", "acl.conf", "pipe"] {
        set(&place.path(name), 0o600);
    }
    set(&place.path("open"), 0o777);
    for command in [
        "$0 install new/bin",
        "./open install new/copies --copy",
        "$0 convert acl-conf acl.conf -o new/policy.yaml",
        "$0 passwd new/users ann --stdin <<< secret",
        "$0 man new/man",
        "$0 fmt new/policy.yaml",
        "TMPDIR=new $0 demo --keep",
    ] {
        let output = place.run(&format!("umask 0; {command}"));
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let made = modes(&place.path("new"));
    assert!(made.len() > 20, "{made:?}");
    let open: Vec<_> = made.iter().filter(|(_, mode)| mode & 0o022 != 0).collect();
    assert!(open.is_empty(), "{open:?}");

    let mut made = run_a_driver(&place, "0");
    made.extend(modes(&place.path("policy")));
    let open: Vec<_> = made.iter().filter(|(_, mode)| mode & 0o022 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn under_a_strict_umask_what_others_need_is_there_for_them() {
    let place = Place::new();
    for command in ["$0 install new/deep/bin", "$0 install new/copies --copy"] {
        assert!(place.run(&format!("umask 077; {command}")).status.success(), "{command}");
    }
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777;
    for name in ["new", "new/deep", "new/deep/bin", "new/copies", "new/copies/python3", "new/copies/java"] {
        assert_eq!(mode(name), 0o755, "{name}");
    }
    let seen = run_a_driver(&place, "077");
    let mode = |name: &str| seen.iter().find(|(path, _)| path.ends_with(name)).map_or(0, |(_, mode)| *mode);
    for (name, expected) in [
        ("policy/metrics", 0o755),
        ("policy/metrics/deep", 0o755),
        ("policy/metrics/deep/x.prom", 0o644),
        ("policy/data/deep", 0o700),
        ("policy/data/deep/h.db", 0o600),
        ("policy/captures/deep", 0o700),
        ("policy/captures/deep/events.jsonl", 0o600),
        ("policy/state", 0o700),
    ] {
        assert_eq!(mode(name), expected, "{name}");
    }
}

/// What `install` and `doctor` say of a launcher in a folder, where this is open.
fn open_to_everyone(open: &Path, folder: &str) -> (String, String) {
    let open = open.display();
    let what = format!("everyone on this machine can write to {open}, and so have the broker start another program");
    let warning = format!("\nWARNING: {what}.\n   chmod o-w {open}\n");
    (warning, format!("problem  {folder}/python3: the launcher: {what}\n           chmod o-w {open}\n"))
}

/// Whoever can write the folder above can put another folder in its place.
#[test]
fn a_folder_above_that_is_open_to_everyone_is_named_too() {
    let place = Place::new();
    fs::create_dir_all(place.path("shared/deep")).unwrap();
    set(&place.path("shared"), 0o777);
    let shared = fs::canonicalize(place.path("shared")).unwrap();
    let (warning, problem) = open_to_everyone(&shared, "shared/deep/bin");
    place.check("$0 install shared/deep/bin --copy", 0, &warning);
    place.check("$0 doctor --launchers shared/deep/bin", 1, &problem);
    // There everyone can make folders, and replace none of another user.
    set(&place.path("shared"), 0o1777);
    let output = place.run("$0 install shared/deep/bin; $0 doctor --launchers shared/deep/bin");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("everyone on this machine"));
}

/// A folder that 0.5.0 made without a umask.
#[test]
fn a_folder_open_to_everyone_is_named_by_install_and_doctor() {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    set(&place.path("bin"), 0o777);
    let bin = fs::canonicalize(place.path("bin")).unwrap();
    let (warning, problem) = open_to_everyone(&bin, "bin");
    place.check("$0 install bin", 0, &warning);
    place.check("$0 doctor --launchers bin", 1, &problem);
    set(&place.path("bin"), 0o755);
    let output = place.run("$0 install bin; $0 doctor --launchers bin");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("everyone on this machine"));
}
