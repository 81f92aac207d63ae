//! Limits of a policy at work: from logins to bans, with the history database that they stand in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use std::{env, thread};

use crate::support::events::client;
use crate::support::history::Kept;
use crate::support::lines::Lines;
use crate::support::passwords::{mosquitto_hash, password_file};
use crate::support::program::said;
use crate::support::wait::{PATIENCE, until};
use crate::support::{answers, program};
use exhook_policy_core::answer_sink::Token;
use exhook_policy_core::decision::Answer;
use exhook_policy_core::event::{Client, Event, Password};
use exhook_policy_core::handler::Decider;
use exhook_policy_runtime::engine::{Engine, Setup};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::Recorder;
use rusqlite::Connection;

/// A folder with a policy, a file of passwords and the database.
struct Place {
    folder: tempfile::TempDir,
}

/// A driver or server that runs the policy.
struct Driver {
    engine: Engine,
    later: Receiver<(Token, Answer)>,
    log: Lines,
    lines: Log,
}

/// alice and those that are guessed have the password `s3cret`.
const POLICY: &str = "
version: 1
MODE
passwords: { people: { file: people.passwd } }
auth:
  LIMITS
  rules:
    - { id: retired, deny: { clientid: retired } }
    - { id: people, allow: everyone, password: people }
log: [decisions]
history: { database: data/h.db }
";

const LOCKOUT: &str = "lockout: { by: [peerhost, username], failures: 3, within: 5m, ban: 15m }";
const FLAPPING: &str = "flapping: { by: clientid, logins: 3, within: 5m, ban: 15m }";

impl Place {
    fn new(mode: &str, limits: &str) -> Self {
        Place::with(&POLICY.replace("MODE", mode).replace("LIMITS", limits))
    }

    fn with(policy: &str) -> Self {
        let users = password_file(["alice", "guessed-0", "guessed-1", "guessed-2"], b"s3cret");
        let folder = program::folder(policy, &[("people.passwd", &users)]);
        Place { folder }
    }

    fn policy(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    fn start(&self, recorder: Recorder) -> Driver {
        Driver::start(&self.policy(), recorder)
    }

    fn driver(&self) -> Driver {
        self.start(Recorder::of_this_process("python3"))
    }

    /// What stands in `bans`, once this many rows do.
    #[track_caller]
    fn bans(&self, count: usize) -> Vec<String> {
        let sql =
            "SELECT concat_ws(' ', why, mode, clientid, username, peerhost, until - since, lifted IS NULL) FROM bans
                   ORDER BY id";
        until(|| self.rows_so_far(sql).len() >= count);
        self.rows_so_far(sql)
    }

    /// What `history` says with these arguments, and its exit code.
    fn history(&self, arguments: &[&str]) -> (i32, String) {
        let mut history = program::program();
        let (said, code) = said(history.arg("history").args(arguments).arg("--policy").arg(self.policy()));
        (code, said)
    }
}

impl Kept for Place {
    fn database_file(&self) -> PathBuf {
        self.folder.path().join("data/h.db")
    }
}

impl Driver {
    fn start(policy: &Path, recorder: Recorder) -> Self {
        let (sink, later) = answers::channel();
        let log = Lines::default();
        let lines = Log::to(log.clone());
        Driver { engine: Engine::load(Setup::new(policy, recorder, sink, lines.clone())).unwrap(), later, log, lines }
    }

    fn login(&self, client: Client<'_>, password: &str) -> Answer {
        let event = Event::Authenticate { client, password: Password::new(password.as_bytes()) };
        self.engine.handle(&event, 7).unwrap_or_else(|| self.later.recv_timeout(PATIENCE).unwrap().1)
    }

    #[track_caller]
    fn check(&self, client: Client<'_>, password: &str, expected: Answer) {
        assert_eq!(self.login(client, password), expected, "{} {}", client.username, client.peerhost);
    }

