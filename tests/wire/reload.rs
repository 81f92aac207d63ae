//! A policy file that changes under a running engine.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::events::client;
use crate::support::lines::Lines;
use crate::support::program::{folder, program};
use crate::support::wait::until_or;
use exhook_policy_core::answer_sink::Token;
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::decision::Answer;
use exhook_policy_core::event::{Action, Event, Password};
use exhook_policy_core::handler::{BrokerRegistry, CallingBroker, Decider, RegisteredHooks};
use exhook_policy_core::hook::{Hook, HookSet};
use exhook_policy_runtime::engine::{Engine, Setup};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::Recorder;

const LONG: Duration = Duration::from_secs(60);

/// A policy by which whoever has this clientid may log in.
fn allows(clientid: &str) -> String {
    format!("version: 1\nauth: {{ rules: [{{ id: one, allow: {{ clientid: {clientid} }} }}] }}\n")
}

/// A folder with a policy, and an engine.
struct Bench {
    dir: tempfile::TempDir,
    engine: Engine,
    answers: Arc<Mutex<Vec<(Token, Answer)>>>,
    lines: Lines,
    log: Log,
}

impl Bench {
    fn new(policy: &str) -> Self {
        Bench::at(folder(policy, &[]), true)
    }

    /// `loads`: otherwise it denies until it does.
    fn at(dir: tempfile::TempDir, loads: bool) -> Self {
        let (answers, lines) = (Arc::<Mutex<Vec<_>>>::default(), Lines::default());
        let log = Log::to(lines.clone());
        let setup = setup(dir.path(), &answers, &log);
        let engine = if loads { Engine::load(setup).unwrap() } else { Engine::load_or_deny(setup) };
        Bench { dir, engine, answers, lines, log }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("rules.yaml")
    }

    /// As a careful writer does: beside it, and then in its place.
    fn replace(&self, policy: &str) {
        let aside = self.dir.path().join(".rules.yaml.new");
        fs::write(&aside, policy).unwrap();
        fs::rename(aside, self.file()).unwrap();
    }

    fn login(&self, clientid: &str) -> Answer {
        let event = Event::Authenticate { client: client(clientid, "u", "10.0.0.1"), password: Password::new(b"") };
        self.engine.handle(&event, 0).unwrap()
    }

    /// Waits until this client may log in.
    #[track_caller]
    fn await_login(&self, clientid: &str) {
        self.wait(|| self.login(clientid) == Answer::Allow, clientid);
    }

    #[track_caller]
    fn await_line(&self, text: &str) {
        self.wait(|| self.logged().contains(text), text);
    }

    #[track_caller]
    fn wait(&self, met: impl Fn() -> bool, what: &str) {
        until_or(met, || format!("{what}:\n{}", self.logged()));
    }

    fn logged(&self) -> String {
        self.log.flush(LONG);
        let lines = self.lines.text();
        // Whoever waits asks over and over.
        let told = lines.lines().filter(|line| !line.starts_with("exhook-policy: denied "));
        told.fold(String::new(), |text, line| text + line + "\n")
    }

    fn status(&self, args: &[&str]) -> Output {
        program().arg("status").arg("--policy").arg(self.file()).args(args).output().unwrap()
    }
}

fn setup(dir: &Path, answers: &Arc<Mutex<Vec<(Token, Answer)>>>, log: &Log) -> Setup {
    let answers = Arc::clone(answers);
    let sink = Arc::new(move |new: &[(Token, Answer)]| answers.lock().unwrap().extend_from_slice(new));
    Setup::new(&dir.join("rules.yaml"), Recorder::of_this_process("python3"), sink, log.clone())
}

