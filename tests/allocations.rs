//! A call is read, decided and answered without a single allocation, however many come.
//!
//! The loop runs here, in the test's process, on a thread whose allocations are counted. The calls come in batches that a pipe
//! takes whole, each after the one before was answered, so that the number of rounds is the same each time.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by a panic"
)]

#[expect(dead_code, reason = "benchmarks tell of connections too")]
#[path = "../benches/common/frames.rs"]
mod frames;

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use allocation_counter::measure;
use exhook_policy_core::decision::{Decision, Verdict};
use exhook_policy_core::event::Extra;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::handler::{Load, Refused};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::{self, Found, Policy};
use exhook_policy_runtime::engine::{Engine, Setup};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::port::driver;
use exhook_policy_runtime::port::frame::Packet;
use exhook_policy_runtime::port::pipes::Pipes;
use exhook_policy_runtime::process::Recorder;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tempfile::TempDir;

use frames::Client;

/// What a pipe takes in one piece.
const PIECE: usize = 4096;

const POLICY: &str = r#"version: 1
log: []
lists:
  retired: { file: retired.txt }
  sites: [10.0.0.0/8, "2001:db8::/32"]
clients:
  devices: { username: "${clientid}", peerhost: { in: sites } }
auth:
  rules:
    - { id: retired, deny: { clientid: { in: retired } } }
    - { id: odd, deny: { clientid: { regex: ".*-odd-[0-9]+" } } }
    - { id: devices, allow: devices }
acl:
  rules:
    - { id: secret, deny: everyone, topics: ["ops/secret/#"] }
    - { id: own, allow: devices, publish: ["t/${clientid}/#"], subscribe: ["c/${clientid}/#"] }
    - { id: all-sites, allow: devices, topics: ["site/+/state", "site/1/#"] }
    - { id: logs, allow: devices, topics: [{ glob: "site/*/*-log/**" }] }
    - { id: own-logs, allow: devices, publish: [{ glob: "log/${clientid}/*.txt" }, { regex: "log/${clientid}/[0-9]+" }] }
    - { id: alarms, allow: devices, topics: [{ regex: "site/[0-9]+/alarm-[a-z]+" }] }
"#;

/// Counts the allocations of the loop while it answers the calls, `times` over.
fn allocations(folder: &Path, calls: &[Vec<u8>], times: usize) -> u64 {
    let (input, to_driver) = pipe().unwrap();
    let (from_driver, output) = pipe().unwrap();
    let (input, output) = (OwnedFd::from(input), OwnedFd::from(output));
    fcntl_setfl(&output, fcntl_getfl(&output).unwrap() | OFlags::NONBLOCK).unwrap();
    let log = Log::to(io::sink());
    let (file, log_of_engine) = (folder.join("rules.yaml"), log.clone());
    let load: Load<Engine> = Arc::new(move |_, sink| {
        let recorder = Recorder::of_this_process("python3");
        Engine::load(Setup::new(&file, recorder, sink, log_of_engine.clone())).map_err(Refused::from)
    });
    thread::scope(|scope| {
        let broker = scope.spawn(move || ask(to_driver, from_driver, calls, times));
        let counted = measure(|| driver::run(Pipes { input, output }, Packet::Four, load, &log).unwrap());
        broker.join().unwrap();
        counted.count_total
    })
}

/// The broker's end.
fn ask(mut to: PipeWriter, mut from: PipeReader, calls: &[Vec<u8>], times: usize) {
    let mut init = Vec::new();
    frames::init(&mut init);
    to.write_all(&init).unwrap();
    await_replies(&mut from, 1);
    for _ in 0..times {
        let mut rest = calls;
        while !rest.is_empty() {
            let mut length = 0;
            let count = rest
                .iter()
                .take_while(|call| {
                    length += call.len();
                    length <= PIECE
                })
                .count();
            to.write_all(&rest[..count].concat()).unwrap();
            await_replies(&mut from, count);
            rest = &rest[count..];
        }
    }
}

fn await_replies(from: &mut PipeReader, count: usize) {
    for _ in 0..count {
        let mut length = [0; 4];
        from.read_exact(&mut length).unwrap();
        from.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize]).unwrap();
    }
}

fn policy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yaml"), POLICY).unwrap();
    fs::write(folder.path().join("retired.txt"), "device-0000000003\ndevice-0000000005\n").unwrap();
    folder
}

/// Fails with all kinds of call that allocate, and how often.
#[track_caller]
fn check(kinds: &[(&str, Vec<Vec<u8>>)]) {
    let folder = policy();
    let allocating = kinds.iter().filter_map(|(what, calls)| {
        // What is made once in a process is made here.
        allocations(folder.path(), calls, 1);
        let (once, often) = (allocations(folder.path(), calls, 1), allocations(folder.path(), calls, 10));
        let more = 9 * calls.len();
        (once != often).then(|| format!("{what}: {more} more calls took {often} allocations instead of {once}"))
    });
    assert_eq!(allocating.collect::<Vec<_>>(), [""; 0]);
}

/// Calls of a fleet's clients, some of them of those that are refused.
fn of_clients(call: impl Fn(&mut Vec<u8>, u32, &Client)) -> Vec<Vec<u8>> {
    let write = |n| {
        let mut out = Vec::new();
        call(&mut out, n, &Client::number(n as usize));
        out
    };
    (1..=100).map(write).collect()
}