    /// The lines that hold this word.
    fn said(&self, word: &str) -> Vec<String> {
        self.lines.flush(PATIENCE);
        self.log.text().lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
    }
}

#[test]
fn who_guesses_is_kept_out_before_any_password_is_looked_at() {
    let place = Place::new("", LOCKOUT);
    let driver = place.driver();
    let alice = client("c", "alice", "10.0.0.1");
    driver.check(alice, "s3cret", Answer::Allow);
    // A user who is unknown fails as well; one that a rule denies without looking does not count.
    driver.check(client("c", "mallory", "10.0.0.1"), "s3cret", Answer::Deny);
    driver.check(client("retired", "alice", "10.0.0.1"), "", Answer::Deny);
    driver.check(alice, "hunter2", Answer::Deny);
    // The right password in between erases nothing.
    driver.check(alice, "s3cret", Answer::Allow);
    driver.check(client("c", "bob", "10.0.0.1"), "", Answer::Deny);
    // The address is banned, and not the names.
    let (password, event) = (Password::new(b"s3cret"), |client, password| Event::Authenticate { client, password });
    assert_eq!(driver.engine.handle(&event(alice, password), 7), Some(Answer::Deny));
    driver.check(client("c", "alice", "10.0.0.2"), "s3cret", Answer::Allow);
    assert_eq!(place.bans(1), ["lockout enforce 10.0.0.1 900000 1"]);
    assert_eq!(driver.said("keeps"), ["exhook-policy: lockout keeps peerhost 10.0.0.1 out for 15m"]);
    let denied = "SELECT concat_ws(' ', username, rule, count) FROM denials WHERE rule = 'lockout'";
    until(|| !place.rows_so_far(denied).is_empty());
    assert_eq!(place.rows_so_far(denied), ["alice lockout 1"]);
    assert_eq!(driver.said("hunter2").len() + driver.said("s3cret").len(), 0);
}

/// No rule has a say in it, so that there is nothing to try.
#[test]
fn a_login_that_a_limit_refuses_is_not_tried_with_rules_in_audit_mode() {
    let tried = "    - { id: guests, mode: audit, allow: { username: alice } }\n    - { id: people,";
    let policy = POLICY.replace("MODE", "").replace("LIMITS", LOCKOUT).replace("    - { id: people,", tried);
    let place = Place::with(&policy);
    let driver = place.driver();
    let alice = client("c", "alice", "10.0.0.1");
    (0..5).for_each(|_| driver.check(alice, "hunter2", Answer::Deny));
    driver.engine.finish();
    let denied = "SELECT concat_ws(' ', rule, mode, count) FROM denials ORDER BY rule";
    assert_eq!(place.rows_so_far(denied), ["lockout enforce 2", "people enforce 3"]);
    assert_eq!(driver.said("would allow").len(), 3);
}

#[test]
fn who_logs_in_too_often_is_kept_out() {
    let place = Place::new("", FLAPPING);
    let driver = place.driver();
    let alice = client("c", "alice", "10.0.0.1");
    (0..3).for_each(|_| driver.check(alice, "s3cret", Answer::Allow));
    driver.check(alice, "s3cret", Answer::Deny);
    driver.check(client("d", "alice", "10.0.0.1"), "s3cret", Answer::Allow);
    assert_eq!(place.bans(1), ["flapping enforce c 900000 1"]);
}

#[test]
fn in_audit_mode_bans_are_recorded_and_nobody_is_refused() {
    let place = Place::new("mode: audit", LOCKOUT);
    let driver = place.driver();
    let alice = client("c", "alice", "10.0.0.1");
    (0..4).for_each(|_| driver.check(alice, "hunter2", Answer::NoOpinion));
    assert_eq!(place.bans(2), ["lockout audit 10.0.0.1 900000 1", "lockout audit alice 900000 1"]);
    let denied = "SELECT concat_ws(' ', rule, mode, count) FROM denials ORDER BY id";
    until(|| place.rows_so_far(denied).len() == 2);
    assert_eq!(place.rows_so_far(denied), ["people audit 3", "lockout audit 1"]);
    driver.engine.finish();
    drop(driver);
    // What was only said does not hold when it counts.
    let policy = std::fs::read_to_string(place.policy()).unwrap();
    std::fs::write(place.policy(), policy.replace("mode: audit", "mode: enforce")).unwrap();
    place.driver().check(alice, "s3cret", Answer::Allow);
}

#[test]
fn a_changed_policy_finds_who_is_kept_out_and_what_was_counted() {
    let place = Place::new("", LOCKOUT);
    let driver = place.driver();
    (0..3).for_each(|_| driver.check(client("c", "alice", "a-socket"), "hunter2", Answer::Deny));
    (0..2).for_each(|_| driver.check(client("c", "bob", "a-socket"), "", Answer::Deny));
    let policy = std::fs::read_to_string(place.policy()).unwrap();
    let change = |from: &str, to: &str| {
        let before = driver.said("is in force anew").len();
        std::fs::write(place.policy(), policy.replace(from, to)).unwrap();
        until(|| driver.said("is in force anew").len() > before);
    };
    change("failures: 3", "failures: 4");
    driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Deny);
    (0..2).for_each(|_| driver.check(client("c", "bob", "a-socket"), "", Answer::Deny));
    assert_eq!(place.bans(2), ["lockout enforce alice 900000 1", "lockout enforce bob 900000 1"]);
    // Without the limit nobody is kept out.
    change(LOCKOUT, "");
    driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Allow);
    // A limit that comes back finds them as they were, and those of others as well.
    change("failures: 3", "failures: 5");
    driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Deny);
    assert_eq!(place.history(&["lift", "--username", "alice"]).0, 0);
    until(|| driver.login(client("c", "alice", "a-socket"), "s3cret") == Answer::Allow);
}