#[test]
fn what_is_written_to_the_file_comes_into_force() {
    let bench = Bench::new(&allows("a"));
    assert_eq!((bench.login("a"), bench.login("b")), (Answer::Allow, Answer::Deny));
    // In place, as `cp` and some editors do.
    fs::write(bench.file(), allows("b")).unwrap();
    bench.await_login("b");
    assert_eq!(bench.login("a"), Answer::Deny);
    // In its place, as other editors and `sed -i` do.
    bench.replace(&allows("c"));
    bench.await_login("c");
    // Away for a while.
    fs::remove_file(bench.file()).unwrap();
    bench.await_line("NOT in force as it stands now");
    assert_eq!(bench.login("c"), Answer::Allow);
    fs::write(bench.file(), allows("d")).unwrap();
    bench.await_login("d");
}

#[test]
fn a_link_that_leads_elsewhere_is_seen() {
    // As Kubernetes mounts a ConfigMap: rules.yaml -> ..data/rules.yaml, ..data -> ..1, and ..data is renamed over.
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (version, clientid) in [("..1", "a"), ("..2", "b")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("rules.yaml"), allows(clientid)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/rules.yaml", at("rules.yaml")).unwrap();
    let bench = Bench::at(dir, true);
    assert_eq!(bench.login("a"), Answer::Allow);
    symlink("..2", bench.dir.path().join("..data_tmp")).unwrap();
    fs::rename(bench.dir.path().join("..data_tmp"), bench.dir.path().join("..data")).unwrap();
    fs::remove_dir_all(bench.dir.path().join("..1")).unwrap();
    bench.await_login("b");
    assert_eq!(bench.login("a"), Answer::Deny);
}

#[test]
fn an_invalid_file_leaves_in_force_what_was_and_says_so() {
    let bench = Bench::new(&allows("a"));
    bench.wait(|| bench.status(&[]).status.code() == Some(0), "a status that all is well");
    bench.replace("version: 1\nauth: { rules: [{ id: one, allow: { clientd: b } }] }\n");
    bench.await_line("NOT in force as it stands now");
    let logged = bench.logged();
    assert!(logged.contains("error[unknown-key]: unknown key `clientd`"), "{logged}");
    assert_eq!((bench.login("a"), bench.login("b")), (Answer::Allow, Answer::Deny));
    bench.wait(|| bench.status(&[]).status.code() == Some(1), "a status that something is wrong");
    let status = String::from_utf8(bench.status(&[]).stdout).unwrap();
    assert!(status.contains("WRONG     the file as it stands is not in force, since "), "{status}");
    assert!(status.contains("    error[unknown-key]: unknown key `clientd`"), "{status}");
    assert!(status.contains("reloads   0 in force, 1 refused"), "{status}");
    // As it was before: nothing is put in force, and nothing is wrong.
    bench.replace(&allows("a"));
    bench.await_line("is in force as it stands");
    bench.wait(|| bench.status(&[]).status.code() == Some(0), "a status that all is well again");
    assert!(!bench.logged().contains("in force anew"));
}

#[test]
fn the_status_counts_by_rule_over_reloads() {
    let bench = Bench::new(&allows("a"));
    for _ in 0..3 {
        bench.login("a");
    }
    bench.login("x");
    bench.replace(
        "version: 1\nauth: { rules: [{ id: zero, deny: { clientid: z } }, { id: one, allow: { clientid: b } }] }\n",
    );
    bench.await_login("b");
    let rule = |id: &str| -> Option<(u64, u64)> {
        let json: serde_json::Value = serde_json::from_slice(&bench.status(&["--format", "json"]).stdout).ok()?;
        let rules = json[0]["rules"].as_array()?;
        let rule = rules.iter().find(|rule| rule["rule"] == id)?;
        Some((rule["allow"].as_u64()?, rule["deny"].as_u64()?))
    };
    // Waiting for the login asked too.
    bench.wait(|| rule("one").is_some_and(|(allow, deny)| allow >= 4 && deny == 0), "the old count goes on");
    assert_eq!(rule("zero"), None, "it decided nothing");
    assert!(String::from_utf8(bench.status(&[]).stdout).unwrap().contains("silent    1 rules decided nothing yet"));
    assert!(rule("default").is_some_and(|(allow, deny)| allow == 0 && deny >= 1));
}

#[test]
fn a_policy_that_never_loaded_denies_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yaml"), "version: 1\nauth: {\n").unwrap();
    let bench = Bench::at(dir, false);
    assert!(!bench.engine.serves());
    assert_eq!(bench.login("a"), Answer::Deny);
    let event = Event::CheckAcl { client: client("a", "u", "10.0.0.1"), action: Action::Publish, topic: "t" };
    assert_eq!(bench.engine.handle(&event, 0), Some(Answer::Deny));
    assert_eq!(bench.engine.handle(&Event::Connected(client("a", "u", "10.0.0.1")), 0), Some(Answer::NoOpinion));
    bench.wait(|| bench.status(&[]).status.code() == Some(1), "a status that nothing is in force");
    bench.replace(&allows("a"));
    bench.await_login("a");
    assert!(bench.engine.serves());
}

#[test]
fn a_hook_that_the_broker_was_not_told_of_is_said_loudly() {
    let bench = Bench::new(&allows("a"));
    let told = |hooks: &[Hook]| RegisteredHooks {
        caller: CallingBroker {
            broker: BrokerId::Port,
            version: None,
            refused_if_ignored: HookSet::EMPTY,
            mend: "mend it".to_owned(),
        },
        hooks: hooks.iter().copied().collect(),
    };
    bench.engine.hooks_registered(told(&bench.engine.hooks()));
    bench.replace(&(allows("b") + "acl: { rules: [] }\nhistory: { database: h.db }\n"));
    bench.await_login("b");
    let missing = "NOT IN FORCE: the broker did not register client.connected, client.disconnected, client.check_acl, \
                   session.discarded, session.takeovered, which the policy needs now, and does not call it until: mend it";
    bench.await_line(missing);
    bench.wait(
        || {
            String::from_utf8(bench.status(&[]).stdout)
                .unwrap()
                .contains("the broker did not register client.connected")
        },
        "the status says so",
    );
    bench.engine.hooks_registered(told(&bench.engine.hooks()));
    bench.wait(|| bench.status(&[]).status.code() == Some(0), "a status that all is well");
}

#[test]
fn the_history_goes_on_where_the_new_policy_says() {
    let policy = |database: &str| format!("{}history: {{ database: {database} }}\n", allows(database));
    let bench = Bench::new(&policy("one.db"));
    let (done, next) = (AtomicBool::new(false), AtomicU64::new(1));
    // What is under way at any time: connections come through all of it, and the next does not wait for the last.
    let promised: Vec<Token> = thread::scope(|scope| {
        let recording = scope.spawn(|| {
            let mut promised = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let token = next.fetch_add(1, Ordering::Relaxed);
                if bench
                    .engine
                    .handle(&Event::Connected(client(&format!("c-{token}"), "u", "10.0.0.1")), token)
                    .is_none()
                {
                    promised.push(token);
                }
                thread::sleep(Duration::from_millis(1));
            }
            promised
        });
        let change = || {
            let mut phases = Vec::new();
            for (name, text) in [
                ("one.db", policy("one.db")),
                ("two.db", policy("two.db")),
                ("none", allows("none")),
                ("again", policy("two.db").replace("clientid: two.db", "clientid: again")),
                ("back", policy("one.db").replace("clientid: one.db", "clientid: back")),
            ] {
                bench.replace(&text);
                bench.await_login(name);
                let from = next.load(Ordering::Relaxed);
                thread::sleep(Duration::from_millis(300));
                phases.push((name, from..next.load(Ordering::Relaxed)));
            }
            phases
        };
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
        done.store(true, Ordering::Relaxed);
        let promised = recording.join().unwrap();
        let phases = changed.unwrap_or_else(|_| panic!("{}", bench.logged()));
        for (name, tokens) in phases {
            let any = promised.iter().any(|token| tokens.contains(token));
            assert_eq!(any, name != "none", "{name}: {tokens:?}\n{}", bench.logged());
        }
        promised
    });
    bench.engine.finish();
    let answered: HashSet<Token> = bench.answers.lock().unwrap().iter().map(|(token, _)| *token).collect();
    let unanswered: Vec<&Token> = promised.iter().filter(|token| !answered.contains(token)).collect();
    assert!(unanswered.is_empty(), "{unanswered:?}\n{}", bench.logged());
    let clients = |database: &str| -> HashSet<String> {
        let db = rusqlite::Connection::open(bench.dir.path().join(database)).unwrap();
        let mut query = db.prepare("SELECT clientid FROM connections").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let (one, two) = (clients("one.db"), clients("two.db"));
    let is_there = |token: &&Token| [&one, &two].iter().any(|clients| clients.contains(&format!("c-{token}")));
    let lost: Vec<&Token> = promised.iter().filter(|token| !is_there(token)).collect();
    assert!(lost.is_empty(), "{lost:?}\n{}", bench.logged());
    assert!(!one.is_empty() && !two.is_empty());
    let twice: Vec<&String> = one.intersection(&two).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn no_line_of_the_capture_is_missing_where_its_terms_change() {
    let policy = |name: &str, terms: &str| format!("{}capture: {{ file: events.jsonl, {terms} }}\n", allows(name));
    let bench = Bench::new(&policy("one", "max_size: 1GiB, max_files: 2"));
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                bench.login(&format!("n-{}", asked.fetch_add(1, Ordering::Relaxed)));
                thread::sleep(Duration::from_micros(50));
            }
        });
        let change = || {
            for (name, terms) in
                [("two", "max_size: 2GiB, max_files: 3"), ("three", "max_size: 2GiB, max_files: 2, events: [logins]")]
            {
                bench.replace(&policy(name, terms));
                bench.await_login(name);
            }
        };
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
        done.store(true, Ordering::Relaxed);
        changed.unwrap_or_else(|_| panic!("{}", bench.logged()));
    });
    bench.engine.finish();
    let text = fs::read_to_string(bench.dir.path().join("events.jsonl")).unwrap();
    let written: HashSet<&str> = text.split('"').filter(|piece| piece.starts_with("n-")).collect();
    let lost: Vec<u64> = (0..asked.load(Ordering::Relaxed)).filter(|n| !written.contains(&*format!("n-{n}"))).collect();
    assert!(lost.is_empty(), "{lost:?}\n{}", bench.logged());
}

