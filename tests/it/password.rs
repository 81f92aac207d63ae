//! Password checks with real sources and real hashes, and the program that writes password files.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::support::program::{program, run_with};
use exhook_policy_core::policy::model::{PasswordDef, PasswordId, PasswordSource};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::password::{Caller, PasswordLogin, PasswordOutcome, Pool, StoredHash};
use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Longer than any of these tests takes on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Held by the tests that measure time, or take much of it.
static ALONE: Mutex<()> = Mutex::new(());

const QUERY: &str = "SELECT hash FROM staff WHERE username = :username";

fn file(path: &Path) -> PasswordDef {
    PasswordDef { name: "devices".to_owned(), source: PasswordSource::File { path: path.to_owned() } }
}

fn sqlite(path: &Path) -> PasswordDef {
    let source = PasswordSource::Sqlite { path: path.to_owned(), query: QUERY.to_owned() };
    PasswordDef { name: "staff".to_owned(), source }
}

fn pool(sources: &[PasswordDef], deadline: Duration) -> Pool {
    Pool::start(sources, deadline, Box::new(|| {}), Log::to(std::io::sink()))
}

/// A client that asks so many sources in order.
struct Asks<T> {
    user: String,
    sources: usize,
    asked: AtomicUsize,
    done: T,
}

impl<T: Fn(PasswordOutcome) + Send + Sync> Caller for Asks<T> {
    fn username(&self) -> &str {
        &self.user
    }

    fn unknown(&self) -> Option<PasswordId> {
        let next = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        (next < self.sources).then_some(PasswordId(next))
    }

    fn bytes(&self) -> usize {
        0
    }

    fn is_counted(&self) -> bool {
        false
    }

    fn done(&self, outcome: PasswordOutcome) {
        (self.done)(outcome);
    }
}

/// Submits a login that asks every source of the pool in order.
fn submit(pool: &Pool, sources: usize, user: &str, password: &[u8], peer: Option<IpAddr>) -> Receiver<PasswordOutcome> {
    let (done, outcome) = mpsc::channel();
    let done = move |outcome| {
        let _ = done.send(outcome);
    };
    pool.submit(PasswordLogin {
        caller: Arc::new(Asks { user: user.to_owned(), sources, asked: AtomicUsize::new(0), done }),
        password: Zeroizing::new(password.to_owned()),
        peerhost: peer,
        arrived: Instant::now(),
        source: PasswordId(0),
    });
    outcome
}

fn login(pool: &Pool, sources: usize, user: &str, password: &[u8]) -> PasswordOutcome {
    submit(pool, sources, user, password, None).recv_timeout(LONG).unwrap()
}

fn passwd(args: &[&str], input: &[u8]) -> Output {
    run_with(program().arg("passwd").args(args), input)
}

#[track_caller]
fn says(args: &[&str], input: &[u8], code: i32, stdout: &str, stderr: &str) {
    let output = passwd(args, input);
    let told = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), told.0.as_str(), told.1.as_str()), (Some(code), stdout, stderr));
}

#[test]
fn passwd_takes_effect_at_the_next_login() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("devices.passwd");
    let name = path.to_str().unwrap();
    let pool = pool(&[file(&path)], LONG);
    assert!(matches!(login(&pool, 1, "ann", b"s3cret"), PasswordOutcome::Failed(_)), "there is no file yet");
    says(&[name, "ann"], b"s3cret\n", 0, &format!("added `ann` to {name}\n"), "");
    assert_eq!(login(&pool, 1, "ann", b"s3cret"), PasswordOutcome::Right(PasswordId(0)));
    assert_eq!(login(&pool, 1, "ann", b"s3cret\n"), PasswordOutcome::Wrong(PasswordId(0)));
    assert_eq!(login(&pool, 1, "bob", b"s3cret"), PasswordOutcome::Unknown);
    says(&[name, "bob", "--stdin"], b"\xff other ", 0, &format!("added `bob` to {name}\n"), "");
    assert_eq!(login(&pool, 1, "bob", b"\xff other "), PasswordOutcome::Right(PasswordId(0)));
    says(&[name, "ann"], b"changed\r\n", 0, &format!("changed the password of `ann` in {name}\n"), "");
    assert_eq!(login(&pool, 1, "ann", b"s3cret"), PasswordOutcome::Wrong(PasswordId(0)));
    assert_eq!(login(&pool, 1, "ann", b"changed"), PasswordOutcome::Right(PasswordId(0)));
    says(&[name, "ann", "--delete"], b"", 0, &format!("removed `ann` from {name}\n"), "");
    assert!(!matches!(login(&pool, 1, "ann", b"changed"), PasswordOutcome::Right(_)));
    says(&[name, "ann", "--delete"], b"", 1, &format!("`ann` is not in {name}\n"), "");
    assert_eq!(login(&pool, 1, "bob", b"\xff other "), PasswordOutcome::Right(PasswordId(0)));
}

