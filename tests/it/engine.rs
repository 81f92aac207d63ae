//! A policy at work: from events to answers, with passwords, lists and the history behind it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::decision::Answer;
use exhook_policy_core::event::{Action, Event, Password};
use exhook_policy_core::handler::Decider;
use exhook_policy_core::hook::Kind;
use exhook_policy_runtime::engine::{Engine, Setup};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::Recorder;
use exhook_policy_runtime::state::hash_of;

use crate::support::events::client;
use crate::support::history::Kept as _;
use crate::support::lines::Lines;
use crate::support::passwords::password_file;
use crate::support::wait::{PATIENCE, until};
use crate::support::{answers, program};

/// An engine with what it says later and what it logs.
struct Bench {
    engine: Engine,
    later: Receiver<(Token, Answer)>,
    log: Lines,
    lines: Log,
    folder: tempfile::TempDir,
}

impl Bench {
    /// Starts a policy, with these files beside it.
    fn new(policy: &str, files: &[(&str, &str)]) -> Self {
        let folder = program::folder(policy, files);
        let path = folder.path().join("rules.yaml");
        let log = Lines::default();
        let (engine, later, lines) = start(&path, &log);
        Bench { engine, later, log, lines, folder }
    }

    fn ask(&self, event: &Event<'_>) -> Answer {
        if let Some(answer) = self.engine.handle(event, 7) {
            return answer;
        }
        let (token, answer) = self.later.recv_timeout(PATIENCE).unwrap();
        assert_eq!(token, 7);
        answer
    }

    #[track_caller]
    fn login(&self, clientid: &str, username: &str, password: &str, expected: Answer) {
        let password = Password::new(password.as_bytes());
        let answer = self.ask(&Event::Authenticate { client: client(clientid, username, "10.0.0.1"), password });
        assert_eq!(answer, expected, "login of {clientid:?} as {username:?}");
    }

    #[track_caller]
    fn topic(&self, clientid: &str, action: Action, topic: &str, expected: Answer) {
        let answer = self.ask(&Event::CheckAcl { client: client(clientid, "user", "10.0.0.1"), action, topic });
        assert_eq!(answer, expected, "{action:?} {topic} by {clientid:?}");
    }

    fn logged(&self) -> String {
        self.lines.flush(Duration::from_secs(10));
        self.log.text()
    }

    /// What is in `denials`, once this many rows are.
    fn denials(&self, count: usize) -> Vec<String> {
        let database = self.folder.path().join("h.db");
        let sql = "SELECT action || ' ' || clientid || ' ' || coalesce(topic, '') || ' ' || rule || ' ' || mode \
                   FROM denials ORDER BY id";
        until(|| database.rows_so_far(sql).len() >= count);
        database.rows(sql)
    }
}

fn start(path: &Path, log: &Lines) -> (Engine, Receiver<(Token, Answer)>, Log) {
    let (sink, later) = answers::channel();
    let lines = Log::to(log.clone());
    (Engine::load(Setup::new(path, Recorder::of_this_process("python3"), sink, lines.clone())).unwrap(), later, lines)
}

/// The line of a user whose password is `s3cret`.
fn line_of(user: &str) -> String {
    password_file([user], b"s3cret")
}

const PASSWORDS: &str = "
version: 1
deadline: 30s
passwords:
  first: { file: first.passwd }
  second: { file: second.passwd }
auth:
  rules:
    - { id: one, allow: everyone, password: first }
    - { id: two, allow: { clientid: { glob: 'x*' } }, password: second }
    - { id: guest, allow: { clientid: guest } }
history: { database: h.db }
log: [decisions]
";