/// Names the policy, in the process that is to be killed.
const KILLED: &str = "EXHOOK_POLICY_TEST_POLICY";

#[test]
fn a_ban_survives_the_death_of_the_driver() {
    let place = Place::new("", LOCKOUT);
    let mut driver = Command::new(env::current_exe().unwrap())
        .args(["--exact", "limits::a_driver_that_bans", "--nocapture"])
        .env(KILLED, place.policy())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(place.bans(2).len(), 2);
    // SIGKILL.
    driver.kill().unwrap();
    driver.wait().unwrap();
    let driver = place.driver();
    driver.check(client("c", "alice", "192.0.2.1"), "s3cret", Answer::Deny);
    driver.check(client("c", "bob", "10.0.0.1"), "", Answer::Deny);
    assert_eq!(driver.said("rule=lockout").len(), 2, "{:?}", driver.said(""));
    assert_eq!(place.bans(2).len(), 2);
}

/// Started by the test above, it waits for its death.
#[test]
fn a_driver_that_bans() {
    let own = Place::new("", LOCKOUT);
    let given = env::var_os(KILLED).map(PathBuf::from);
    let driver = Driver::start(given.as_ref().unwrap_or(&own.policy()), Recorder::of_this_process("python3"));
    (0..3).for_each(|_| driver.check(client("c", "alice", "10.0.0.1"), "hunter2", Answer::Deny));
    if given.is_some() {
        thread::sleep(PATIENCE);
    }
    assert_eq!(own.bans(2), ["lockout enforce 10.0.0.1 900000 1", "lockout enforce alice 900000 1"]);
    driver.check(client("c", "alice", "192.0.2.1"), "s3cret", Answer::Deny);
}