#[test]
fn passwd_refuses_what_could_not_be_used() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("devices.passwd");
    let name = path.to_str().unwrap();
    let refused = |args: &[&str], input: &[u8], why: &str| says(args, input, 2, "", &format!("error: {why}\n"));
    refused(&[name, "ann"], b"\n", "the password is empty; a client without a password is never let in by one");
    refused(&[name, "ann"], b"", "the password is empty; a client without a password is never let in by one");
    refused(
        &[name, "ann"],
        &vec![b'x'; 65_536],
        "the password is longer than 65,535 bytes, which is more than MQTT can carry",
    );
    refused(&[name, "a:b"], b"hunter2\n", "a username in a password file cannot hold `:`, which ends it");
    refused(&[name, "#a"], b"hunter2\n", "a username in a password file cannot begin with `#`, which begins a comment");
    refused(&[name, "a\nb"], b"hunter2\n", "a username cannot hold line ends or other control characters");
    refused(&[name, ""], b"hunter2\n", "the username is empty");
    let missing = folder.path().join("missing/devices.passwd");
    let missing = missing.to_str().unwrap();
    refused(&[missing, "ann"], b"hunter2\n", &format!("{missing}: No such file or directory (os error 2)"));
    assert!(!path.exists());
}

#[test]
fn every_source_of_a_policy_is_asked_in_turn() {
    let folder = TempDir::new().unwrap();
    let (passwords, staff) = (folder.path().join("devices.passwd"), folder.path().join("staff.db"));
    let argon2id = StoredHash::argon2id(b"device").unwrap();
    fs::write(&passwords, format!("dev-1:{argon2id}\nboth:{argon2id}\n")).unwrap();
    let connection = Connection::open(&staff).unwrap();
    connection.execute_batch("CREATE TABLE staff(username, hash)").unwrap();
    for (user, hash) in [("ann", StoredHash::argon2id(b"staff").unwrap().as_str()), ("both", "nothing"), ("bad", "x")] {
        connection.execute("INSERT INTO staff VALUES (?, ?)", [user, hash]).unwrap();
    }
    let pool = pool(&[file(&passwords), sqlite(&staff)], LONG);
    for (user, password, expected) in [
        ("dev-1", "device", PasswordOutcome::Right(PasswordId(0))),
        ("dev-1", "staff", PasswordOutcome::Wrong(PasswordId(0))),
        ("dev-1", "", PasswordOutcome::Wrong(PasswordId(0))),
        ("both", "device", PasswordOutcome::Right(PasswordId(0))),
        ("ann", "staff", PasswordOutcome::Right(PasswordId(1))),
        ("ann", "device", PasswordOutcome::Wrong(PasswordId(1))),
        ("bob", "staff", PasswordOutcome::Unknown),
        ("bob", "", PasswordOutcome::Unknown),
    ] {
        assert_eq!(login(&pool, 2, user, password.as_bytes()), expected, "{user} {password:?}");
    }
    let PasswordOutcome::Failed(failure) = login(&pool, 2, "bad", b"x") else { panic!("it is no hash") };
    assert!(failure.is_of_the_hash(), "{failure}");
    fs::remove_file(&passwords).unwrap();
    let PasswordOutcome::Failed(failure) = login(&pool, 2, "ann", b"staff") else { panic!("the first source is gone") };
    assert!(!failure.is_of_the_hash(), "{failure}");
}

