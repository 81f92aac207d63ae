//! The deadline of the policy holds for every call, on both transports, whatever hangs; and what hangs holds up nobody else.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::Runtime;

use super::broker::{Answer, Broker, Taken};
use super::dialect::named;
use super::host::Driver;
use super::produce::{HungDisk, Lock};
use super::server::{Place, Server};
use super::story::{Call, client};
use crate::support::machine::{busy, cannot_run};
use crate::support::passwords::mosquitto_hash;
use crate::support::scale::times;

/// That of the policies here.
const DEADLINE: Duration = Duration::from_secs(2);
/// What a busy machine may add on the way.
const WAY: Duration = Duration::from_millis(700);

/// The program, called in one of the two ways.
enum Host {
    Port(Driver),
    Grpc { runtime: Runtime, broker: Broker, _server: Server },
}

impl Host {
    fn port(place: &Place) -> Self {
        Host::Port(Driver::start(place))
    }

    fn grpc(place: &Place) -> Self {
        let server = place.serve();
        let runtime = Runtime::new().unwrap();
        let broker = runtime.block_on(async { Broker::at(named("v2b"), server.address) });
        Host::Grpc { runtime, broker, _server: server }
    }

    fn name(&self) -> &'static str {
        match self {
            Host::Port(_) => "port",
            Host::Grpc { .. } => "gRPC",
        }
    }

    /// Makes all these calls at once, and gives the answers, and how long each took.
    fn ask(&mut self, calls: &[Call]) -> Vec<(Option<bool>, Duration)> {
        match self {
            Host::Port(driver) => {
                let mut begun = Vec::new();
                for (id, call) in (1..).zip(calls) {
                    begun.push(Instant::now());
                    driver.send(id, call);
                }
                let mut answers = vec![None; calls.len()];
                for _ in calls {
                    let reply = driver.reply_by(Instant::now() + 10 * DEADLINE);
                    let Ok(reply) = reply else { panic!("calls are not answered: {answers:?} {}", driver.console()) };
                    let index = usize::try_from(reply.id - 1).unwrap();
                    answers[index] = Some((reply.allowed, reply.at - begun[index]));
                }
                answers.into_iter().map(Option::unwrap).collect()
            }
            Host::Grpc { runtime, broker, .. } => runtime.block_on(async {
                let asked: Vec<_> = calls
                    .iter()
                    .map(|&call| {
                        let broker = broker.clone();
                        tokio::spawn(async move {
                            let begun = Instant::now();
                            let taken = broker.call(call).await;
                            (allowed(&taken), begun.elapsed())
                        })
                    })
                    .collect();
                let mut answers = Vec::new();
                for asked in asked {
                    answers.push(asked.await.unwrap());
                }
                answers
            }),
        }
    }
}

fn allowed(taken: &Taken) -> Option<bool> {
    match taken {
        Taken::Final(Answer::Allow(allowed)) => Some(*allowed),
        Taken::Nothing | Taken::Ignored => None,
        other => panic!("{other:?}"),
    }
}

/// `hung`: a login as `hung` is by the source that hangs; `well` by another source, `open` by none.
const SOURCES: &str = "version: 1
deadline: 2s
passwords:
  hung: HUNG
  well: { file: devices.passwd }