#[test]
fn drivers_and_servers_of_one_database_share_bans_and_what_is_lifted() {
    let place = Place::new("", LOCKOUT);
    // The second of the two drivers of this broker records nothing, and shares bans all the same.
    let drivers = [place.driver(), place.start(Recorder::of_this_process("java")), place.start(Recorder::server())];
    until(|| !drivers[1].said("records nothing").is_empty());
    for (at, driver) in drivers.iter().enumerate() {
        let name = format!("guessed-{at}");
        let guessed = client("c", &name, "a-socket");
        (0..3).for_each(|_| driver.check(guessed, "hunter2", Answer::Deny));
        // A right password counts nowhere: that it is refused is known from elsewhere.
        for other in &drivers {
            until(|| other.login(guessed, "s3cret") == Answer::Deny);
        }
    }
    // It stands there once, whoever made it.
    let names: Vec<String> = (0..3).map(|at| format!("lockout enforce guessed-{at} 900000 1")).collect();
    assert_eq!(place.bans(3), names);
    assert_eq!(
        place.history(&["lift", "--username", "alice"]),
        (1, "no ban is lifted: there is none that holds\n".to_owned())
    );
    assert_eq!(place.history(&["lift", "--username", "guessed-0"]), (0, "1 ban is lifted\n".to_owned()));
    assert_eq!(place.history(&["lift", "--all"]), (0, "2 bans are lifted\n".to_owned()));
    for driver in &drivers {
        for at in 0..3 {
            let name = format!("guessed-{at}");
            until(|| driver.login(client("c", &name, "a-socket"), "s3cret") == Answer::Allow);
        }
    }
    let (code, shown) = place.history(&["bans", "--all", "--format", "csv"]);
    assert!(code == 0 && shown.lines().count() == 4, "{shown}");
}

#[test]
fn a_database_that_cannot_be_used_holds_up_no_start_and_bans_hold_without_it() {
    let place = Place::new("", LOCKOUT);
    std::fs::create_dir(place.folder.path().join("data")).unwrap();
    std::fs::write(place.database_file(), "no database, but long enough to be one\n".repeat(50)).unwrap();
    let driver = place.driver();
    let alice = client("c", "alice", "10.0.0.1");
    (0..3).for_each(|_| driver.check(alice, "hunter2", Answer::Deny));
    driver.check(alice, "s3cret", Answer::Deny);
    assert!(!driver.said("cannot be written").is_empty());
}

/// A ban of alice that stands in the database, and that no process knows yet.
fn banned_before(place: &Place) {
    let driver = place.driver();
    (0..3).for_each(|_| driver.check(client("c", "alice", "a-socket"), "hunter2", Answer::Deny));
    assert_eq!(place.bans(1).len(), 1);
    driver.engine.finish();
}

#[test]
fn a_lock_that_another_holds_at_the_start_lets_nobody_in() {
    let place = Place::new("", LOCKOUT);
    banned_before(&place);
    let lock = Connection::open(place.database_file()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let driver = place.driver();
    driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Deny);
    driver.check(client("c", "bob", "a-socket"), "s3cret", Answer::Deny);
    drop(lock);
}

#[test]
fn bans_go_with_the_history_to_another_database() {
    let place = Place::new("", LOCKOUT);
    banned_before(&place);
    let driver = place.driver();
    driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Deny);
    let policy = std::fs::read_to_string(place.policy()).unwrap();
    std::fs::write(place.policy(), policy.replace("data/h.db", "data/other.db")).unwrap();
    until(|| !driver.said("is in force anew").is_empty());
    let there = || {
        let db = Connection::open(place.folder.path().join("data/other.db")).unwrap();
        db.query_row("SELECT count(*) FROM bans WHERE username = 'alice' AND lifted IS NULL", [], |row| row.get(0))
    };
    until(|| there() == Ok(1));
    // Longer than it takes to look at the new one.
    thread::sleep(Duration::from_secs(3));
    driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Deny);
    assert_eq!(place.history(&["lift", "--username", "alice"]), (0, "1 ban is lifted\n".to_owned()));
    until(|| driver.login(client("c", "alice", "a-socket"), "s3cret") == Answer::Allow);
}

