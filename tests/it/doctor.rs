//! `doctor` on the folders of brokers in `tests/doctor`: in each the broker's files, a policy, and what must be said.
//!
//! With `UPDATE_GOLDEN=1` the expected texts are written instead of compared.

use crate::support::golden::check_golden;
use crate::support::program::PROGRAM;
use crate::support::program::transcript;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor").join(name)
}

/// What `doctor` says in a folder, and its exit code. Paths are shown from that folder.
fn doctor(folder: &Path, arguments: &[&str]) -> String {
    transcript("doctor", arguments, folder, "")
}

#[track_caller]
fn check(name: &str, runs: &[&[&str]]) {
    let folder = folder(name);
    let said: Vec<String> = runs.iter().map(|arguments| doctor(&folder, arguments)).collect();
    let said = said.join("\n");
    let expected = folder.join("expected.txt");
    check_golden(&expected, &said);
}

/// Everything that is in the folder. `root` is on every machine.
const ALL: &[&str] = &["--etc", "etc", "--policy", "policy/rules.yaml", "--user", "root"];

#[test]
fn a_broker_as_it_is_delivered() {
    check("stock", &[ALL, &["--etc", "etc"]]);
}

#[test]
fn a_broker_that_fails_closed() {
    check("closed", &[ALL, &[ALL, &["--format", "json"]].concat(), &["--etc", "etc", "--data", "etc"]]);
}

#[test]
fn a_policy_in_audit_mode() {
    check("audit", &[ALL]);
}

#[test]
fn a_policy_that_decides_a_part() {
    check("part", &[ALL, &[ALL, &["--deny-warnings"]].concat()]);
}

#[test]
fn settings_that_the_broker_does_not_take() {
    check("mistakes", &[ALL]);
}

#[test]
fn what_cannot_be_looked_at() {
    let nobody = ["--policy", "policy/rules.yaml", "--user", "no-such-user"];
    check("empty", &[ALL, &nobody, &["--policy", "gone.yaml"], &["--data", "etc"], &[]]);
}

/// As `ALL`, as of a version.
fn as_of<'a>(version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [ALL, &["--emqx", version], more].concat()
}

#[test]
fn a_broker_with_the_plugin_as_it_is_delivered() {
    check("plugin-stock", &[ALL, &as_of("4.3.7", &[])]);
}

#[test]
fn a_broker_with_the_plugin_that_fails_closed() {
    check("plugin-closed", &[ALL, &as_of("4.4.19", &[])]);
}

#[test]
fn settings_of_the_plugin_that_open() {
    check("plugin-mistakes", &[ALL]);
}

#[test]
fn a_broker_with_hocon_as_it_is_delivered() {
    let runs = ["5.0.3", "5.0", "5.0.26", "6.0", "6.2.2"].map(|version| as_of(version, &[]));
    let runs: Vec<&[&str]> = [ALL].into_iter().chain(runs.iter().map(Vec::as_slice)).collect();
    check("hocon-stock", &runs);
}

#[test]
fn a_broker_with_hocon_that_fails_closed() {
    check("hocon-closed", &[ALL, &as_of("5.0.3", &[]), &as_of("6.2", &[]), &["--etc", "etc"]]);
}

/// EMQX 5.0 to 5.8 let every client in at boot: unless all listeners are off in the settings, that is a problem.
#[test]
fn listeners_that_are_open_at_boot_are_a_problem() {
    let runs = ["5.1", "5.0.26", "5.9"].map(|version| as_of(version, &[]));
    let default = ["--etc", "default", "--data", "data", "--policy", "policy/rules.yaml", "--user", "root"];
    // A gateway has listeners of its own, of which nothing is known.
    let gateways = ["--etc", "gateways", "--data", "data", "--policy", "policy/rules.yaml", "--user", "root"];
    let later = [&gateways[..], &["--emqx", "5.9"]].concat();
    let runs: Vec<&[&str]> =
        [ALL, &default, &gateways, &later].into_iter().chain(runs.iter().map(Vec::as_slice)).collect();
    check("hocon-boot", &runs);
}

#[test]
fn settings_in_hocon_that_open() {
    check("hocon-mistakes", &[ALL, &as_of("5.9.0", &[])]);
}

#[test]
fn files_come_before_each_other() {
    let old = ["--data", "old"];
    check(
        "hocon-order",
        &[ALL, &as_of("5.8.0", &[]), &as_of("5.8.4", &old), &as_of("5.0.22", &old), &as_of("5.0.22", &[])],
    );
}

#[test]
fn a_policy_in_audit_mode_with_hocon() {
    let stock = ["--etc", "stock", "--policy", "policy/rules.yaml", "--user", "root", "--emqx", "6.0"];
    let closed = ["--etc", "closed", "--policy", "policy/rules.yaml", "--user", "root", "--emqx", "5.8"];
    check("hocon-audit", &[ALL, &as_of("5.9", &[]), &stock, &closed]);
}

#[test]
fn a_policy_that_decides_a_part_with_hocon() {
    check("hocon-part", &[ALL]);
}

#[test]
fn hocon_that_cannot_be_looked_at() {
    check("hocon-unread", &[ALL, &as_of("5.8", &["--data", "gone"])]);
}