#[test]
fn a_list_that_both_policies_have_stays_where_it_cannot_be_read_any_more() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("fleet.txt"), "a\n").unwrap();
    let policy = |extra: &str| {
        format!(
            "version: 1\nlists: {{ fleet: {{ file: fleet.txt }} }}\n\
             auth: {{ rules: [{{ id: one, allow: [{{ clientid: {{ in: fleet }} }}, {{ clientid: {extra} }}] }}] }}\n"
        )
    };
    fs::write(dir.path().join("rules.yaml"), policy("old")).unwrap();
    let bench = Bench::at(dir, true);
    assert_eq!(bench.login("a"), Answer::Allow);
    fs::remove_file(bench.dir.path().join("fleet.txt")).unwrap();
    bench.replace(&policy("new"));
    bench.await_login("new");
    assert_eq!((bench.login("a"), bench.login("b")), (Answer::Allow, Answer::Deny));
    // A change of the list is seen without waiting for `refresh`, which is a minute.
    fs::write(bench.dir.path().join("fleet.txt"), "b\n").unwrap();
    bench.await_login("b");
}

#[test]
fn a_policy_that_comes_with_a_list_does_not_decide_by_what_the_list_was() {
    // As a ConfigMap brings them, and a list that takes a while to read and is so seldom looked at.
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let policy = |rules: &str| {
        let slow =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n";
        let query = format!("SELECT id FROM devices WHERE ({slow}) > 0");
        format!(
            "version: 1\nlists: {{ fleet: {{ sqlite: fleet.db, query: \"{query}\" }} }}\nauth: {{ rules: [{rules}] }}\n"
        )
    };
    for (version, rules, device) in [
        ("..1", "{ id: zero, deny: { clientid: { in: fleet } } }, { id: one, allow: { clientid: first } }", "old"),
        ("..2", "{ id: one, allow: { clientid: { in: fleet } } }", "new"),
    ] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("rules.yaml"), policy(rules)).unwrap();
        let db = rusqlite::Connection::open(at(version).join("fleet.db")).unwrap();
        db.execute_batch(&format!("CREATE TABLE devices(id TEXT); INSERT INTO devices VALUES ('{device}')")).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/rules.yaml", at("rules.yaml")).unwrap();
    symlink("..data/fleet.db", at("fleet.db")).unwrap();
    let bench = Bench::at(dir, true);
    bench.await_login("first");
    assert_eq!((bench.login("old"), bench.login("new")), (Answer::Deny, Answer::Deny));
    symlink("..2", bench.dir.path().join("..data_tmp")).unwrap();
    fs::rename(bench.dir.path().join("..data_tmp"), bench.dir.path().join("..data")).unwrap();
    let end = Instant::now() + LONG;
    // Neither policy allows `old` with the list that came with it.
    while bench.login("new") != Answer::Allow {
        assert_eq!(bench.login("old"), Answer::Deny, "the new policy decides by the old list");
        assert!(Instant::now() < end, "{}", bench.logged());
        thread::sleep(Duration::from_micros(200));
    }
    assert_eq!((bench.login("first"), bench.login("old")), (Answer::Deny, Answer::Deny));
}

