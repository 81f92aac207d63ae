use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use exhook_policy_runtime::state::status::{HookMismatch, InForce, PolicyFault, Reloads, RunningProcess};

use super::*;

const HASH: &str = "0123456789abcdef";
/// 2026-05-01T12:00:00Z
const WRITTEN: i64 = 1_777_636_800_000;

fn status(role: &str) -> Status {
    Status {
        written_at: WRITTEN,
        process: RunningProcess {
            role: role.to_owned(),
            pid: 4711,
            started: 1,
            boot: "boot".to_owned(),
            since: WRITTEN - 60_000,
            version: "0.5.3".to_owned(),
            sqlite: "3.51.0".to_owned(),
        },
        file: "/etc/x/rules.yaml".into(),
        policy: Some(InForce {
            hash: HASH.to_owned(),
            since: WRITTEN - 60_000,
            mode: "enforce".to_owned(),
            is_last_good: false,
        }),
        fault: None,
        brokers: Vec::new(),
        rules: Vec::new(),
        silent_rules: 0,
        queues: BTreeMap::new(),
        left_out: BTreeMap::new(),
        reloads: Reloads { good: 0, bad: 0 },
    }
}

fn without_policy(role: &str) -> Status {
    let fault = PolicyFault { hash: None, at: WRITTEN - 30_000, text: "error[yaml-syntax]: x\n".to_owned() };
    Status { policy: None, fault: Some(fault), ..status(role) }
}