#[test]
fn launchers_are_this_program() {
    let folder = tempfile::tempdir().unwrap();
    let launchers = folder.path().join("bin");
    fs::create_dir(&launchers).unwrap();
    let say = || doctor(folder.path(), &["--launchers", "bin"]);
    let expected = |found: &str, counts: &str, code: u8| {
        format!("$ exhook-policy doctor --launchers bin\n{found}\n\n{counts}\nexit code {code}\n")
    };
    let again = "           exhook-policy install bin";
    let missing = "problem  bin/python3: the launcher: the broker finds no driver here, and runs on without one: \
                   No such file or directory (os error 2)";
    assert_eq!(say(), expected(&format!("{missing}\n{again}"), "1 problem, 0 warnings, 0 fine", 1));

    let launcher = launchers.join("python3");
    fs::write(&launcher, "#!/bin/sh\n").unwrap();
    let other = "problem  bin/python3: the launcher: this is another program, which does not know the policy";
    assert_eq!(say(), expected(&format!("{other}\n{again}"), "1 problem, 0 warnings, 0 fine", 1));

    fs::remove_file(&launcher).unwrap();
    symlink(PROGRAM, &launcher).unwrap();
    let fine = "fine     bin/python3: the launcher: it is this program";
    assert_eq!(say(), expected(fine, "0 problems, 0 warnings, 1 fine", 0));

    fs::remove_file(&launcher).unwrap();
    fs::copy(PROGRAM, &launcher).unwrap();
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o644)).unwrap();
    let plain = "problem  bin/python3: the launcher: this cannot be started";
    assert_eq!(say(), expected(&format!("{plain}\n{again}"), "1 problem, 0 warnings, 0 fine", 1));
}

/// Where each version says how long it waits for an answer, and in which words.
const TIME_OUTS: &[(&str, &str, &str)] = &[
    (
        "4.1.5",
        "plugins/emqx_extension_hook.conf",
        "exhook.drivers = python3\nexhook.drivers.python3.call_timeout = T\n",
    ),
    ("4.2.14", "plugins/emqx_extension_hook.conf", "exhook.drivers = java\nexhook.drivers.java.call_timeout = T\n"),
    ("4.3.22", "plugins/emqx_exhook.conf", "exhook.server.a.url = http://127.0.0.1:9000\nexhook.request_timeout = T\n"),
    ("4.4.19", "plugins/emqx_exhook.conf", "exhook.server.a.url = http://127.0.0.1:9000\nexhook.request_timeout = T\n"),
    ("5.0.26", "emqx.conf", "exhook.servers = [{ name = a, url = \"http://127.0.0.1:9000\", request_timeout = T }]\n"),
    (
        "5.8.9",
        "emqx.conf",
        "exhook { servers = [{ name = a, url = \"http://127.0.0.1:9000\", request_timeout = \"T\" }] }\n",
    ),
    ("5.10.1", "emqx.conf", "exhook.servers.1 { name = a, url = \"http://127.0.0.1:9000\", request_timeout = T }\n"),
    ("6.2.1", "emqx.conf", "exhook.servers = [{ name = a, url = \"http://127.0.0.1:9000\", request_timeout = T }]\n"),
];

/// What is said of a policy's deadline of six seconds.
#[track_caller]
fn check_time_out(version: &str, file: &str, settings: &str, state: &str, waits: &str) {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    fs::create_dir_all(etc.join("plugins")).unwrap();
    fs::write(etc.join("emqx.conf"), "").unwrap();
    fs::write(etc.join(file), settings).unwrap();
    fs::write(folder.path().join("rules.yaml"), "version: 1\ndeadline: 6s\nauth: { rules: [] }\n").unwrap();
    let said = doctor(folder.path(), &["--etc", "etc", "--policy", "rules.yaml", "--user", "root", "--emqx", version]);
    let lines = said.lines().filter(|line| line.starts_with(state) && line.contains("_timeout: "));
    let found: Vec<&str> = lines.filter(|line| line.contains(waits)).collect();
    assert_eq!(found.len(), 1, "{version}: no {state} with {waits:?}:\n{said}");
}

#[test]
fn the_deadline_is_held_against_the_time_out_of_every_version() {
    for (version, file, settings) in TIME_OUTS {
        for (time_out, state, waits) in [
            ("5s", "", "waits 5s for an answer, the policy's deadline is 6s: what takes longer is "),
            ("6s", "", "waits 6s for an answer, the policy's deadline is 6s: what takes longer is "),
            ("6500ms", "warning", "waits 6500ms for an answer, the policy's deadline is 6s, which leaves little time"),
            ("9s", "fine", "waits 9s for an answer, the policy's deadline is 6s"),
        ] {
            // From 4.3 on the broker refuses what is late, unless it is told otherwise.
            let state = match (state, *version < "4.3") {
                ("", true) => "problem",
                ("", false) => "warning",
                (state, _) => state,
            };
            check_time_out(version, file, &settings.replace('T', time_out), state, waits);
        }
        // Where nothing is said, the broker waits for five seconds.
        let unsaid: String = match file.strip_suffix("emqx.conf") {
            Some(_) => settings.replace(", request_timeout = \"T\"", "").replace(", request_timeout = T", ""),
            None => settings.split_inclusive('\n').filter(|line| !line.ends_with("T\n")).collect(),
        };
        assert!(unsaid.len() < settings.len(), "{version}");
        let state = if *version < "4.3" { "problem" } else { "warning" };
        check_time_out(version, file, &unsaid, state, "waits 5s for an answer, the policy's deadline is 6s: what");
    }
    // Whoever is to be let through when the answer is late, is.
    for (version, file, settings) in &TIME_OUTS[2..] {
        let ignore = if file.ends_with("emqx.conf") {
            settings.replace("name = a,", "name = a, failed_action = ignore,")
        } else {
            format!("{settings}exhook.request_failed_action = ignore\n")
        };
        check_time_out(version, file, &ignore.replace('T', "5s"), "problem", "what takes longer is let through");
    }
}
