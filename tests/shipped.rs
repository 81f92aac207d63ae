//! The policies that are shipped: they pass `check`, and decide as their comments say.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use exhook_policy::decision::Verdict;
use exhook_policy::event::{Action, Client, Peerhost};
use exhook_policy::password::StoredHash;
use exhook_policy::policy::lists::{List, Lists};
use exhook_policy::policy::{self, Login, Policy};

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

fn check(policy: &Path, more: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_exhook-policy")).arg("check").args(more).arg(policy).output().unwrap()
}

#[test]
fn every_shipped_policy_passes_check() {
    for policy in shipped() {
        let output = check(&policy, &[]);
        assert!(output.status.success(), "{}: {output:?}", policy.display());
    }
}

#[test]
fn the_default_policy_and_the_gateways_have_no_warnings_and_the_others_those_that_their_readmes_tell() {
    let warned_of = ["audit-rollout", "python-extension", "public-broker"];
    for policy in shipped() {
        let output = check(&policy, &["--deny-warnings"]);
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

/// A client as a test names it: clientid, username, peerhost, port.
type Named = (&'static str, &'static str, &'static str, u16);

/// Asks a shipped policy, with these lists in the place of its sources, and compares `verdict rule` (or, of
/// a login, `password rule` where the password is to decide).
#[track_caller]
fn decides(name: &str, lists: &[(&str, &[&str])], cases: &[(Named, &str, &str)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let model = policy::load(&path).unwrap_or_else(|report| panic!("{report}")).model;
    let contents = model.lists.iter().map(|def| {
        let entries = lists.iter().find(|(name, _)| *name == def.name).map_or(&[][..], |(_, entries)| entries);
        Some(Arc::new(List::build(def.uses(), entries.iter().copied().enumerate()).unwrap()))
    });
    let lists = Lists::new(contents.collect());
    let ids: Vec<String> = model.auth.iter().flat_map(|auth| auth.rules.iter().map(|rule| rule.id.clone())).collect();
    let policy = Policy::compile(model);
    for &((clientid, username, peerhost, sockport), asked, expected) in cases {
        let client = Client {
            clientid,
            username,
            peerhost: Peerhost::parse(peerhost),
            sockport,
            protocol: "mqtt",
            mountpoint: "",
            node: "emqx@127.0.0.1",
            is_superuser: false,
            anonymous: false,
        };
        let decision = match asked.split_once(' ') {
            None => match policy.authenticate(&client, &lists) {
                Login::Decided(decision) => decision,
                Login::Password { rule, .. } => {
                    assert_eq!(format!("password {}", ids[rule]), expected, "{name}: {clientid} {username}");
                    continue;
                }
            },
            Some((action, topic)) => {
                let action = if action == "publish" { Action::Publish } else { Action::Subscribe };
                policy.check_acl(&client, action, topic, &lists)
            }
        };
        let verdict = match decision.verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Ignore => "ignore",
        };
        assert_eq!(format!("{verdict} {}", decision.rule), expected, "{name}: {clientid} {username}: {asked}");
    }
}

#[test]
fn the_default_policy_decides_as_it_says() {
    let device = ("dev-0001", "dev-0001", "10.0.0.1", 1883);
    let person = ("alice-laptop", "alice", "10.0.0.1", 1883);
    decides(
        "rules/rules.yaml",
        &[("people", &["alice"]), ("retired", &["dev-0007"])],
        &[
            (device, "login", "password devices"),
            (device, "publish t/dev-0001/temperature", "allow own-topics"),
            (device, "publish t/dev-0002/temperature", "deny default"),
            (device, "subscribe c/dev-0001/#", "allow own-topics"),
            (device, "subscribe c/+/reboot", "deny default"),
            (device, "subscribe p/#", "allow notices"),
            (device, "publish p/news", "deny default"),
            (device, "publish s/x", "deny servers-only"),
            (("dev-0002", "dev-0001", "10.0.0.1", 1883), "login", "deny default"),
            (("dev-0002", "dev-0001", "10.0.0.1", 1883), "publish t/dev-0002/x", "deny default"),
            (("dev-0007", "dev-0007", "10.0.0.1", 1883), "login", "deny retired"),
            (person, "login", "password people"),
            (person, "subscribe t/+/temperature", "allow people-read"),
            (person, "subscribe #", "deny servers-only"),
            (person, "subscribe $SYS/#", "deny default"),
            (person, "publish c/dev-0001/reboot", "allow people-write"),
            (("stranger", "", "10.0.0.1", 1883), "login", "deny default"),
            (("", "", "10.0.0.1", 1883), "login", "deny default"),
        ],
    );
}

#[test]
fn the_hook_script_as_a_policy_decides_as_the_script_does() {
    let named = ("c1", "u1", "10.0.0.1", 1883);
    let nameless = ("c1", "", "10.0.0.1", 1883);
    decides(
        "examples/python-extension/rules.yaml",
        &[],
        &[
            (named, "login", "allow default"),
            (named, "publish a/b", "allow default"),
            (named, "subscribe #", "allow default"),
            (("", "u1", "10.0.0.1", 1883), "login", "deny no-clientid"),
            (nameless, "login", "allow default"),
            (nameless, "publish a/b", "deny no-username"),
            (nameless, "subscribe +/b", "deny no-username"),
            (nameless, "subscribe $SYS/brokers", "deny no-username"),
            (nameless, "subscribe $SYS/#", "deny no-username"),
        ],
    );
}

#[test]
fn the_public_broker_decides_as_it_says() {
    let anyone = ("sensor-1", "", "198.51.100.7", 1883);
    decides(
        "examples/public-broker/rules.yaml",
        &[("abusers", &["203.0.113.0/24"])],
        &[
            (anyone, "login", "allow open"),
            (anyone, "publish client/sensor-1/temperature", "allow own-topics"),
            (anyone, "publish client/sensor-2/temperature", "deny default"),
            (anyone, "subscribe client/sensor-1/#", "allow own-topics"),
            (anyone, "subscribe client/+/public/#", "allow public"),
            (anyone, "subscribe client/sensor-2/public/news", "allow public"),
            (anyone, "subscribe client/+/private", "deny default"),
            (anyone, "subscribe #", "deny default"),
            (("sensor-1", "", "203.0.113.9", 1883), "login", "deny abusers"),
            (("+", "", "198.51.100.7", 1883), "login", "deny default"),
            (("+", "", "198.51.100.7", 1883), "subscribe client/+/x", "deny default"),
        ],
    );
}

#[test]
fn the_gateway_fleet_decides_as_it_says() {
    let gateway = ("gw-01", "gw-01", "10.20.3.4", 8883);
    let service = ("reader-a", "svc-reader", "::1", 1883);
    decides(
        "examples/gateway-fleet/rules.yaml",
        &[("plants", &["10.20.0.0/16"])],
        &[
            (gateway, "login", "password gateway"),
            (gateway, "publish gw/gw-01/pump-7/up/pressure", "allow own-devices"),
            (gateway, "publish gw/gw-01/state", "allow own-state"),
            (gateway, "publish gw/gw-02/pump-7/up/pressure", "deny default"),
            (gateway, "subscribe gw/gw-01/+/down/#", "allow own-devices"),
            (gateway, "subscribe gw/+/+/down/#", "deny default"),
            (("gw-01", "gw-01", "10.20.3.4", 1883), "login", "deny default"),
            (("gw-01", "gw-01", "198.51.100.7", 8883), "login", "deny default"),
            (service, "login", "password service"),
            (service, "subscribe gw/+/+/up/#", "allow services"),
            (service, "subscribe gw/gw-01/state", "allow services"),
            (service, "subscribe gw/#", "deny default"),
            (("reader-a", "svc-reader", "10.20.3.4", 1883), "login", "deny default"),
        ],
    );
}

#[test]
fn the_policy_on_trial_decides_as_it_says() {
    let known = ("dev-0001", "", "10.0.0.1", 1883);
    decides(
        "examples/audit-rollout/rules.yaml",
        &[("fleet", &["dev-0001"])],
        &[
            (known, "login", "allow known"),
            (known, "publish dev/dev-0001/up", "allow own-topics"),
            (known, "publish dev/dev-0002/up", "deny default"),
            (("dev-0003", "", "10.0.0.1", 1883), "login", "deny default"),
        ],
    );
}