auth:
  rules:
    - { id: hung, allow: { clientid: { glob: \"hung-*\" } }, password: hung }
    - { id: well, allow: { clientid: { glob: \"dev-*\" } }, password: well }
    - { id: open, allow: { clientid: { glob: \"read-*\" } } }
acl:
  default: allow
";

fn sources(hung: &str) -> String {
    SOURCES.replace("HUNG", hung)
}

fn login(clientid: &'static str) -> Call {
    Call::Authenticate(client(clientid), b"right")
}

/// Each round: many that hang, with others behind them that do not, all at once.
#[track_caller]
fn check(name: &str, host: &mut Host, hung: &[Call]) {
    let well = [
        (login("dev-1"), Some(true)),
        (Call::Authenticate(client("dev-2"), b"wrong"), Some(false)),
        (login("read-1"), Some(true)),
        (Call::Publish(client("read-1"), "t"), Some(true)),
        (login("dev-3"), Some(true)),
        (login("nobody"), Some(false)),
    ];
    for round in 0..times(2, 10) {
        let calls: Vec<Call> = hung.iter().copied().chain(well.map(|(call, _)| call)).collect();
        let answers = host.ask(&calls);
        let (of_hung, of_well) = answers.split_at(hung.len());
        let name = format!("{name}, {}, round {round}", host.name());
        for (call, &(answer, took)) in hung.iter().zip(of_hung) {
            let expected = if matches!(call, Call::Connected(_)) { None } else { Some(false) };
            assert_eq!(answer, expected, "{name}: {call:?}");
            assert!(took < DEADLINE + WAY, "{name}: {call:?} took {took:?}");
        }
        for ((call, expected), &(answer, took)) in well.iter().zip(of_well) {
            assert_eq!(answer, *expected, "{name}: {call:?}, after {took:?}");
            assert!(took < DEADLINE, "{name}: {call:?} took {took:?}, though nothing of it hangs");
        }
    }
}

/// On both transports at once, each with a place and a hang of its own.
fn on_both(each: impl Fn(fn(&Place) -> Host) + Sync) {
    let _busy = busy();
    thread::scope(|scope| {
        let each = &each;
        for start in [Host::port, Host::grpc] {
            scope.spawn(move || each(start));
        }
    });
}

#[track_caller]
fn check_both<G>(name: &str, rules: &str, make: impl Fn(&Place) -> G + Sync, hung: &[Call]) {
    on_both(|start| {
        let place = Place::new(rules);
        let guard = make(&place);
        let mut host = start(&place);
        check(name, &mut host, hung);
        drop((host, guard));
    });
}

/// Logins as many users, which come to the source that hangs.
fn logins(count: usize) -> Vec<Call> {
    (0..count).map(|n| login(format!("hung-{n}").leak())).collect()
}

/// A folder on which every access hangs. Where it cannot be had, what is in it is missing, which must do as little harm.
fn hang(place: &Place) -> Option<HungDisk> {
    let disk = HungDisk::at(&place.path("hung"));
    disk.map_err(|why| cannot_run("a disk that hangs, but a file that is missing", why)).ok()
}

#[test]
fn a_password_file_on_a_disk_that_hangs() {
    check_both("a hung disk", &sources("{ file: hung/devices.passwd }"), hang, &logins(40));
}

#[test]
fn a_password_database_on_a_disk_that_hangs() {
    let query = "{ sqlite: hung/p.db, query: \"SELECT hash FROM p WHERE name = :username\" }";
    check_both("a database on a hung disk", &sources(query), hang, &logins(40));
}

#[test]
fn a_password_file_that_becomes_a_pipe_and_back() {
    on_both(|start| {
        let place = Place::new(&sources("{ file: swapped }"));
        for n in 0..2 {
            assert!(Command::new("mkfifo").arg(place.path(&format!("pipe-{n}"))).status().unwrap().success());
        }
        fs::write(place.path("file"), "nobody:x\n").unwrap();
        fs::write(place.path("swapped"), "nobody:x\n").unwrap();
        let mut host = start(&place);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    fs::hard_link(place.path("pipe-0"), place.path("next")).unwrap();
                    fs::rename(place.path("next"), place.path("swapped")).unwrap();
                    fs::copy(place.path("file"), place.path("next")).unwrap();
                    fs::rename(place.path("next"), place.path("swapped")).unwrap();
                }
            });
            let end = Instant::now() + Duration::from_secs(4);
            while Instant::now() < end {
                let answers = host.ask(&[logins(8), vec![login("dev-1"), login("read-1")]].concat());
                for (index, (answer, took)) in answers.into_iter().enumerate() {
                    assert_eq!(answer, Some(index >= 8), "{index}");
                    assert!(took < DEADLINE + WAY, "{index}: {took:?}");
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        // The thread that reads it is not stuck with a pipe.
        fs::write(place.path("swapped"), format!("hung-1:{}\n", mosquitto_hash(b"right"))).unwrap();
        thread::sleep(Duration::from_millis(1200));
        assert_eq!(host.ask(&[login("hung-1")])[0].0, Some(true), "{}", host.name());
    });
}

#[test]
fn a_password_database_that_is_locked() {
    let make = |place: &Place| {
        let database = Connection::open(place.path("p.db")).unwrap();
        database.execute_batch("CREATE TABLE p (name TEXT, hash TEXT)").unwrap();
        drop(database);
        Lock::on(&place.path("p.db"))
    };
    let query = "{ sqlite: p.db, query: \"SELECT hash FROM p WHERE name = :username\" }";
    check_both("a locked database", &sources(query), make, &logins(40));
}

/// Counts for ever.
const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

#[test]
fn a_password_query_that_never_ends() {
    let make = |place: &Place| {
        Connection::open(place.path("p.db")).unwrap().execute_batch("CREATE TABLE p (name TEXT)").unwrap();
    };
    let query = format!("{{ sqlite: p.db, query: \"{ENDLESS} SELECT max(i) FROM n WHERE :username <> ''\" }}");
    check_both("an endless query", &sources(&query), make, &logins(40));
}

#[test]
fn a_list_query_that_never_ends() {
    let rules = format!(
        "{}lists:\n  l: {{ sqlite: p.db, query: \"{ENDLESS} SELECT max(i) FROM n\" }}\n",
        sources("{ file: devices.passwd }").replace("clientid: { glob: \"hung-*\" }", "clientid: { in: l }")
            .replace("    - { id: hung, ", "    - { id: well, allow: { clientid: { glob: \"dev-*\" } }, password: well }\n    - { id: open, allow: { clientid: { glob: \"read-*\" } } }\n    - { id: x, deny: { clientid: nobody } }\n    - { id: hung, ")
            .replace("    - { id: well, allow: { clientid: { glob: \"dev-*\" } }, password: well }\n    - { id: open, allow: { clientid: { glob: \"read-*\" } } }\nacl", "acl"),
    );
    let make = |place: &Place| {
        Connection::open(place.path("p.db")).unwrap().execute_batch("CREATE TABLE p (name TEXT)").unwrap();
    };
    check_both("an endless list", &rules, make, &logins(40));
}

/// A hash that takes about nine seconds of a core, which is just read.
fn costly(clientid: &str) -> String {
    format!("{clientid}:$7$9000000$dHdlbHZlIGJ5dGVz${}==\n", "A".repeat(86))
}

#[test]
fn hashes_that_take_longer_than_the_deadline() {
    let make = |place: &Place| {
        let costly: Vec<String> = (0..40).map(|n| costly(&format!("hung-{n}"))).collect();
        fs::write(place.path("costly.passwd"), costly.concat()).unwrap();
    };
    check_both("costly hashes", &sources("{ file: costly.passwd }"), make, &logins(8));
}

#[test]
fn a_hash_that_would_take_minutes() {
    let make = |place: &Place| {
        let absurd = |n| format!("hung-{n}:$argon2id$v=19$m=2097152,t=500,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNo\n");
        fs::write(place.path("absurd.passwd"), (0..40).map(absurd).collect::<String>()).unwrap();
    };
    check_both("absurd hashes", &sources("{ file: absurd.passwd }"), make, &logins(4));
}

/// More logins at once than all workers can check within the deadline: each is answered in time, some with a denial.
#[test]
fn more_logins_than_the_workers_can_check() {
    let _busy = busy();
    for start in [Host::port, Host::grpc] {
        let place = Place::new(&sources("{ file: slow.passwd }"));
        let salt = "dHdlbHZlIGJ5dGVz";
        // About a quarter of a second each.
        let slow = |n| format!("hung-{n}:$7$250000${salt}${}==\n", "A".repeat(86));
        fs::write(place.path("slow.passwd"), (0..400).map(slow).collect::<String>()).unwrap();
        let mut host = start(&place);
        for _ in 0..times(1, 30) {
            for (answer, took) in host.ask(&[logins(400), vec![login("read-1"), login("nobody")]].concat()) {
                assert!(answer.is_some() && took < DEADLINE + WAY, "{}: {answer:?} {took:?}", host.name());
            }
        }
    }
}

#[test]
fn a_history_on_a_disk_that_hangs() {
    let rules =
        sources("{ file: missing }") + "history: { database: hung/history.db, record: [connections, denials] }\n";
    let events: Vec<Call> = (0..40).map(|n| Call::Connected(client(format!("read-{n}").leak()))).collect();
    check_both("a history on a hung disk", &rules, hang, &events);
}
