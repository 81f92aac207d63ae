//! The policies that are shipped: they pass `check`, and decide as the tests beside them say.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use exhook_policy::password::StoredHash;

fn shipped() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("rules/rules.yaml")];
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let policy = entry.unwrap().path().join("rules.yaml");
        if policy.exists() {
            found.push(policy);
        }
    }
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

fn run(command: &str, policy: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_exhook-policy")).arg(command).args(more).arg(policy).output().unwrap()
}

#[test]
fn every_shipped_policy_passes_check() {
    for policy in shipped() {
        let output = run("check", &policy, &[]);
        assert!(output.status.success(), "{}: {output:?}", policy.display());
    }
}

#[test]
fn the_default_policy_and_the_gateways_have_no_warnings_and_the_others_those_that_their_readmes_tell() {
    let warned_of = ["audit-rollout", "python-extension", "public-broker"];
    for policy in shipped() {
        let output = run("check", &policy, &["--deny-warnings"]);
        let expected = warned_of.iter().any(|name| policy.to_str().unwrap().contains(name));
        assert_eq!(output.status.code(), Some(i32::from(expected)), "{}: {output:?}", policy.display());
        if expected {
            let readme = fs::read_to_string(policy.with_file_name("README.md")).unwrap();
            assert!(readme.contains("`exhook-policy check`") && readme.contains("warns"), "{}", policy.display());
        }
    }
}

#[test]
fn every_example_says_what_it_is() {
    for policy in shipped().iter().filter(|policy| policy.to_str().unwrap().contains("/examples/")) {
        let readme = fs::read_to_string(policy.with_file_name("README.md")).unwrap();
        assert!(readme.starts_with("# ") && readme.lines().count() < 20, "{}", policy.display());
        assert!(fs::read_to_string(policy).unwrap().starts_with("# yaml-language-server: $schema=../../schema/"));
    }
}

#[test]
fn the_passwords_that_an_example_tells_are_those_of_its_hashes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, username, password) in [
        ("examples/gateway-fleet/secrets/gateways.passwd", "gw-01", "gateway-one"),
        ("examples/gateway-fleet/secrets/gateways.passwd", "gw-02", "gateway-two"),
        ("examples/gateway-fleet/secrets/services.passwd", "svc-reader", "read-only"),
        ("examples/captures/people.passwd", "alice", "s3cret"),
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let hash = text.lines().find_map(|line| line.strip_prefix(username)?.strip_prefix(':')).unwrap();
        assert!(StoredHash::parse(hash).unwrap().verify(password.as_bytes()), "{file}: {username}");
        assert!(!text.contains(password), "{file}");
    }
    for file in ["rules/secrets/devices.passwd", "rules/secrets/people.passwd"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(text.lines().all(|line| line.starts_with('#')), "{file} is shipped with somebody in it");
    }
}

/// Each rule decides a case of the tests beside the policy, so that what its comments say is said by a test.
#[test]
fn every_shipped_policy_does_what_its_tests_say() {
    for policy in shipped() {
        let output = run("test", &policy, &["--min-coverage", "100"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let tests = fs::read_to_string(policy.with_extension("test.yaml")).unwrap();
        let schema = if policy.to_str().unwrap().contains("/examples/") { "../../schema/" } else { "../schema/" };
        assert!(tests.starts_with(&format!("# yaml-language-server: $schema={schema}tests.schema.json\n")));
    }
}