#[test]
fn unknown_users_cost_as_much_as_known_ones() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("devices.passwd");
    fs::write(&path, format!("ann:{}\n", StoredHash::argon2id(b"s3cret").unwrap())).unwrap();
    let pool = pool(&[file(&path)], LONG);
    assert_eq!(login(&pool, 1, "ann", b"s3cret"), PasswordOutcome::Right(PasswordId(0)));
    // The least time of several in turn, since a busy machine only ever adds to it.
    let mut least = [Duration::MAX; 4];
    for n in 0..15 {
        let guess = format!("guess {n}").into_bytes();
        for (kind, (user, password, expected)) in [
            ("ann", guess.as_slice(), PasswordOutcome::Wrong(PasswordId(0))),
            ("bob", guess.as_slice(), PasswordOutcome::Unknown),
            ("ann", b"", PasswordOutcome::Wrong(PasswordId(0))),
            ("ann", b"s3cret", PasswordOutcome::Right(PasswordId(0))),
        ]
        .into_iter()
        .enumerate()
        {
            let start = Instant::now();
            assert_eq!(login(&pool, 1, user, password), expected);
            least[kind] = least[kind].min(start.elapsed());
        }
    }
    let [wrong, unknown, empty, remembered] = least;
    for other in [unknown, empty] {
        assert!(other * 2 > wrong && wrong * 2 > other, "{least:?}");
    }
    assert!(remembered * 4 < wrong, "{least:?}");
}

/// A user with a cheap hash is asked first, and does not make other answers come sooner.
#[test]
fn the_time_of_an_answer_does_not_tell_who_exists() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("devices.passwd");
    let of = |rounds: u32| format!("$pbkdf2-sha256$i={rounds}$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M");
    fs::write(&path, format!("cheap:{}\ndear:{}\nbad:hunter2\n", of(7), of(20_000))).unwrap();
    let pool = pool(&[file(&path)], LONG);
    let users = ["cheap", "nobody", "dear", "bad", ""];
    let mut times = vec![Vec::new(); users.len()];
    for n in 0..15 {
        for (times, user) in times.iter_mut().zip(users) {
            let start = Instant::now();
            login(&pool, 1, user, format!("guess {n}").as_bytes());
            times.push(start.elapsed());
        }
    }
    let medians: Vec<Duration> = times
        .into_iter()
        .map(|mut times| {
            times.sort();
            times[times.len() / 2]
        })
        .collect();
    // Once the cheap user was asked, the others were answered in a fiftieth of the time.
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*least * 3 > *most, "{users:?}: {medians:?}");
}

#[test]
fn ten_thousand_logins_at_once_are_all_answered_in_time() {
    const LOGINS: u32 = 10_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let deadline = Duration::from_secs(4);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("devices.passwd");
    let hash = StoredHash::argon2id(b"s3cret").unwrap();
    let lines: Vec<String> = (0..LOGINS).map(|n| format!("dev-{n}:{hash}\n")).collect();
    fs::write(&path, lines.concat()).unwrap();
    let pool = pool(&[file(&path)], deadline);
    // All behind one gateway.
    let gateway = Some(IpAddr::from([192, 0, 2, 1]));
    let (done, outcomes) = mpsc::channel();
    let start = Instant::now();
    for n in 0..LOGINS {
        let done = done.clone();
        let arrived = Instant::now();
        let done = move |outcome| done.send((n, outcome, arrived.elapsed())).unwrap();
        pool.submit(PasswordLogin {
            caller: Arc::new(Asks { user: format!("dev-{n}"), sources: 1, asked: AtomicUsize::new(0), done }),
            password: Zeroizing::new(b"s3cret".to_vec()),
            peerhost: gateway,
            arrived,
            source: PasswordId(0),
        });
    }
    assert!(start.elapsed() < Duration::from_secs(1), "submitting took {:?}", start.elapsed());
    drop(done);
    let mut answered = vec![false; LOGINS as usize];
    let (mut right, mut late) = (0, 0);
    while let Ok((n, outcome, took)) = outcomes.recv_timeout(LONG) {
        assert!(!std::mem::replace(&mut answered[n as usize], true), "dev-{n} is answered twice");
        assert!(took < deadline, "dev-{n} waited for {took:?}");
        match outcome {
            PasswordOutcome::Right(_) => right += 1,
            PasswordOutcome::Failed(_) => late += 1,
            PasswordOutcome::Wrong(_) | PasswordOutcome::KnownWrong(_) | PasswordOutcome::Unknown => {
                panic!("dev-{n}: {outcome:?}")
            }
        }
    }
    assert!(answered.iter().all(|answered| *answered));
    assert!(right > 0 && right + late == LOGINS, "{right} right, {late} late");
}