#[test]
fn at_a_start_with_an_invalid_file_it_denies_unless_the_policy_asked_for_a_copy() {
    let last_good = format!("if_invalid: last-good\n{}", allows("a"));
    for (policy, is_kept) in [(allows("a"), false), (last_good, true)] {
        let bench = Bench::new(&policy);
        let copies = || {
            let entries = fs::read_dir(bench.dir.path().join("state")).into_iter().flatten().flatten();
            entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "last-good")).count()
        };
        bench.wait(|| bench.status(&[]).status.code() == Some(0) && copies() == usize::from(is_kept), "the copy");
        let Bench { dir, engine, answers, log, .. } = bench;
        drop(engine);
        fs::write(dir.path().join("rules.yaml"), "version: 1\nauth: {\n").unwrap();
        let again = Engine::load(setup(dir.path(), &answers, &log));
        assert_eq!(again.is_ok(), is_kept);
        drop(again);
        let bench = Bench::at(dir, false);
        assert_eq!(bench.login("a"), if is_kept { Answer::Allow } else { Answer::Deny });
        assert_eq!(bench.login("b"), Answer::Deny);
        if is_kept {
            bench.await_line("is NOT in force as it stands: the copy of the last good one is");
            bench.wait(
                || {
                    String::from_utf8(bench.status(&[]).stdout)
                        .unwrap()
                        .contains("the copy of the last good policy is in force")
                },
                "the status says so",
            );
        }
        // Mended, without the wish.
        bench.replace(&allows("b"));
        bench.await_login("b");
        let copies = || {
            let entries = fs::read_dir(bench.dir.path().join("state")).unwrap().flatten();
            entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "last-good")).count()
        };
        bench.wait(|| copies() == 0, "no copy is left");
        bench.wait(|| bench.status(&[]).status.code() == Some(0), "a status that all is well");
    }
}