#[test]
fn a_limit_that_comes_with_another_policy_knows_who_is_kept_out_from_the_first_login_on() {
    let place = Place::new("", LOCKOUT);
    banned_before(&place);
    let policy = std::fs::read_to_string(place.policy()).unwrap();
    std::fs::write(place.policy(), policy.replace(LOCKOUT, "default: deny")).unwrap();
    let driver = place.driver();
    driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Allow);
    std::fs::write(place.policy(), &policy).unwrap();
    until(|| driver.login(client("c", "alice", "a-socket"), "s3cret") == Answer::Deny);
    for _ in 0..100 {
        driver.check(client("c", "alice", "a-socket"), "s3cret", Answer::Deny);
        thread::sleep(Duration::from_millis(5));
    }
    // None got in while that policy was in force.
    let allowed_since = driver
        .said("")
        .iter()
        .skip_while(|line| !line.contains("is in force anew"))
        .filter(|line| line.starts_with("exhook-policy: allowed"))
        .count();
    assert_eq!(allowed_since, 0);
}

/// What `s3cret` is stored as.
const ARGON2ID: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$wc4vUkhy44kf/aLMUxQ4Rw$BM8vrS+ffojZhAWgIU/mOJ+itmALRjdD3cReQYQEYb8";
const BCRYPT: &str = "$2b$04$ZgypU/9lUAxdRAMRHxUH2u.Duec.AaUQTSwxKySrP8d9Kig3au2Jq";
/// Few of these can be checked within the deadline.
const BCRYPT_13: &str = "$2b$13$7oiTya9RCUAblPr21c/2CeC4gy0nNO./pap5YWtS0poYMhX1cr6gm";

const BY_BOTH: &str = "lockout: { by: [[username, peerhost]], failures: 3, within: 5m, ban: 15m }";

impl Place {
    /// Where alice's password is stored as this hash.
    fn hashed(limits: &str, hash: &str) -> Self {
        // What is checked soon is checked on a busy machine too.
        let place = Place::new(if hash == BCRYPT_13 { "" } else { "deadline: 30s" }, limits);
        std::fs::write(place.folder.path().join("people.passwd"), format!("alice:{hash}\n")).unwrap();
        place
    }
}

impl Driver {
    /// The answers to logins that are all there before the first is answered.
    fn pipelined(&self, client: Client<'_>, passwords: &[String]) -> Vec<Answer> {
        let ask = |(password, token): (&String, u64)| {
            let event = Event::Authenticate { client, password: Password::new(password.as_bytes()) };
            self.engine.handle(&event, token)
        };
        let mut answers: Vec<Option<Answer>> = passwords.iter().zip(0..).map(ask).collect();
        for _ in 0..answers.iter().filter(|answer| answer.is_none()).count() {
            let (token, answer) = self.later.recv_timeout(PATIENCE).unwrap();
            let place = answers.get_mut(usize::try_from(token).unwrap()).unwrap();
            assert_eq!(place.replace(answer), None, "it is answered twice");
        }
        answers.into_iter().map(Option::unwrap).collect()
    }
}

/// So many wrong passwords, and the right one behind them.
fn guesses(wrong: usize) -> Vec<String> {
    (0..wrong).map(|n| format!("guess-{n}")).chain(["s3cret".to_owned()]).collect()
}

#[track_caller]
fn check_guesses(hash: &str, is_remembered: bool, wrong: usize) {
    // Which thread is first is not the same each time.
    let times = if hash == BCRYPT_13 { 1 } else { 3 };
    for _ in 0..times {
        let place = Place::hashed(BY_BOTH, hash);
        let driver = place.driver();
        let victim = client("c", "alice", "10.0.0.1");
        if is_remembered {
            until(|| driver.login(victim, "s3cret") == Answer::Allow);
        }
        let guesser = client("g", "alice", "192.0.2.1");
        let answers = driver.pipelined(guesser, &guesses(wrong));
        assert_eq!(answers, vec![Answer::Deny; wrong + 1]);
        driver.check(guesser, "s3cret", Answer::Deny);
        assert_eq!(place.bans(1), ["lockout enforce alice 192.0.2.1 900000 1"]);
        if is_remembered {
            driver.check(victim, "s3cret", Answer::Allow);
        }
    }
}