fn about(action: &str, topic: impl Fn(&Client) -> String) -> Vec<Vec<u8>> {
    of_clients(|out, id, client| frames::check_acl(out, id, client, action, &topic(client)))
}

#[test]
fn a_login_allocates_nothing() {
    check(&[("authenticate", of_clients(|out, id, client| frames::authenticate(out, id, client, "s3cret")))]);
}

#[test]
fn a_publish_allocates_nothing() {
    check(&[
        ("to a topic of its own", about("publish", |client| format!("t/{}/up/temperature", client.clientid))),
        ("to another's", about("publish", |client| format!("t/{}x/up", client.clientid))),
        ("by a filter", about("publish", |_| "site/7/state".to_owned())),
        ("by a glob", about("publish", |_| "site/7/boiler-log/2026/a".to_owned())),
        ("by a regex", about("publish", |_| "site/7/alarm-fire".to_owned())),
        ("by a glob with its name", about("publish", |client| format!("log/{}/a.txt", client.clientid))),
        ("by a regex with its name", about("publish", |client| format!("log/{}/17", client.clientid))),
        ("to many levels", about("publish", |_| ["level"; 40].join("/"))),
    ]);
}

#[test]
fn a_subscription_allocates_nothing() {
    check(&[
        ("to one topic", about("subscribe", |client| format!("c/{}/reboot", client.clientid))),
        ("to all of its own", about("subscribe", |client| format!("c/{}/#", client.clientid))),
        ("across levels", about("subscribe", |_| "site/+/state".to_owned())),
        ("to everything", about("subscribe", |_| "#".to_owned())),
    ]);
}

/// Of what only some brokers tell, and a transport may or may not.
#[test]
fn a_decision_by_the_certificate_allocates_nothing() {
    let policy = r#"version: 1
auth:
  rules:
    - { id: old, deny: { dn: { glob: "*,OU=old" } } }
    - { id: odd, deny: { cluster: { not: [emqxcl, north] }, peerport: { not: [1, 2] } } }
    - { id: devices, allow: { cn: "${clientid}" } }
"#;
    let policy = Policy::compile(policy::parse(policy, "rules.yaml", Path::new("")).unwrap().model);
    let told = Extra {
        cluster: Some("north"),
        peerport: Some(5000),
        cn: Some("dev-1"),
        dn: Some("CN=dev-1,OU=new"),
        ..Extra::NONE
    };
    for (extra, verdict, rule) in [
        (told, Verdict::Allow, "devices"),
        (Extra { cn: Some(""), ..told }, Verdict::Deny, "default"),
        (Extra { dn: Some("CN=dev-1,OU=old"), ..told }, Verdict::Deny, "old"),
        (Extra { cluster: Some("south"), ..told }, Verdict::Deny, "odd"),
        (Extra { peerport: None, cluster: Some("south"), ..told }, Verdict::Deny, "error"),
        (Extra::NONE, Verdict::Deny, "error"),
    ] {
        let known = OwnedClient { extra: extra.into(), ..OwnedClient::named("dev-1") };
        let (client, lists) = (known.as_client(), Lists::default());
        let decide = || policy.login(&client, &lists, |_| Found::Unknown);
        assert_eq!(decide(), Decision { verdict, rule });
        assert_eq!(measure(|| _ = decide()).count_total, 0, "{extra:?}");
    }
}

#[test]
fn a_decision_by_the_time_allocates_nothing() {
    let policy = r#"version: 1
auth:
  rules:
    - { id: over, deny: everyone, when: { until: 2026-11-30 } }
    - { id: night, deny: everyone, when: { days: [mon-fri], hours: ["22:00-06:00", "12:00-13:00"], zone: America/New_York } }
    - { id: day, allow: everyone, when: [{ days: sun, zone: Asia/Tokyo }, { hours: "08:00-18:00", zone: Europe/Berlin }] }
"#;
    let policy = Policy::compile(policy::parse(policy, "rules.yaml", Path::new("")).unwrap().model);
    // A Tuesday at ten in Berlin, which is four in the night in New York, the Saturday before, the Sunday after, and its evening.
    for (at, verdict, rule) in [
        (Some(1_796_115_600_000), Verdict::Deny, "night"),
        (Some(1_796_115_600_000 - 3 * 86_400_000), Verdict::Deny, "over"),
        (Some(1_796_115_600_000 + 5 * 86_400_000), Verdict::Allow, "day"),
        (Some(1_796_115_600_000 + 5 * 86_400_000 + 43_200_000), Verdict::Deny, "default"),
        (None, Verdict::Deny, "error"),
    ] {
        let known = OwnedClient { extra: Extra { at, ..Extra::NONE }.into(), ..OwnedClient::named("dev-1") };
        let (client, lists) = (known.as_client(), Lists::default());
        let decide = || policy.login(&client, &lists, |_| Found::Unknown);
        assert_eq!(decide(), Decision { verdict, rule });
        assert_eq!(measure(|| _ = decide()).count_total, 0, "{at:?}");
    }
}

#[test]
fn a_walk_over_automata_allocates_little() {
    const MOST: u64 = 8;
    let folder = policy();
    let calls = about("subscribe", |_| "site/7/boiler-log/#".to_owned());
    allocations(folder.path(), &calls, 1);
    let (once, often) = (allocations(folder.path(), &calls, 1), allocations(folder.path(), &calls, 10));
    let (more, calls) = (often - once, 9 * calls.len() as u64);
    assert!(more <= MOST * calls, "{calls} subscriptions to what a glob allows took {more} allocations");
}
