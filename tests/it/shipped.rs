//! The policies that are shipped: they pass `check`, and decide as the tests beside them say.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::program::program;
use exhook_policy_runtime::password::StoredHash;

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
    assert!(found.len() >= 8, "{found:?}");
    found
}

fn run(command: &str, policy: &Path, more: &[&str]) -> Output {
    program().arg(command).args(more).arg(policy).output().unwrap()
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
        // In a folder that only its owner enters: in a clone, everyone can read the password files.
        let installed = tempfile::tempdir().unwrap();
        fs::set_permissions(installed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let copied =
            Command::new("cp").arg("-r").arg(policy.parent().unwrap()).arg(installed.path().join("p")).status();
        assert!(copied.unwrap().success());
        let copy = installed.path().join("p").join(policy.file_name().unwrap());
        let output = run("check", &copy, &["--deny-warnings"]);
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
        assert!(readme.starts_with("# ") && readme.lines().count() < 32, "{}", policy.display());
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
    for file in [
        "rules/secrets/devices.passwd",
        "rules/secrets/people.passwd",
        "examples/docker-compose/secrets/devices.passwd",
        "examples/kubernetes/secrets/devices.passwd",
        "examples/systemd/secrets/devices.passwd",
    ] {
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

/// Examples with the settings of a broker beside the policy.
const BROKERS: [&str; 2] = ["docker-compose", "kubernetes"];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn the_settings_of_a_broker_are_those_that_install_prints() {
    for name in BROKERS {
        let folder = example(name);
        let output = run("install", &folder.join("rules.yaml"), &["--emqx", "5.8", "--policy"]);
        let printed = String::from_utf8(output.stdout).unwrap();
        let settings = fs::read_to_string(folder.join("emqx.conf")).unwrap();
        let mut sections = settings.split("\n\n");
        assert!(sections.next().unwrap().contains("node {"), "{name}");
        let sections: Vec<&str> = sections.map(str::trim_end).collect();
        for section in &sections {
            assert!(
                printed.contains(&format!("\n{section}\n")),
                "{name}: install does not print\n{section}\n{printed}"
            );
        }
        // And all of it.
        let is_setting =
            |line: &&str| line.starts_with(['}', ']']) || line.ends_with(['{', '[']) && !line.starts_with(' ');
        let of_example: Vec<&str> = sections.iter().flat_map(|section| section.lines()).filter(is_setting).collect();
        assert_eq!(printed.lines().filter(is_setting).collect::<Vec<_>>(), of_example, "{name}");
    }
}

/// EMQX 5.8 is open at its boot, as the READMEs of these examples say.
#[test]
fn the_doctor_finds_only_the_boot_in_the_settings_of_a_broker() {
    for name in BROKERS {
        let folder = tempfile::tempdir().unwrap();
        let put = |from: &str, to: &str| {
            let to = folder.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(example(name).join(from), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o640)).unwrap();
        };
        put("emqx.conf", "etc/emqx.conf");
        put("rules.yaml", "policy/rules.yaml");
        put("secrets/devices.passwd", "policy/secrets/devices.passwd");
        fs::create_dir(folder.path().join("data")).unwrap();
        let output = program()
            .args(["doctor", "--deny-warnings", "--emqx", "5.8", "--user", "root", "--etc", "etc", "--policy"])
            .arg("policy/rules.yaml")
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("\nproblem  etc/emqx.conf: listeners: tcp:default, "), "{name}: {said}");
        assert!(said.contains("\n1 problem, 0 warnings, ") && !said.contains("looked at"), "{name}: {said}");
        let readme = fs::read_to_string(example(name).join("README.md")).unwrap();
        assert!(readme.contains("for kind in tcp ssl ws wss; do"), "{name}");
        assert!(readme.contains("emqx ctl listeners restart $kind:default"), "{name}");
    }
}

#[test]
fn yaml_of_others_can_be_read() {
    let mut found = 0;
    for name in BROKERS {
        for entry in fs::read_dir(example(name)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            if path.extension().is_none_or(|ending| ending != "yaml") {
                continue;
            }
            let documents: Vec<BTreeMap<String, serde_json::Value>> =
                serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let is_object = |document: &BTreeMap<String, serde_json::Value>| {
                document.contains_key("kind") && document.contains_key("apiVersion")
            };
            if name == "kubernetes" && !path.file_name().unwrap().to_str().unwrap().starts_with("rules") {
                assert!(documents.iter().all(is_object), "{}", path.display());
            }
            found += documents.len();
        }
    }
    assert!(found >= 9, "{found}");
}

/// The broker calls where the provider listens, in every example.
#[test]
fn the_provider_listens_where_the_broker_calls() {
    for (file, expected) in [
        ("docker-compose/emqx.conf", "url = \"http://127.0.0.1:9000\""),
        ("docker-compose/compose.yaml", "\"--listen\", \"127.0.0.1:9000\"]"),
        ("kubernetes/emqx.conf", "url = \"http://127.0.0.1:9000\""),
        ("kubernetes/statefulset.yaml", "--listen, \"0.0.0.0:9000\"]"),
        ("kubernetes/statefulset.yaml", "grpc: { port: 9000 }"),
        // Where the broker tells its health, and has its dashboard.
        ("kubernetes/statefulset.yaml", "EMQX_DASHBOARD__LISTENERS__HTTP__BIND\n              value: \"18083\""),
        ("docker-compose/compose.yaml", "EMQX_DASHBOARD__LISTENERS__HTTP__BIND: \"18083\""),
        ("systemd/exhook-policy.socket", "\nListenStream=127.0.0.1:9000\n"),
        ("systemd/exhook-policy.service", " --listen 127.0.0.1:9000\n"),
    ] {
        assert!(fs::read_to_string(example(file)).unwrap().contains(expected), "{file}: {expected}");
    }
    let policy = fs::read_to_string(example("kubernetes/networkpolicy.yaml")).unwrap();
    assert!(!policy.contains("port: 9000"), "other pods reach the provider");
}

#[test]
fn units_of_systemd_have_sections_and_settings() {
    for (name, sections) in [
        ("exhook-policy.service", ["Unit", "Service", "Install"]),
        ("exhook-policy.socket", ["Unit", "Socket", "Install"]),
    ] {
        let text = fs::read_to_string(example("systemd").join(name)).unwrap();
        let mut found = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                found.push(section);
            } else {
                let (key, _) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
                assert!(key.chars().all(|c| c.is_ascii_alphanumeric()) && !found.is_empty(), "{name}: {line}");
            }
        }
        assert_eq!(found, sections, "{name}");
    }
    let service = fs::read_to_string(example("systemd/exhook-policy.service")).unwrap();
    for setting in
        ["Type=notify", "Requires=exhook-policy.socket", "StateDirectory=exhook-policy", "NoNewPrivileges=yes"]
    {
        assert!(service.lines().any(|line| line == setting), "{setting}");
    }
    let policy = fs::read_to_string(example("systemd/rules.yaml")).unwrap();
    assert!(policy.contains("database: /var/lib/exhook-policy/"), "the service writes only to its state directory");
}