#[test]
fn guesses_at_once_do_not_reach_a_remembered_argon2id_hash() {
    check_guesses(ARGON2ID, true, 12);
    check_guesses(ARGON2ID, true, 2_000);
}

#[test]
fn guesses_at_once_do_not_reach_a_remembered_bcrypt_hash() {
    check_guesses(BCRYPT, true, 12);
    check_guesses(BCRYPT, true, 2_000);
}

#[test]
fn guesses_at_once_do_not_reach_a_remembered_mosquitto_hash() {
    check_guesses(&mosquitto_hash(b"s3cret"), true, 12);
    check_guesses(&mosquitto_hash(b"s3cret"), true, 2_000);
}

#[test]
fn guesses_at_once_do_not_reach_a_remembered_costly_hash() {
    check_guesses(BCRYPT_13, true, 2_000);
}

#[test]
fn guesses_at_once_do_not_reach_a_password_not_remembered() {
    for hash in [ARGON2ID, BCRYPT, &mosquitto_hash(b"s3cret")] {
        check_guesses(hash, false, 12);
        check_guesses(hash, false, 40);
    }
}

#[test]
fn guesses_at_once_at_a_costly_hash_are_all_denied() {
    let place = Place::hashed(BY_BOTH, BCRYPT_13);
    let driver = place.driver();
    let answers = driver.pipelined(client("g", "alice", "192.0.2.1"), &guesses(2_000));
    assert_eq!(answers, vec![Answer::Deny; 2_001]);
}

#[test]
fn two_guesses_and_the_right_password_at_once_are_let_in() {
    for hash in [ARGON2ID, BCRYPT, &mosquitto_hash(b"s3cret")] {
        for is_remembered in [true, false] {
            let place = Place::hashed(BY_BOTH, hash);
            let driver = place.driver();
            if is_remembered {
                driver.check(client("c", "alice", "10.0.0.1"), "s3cret", Answer::Allow);
            }
            let answers = driver.pipelined(client("c", "alice", "192.0.2.1"), &guesses(2));
            assert_eq!(answers, [Answer::Deny, Answer::Deny, Answer::Allow]);
        }
    }
}

#[test]
fn a_fleet_with_one_name_that_comes_back_is_not_locked_out() {
    for hash in [ARGON2ID, BCRYPT, &mosquitto_hash(b"s3cret")] {
        let place = Place::hashed("lockout: { by: [username, peerhost], failures: 3, within: 5m, ban: 15m }", hash);
        let driver = place.driver();
        let fleet = client("c", "alice", "10.0.0.1");
        // Not remembered, and then remembered.
        for _ in 0..2 {
            assert_eq!(driver.pipelined(fleet, &vec!["s3cret".to_owned(); 100]), [Answer::Allow; 100]);
        }
        // With one device that has an old password.
        let mut passwords = vec!["s3cret".to_owned(); 100];
        passwords[50] = "old".to_owned();
        let answers = driver.pipelined(fleet, &passwords);
        assert_eq!(answers.iter().filter(|answer| **answer == Answer::Deny).count(), 1);
        assert_eq!(driver.said("keeps"), [""; 0]);
    }
}

#[test]
fn in_audit_mode_guesses_at_once_do_not_wait() {
    let place = Place::new("mode: audit", BY_BOTH);
    let driver = place.driver();
    let alice = client("c", "alice", "10.0.0.1");
    assert_eq!(driver.pipelined(alice, &guesses(40)), [Answer::NoOpinion; 41]);
    assert_eq!(place.bans(1), ["lockout audit alice 10.0.0.1 900000 1"]);
}