/// What is printed so many milliseconds after the status was written, without the lines that are
/// the same in all.
#[track_caller]
fn check(status: Status, is_alive: Option<bool>, later: i64, expected: &str) {
    let found = Found { status, is_alive };
    let mut out = Vec::new();
    human(&[Judged::of(&found, Some(HASH), WRITTEN + later)], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let text: String = text
        .split_inclusive('\n')
        .filter(|line| !["  file ", "  reloads ", "  waiting "].iter().any(|same| line.starts_with(same)))
        .map(|line| line.replace(", exhook-policy 0.5.3 (SQLite 3.51.0)", ""))
        .collect();
    assert_eq!(text, expected);
}

const IN_FORCE: &str = "  in force  0123456789ab, mode enforce, since 2026-05-01T11:59:00Z\n";
const LAST_HAD: &str =
    "  as of     2026-05-01T12:00:00Z\n  last had  0123456789ab, mode enforce, since 2026-05-01T11:59:00Z\n";

#[test]
fn a_process_that_runs_says_how_it_is() {
    let first = "driver 4711, since 2026-05-01T11:59:00Z\n";
    check(status("driver"), Some(true), 5_000, &format!("{first}{IN_FORCE}"));
    // Of another container, and heard of just now.
    check(status("driver"), None, 5_000, &format!("{first}{IN_FORCE}"));
    let fault =
        "  WRONG     the file as it stands is not in force, since 2026-05-01T11:59:30Z:\n    error[yaml-syntax]: x\n";
    let denied = "  WRONG     no policy is in force: every login and topic is denied, or left to the broker if the last policy was \
                  in audit mode\n";
    check(without_policy("driver"), Some(true), 5_000, &format!("{first}{denied}{fault}"));
    // It writes its status once, and does not hang.
    check(without_policy("driver"), Some(true), 500_000, &format!("{first}{denied}{fault}"));
    let denied = "  WRONG     no policy is in force: every login and topic is denied\n";
    check(
        without_policy("server"),
        Some(true),
        5_000,
        &format!("{}{denied}{fault}", first.replace("driver", "server")),
    );
}

#[test]
fn where_a_process_is_gone_the_broker_decides() {
    let first = "driver 4711 (gone), since 2026-05-01T11:59:00Z\n";
    let settings = "the broker decides by its own settings, until it starts a driver again\n";
    let gone = format!("{first}{LAST_HAD}  WRONG     the driver is gone, and did not end in order: {settings}");
    check(status("driver"), Some(false), 5_000, &gone);
    check(status("driver"), Some(false), 500_000, &gone);
    let server = gone
        .replace("driver 4711", "server 4711")
        .replace("the driver", "the server")
        .replace(settings, "brokers decide by their own settings, until the server is started again\n");
    check(status("server"), Some(false), 5_000, &server);
    // Its `init` was refused, and it ended as it should.
    let fault = "  WRONG     the file as it then stood was not in force, since 2026-05-01T11:59:30Z:\n    error[yaml-syntax]: x\n";
    check(
        without_policy("driver"),
        Some(false),
        5_000,
        &format!(
            "{first}  as of     2026-05-01T12:00:00Z\n  WRONG     the driver is gone, and had no policy in force: {settings}{fault}"
        ),
    );
}

/// What it said of the file, the copy and the brokers is of then.
#[test]
fn what_a_process_said_is_not_said_of_now() {
    let mut said = status("driver");
    said.policy.as_mut().unwrap().hash = "another".to_owned();
    said.brokers = vec![HookMismatch {
        broker: "the broker".to_owned(),
        missing: vec!["client.connected".to_owned()],
        mend: "a command".to_owned(),
        ..HookMismatch::default()
    }];
    let found = |status: &Status, is_alive| Found { status: status.clone(), is_alive };
    let wrong = |found: &Found, later| Judged::of(found, Some(HASH), WRITTEN + later).wrong;
    let problem = "the broker did not register client.connected, which the policy needs now, and does not call it until: a command";
    assert_eq!(wrong(&found(&said, Some(true)), 0), ["the file was changed, and is not in force yet", problem]);
    let gone = wrong(&found(&said, Some(false)), 0);
    assert_eq!(gone[1..], [format!("when it wrote its status: {problem}")]);
    said.brokers.clear();
    said.policy.as_mut().unwrap().is_last_good = true;
    assert_eq!(wrong(&found(&said, Some(true)), 0), ["the copy of the last good policy is in force"]);
    assert_eq!(wrong(&found(&said, Some(false)), 0)[1..], ["the copy of the last good policy was in force"]);
}

#[test]
fn a_process_that_cannot_be_seen_or_hangs_is_not_said_to_be_gone() {
    let since = "since 2026-05-01T11:59:00Z\n";
    check(
        status("driver"),
        Some(true),
        95_000,
        &format!(
            "driver 4711 (does not write its status), {since}{LAST_HAD}  WRONG     the driver is there, but has not written its \
             status for 95 s: it hangs, or cannot write\n"
        ),
    );
    let if_gone = "if it is gone, brokers decide by their own settings, until the server is started again\n";
    check(
        status("server"),
        None,
        95_000,
        &format!(
            "server 4711 (not known to run), {since}{LAST_HAD}  WRONG     nothing was heard of the server for 95 s, and it cannot \
             be seen from here: {if_gone}"
        ),
    );
    check(
        status("server"),
        None,
        -95_000,
        &format!(
            "server 4711 (not known to run), {since}{LAST_HAD}  WRONG     the server cannot be seen from here, and its status is of \
             a time 95 s ahead of this clock: {if_gone}"
        ),
    );
    let found = Found { status: without_policy("server"), is_alive: None };
    let wrong = Judged::of(&found, None, WRITTEN + 95_000).wrong;
    assert_eq!(wrong[1], "it had no policy in force when it wrote its status");
}

#[test]
fn where_there_is_no_status_it_is_said_what_that_means() {
    let said = |others: &[Found], unreadable: &[String]| {
        let mut out = Vec::new();
        nothing(Path::new("state"), others, unreadable, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let none = "no driver or server of this policy runs with the state folder state\n  if none runs with another one (--state), \
                brokers decide by their own settings\n";
    assert_eq!(said(&[], &[]), none);
    let other = Found { status: status("driver"), is_alive: Some(true) };
    assert_eq!(said(&[other], &[]), format!("{none}  it has a status of /etc/x/rules.yaml\n"));
    // A version that writes it otherwise may run.
    assert_eq!(
        said(&[], &["status-1.json: x".to_owned()]),
        "whether a driver or server of this policy runs cannot be read in the state folder state\n"
    );
    assert_eq!(
        unseen(Path::new("state"), &io::ErrorKind::NotFound.into()),
        "there is no state folder state: no driver or server has been started with it, and if none runs with another one \
         (--state), brokers decide by their own settings"
    );
}

#[test]
fn a_policy_is_the_same_by_another_way_to_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    symlink(&folder, dir.path().join("link")).unwrap();
    let same = |one: &str, other: &str| is_same_policy(&dir.path().join(one), &dir.path().join(other));
    assert!(same("folder/rules.yaml", "link/rules.yaml"));
    assert!(same("folder/../folder/rules.yaml", "folder/rules.yaml"));
    assert!(!same("folder/rules.yaml", "link/other.yaml"));
    assert!(!same("folder/rules.yaml", "rules.yaml"));
    assert!(same("gone/rules.yaml", "gone/rules.yaml"));
}