#[test]
fn a_password_rule_matches_only_where_its_source_knows_the_user() {
    let bench = Bench::new(PASSWORDS, &[("first.passwd", &line_of("ann")), ("second.passwd", &line_of("bob"))]);
    bench.login("c", "ann", "s3cret", Answer::Allow);
    bench.login("c", "ann", "wrong", Answer::Deny);
    bench.login("guest", "ann", "", Answer::Deny);
    bench.login("x1", "bob", "s3cret", Answer::Allow);
    bench.login("x1", "bob", "wrong", Answer::Deny);
    bench.login("c", "bob", "s3cret", Answer::Deny);
    bench.login("guest", "nobody", "wrong", Answer::Allow);
    bench.login("guest", "", "", Answer::Allow);
    let rows = bench.denials(4);
    assert_eq!(
        rows,
        [
            "connect c  one enforce",
            "connect guest  one enforce",
            "connect x1  two enforce",
            "connect c  default enforce",
        ]
    );
    let log = bench.logged();
    assert!(log.contains("allowed connect clientid=\"x1\" username=\"bob\" peerhost=10.0.0.1 rule=two"), "{log}");
    assert!(!log.contains("s3cret") && !log.contains("wrong"), "{log}");
}

/// The reasons that stand in `denials`, once as many rows are there; all are of the policy in
/// force.
#[track_caller]
fn reasons(bench: &Bench, expected: &[&str]) {
    bench.denials(expected.len());
    let database = bench.folder.path().join("h.db");
    let rows =
        database.rows("SELECT clientid || ' ' || username || ' ' || rule || ' ' || reason FROM denials ORDER BY id");
    assert_eq!(rows, expected);
    let text = std::fs::read(bench.folder.path().join("rules.yaml")).unwrap();
    let hash = hash_of(&text);
    assert_eq!(database.rows("SELECT DISTINCT policy FROM denials"), [&hash[..12]]);
    // So it can be told later by which text.
    let kept = bench.folder.path().join("state/policies").join(format!("{hash}.yaml"));
    until(|| kept.exists());
    assert_eq!(std::fs::read(&kept).unwrap(), text);
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn denials_say_why_and_by_which_policy() {
    let files = [("first.passwd", &*line_of("ann")), ("second.passwd", "eve:$9$nothing\n")];
    let bench = Bench::new(PASSWORDS, &files);
    bench.login("c", "ann", "wrong", Answer::Deny);
    bench.login("c", "ann", "", Answer::Deny);
    bench.login("c", "bob", "s3cret", Answer::Deny);
    bench.login("x1", "eve", "s3cret", Answer::Deny);
    reasons(
        &bench,
        &[
            "c ann one wrong-password",
            "c ann one no-password",
            "c bob default unknown-user",
            "x1 eve two unreadable-hash",
        ],
    );
}

#[test]
fn a_source_that_is_missing_is_the_reason() {
    let bench = Bench::new(PASSWORDS, &[("first.passwd", &line_of("ann"))]);
    bench.login("x1", "bob", "s3cret", Answer::Deny);
    reasons(&bench, &["x1 bob error source-unreadable"]);
}

#[test]
fn rules_lists_and_limits_are_reasons() {
    let policy = "
version: 1
lists: { gone: { file: gone.txt } }
auth:
  flapping: { by: clientid, logins: 2, within: 60s, ban: 15m }
  rules:
    - { id: banned, deny: { clientid: mallory } }
    - { id: listed, deny: { clientid: l, username: { in: gone } } }
    - { id: ours, allow: { clientid: dev } }
    - { id: strict, mode: audit, deny: { clientid: other } }
acl: { rules: [{ id: secret, deny: everyone, topics: [secret] }] }
history: { database: h.db }
";
    let bench = Bench::new(policy, &[]);
    bench.login("mallory", "u", "", Answer::Deny);
    bench.login("l", "u", "", Answer::Deny);
    bench.login("nobody", "u", "", Answer::Deny);
    bench.login("dev", "u", "", Answer::Allow);
    bench.login("dev", "u", "", Answer::Allow);
    bench.login("dev", "u", "", Answer::Deny);
    bench.topic("dev", Action::Publish, "secret", Answer::Deny);
    bench.topic("dev", Action::Publish, "other", Answer::Deny);
    bench.topic("dev", Action::Publish, "a/#", Answer::Deny);
    reasons(
        &bench,
        &[
            "mallory u banned rule",
            "l u error list-unreadable",
            "nobody u default default",
            "dev u flapping flapping",
            "dev user secret rule",
            "dev user default default",
            "dev user invalid-topic invalid-topic",
        ],
    );
}

#[test]
fn a_connection_names_the_rule_that_let_it_in() {
    let bench = Bench::new(PASSWORDS, &[("first.passwd", &line_of("ann")), ("second.passwd", "")]);
    let connect = |clientid: &str, username: &str| {
        assert_eq!(bench.ask(&Event::Connected(client(clientid, username, "10.0.0.1"))), Answer::NoOpinion);
    };
    bench.login("c", "ann", "s3cret", Answer::Allow);
    connect("c", "ann");
    bench.login("guest", "", "", Answer::Allow);
    connect("guest", "");
    connect("unasked", "");
    let database = bench.folder.path().join("h.db");
    let rows = database.rows("SELECT clientid || ' ' || rule FROM online ORDER BY id");
    assert_eq!(rows, ["c one", "guest guest", "unasked "]);
}

#[test]
fn a_hash_that_cannot_be_read_denies_by_its_rule_and_a_source_by_none() {
    let bench = Bench::new(PASSWORDS, &[("first.passwd", "ann:$9$nothing\n")]);
    bench.login("guest", "ann", "s3cret", Answer::Deny);
    bench.login("x1", "bob", "s3cret", Answer::Deny);
    assert_eq!(bench.denials(2), ["connect guest  one enforce", "connect x1  error enforce"]);
}

const LISTS: &str = "
version: 1
mode: MODE
lists: { fleet: { file: fleet.txt } }
auth:
  rules:
    - { id: not-fleet, deny: { clientid: { not: { in: fleet } } } }
    - { id: rest, allow: everyone }
acl:
  rules:
    - { id: fleet, allow: { clientid: { in: fleet } }, topics: ['a/#'] }
    - { id: open, allow: everyone, publish: [b] }
history: { database: h.db }
";

#[test]
fn a_list_that_cannot_be_read_denies_what_needs_it_and_nothing_else() {
    let bench = Bench::new(&LISTS.replace("MODE", "enforce"), &[]);
    bench.login("dev", "u", "", Answer::Deny);
    bench.topic("dev", Action::Publish, "a/b", Answer::Deny);
    bench.topic("dev", Action::Publish, "b", Answer::Allow);
    bench.topic("dev", Action::Publish, "b/#", Answer::Deny);
    assert_eq!(
        bench.denials(3),
        ["connect dev  error enforce", "publish dev a/b error enforce", "publish dev b/# invalid-topic enforce"]
    );
    let readable = Bench::new(&LISTS.replace("MODE", "enforce"), &[("fleet.txt", "dev\n")]);
    readable.login("dev", "u", "", Answer::Allow);
    readable.login("other", "u", "", Answer::Deny);
    readable.topic("dev", Action::Subscribe, "a/+", Answer::Allow);
    readable.topic("dev", Action::Subscribe, "#", Answer::Deny);
}

const TIMES: &str = "
version: 1
deadline: 30s
passwords: { first: { file: first.passwd }, second: { file: second.passwd } }
auth:
  rules:
    - { id: over, allow: everyone, password: first, when: { until: 2020-01-01 } }
    - { id: now, allow: everyone, password: first, when: { from: 2020-01-01 } }
    - { id: then, allow: everyone, password: second, when: { from: 2020-01-01, until: 2220-01-01 } }
acl:
  rules:
    - { id: to-come, deny: everyone, topics: ['a/#'], when: { from: 2220-01-01 } }
    - { id: open, allow: everyone, topics: ['a/#'], when: [{ days: mon-wed, zone: Asia/Tokyo }, { days: thu-sun, zone: Asia/Tokyo }] }
capture: { file: events.jsonl }
";

#[test]
fn a_rule_matches_when_it_says_and_a_login_that_waits_is_asked_of_the_moment_at_which_it_came() {
    let (first, second) = (line_of("ann"), line_of("bob"));
    let bench = Bench::new(TIMES, &[("first.passwd", &first), ("second.passwd", &second)]);
    bench.login("c", "ann", "s3cret", Answer::Allow);
    bench.login("c", "ann", "wrong", Answer::Deny);
    bench.login("c", "bob", "s3cret", Answer::Allow);
    bench.login("c", "carl", "s3cret", Answer::Deny);
    bench.topic("c", Action::Publish, "a/b", Answer::Allow);
    bench.topic("c", Action::Subscribe, "b", Answer::Deny);
    bench.engine.finish();
    let captured = std::fs::read_to_string(bench.folder.path().join("events.jsonl")).unwrap();
    let rules: Vec<&str> =
        captured.lines().map(|line| line.split("\"rule\":\"").nth(1).unwrap().split('"').next().unwrap()).collect();
    assert_eq!(rules, ["now", "now", "then", "default", "open", "default"], "{captured}");
}

#[test]
fn in_audit_mode_everything_is_recorded_and_nothing_answered() {
    let bench = Bench::new(&LISTS.replace("MODE", "audit"), &[]);
    bench.login("dev", "u", "", Answer::NoOpinion);
    bench.topic("dev", Action::Publish, "b", Answer::NoOpinion);
    bench.topic("dev", Action::Subscribe, "$share//x", Answer::NoOpinion);
    assert_eq!(bench.engine.error_answer(Kind::Asks), Answer::NoOpinion);
    assert_eq!(bench.denials(2), ["connect dev  error audit", "subscribe dev $share//x invalid-topic audit"]);
    assert!(bench.logged().contains("would deny subscribe"), "{}", bench.logged());
}

const TRIED: &str = "
version: 1
deadline: 30s
passwords: { first: { file: first.passwd }, second: { file: second.passwd } }
auth:
  rules:
    - { id: first, allow: everyone, password: first }
    - { id: old, deny: { clientid: { glob: 'old-*' } }, mode: audit }
    - { id: second, allow: everyone, password: second }
    - { id: guests, allow: { username: '' }, mode: audit }
acl:
  rules:
    - { id: secret, deny: everyone, topics: ['a/secret/#'], mode: audit }
    - { id: open, allow: everyone, topics: ['a/#'] }
    - { id: more, allow: everyone, topics: ['b/#'], mode: audit }
    - { id: closed, deny: everyone, topics: ['c'], mode: audit }
history: { database: h.db }
log: [decisions]
";

#[test]
fn a_rule_in_audit_mode_is_recorded_where_it_would_decide_otherwise_and_answers_nothing() {
    let (first, second) = (line_of("ann"), line_of("bob"));
    let bench = Bench::new(TRIED, &[("first.passwd", &first), ("second.passwd", &second)]);
    // Whom an earlier rule decides about does not come to it, and where a later one refuses as well nothing would change.
    bench.login("old-1", "ann", "s3cret", Answer::Allow);
    bench.login("old-1", "bob", "s3cret", Answer::Allow);
    bench.login("old-1", "bob", "wrong", Answer::Deny);
    bench.login("new", "bob", "s3cret", Answer::Allow);
    bench.login("new", "", "", Answer::Deny);
    bench.topic("c", Action::Publish, "a/secret/x", Answer::Allow);
    bench.topic("c", Action::Subscribe, "a/b/+", Answer::Allow);
    bench.topic("c", Action::Subscribe, "a/#", Answer::Allow);
    bench.topic("c", Action::Publish, "b/x", Answer::Deny);
    bench.topic("c", Action::Publish, "c", Answer::Deny);
    assert_eq!(
        bench.denials(7),
        [
            "connect old-1  old audit",
            "connect old-1  second enforce",
            "connect new  default enforce",
            "publish c a/secret/x secret audit",
            "subscribe c a/# secret audit",
            "publish c b/x default enforce",
            "publish c c default enforce",
        ]
    );
    let log = bench.logged();
    let would: Vec<&str> = log.lines().filter_map(|line| line.split_once("would ")).map(|(_, rest)| rest).collect();
    assert_eq!(
        would,
        [
            "deny connect clientid=\"old-1\" username=\"bob\" peerhost=10.0.0.1 rule=old",
            "allow connect clientid=\"new\" username=\"\" peerhost=10.0.0.1 rule=guests",
            "deny publish clientid=\"c\" username=\"user\" peerhost=10.0.0.1 topic=\"a/secret/x\" rule=secret",
            "deny subscribe clientid=\"c\" username=\"user\" peerhost=10.0.0.1 topic=\"a/#\" rule=secret",
            "allow publish clientid=\"c\" username=\"user\" peerhost=10.0.0.1 topic=\"b/x\" rule=more",
        ]
    );
}

#[test]
fn what_a_policy_leaves_out_it_does_not_answer() {
    let bench = Bench::new("version: 1\nacl: {}\n", &[]);
    bench.login("dev", "u", "", Answer::NoOpinion);
    bench.topic("dev", Action::Publish, "a", Answer::Deny);
    assert_eq!(bench.ask(&Event::Connected(client("dev", "u", "10.0.0.1"))), Answer::NoOpinion);
}

#[test]
fn events_of_a_connection_are_answered_once_they_are_in_the_database() {
    let bench = Bench::new("version: 1\nhistory: { database: h.db }\nlog: [connections]\n", &[]);
    assert_eq!(bench.engine.handle(&Event::Connected(client("dev", "u", "10.0.0.1")), 7), None);
    bench.later.recv_timeout(PATIENCE).unwrap();
    let db = rusqlite::Connection::open(bench.folder.path().join("h.db")).unwrap();
    let online: String = db.query_row("SELECT clientid FROM online", [], |row| row.get(0)).unwrap();
    assert_eq!(online, "dev");
    let log = bench.logged();
    assert!(log.contains("client_connected clientid=\"dev\" username=\"u\" peerhost=10.0.0.1"), "{log}");
}

#[test]
fn a_policy_that_is_wrong_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    std::fs::write(&path, "version: 1\nauht: {}\n").unwrap();
    let sink: Sink = Arc::new(|_| {});
    let report = Engine::load(Setup::new(&path, Recorder::of_this_process("python3"), sink, Log::to(std::io::sink())))
        .map(|_| ())
        .unwrap_err();
    assert!(report.contains("auht") && report.contains("did you mean `auth`?"), "{report}");

    let fifo = folder.path().join("fifo.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let sink: Sink = Arc::new(|_| {});
    let report = Engine::load(Setup::new(&fifo, Recorder::of_this_process("python3"), sink, Log::to(std::io::sink())))
        .map(|_| ())
        .unwrap_err();
    assert_eq!(report, format!("{}: this is no regular file", fifo.display()));
}

/// The lines of the capture, each without its time, its client and the policy, which is the one
/// in force.
fn captured(bench: &Bench) -> Vec<String> {
    bench.engine.finish();
    let text = std::fs::read_to_string(bench.folder.path().join("data/events.jsonl")).unwrap();
    let hash = hash_of(&std::fs::read(bench.folder.path().join("rules.yaml")).unwrap());
    let shorten = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["at"].as_i64().unwrap() > 1_700_000_000_000);
        value["at"].take();
        value["client"] = value["client"]["clientid"].take();
        if let Some(decision) = value.get_mut("decision") {
            assert_eq!(decision.as_object_mut().unwrap().remove("policy").unwrap(), hash[..12]);
        }
        value.to_string().replace("\"at\":null,", "").replace('"', "")
    };
    text.lines().map(shorten).collect()
}