#[test]
fn a_copy_that_others_may_have_written_is_not_in_force() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new(&format!("if_invalid: last-good\n{}", allows("a")));
    let is_copy = |entry: fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "last-good");
    bench
        .wait(|| fs::read_dir(bench.dir.path().join("state")).into_iter().flatten().flatten().any(is_copy), "the copy");
    let Bench { dir, engine, .. } = bench;
    drop(engine);
    fs::set_permissions(dir.path().join("state"), PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(dir.path().join("rules.yaml"), "version: 1\nauth: {\n").unwrap();
    let bench = Bench::at(dir, false);
    assert_eq!(bench.login("a"), Answer::Deny);
    bench.await_line("is not used: it is not trusted");
}

/// Under load every answer is that of the policy before or of the one after, never of half a policy or of none.
#[test]
fn a_file_rewritten_over_and_over_gives_no_wrong_answer() {
    let rounds: u64 = std::env::var("EXHOOK_POLICY_REWRITES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(25);
    // `always` may, `never` may not; of the others, the one with the number that is in force.
    let policy = |n: u64| {
        format!(
            "version: 1\nauth:\n  default: deny\n  rules:\n    - {{ id: always, allow: {{ clientid: [always, n-{n}] }} }}\n\
             acl:\n  rules:\n    - {{ id: none, deny: everyone, topics: [\"secret/#\"] }}\n    \
             - {{ id: all, allow: everyone, topics: [\"n/{n}\", \"fixed/#\"] }}\n"
        )
    };
    let bench = Bench::new(&policy(0));
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let topic = |topic| {
                        let event =
                            Event::CheckAcl { client: client("c", "u", "10.0.0.1"), action: Action::Subscribe, topic };
                        bench.engine.handle(&event, 0).unwrap()
                    };
                    assert_eq!((bench.login("always"), bench.login("never")), (Answer::Allow, Answer::Deny));
                    assert_eq!(
                        (topic("fixed/#"), topic("#"), topic("secret/x")),
                        (Answer::Allow, Answer::Deny, Answer::Deny)
                    );
                    asked.fetch_add(5, Ordering::Relaxed);
                    thread::sleep(Duration::from_micros(200));
                }
            });
        }
        let rewrite = || {
            for n in 1..=rounds {
                // Half of them are no policies, in several ways; and half are written in place, in two pieces.
                let good = policy(n);
                let bad = match n % 3 {
                    0 => good[..good.len() / 2].to_owned() + "\n  - {",
                    1 => good.replace("allow: everyone", "allow: nobody"),
                    _ => "\0".repeat(100),
                };
                let text = if n % 2 == 0 { good } else { bad };
                if n % 4 < 2 {
                    bench.replace(&text);
                } else {
                    let mut file = fs::File::create(bench.file()).unwrap();
                    file.write_all(&text.as_bytes()[..text.len() / 2]).unwrap();
                    thread::sleep(Duration::from_millis(n % 50));
                    file.write_all(&text.as_bytes()[text.len() / 2..]).unwrap();
                }
                // Long enough to be taken up, now and then.
                thread::sleep(Duration::from_millis(if n % 5 == 0 { 1700 } else { n % 40 }));
            }
            bench.replace(&policy(rounds + 1));
            bench.await_login(&format!("n-{}", rounds + 1));
        };
        let rewritten = std::panic::catch_unwind(std::panic::AssertUnwindSafe(rewrite));
        done.store(true, Ordering::Relaxed);
        rewritten.unwrap_or_else(|_| panic!("{}", bench.logged()));
    });
    assert!(asked.load(Ordering::Relaxed) > 100);
    assert!(!bench.logged().contains("everything is denied"), "{}", bench.logged());
    assert_eq!(bench.login(&format!("n-{}", rounds + 1)), Answer::Allow);
}

