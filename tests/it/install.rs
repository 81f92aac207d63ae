//! What `install --emqx` prints for each version, in `tests/it/install`.
//!
//! With `UPDATE_GOLDEN=1` the expected texts are written instead of compared.

use crate::support::golden::check_golden;
use crate::support::program::transcript;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/install")
}

/// What `install` says, and its exit code. Paths are shown from the folder of the policies.
fn install(arguments: &[&str]) -> String {
    transcript("install", arguments, &folder(), "/etc/exhook-policy/")
}

#[track_caller]
fn check(name: &str, runs: &[&[&str]]) {
    let said: Vec<String> = runs.iter().map(|arguments| install(arguments)).collect();
    let said = said.join("\n");
    let expected = folder().join(format!("{name}.txt"));
    check_golden(&expected, &said);
}

const POLICY: [&str; 2] = ["--policy", "rules.yaml"];
const REMOTE: [&str; 2] = ["--url", "https://policy.example.org:9000"];

#[test]
fn versions_with_the_plugin() {
    check(
        "plugin",
        &[
            &[&["--emqx", "4.4.19"], &POLICY[..]].concat(),
            &["--emqx", "4.3"],
            &[&["--emqx", "4.3.7"], &REMOTE[..]].concat(),
        ],
    );
}

#[test]
fn versions_with_hocon() {
    check(
        "hocon",
        &[
            &[&["--emqx", "5.8"], &POLICY[..]].concat(),
            &[&["--emqx", "6.2"], &POLICY[..]].concat(),
            &["--emqx", "5.10.4", "--url", "http://10.0.0.7:9001", "--service", "emqx-node"],
        ],
    );
}

#[test]
fn tls_by_version() {
    let versions =
        ["5.8.7", "5.8.9", "5.9", "6.0"].map(|version| [&["--emqx", version], &POLICY[..], &REMOTE].concat());
    check("tls", &versions.each_ref().map(Vec::as_slice));
}

#[test]
fn early_releases_of_5_0_are_told_what_they_cannot_do() {
    let versions = ["5.0.3", "5.0.9", "5.0.26", "5.0"].map(|version| [&["--emqx", version], &POLICY[..]].concat());
    check("early", &versions.each_ref().map(Vec::as_slice));
}

#[test]
fn what_the_policy_decides_determines_the_settings() {
    let runs =
        [("5.8", "audit"), ("5.9", "audit"), ("4.4", "audit"), ("5.8", "part"), ("6.1", "part"), ("5.8", "events")]
            .map(|(version, policy)| {
                ["--emqx".to_owned(), version.to_owned(), "--policy".to_owned(), format!("{policy}.yaml")]
            });
    let runs: Vec<Vec<&str>> = runs.iter().map(|run| run.iter().map(String::as_str).collect()).collect();
    check("policies", &runs.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn mistakes() {
    check(
        "mistakes",
        &[
            &[],
            &["--emqx", "3.4"],
            &["--emqx", "7.0"],
            &["--emqx", "latest"],
            &["--emqx", "4.2"],
            &["bin", "--emqx", "4.2", "--url", "http://127.0.0.1:9000"],
            &["bin", "--emqx", "5.8"],
            &["--emqx", "5.8", "--copy"],
            &["--emqx", "5.8", "--slot", "java"],
            &["--emqx", "5.8", "--url", "127.0.0.1:9000"],
            &["bin", "--url", "http://127.0.0.1:9000"],
            &["--emqx", "5.8", "--policy", "gone.yaml"],
        ],
    );
    assert!(!folder().join("bin").exists());
}

/// Every version that is known has settings, and those of a line are the same for all who do not say which release.
#[test]
fn every_known_version_is_served() {
    for version in exhook_policy_core::emqx::Version::known() {
        let said = install(&["--emqx", &version.to_string()]);
        let served =
            said.contains(&format!("\nEMQX {version} calls emqx.exhook.v")) && said.ends_with("\nexit code 0\n");
        let port = version.to_string().starts_with("4.1") || version.to_string().starts_with("4.2");
        assert_eq!(served, !port, "{said}");
    }
}