#[test]
fn what_comes_is_captured_with_what_was_decided() {
    let policy = "
version: 1
deadline: 30s
mode: audit
passwords: { people: { file: people.passwd } }
auth:
  rules:
    - { id: gateway, allow: { clientid: gw } }
    - { id: people, allow: everyone, password: people }
acl: { rules: [{ id: own, allow: everyone, publish: \"t/${clientid}\" }] }
log: [events]
capture: { file: data/events.jsonl }
";
    let bench = Bench::new(policy, &[("people.passwd", &line_of("alice"))]);
    bench.login("gw", "", "", Answer::NoOpinion);
    bench.login("c", "alice", "s3cret", Answer::NoOpinion);
    bench.login("c", "alice", "hunter-2", Answer::NoOpinion);
    bench.login("c", "bob", "", Answer::NoOpinion);
    bench.topic("c", Action::Publish, "t/c", Answer::NoOpinion);
    bench.topic("c", Action::Subscribe, "t/+/#/x", Answer::NoOpinion);
    bench.ask(&Event::Disconnected { client: client("c", "alice", "10.0.0.1"), reason: "normal" });
    let expected = [
        "{client:gw,decision:{rule:gateway,verdict:allow},hook:client.authenticate,password:none}",
        "{client:c,decision:{passwords:{people:right},rule:people,verdict:allow},hook:client.authenticate,password:given}",
        "{client:c,decision:{passwords:{people:wrong},reason:wrong-password,rule:people,verdict:deny},hook:client.authenticate,password:given}",
        "{client:c,decision:{passwords:{people:unknown},reason:unknown-user,rule:default,verdict:deny},hook:client.authenticate,password:none}",
        "{action:publish,client:c,decision:{rule:own,verdict:allow},hook:client.check_acl,topic:t/c}",
        "{action:subscribe,client:c,decision:{reason:invalid-topic,rule:invalid-topic,verdict:deny},hook:client.check_acl,topic:t/+/#/x}",
        "{client:c,hook:client.disconnected,reason:normal}",
    ];
    assert_eq!(captured(&bench), expected);
}

#[test]
fn a_capture_adds_no_hook_and_takes_only_what_is_asked_for() {
    let policy = "
version: 1
auth: { default: allow }
log: [connections]
capture: { file: data/events.jsonl, events: logins }
";
    let bench = Bench::new(policy, &[]);
    let names: Vec<&str> = bench.engine.hooks().iter().map(|hook| hook.name()).collect();
    assert_eq!(names, ["client_connected", "client_disconnected", "client_authenticate"]);
    bench.login("c", "", "", Answer::Allow);
    bench.ask(&Event::Connected(client("c", "", "10.0.0.1")));
    let expected = ["{client:c,decision:{rule:default,verdict:allow},hook:client.authenticate,password:none}"];
    assert_eq!(captured(&bench), expected);
}

#[test]
fn what_everyone_can_write_is_logged_when_the_policy_is_loaded() {
    let policy = "version: 1\nlists: { fleet: { file: fleet.txt } }\n\
                  auth: { rules: [{ allow: { clientid: { in: fleet } } }] }\n";
    let bench = Bench::new(policy, &[("fleet.txt", "dev-1\n")]);
    assert_eq!(bench.logged(), "");
    let path = bench.folder.path().join("rules.yaml");
    for (name, mode) in [("", 0o711), ("fleet.txt", 0o602)] {
        std::fs::set_permissions(bench.folder.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let (_engine, _later, lines) = start(&path, &bench.log);
    lines.flush(Duration::from_secs(10));
    let logged = bench.logged();
    assert!(logged.contains("warning[written-by-everyone]: "), "{logged}");
    assert!(logged.contains("fleet.txt: everyone on this machine can write to "), "{logged}");
    assert!(logged.contains("= help: chmod o-w "), "{logged}");
}