#[test]
fn a_driver_that_finds_no_policy_says_so_where_it_is_looked_for() {
    let bench = Bench::new(&allows("a"));
    bench.wait(|| bench.status(&[]).status.code() == Some(0), "a status");
    let Bench { dir, engine, answers, log, .. } = bench;
    drop(engine);
    fs::write(dir.path().join("rules.yaml"), "version: 1\nauth: {\n").unwrap();
    Engine::load(setup(dir.path(), &answers, &log)).unwrap_err();
    let output = program().arg("status").arg("--policy").arg(dir.path().join("rules.yaml")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("no policy is in force: every login and topic is denied") && said.contains("error[yaml-syntax]"),
        "{said}"
    );
}

/// Whatever `init` once told the broker, which hands that back: the mode that was in force last is known after any end.
#[test]
fn the_mode_that_was_in_force_last_is_known_after_any_end() {
    use exhook_policy_core::decision::Mode;
    use exhook_policy_runtime::state::Folder;
    use exhook_policy_runtime::state::last_good::recall_mode;

    let bench = Bench::new(&format!("mode: audit\n{}", allows("a")));
    let folder = Folder::of(&bench.file(), None);
    bench.wait(|| recall_mode(&folder, &bench.file()) == Some(Mode::Audit), "it is known that it is in audit mode");
    bench.replace(&allows("b"));
    bench.await_login("b");
    assert_eq!(recall_mode(&folder, &bench.file()), Some(Mode::Enforce), "before the first answer");
    let Bench { dir, engine, answers, log, .. } = bench;
    drop(engine);
    let file = dir.path().join("rules.yaml");
    for text in ["version: 1\nauth: {\n", "version: 1\nauth: [\n"] {
        fs::write(&file, text).unwrap();
        Engine::load(setup(dir.path(), &answers, &log)).unwrap_err();
        assert_eq!(recall_mode(&folder, &file), Some(Mode::Enforce));
    }
}

#[test]
fn a_file_that_cannot_be_read_for_a_while_is_read_again() {
    let bench = Bench::new(&allows("a"));
    // A folder in its place, and then the file again with all that `stat` tells: only to read it says more.
    let aside = bench.dir.path().join("aside");
    fs::rename(bench.file(), &aside).unwrap();
    fs::create_dir(bench.file()).unwrap();
    bench.await_line("this is no regular file");
    fs::remove_dir(bench.file()).unwrap();
    fs::rename(&aside, bench.file()).unwrap();
    bench.await_line("is in force as it stands");
    bench.wait(|| bench.status(&[]).status.code() == Some(0), "a status that all is well");
}

#[test]
fn a_copy_in_force_is_none_any_more_once_the_file_says_the_same() {
    let good = format!("if_invalid: last-good\n{}", allows("a"));
    let bench = Bench::new(&good);
    let files = || {
        let entries = fs::read_dir(bench.dir.path().join("state")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().is_file()).count()
    };
    bench.wait(|| files() == 3, "status, mode and copy");
    let Bench { dir, engine, .. } = bench;
    drop(engine);
    fs::write(dir.path().join("rules.yaml"), "version: 1\nauth: {\n").unwrap();
    let bench = Bench::at(dir, false);
    bench.wait(|| bench.status(&[]).status.code() == Some(1), "a status that something is wrong");
    assert!(!bench.logged().contains("is in force, mode"), "it is not what the file says");
    bench.replace(&good);
    bench.await_line("is in force as it stands");
    bench.wait(|| bench.status(&[]).status.code() == Some(0), "a status that all is well");
}

/// What was shut out by the policy in force must not get in again by the copy of the one before.
#[test]
fn the_copy_is_of_the_policy_that_decides() {
    let policy = |clientid: &str| format!("if_invalid: last-good\n{}", allows(clientid));
    let bench = Bench::new(&policy("a"));
    let copy = || {
        let entries = fs::read_dir(bench.dir.path().join("state")).into_iter().flatten().flatten();
        let copy = entries
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|ending| ending == "last-good"))?;
        fs::read_to_string(copy).ok()
    };
    bench.wait(|| copy() == Some(policy("a")), "the first copy");
    for clientid in ["b", "c"] {
        bench.replace(&policy(clientid));
        bench.await_login(clientid);
        assert_eq!(copy(), Some(policy(clientid)), "before the first answer");
    }
}
