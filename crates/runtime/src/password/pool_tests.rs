use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use zeroize::Zeroizing;

use super::super::cache::CheckKey;
use super::super::source::SourceAnswer;
use super::super::state::{Lane, Meaning};
use super::*;
use crate::password::login::Caller;
use exhook_policy_core::policy::model::PasswordSource;

/// Two hashes that differ in their parameters alone. They are never computed: the tests' own `verify` takes
/// the password `right`, and `new` for the second.
const HASH: &str = "$pbkdf2-sha256$i=7$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";
const NEW_HASH: &str = "$pbkdf2-sha256$i=8$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";
/// One that takes five seconds.
const LONG_HASH: &str = "$pbkdf2-sha256$i=5000000$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

/// Longer than any of these tests takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn parsed(hash: &str) -> Arc<StoredHash> {
    Arc::new(StoredHash::parse(hash).unwrap())
}

type Users = Arc<Mutex<HashMap<&'static str, Result<SourceAnswer, String>>>>;

/// A source in memory. While `hangs` is locked, look-ups hang, unless they are interrupted.
#[derive(Clone, Default)]
struct Memory {
    users: Users,
    hangs: Arc<AtomicBool>,
    interrupted: Arc<AtomicUsize>,
    /// The costliest hash that it holds, if that is not `HASH`.
    costliest: Option<Arc<StoredHash>>,
    /// How nice whoever looks up is.
    niceness: Arc<AtomicI32>,
}

impl Memory {
    fn with(users: &[(&'static str, &str)]) -> Self {
        let memory = Memory::default();
        for (user, hash) in users {
            memory.set(user, Ok(SourceAnswer::Hash((*hash).to_owned())));
        }
        memory
    }

    fn set(&self, user: &'static str, found: Result<SourceAnswer, String>) {
        self.users.lock().unwrap().insert(user, found);
    }
}

impl Source for Memory {
    fn look_up(&mut self, username: &str, _end: Instant) -> Result<SourceAnswer, String> {
        self.niceness.store(getpriority_process(Some(gettid())).unwrap(), Ordering::SeqCst);
        let interrupted = self.interrupted.load(Ordering::SeqCst);
        while self.hangs.load(Ordering::SeqCst) {
            if self.interrupted.load(Ordering::SeqCst) > interrupted {
                return Err("interrupted".to_owned());
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_ne!(username, "panic");
        self.users.lock().unwrap().get(username).cloned().unwrap_or(Ok(SourceAnswer::Nobody))
    }

    fn costliest(&self) -> Option<Arc<StoredHash>> {
        static COSTLIEST: LazyLock<Arc<StoredHash>> = LazyLock::new(|| parsed(HASH));
        Some(self.costliest.clone().unwrap_or_else(|| COSTLIEST.clone()))
    }

    fn interrupt(&self) -> Arc<dyn Fn() + Send + Sync> {
        let interrupted = Arc::clone(&self.interrupted);
        Arc::new(move || {
            interrupted.fetch_add(1, Ordering::SeqCst);
        })
    }
}

/// A client that asks so many sources in order.
struct Asks {
    user: String,
    sources: usize,
    asked: AtomicUsize,
    faulty: bool,
    is_counted: bool,
    bytes: usize,
    done: Box<dyn Fn(PasswordOutcome) + Send + Sync>,
}

impl Asks {
    fn login(self, password: &str, peerhost: Option<IpAddr>, arrived: Instant) -> PasswordLogin {
        let password = Zeroizing::new(password.as_bytes().to_owned());
        PasswordLogin { caller: Arc::new(self), password, peerhost, arrived, source: PasswordId(0) }
    }
}

impl Caller for Asks {
    fn username(&self) -> &str {
        &self.user
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn unknown(&self) -> Option<PasswordId> {
        assert!(!self.faulty);
        let next = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        (next < self.sources).then_some(PasswordId(next))
    }

    fn is_counted(&self) -> bool {
        self.is_counted
    }

    fn done(&self, outcome: PasswordOutcome) {
        (self.done)(outcome);
    }
}

/// A client of one source.
fn asks(user: &str, done: impl Fn(PasswordOutcome) + Send + Sync + 'static) -> Asks {
    Asks {
        user: user.to_owned(),
        sources: 1,
        asked: AtomicUsize::new(0),
        faulty: false,
        is_counted: false,
        bytes: 0,
        done: Box::new(done),
    }
}

/// A pool on sources in memory, whose worker reports what it verifies and can be made to wait.
struct Bench {
    pool: Option<Pool>,
    verified: Receiver<Vec<u8>>,
    /// How long each of these takes.
    times: Receiver<Duration>,
    gate: Arc<Mutex<()>>,
    log: Receiver<Vec<u8>>,
}

struct Lines(Sender<Vec<u8>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(bytes.to_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Bench {
    fn new(deadline: Duration, sources: &[&Memory]) -> Self {
        Bench::bounded(deadline, sources, |_| {})
    }

    fn bounded(deadline: Duration, sources: &[&Memory], change: impl FnOnce(&mut Bounds)) -> Self {
        let (report, verified) = mpsc::channel();
        let (report_time, times) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        let behind = Arc::clone(&gate);
        let mut settings = PoolSettings::of(deadline);
        settings.workers = 1;
        settings.bounds.long = u64::MAX;
        change(&mut settings.bounds);
        let new_hash = StoredHash::parse(NEW_HASH).unwrap().work();
        settings.verify = Arc::new(move |hash, password, _| {
            report.send(password.to_owned()).unwrap();
            let _ = report_time.send(hash.time());
            drop(behind.lock());
            assert_ne!(password, b"panic");
            password == if hash.work() == new_hash { &b"new"[..] } else { b"right" }
        });
        let sources: Vec<(Arc<str>, Box<dyn Source>)> = sources
            .iter()
            .enumerate()
            .map(|(n, source)| (format!("source-{n}").into(), Box::new((*source).clone()) as Box<dyn Source>))
            .collect();
        let (lines, log) = mpsc::channel();
        let pool = Some(Pool::with(sources, settings, Box::new(|| {}), Log::to(Lines(lines))));
        Bench { pool, verified, times, gate, log }
    }

    /// Submits a login that asks the sources in order, and gives where its outcome will come.
    fn submit(&self, user: &str, password: &str, peer: Option<IpAddr>) -> Receiver<PasswordOutcome> {
        self.submit_at(Instant::now(), user, password, peer)
    }

    fn submit_at(
        &self,
        arrived: Instant,
        user: &str,
        password: &str,
        peer: Option<IpAddr>,
    ) -> Receiver<PasswordOutcome> {
        let pool = self.pool.as_ref().unwrap();
        let (done, outcome) = mpsc::channel();
        let mut asks = asks(user, move |outcome| {
            let _ = done.send(outcome);
        });
        asks.sources = pool.shared.names.len();
        asks.faulty = password == "unknown panics";
        pool.submit(asks.login(password, peer, arrived));
        outcome
    }

    /// Submits a login at whose password guesses are counted.
    fn submit_counted(&self, user: &str, password: &str) -> Receiver<PasswordOutcome> {
        self.submit_large(user, password, 0)
    }

    /// As [`Bench::submit_counted`], of a client with so many bytes of names.
    fn submit_large(&self, user: &str, password: &str, bytes: usize) -> Receiver<PasswordOutcome> {
        let (done, outcome) = mpsc::channel();
        let asks = asks(user, move |outcome| {
            let _ = done.send(outcome);
        });
        let counted = Asks { is_counted: true, bytes, ..asks };
        self.pool.as_ref().unwrap().submit(counted.login(password, None, Instant::now()));
        outcome
    }

    fn login(&self, user: &str, password: &str) -> PasswordOutcome {
        self.submit(user, password, None).recv_timeout(LONG).unwrap()
    }

    /// How many verifications were begun since this was last asked.
    fn cost(&self) -> usize {
        self.verified.try_iter().count()
    }

    /// How long the hashes take that were verified since this was last asked.
    fn time(&self) -> Duration {
        self.times.try_iter().sum()
    }

    /// Waits until the worker is busy with this password.
    fn busy_with(&self, password: &str) {
        assert_eq!(self.verified.recv_timeout(LONG).unwrap(), password.as_bytes());
    }

    /// Waits until so many checks wait for the worker.
    fn until_queued(&self, count: usize) {
        self.until(|state| state.queued_checks() == count);
    }

    fn until(&self, reached: impl Fn(&PoolState) -> bool) {
        let start = Instant::now();
        while !reached(&self.pool.as_ref().unwrap().shared.lock()) {
            assert!(start.elapsed() < LONG);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn right(source: usize) -> PasswordOutcome {
    PasswordOutcome::Right(PasswordId(source))
}

fn wrong(source: usize) -> PasswordOutcome {
    PasswordOutcome::Wrong(PasswordId(source))
}

#[expect(clippy::unnecessary_wraps, reason = "what a login has: an address or none")]
fn peer(n: u8) -> Option<IpAddr> {
    Some(IpAddr::from([10, 0, 0, n]))
}

#[test]
fn the_first_source_that_knows_the_user_decides() {
    let first = Memory::with(&[("ann", HASH)]);
    let second = Memory::with(&[("ann", NEW_HASH), ("bob", NEW_HASH)]);
    let bench = Bench::new(LONG, &[&first, &second]);
    for (user, password, expected) in [
        ("ann", "right", right(0)),
        ("ann", "new", wrong(0)),
        ("bob", "new", right(1)),
        ("bob", "right", wrong(1)),
        ("cid", "right", PasswordOutcome::Unknown),
        ("", "right", PasswordOutcome::Unknown),
    ] {
        assert_eq!(bench.login(user, password), expected, "{user} {password}");
    }
}

#[test]
fn every_login_costs_one_verification() {
    let memory = Memory::with(&[("ann", HASH), ("bad", "plain text")]);
    memory.set("twice", Ok(SourceAnswer::Several));
    memory.set("number", Ok(SourceAnswer::NoText));
    memory.set("broken", Err("disk on fire".to_owned()));
    let bench = Bench::new(LONG, &[&memory]);
    let source: Arc<str> = "source-0".into();
    let reason = StoredHash::parse("plain text").unwrap_err();
    for (user, password, expected, cost) in [
        ("ann", "right", right(0), 1),
        ("ann", "guess", wrong(0), 1),
        ("ann", "guess", wrong(0), 1),
        ("ann", "", wrong(0), 1),
        ("cid", "right", PasswordOutcome::Unknown, 1),
        ("cid", "right", PasswordOutcome::Unknown, 1),
        ("cid", "", PasswordOutcome::Unknown, 1),
        ("bad", "right", PasswordOutcome::Failed(Failure::Hash { source: Arc::clone(&source), reason }), 1),
        ("twice", "right", PasswordOutcome::Failed(Failure::Several { source: Arc::clone(&source) }), 1),
        ("number", "right", PasswordOutcome::Failed(Failure::NoText { source: Arc::clone(&source) }), 1),
        // Nothing about the user can be seen in this one.
        ("broken", "right", PasswordOutcome::Failed(Failure::Source { source, reason: "disk on fire".into() }), 0),
    ] {
        assert_eq!(bench.login(user, password), expected, "{user} {password:?}");
        assert_eq!(bench.cost(), cost, "{user} {password:?}");
    }
}

#[test]
fn a_right_password_is_remembered_with_its_stored_hash() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::new(LONG, &[&memory]);
    assert_eq!(bench.login("ann", "right"), right(0));
    assert_eq!(bench.cost(), 1);
    assert_eq!(bench.login("ann", "right"), right(0));
    assert_eq!(bench.cost(), 0, "it is remembered");
    assert_eq!(bench.login("ann", "wrong"), wrong(0));
    assert_eq!(bench.cost(), 1);
    memory.set("ann", Ok(SourceAnswer::Hash(NEW_HASH.to_owned())));
    assert_eq!(bench.login("ann", "right"), wrong(0), "the password was changed");
    assert_eq!(bench.login("ann", "new"), right(0));
    assert_eq!(bench.cost(), 2);
    memory.users.lock().unwrap().clear();
    assert_eq!(bench.login("ann", "new"), PasswordOutcome::Unknown, "the user was taken out");
    memory.set("ann", Err("gone".to_owned()));
    assert!(matches!(bench.login("ann", "new"), PasswordOutcome::Failed(Failure::Source { .. })));
}

#[test]
fn what_is_remembered_is_forgotten() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.remember = Duration::from_millis(1));
    assert_eq!(bench.login("ann", "right"), right(0));
    thread::sleep(Duration::from_millis(5));
    assert_eq!(bench.login("ann", "right"), right(0));
    assert_eq!(bench.cost(), 2);
}

#[test]
fn the_newest_is_checked_first() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::new(LONG, &[&memory]);
    let gate = bench.gate.lock().unwrap();
    let mut outcomes = vec![bench.submit("ann", "0", None)];
    bench.busy_with("0");
    for n in 1..=4 {
        outcomes.push(bench.submit("ann", &n.to_string(), None));
        bench.until_queued(n);
    }
    drop(gate);
    for outcome in outcomes {
        assert_eq!(outcome.recv_timeout(LONG).unwrap(), wrong(0));
    }
    let verified: Vec<Vec<u8>> = bench.verified.try_iter().collect();
    assert_eq!(verified, [b"4", b"3", b"2", b"1"]);
}

#[test]
fn equal_logins_are_checked_once_and_count_once() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.user = 2);
    let gate = bench.gate.lock().unwrap();
    let busy = bench.submit("ann", "busy", None);
    bench.busy_with("busy");
    let first = bench.submit("ann", "right", None);
    bench.until_queued(1);
    let other = bench.submit("ann", "other", None);
    bench.until_queued(2);
    let crowd: Vec<_> = (0..100).map(|n| bench.submit("ann", "right", peer(n))).collect();
    let same_busy: Vec<_> = (0..100).map(|n| bench.submit("ann", "busy", peer(n))).collect();
    bench.until(|state| state.waiting_checks() == 203);
    drop(gate);
    for outcome in crowd.into_iter().chain([first]) {
        assert_eq!(outcome.recv_timeout(LONG).unwrap(), right(0));
    }
    for outcome in same_busy.into_iter().chain([busy, other]) {
        assert_eq!(outcome.recv_timeout(LONG).unwrap(), wrong(0));
    }
    // The crowd made its check the newest.
    let verified: Vec<Vec<u8>> = bench.verified.try_iter().collect();
    assert_eq!(verified, [&b"right"[..], b"other"]);
}

#[test]
fn a_user_and_a_peer_have_shares() {
    let memory = Memory::with(&[("ann", HASH), ("bob", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| {
        bounds.user = 2;
        bounds.places = 3;
    });
    let gate = bench.gate.lock().unwrap();
    let busy = bench.submit("ann", "busy", peer(1));
    bench.busy_with("busy");
    let oldest = bench.submit("ann", "1", peer(1));
    bench.until_queued(1);
    let older = bench.submit("ann", "2", peer(1));
    bench.until_queued(2);
    let newest = bench.submit("ann", "3", peer(1));
    let share = PasswordOutcome::Failed(Failure::Share);
    assert_eq!(oldest.recv_timeout(LONG).unwrap(), share, "two of one user may wait");
    let bob = bench.submit("bob", "right", peer(2));
    bench.until_queued(3);
    let eve = bench.submit("eve", "right", peer(3));
    assert_eq!(older.recv_timeout(LONG).unwrap(), share, "the busiest peer makes room");
    drop(gate);
    assert_eq!(busy.recv_timeout(LONG).unwrap(), wrong(0));
    assert_eq!(newest.recv_timeout(LONG).unwrap(), wrong(0));
    assert_eq!(bob.recv_timeout(LONG).unwrap(), right(0));
    assert_eq!(eve.recv_timeout(LONG).unwrap(), PasswordOutcome::Unknown);
    // Peer 1 had its turn lately.
    let verified: Vec<Vec<u8>> = bench.verified.try_iter().collect();
    assert_eq!(verified, [&b"right"[..], b"right", b"3"]);
}

#[test]
fn a_guess_turned_away_is_denied_at_its_deadline() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(Duration::from_secs(2), &[&memory], |bounds| bounds.user = 1);
    let late = || PasswordOutcome::Failed(Failure::TooLate);
    let known_wrong = || PasswordOutcome::KnownWrong(Failure::TooLate);
    // No right password is remembered: nothing is known of them. Later one is.
    for expected in [[late(), late(), late()], [known_wrong(), known_wrong(), known_wrong()]] {
        let gate = bench.gate.lock().unwrap();
        let busy = bench.submit_counted("ann", "busy");
        bench.busy_with("busy");
        let turned_away = bench.submit_counted("ann", "1");
        bench.until_queued(1);
        let waiting = bench.submit_counted("ann", "2");
        for (outcome, expected) in [busy, turned_away, waiting].into_iter().zip(expected) {
            assert_eq!(outcome.recv_timeout(LONG).unwrap(), expected);
        }
        drop(gate);
        while bench.login("ann", "right") != right(0) {}
        bench.cost();
    }
}

#[test]
fn a_right_password_turned_away_is_not_known_to_be_wrong() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(Duration::from_secs(2), &[&memory], |bounds| bounds.user = 1);
    let gate = bench.gate.lock().unwrap();
    let _busy = bench.submit_counted("ann", "busy");
    bench.busy_with("busy");
    let turned_away = bench.submit_counted("ann", "right");
    bench.until_queued(1);
    let _guess = bench.submit_counted("ann", "1");
    bench.until(|state| state.queued_checks() == 1 && state.len() == 3);
    drop(gate);
    while bench.login("ann", "right") != right(0) {}
    assert_eq!(turned_away.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::TooLate));
}

#[test]
fn guesses_turned_away_are_bounded_like_all_logins() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| (bounds.user, bounds.logins) = (1, 3));
    assert_eq!(bench.login("ann", "right"), right(0));
    let gate = bench.gate.lock().unwrap();
    bench.cost();
    let mut outcomes = vec![bench.submit_counted("ann", "0")];
    bench.busy_with("0");
    for guess in ["1", "2", "3", "4"] {
        outcomes.push(bench.submit_counted("ann", guess));
        bench.until(|state| state.asking_of(PasswordId(0)) == 0 && state.queued_checks() == 1);
        assert!(bench.pool.as_ref().unwrap().shared.lock().len() <= 3);
    }
    for outcome in &outcomes[..2] {
        assert_eq!(outcome.recv_timeout(LONG).unwrap(), PasswordOutcome::KnownWrong(Failure::Share));
    }
    drop(gate);
}

#[test]
fn guesses_turned_away_have_places_of_their_own() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| (bounds.user, bounds.places) = (1, 6));
    assert_eq!(bench.login("ann", "right"), right(0));
    bench.cost();
    let gate = bench.gate.lock().unwrap();
    let _busy = bench.submit_large("ann", "0", 2048);
    bench.busy_with("0");
    let _first = bench.submit_large("ann", "1", 2048);
    bench.until_queued(1);
    let _second = bench.submit_large("ann", "2", 2048);
    bench.until(|state| state.held() == (9, 3));
    let third = bench.submit_large("ann", "3", 2048);
    bench.until(|state| state.held() == (12, 6));
    // The third would have to wait like the first two. It is denied, and counted as wrong.
    let _fourth = bench.submit_large("ann", "4", 2048);
    assert_eq!(third.recv_timeout(LONG).unwrap(), PasswordOutcome::KnownWrong(Failure::Share));
    assert_eq!(bench.pool.as_ref().unwrap().shared.lock().held(), (12, 6));
    drop(gate);
}

/// Equal checks are made once, so that they take one place in the queue.
#[test]
fn logins_are_bounded_by_their_bytes() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.logins = 10);
    let gate = bench.gate.lock().unwrap();
    let oldest = bench.submit_large("ann", "guess", 2048);
    bench.busy_with("guess");
    let others = [(); 3].map(|()| bench.submit_large("ann", "guess", 2048));
    assert_eq!(oldest.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::Share));
    bench.until(|state| state.waiting_checks() == 3 && state.held() == (9, 0));
    drop(gate);
    for outcome in others {
        assert_eq!(outcome.recv_timeout(LONG).unwrap(), wrong(0));
    }
    bench.until(|state| state.held() == (0, 0));
}

#[test]
fn large_passwords_take_several_places() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.places = 64);
    let large = "x".repeat(65_532);
    assert_eq!(bench.login("ann", &large), wrong(0));
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.places = 63);
    assert_eq!(bench.login("ann", &large), PasswordOutcome::Failed(Failure::Share));
}

#[test]
fn the_oldest_login_gives_way_when_there_are_too_many() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.logins = 2);
    let gate = bench.gate.lock().unwrap();
    let outcomes = ["1", "2", "3"].map(|password| bench.submit("ann", password, None));
    let [first, second, third] = outcomes;
    assert_eq!(first.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::Share));
    drop(gate);
    assert_eq!(second.recv_timeout(LONG).unwrap(), wrong(0));
    assert_eq!(third.recv_timeout(LONG).unwrap(), wrong(0));
}

#[test]
fn what_is_not_checked_in_time_is_denied_before_the_deadline() {
    let memory = Memory::with(&[("ann", HASH)]);
    let deadline = Duration::from_secs(3);
    let bench = Bench::new(deadline, &[&memory]);
    let gate = bench.gate.lock().unwrap();
    let arrived = Instant::now();
    let mut outcomes = vec![bench.submit("ann", "right", None)];
    bench.busy_with("right");
    outcomes.push(bench.submit("ann", "guess", None));
    bench.until_queued(1);
    outcomes.push(bench.submit("ann", "right", None));
    for outcome in outcomes {
        assert_eq!(outcome.recv_timeout(deadline).unwrap(), PasswordOutcome::Failed(Failure::TooLate));
    }
    assert!(arrived.elapsed() < deadline, "{:?}", arrived.elapsed());
    bench.until_queued(0);
    drop(gate);
    bench.until(PoolState::remembers_any);
    assert_eq!(bench.cost(), 0);
    assert_eq!(bench.login("ann", "right"), right(0), "what came too late is remembered for the next time");
    assert_eq!(bench.cost(), 0);
}

#[test]
fn a_login_that_arrived_too_long_ago_is_denied_at_once() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::new(Duration::from_millis(50), &[&memory]);
    let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(1)) else { return };
    let outcome = bench.submit_at(long_ago, "ann", "right", None);
    assert_eq!(outcome.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::TooLate));
}

#[test]
fn a_source_that_hangs_holds_up_its_own_logins_alone() {
    let (hanging, fine) = (Memory::with(&[("ann", HASH)]), Memory::with(&[("bob", HASH)]));
    let bench = Bench::new(Duration::from_millis(500), &[&fine, &hanging]);
    hanging.hangs.store(true, Ordering::SeqCst);
    let ann = bench.submit("ann", "right", None);
    let cid = bench.submit("cid", "right", None);
    assert_eq!(bench.login("bob", "right"), right(0));
    assert_eq!(ann.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::TooLate));
    assert_eq!(cid.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::TooLate));
    assert_eq!(bench.login("bob", "right"), right(0));
    hanging.hangs.store(false, Ordering::SeqCst);
    assert!(hanging.interrupted.load(Ordering::SeqCst) > 0, "the look-up was interrupted");
    bench.until(|state| state.asking_of(PasswordId(1)) == 0);
}

/// Whoever has a hash that takes longer than a login has leaves a worker to the others, and is checked when there is one.
#[test]
fn long_checks_wait_while_as_many_are_under_way() {
    let memory = Memory::with(&[("ann", HASH), ("bob", HASH), ("cid", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| (bounds.long, bounds.long_at_once) = (1, 0));
    let ann = bench.submit("ann", "right", None);
    bench.until_queued(1);
    assert!(ann.recv_timeout(Duration::from_millis(50)).is_err(), "a long check was begun");
    drop(bench);

    let settings = PoolSettings::of(Duration::from_secs(2));
    assert!(settings.workers >= 2 && settings.bounds.long_at_once < settings.workers);
    assert_eq!(settings.bounds.long, 2_000_000);
    let mut state = PoolState::new(1, Bounds { long_at_once: 1, ..settings.bounds });
    let now = Instant::now();
    let check = |state: &mut PoolState, n: u8, hash: &str| queue_check(state, now, n, hash);
    let keys = [check(&mut state, 1, LONG_HASH), check(&mut state, 2, LONG_HASH), check(&mut state, 3, HASH)];
    let next = |state: &mut PoolState| state.next_check(now).map(|(_, check)| check.key);
    assert_eq!(next(&mut state), Some(keys[2]), "the short one first");
    let first = next(&mut state).unwrap();
    assert!(keys[..2].contains(&first));
    assert_eq!(next(&mut state), None, "the other long one waits, though a worker asks");
    let fourth = check(&mut state, 4, HASH);
    assert_eq!(next(&mut state), Some(fourth), "and short ones do not");
    state.checked(now, (Lane::Short, keys[2]), Meaning::Real(PasswordId(0)), Some(true), &mut Outcomes::new());
    assert_eq!(next(&mut state), None);
    state.checked(now, (Lane::Long, first), Meaning::Real(PasswordId(0)), Some(true), &mut Outcomes::new());
    assert!(next(&mut state).is_some_and(|key| key != first && keys[..2].contains(&key)));
}

/// Has a login wait for a check of this number. It has the time `LONG`.
fn queue_check(state: &mut PoolState, now: Instant, n: u8, hash: &str) -> CheckKey {
    let mut told = Outcomes::new();
    let who = ShareHolder { peer: QueuePeer::Unknown, user: "ann".into(), places: 1 };
    let ticket = (now + LONG, state.number());
    let caller: Arc<dyn Caller> = Arc::new(asks("ann", |_| {}));
    let asking = AskingLogin { ticket, who: who.clone(), password: Zeroizing::default(), caller, costliest: None };
    assert!(state.admit(now, PasswordId(0), asking, &mut told));
    state.next_asking(now, PasswordId(0)).unwrap();
    let key = Keys::public().key(&[&[n]]);
    let hash = Arc::new(StoredHash::parse(hash).unwrap());
    let meaning = Meaning::Real(PasswordId(0));
    let check = Check { key, hash, pad: None, password: Zeroizing::default(), meaning };
    state.check(now, ticket, &who, (check, HASH), &mut told);
    assert!(told.is_empty());
    key
}

#[test]
fn long_checks_leave_most_workers_to_the_others() {
    for (workers, expected) in [(2, 1), (3, 1), (4, 1), (7, 1), (8, 2), (64, 16)] {
        assert_eq!(long_at_once(workers), expected, "of {workers}");
    }
}

/// Otherwise nobody would count the wrong guesses at such a hash, and the right one would be let in when it is tried again.
#[test]
fn what_a_long_check_finds_too_late_is_not_remembered() {
    let bounds = PoolSettings::of(Duration::from_secs(2)).bounds;
    for (hash, too_late, tried_again, remembered) in [
        (HASH, false, false, true),
        (HASH, true, false, true),
        (LONG_HASH, false, false, true),
        (LONG_HASH, true, false, false),
        // While it is under way, so that it is told, and counted.
        (LONG_HASH, true, true, true),
    ] {
        let (mut state, now, mut told) = (PoolState::new(1, bounds), Instant::now(), Outcomes::new());
        let key = queue_check(&mut state, now, 1, hash);
        let (lane, check) = state.next_check(now).unwrap();
        let mut expected = Vec::new();
        if too_late {
            state.expire(now + LONG, usize::MAX, &mut told);
            expected.push(PasswordOutcome::Failed(Failure::TooLate));
        }
        if tried_again {
            assert_eq!(queue_check(&mut state, now + LONG, 1, hash), key);
        }
        if tried_again || !too_late {
            expected.push(right(0));
        }
        state.checked(now + LONG, (lane, key), check.meaning, Some(true), &mut told);
        let told: Vec<_> = told.into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(told, expected);
        assert_eq!(state.remembers_any(), remembered, "{hash} {too_late} {tried_again}");
    }
}

/// Checks that logins which no hash decides are answered, each at this cost, though the last user who came has the hash
/// `LONG_HASH`. No check with so much work, or more, is ever begun.
#[track_caller]
fn check_unknown_users(long: u64, costliest: &'static str, cost: usize) {
    let mut first = Memory::with(&[("ann", LONG_HASH)]);
    first.costliest = Some(parsed(costliest));
    let mut second = Memory::with(&[("bob", LONG_HASH)]);
    second.costliest = Some(parsed(costliest));
    second.set("twice", Ok(SourceAnswer::Several));
    let deadline = Duration::from_secs(10);
    let bench = Bench::bounded(deadline, &[&first, &second], |bounds| (bounds.long, bounds.long_at_once) = (long, 0));
    let _waiting = ["ann", "bob"].map(|user| bench.submit(user, "right", None));
    bench.until_queued(2);
    assert_eq!(bench.login("cid", "guess"), PasswordOutcome::Unknown);
    assert_eq!(bench.cost(), cost);
    let several = Failure::Several { source: "source-1".into() };
    assert_eq!(bench.login("twice", "guess"), PasswordOutcome::Failed(several));
    assert_eq!(bench.cost(), cost);
}

#[test]
fn an_unknown_user_costs_no_long_check() {
    let stand_in = StoredHash::stand_in().work();
    check_unknown_users(stand_in, HASH, 1);
    check_unknown_users(stand_in + 1, LONG_HASH, 1);
    // Where even the stand-in is long, nothing is spent.
    check_unknown_users(stand_in, LONG_HASH, 0);
    check_unknown_users(1, HASH, 0);
}

/// One that takes three thousand times as long as `HASH`, and one that takes nearly as long.
const DEAR_HASH: &str = "$pbkdf2-sha256$i=21000$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";
const NEAR_HASH: &str = "$pbkdf2-sha256$i=20000$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";

fn time_of(hash: &str) -> Duration {
    parsed(hash).time()
}

#[test]
fn a_guess_costs_the_costliest_hash_for_every_user() {
    let mut memory =
        Memory::with(&[("cheap", HASH), ("dear", DEAR_HASH), ("near", NEAR_HASH), ("bad", "plain"), ("", HASH)]);
    memory.costliest = Some(parsed(DEAR_HASH));
    memory.set("twice", Ok(SourceAnswer::Several));
    memory.set("number", Ok(SourceAnswer::NoText));
    memory.set("gone", Ok(SourceAnswer::Unsure("it was changed just now".to_owned())));
    let bench = Bench::new(LONG, &[&memory]);
    let (cheap, dear, near) = (time_of(HASH), time_of(DEAR_HASH), time_of(NEAR_HASH));
    for (user, password, expected) in [
        // The cheap one first: it must not become what others cost.
        ("cheap", "right", cheap),
        ("nobody", "guess", dear),
        ("nobody", "", dear),
        ("", "guess", dear),
        ("", "right", dear),
        ("dear", "guess", dear),
        ("dear", "", dear),
        ("bad", "guess", dear),
        ("twice", "guess", dear),
        ("number", "guess", dear),
        ("gone", "guess", dear),
        ("cheap", "guess", cheap + dear),
        ("cheap", "", cheap + dear),
        // Together they would take longer than either, which tells more.
        ("near", "guess", near),
        ("dear", "right", dear),
    ] {
        bench.login(user, password);
        assert_eq!(bench.time(), expected, "{user:?} {password:?}");
    }
    bench.login("cheap", "right");
    assert_eq!(bench.time(), Duration::ZERO, "it is remembered");
}

#[test]
fn a_guess_costs_the_costliest_hash_of_all_sources_asked() {
    let (mut first, second) = (Memory::with(&[("ann", DEAR_HASH)]), Memory::with(&[("bob", HASH), ("bad", "plain")]));
    first.costliest = Some(parsed(DEAR_HASH));
    let (cheap, dear) = (time_of(HASH), time_of(DEAR_HASH));
    let users = [("ann", dear), ("bob", cheap + dear), ("bad", dear), ("nobody", dear)];
    let bench = Bench::new(LONG, &[&first, &second]);
    for (user, expected) in users {
        bench.login(user, "guess");
        assert_eq!(bench.time(), expected, "{user}");
    }
    // The other way round. A user whom the first source knows is not asked for in the second.
    let bench = Bench::new(LONG, &[&second, &first]);
    for (user, expected) in [("ann", dear), ("bob", cheap), ("bad", cheap), ("nobody", dear)] {
        bench.login(user, "guess");
        assert_eq!(bench.time(), expected, "{user}");
    }
}

#[test]
fn a_long_hash_is_verified_alone() {
    let mut memory = Memory::with(&[("long", DEAR_HASH), ("short", HASH)]);
    memory.costliest = Some(parsed(DEAR_HASH));
    let long = StoredHash::parse(DEAR_HASH).unwrap().work();
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.long = long);
    for (user, hash) in [("long", DEAR_HASH), ("short", HASH), ("nobody", HASH)] {
        bench.login(user, "guess");
        // Without a known hash that is short, the stand-in would be taken; it is long here as well.
        let expected = if user == "nobody" { Duration::ZERO } else { time_of(hash) };
        assert_eq!(bench.time(), expected, "{user}");
    }
}

/// Otherwise a few guesses at cheap hashes would keep the workers busy, and deny right logins.
#[test]
fn a_guess_costs_no_hash_of_over_a_quarter_of_the_deadline() {
    let of = |cost: u32| format!("$2b${cost:02}$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.");
    let (dear, fair) = (of(14), of(12));
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    std::fs::write(&path, format!("cheap:{HASH}\ndear:{dear}\nfair:{fair}\nbad:plain\n")).unwrap();
    let db = folder.path().join("staff.db");
    let connection = rusqlite::Connection::open(&db).unwrap();
    connection.execute_batch("CREATE TABLE staff(username, hash)").unwrap();
    for (user, hash) in [("cheap", HASH), ("dear", &dear), ("fair", &fair), ("bad", "plain")] {
        connection.execute("INSERT INTO staff VALUES (?, ?)", [user, hash]).unwrap();
    }
    let query = "SELECT hash FROM staff WHERE username = :username".to_owned();
    for source in [PasswordSource::File { path }, PasswordSource::Sqlite { path: db, query }] {
        let def = PasswordDef { name: "staff".to_owned(), source };
        // Whether `dear` takes more than a quarter of it: it takes 737 ms.
        for (seconds, is_too_dear) in [(2, true), (5, false)] {
            let deadline = Duration::from_secs(seconds);
            let mut settings = PoolSettings::of(deadline);
            let (report, times) = mpsc::channel();
            settings.verify = Arc::new(move |hash, _, _| {
                report.send(hash.time()).unwrap();
                false
            });
            let opened = source::open(&def, deadline, CostliestHash::default());
            let pool = Pool::with(vec![("staff".into(), opened)], settings, Box::new(|| {}), Log::to(std::io::sink()));
            let time = |user: &str| -> Duration {
                let (done, outcome) = mpsc::channel();
                let done = move |outcome| done.send(outcome).unwrap();
                pool.submit(asks(user, done).login("guess", None, Instant::now()));
                assert!(!matches!(outcome.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::TooLate)));
                times.try_iter().sum()
            };
            // Of the database those are known that were asked for.
            for user in ["fair", "dear"] {
                time(user);
            }
            let pad = time_of(if is_too_dear { &fair } else { &dear });
            for (user, expected) in
                [("nobody", pad), ("bad", pad), ("cheap", time_of(HASH) + pad), ("dear", time_of(&dear))]
            {
                assert_eq!(time(user), expected, "{user} within {seconds} s");
            }
        }
    }
}

#[test]
fn an_entry_without_a_username_lets_no_one_in() {
    let memory = Memory::with(&[("", HASH)]);
    let bench = Bench::new(LONG, &[&memory]);
    let denied = PasswordOutcome::Failed(Failure::NoUser { source: "source-0".into() });
    for password in ["right", "guess", ""] {
        assert_eq!(bench.login("", password), denied, "{password:?}");
    }
    let bench = Bench::new(LONG, &[&Memory::default()]);
    assert_eq!(bench.login("", "right"), PasswordOutcome::Unknown);
}

#[test]
fn what_was_seen_of_a_database_outlasts_a_reload() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("staff.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE staff(username, hash)").unwrap();
    connection.execute("INSERT INTO staff VALUES ('ann', ?)", [DEAR_HASH]).unwrap();
    let def = |query: &str| {
        let source = PasswordSource::Sqlite { path: path.clone(), query: query.to_owned() };
        PasswordDef { name: "staff".to_owned(), source }
    };
    let staff = def("SELECT hash FROM staff WHERE username = :username");
    let other = def("SELECT hash FROM staff WHERE username = lower(:username)");
    let start = |before, sources: &[PasswordDef], deadline| {
        Pool::start_after(before, sources, deadline, Box::new(|| {}), Log::to(std::io::sink()))
    };
    let first = start(None, std::slice::from_ref(&staff), LONG);
    let (done, outcome) = mpsc::channel();
    first.submit(asks("ann", move |outcome| done.send(outcome).unwrap()).login("guess", None, Instant::now()));
    assert_eq!(outcome.recv_timeout(LONG).unwrap(), wrong(0));
    let seen = |pool: &Pool| -> Vec<Option<Duration>> {
        pool.seen.iter().map(|(_, seen)| seen.costliest().map(|hash| hash.time())).collect()
    };
    let dear = Some(time_of(DEAR_HASH));
    assert_eq!(seen(&first), [dear]);
    let second = start(Some(&first), &[other.clone(), staff.clone()], LONG * 2);
    assert_eq!(seen(&second), [None, dear], "a source is known by its query, not by its place");
    let third = start(Some(&second), &[other, staff], LONG);
    assert_eq!(seen(&third), [None, None], "it may be too long for a shorter deadline");
}

#[test]
fn a_pool_of_the_same_sources_and_deadline_goes_on() {
    let folder = tempfile::TempDir::new().unwrap();
    let def = |name: &str| {
        let source = PasswordSource::File { path: folder.path().join("users.passwd") };
        PasswordDef { name: name.to_owned(), source }
    };
    let log = Log::to(std::io::sink());
    let succeed = |before: Option<&Arc<Pool>>, sources: &[PasswordDef], deadline| {
        Pool::succeed(before, sources, deadline, Box::new(|| {}), &log)
    };
    let is_same = |one: &Arc<Pool>, other: Option<Arc<Pool>>| Arc::ptr_eq(one, &other.unwrap());
    assert!(succeed(None, &[], LONG).is_none());
    let first = succeed(None, &[def("users")], LONG).unwrap();
    assert!(is_same(&first, succeed(Some(&first), &[def("users")], LONG)));
    assert!(!is_same(&first, succeed(Some(&first), &[def("users")], LONG * 2)));
    assert!(!is_same(&first, succeed(Some(&first), &[def("staff")], LONG)), "lines name it otherwise");
    assert!(!is_same(&first, succeed(Some(&first), &[def("users"), def("staff")], LONG)));
    assert!(succeed(Some(&first), &[], LONG).is_none());
}

#[test]
fn entries_that_let_no_one_in_are_logged_before_a_login() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("users.passwd");
    std::fs::write(&path, format!("ann:hunter2\nbob:{HASH}\n:{HASH}\n")).unwrap();
    let def = PasswordDef { name: "users".to_owned(), source: PasswordSource::File { path: path.clone() } };
    let (lines, log) = mpsc::channel();
    let _pool = Pool::start(&[def], LONG, Box::new(|| {}), Log::to(Lines(lines)));
    let mut text = String::new();
    while !text.ends_with('\n') {
        text += std::str::from_utf8(&log.recv_timeout(LONG).unwrap()).unwrap();
    }
    let expected = format!(
        "exhook-policy: password source `users` has entries that let no one in, and their users are denied \
         (`exhook-policy check` says what to do): {}: line 1: user `ann` is denied, since the hash cannot be read: \
         it looks like a password in plain text; line 3: there is no username before the `:`\n",
        path.display()
    );
    assert_eq!(text, expected);
}

#[test]
fn trouble_with_a_source_is_logged_once() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::new(LONG, &[&memory]);
    memory.set("broken", Err("disk on fire".to_owned()));
    for _ in 0..3 {
        bench.login("broken", "secret");
    }
    bench.login("ann", "secret");
    bench.login("ann", "secret");
    let mut text = String::new();
    while text.lines().count() < 2 {
        text += std::str::from_utf8(&bench.log.recv_timeout(LONG).unwrap()).unwrap();
    }
    assert_eq!(
        text,
        "exhook-policy: password source `source-0` cannot be read, so that logins that need it are denied: disk on fire\n\
         exhook-policy: password source `source-0` can be read again\n"
    );
    assert!(bench.log.try_recv().is_err());
}

#[test]
fn faults_deny_and_do_not_stop_the_threads() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::new(LONG, &[&memory]);
    let internal = PasswordOutcome::Failed(Failure::Internal);
    assert_eq!(bench.login("ann", "panic"), internal);
    assert_eq!(bench.login("panic", "right"), internal);
    assert_eq!(bench.login("cid", "unknown panics"), internal);
    let faulty = asks("ann", |_| panic!("the answer cannot be told"));
    bench.pool.as_ref().unwrap().submit(faulty.login("right", None, Instant::now()));
    assert_eq!(bench.login("ann", "right"), right(0));
}

#[test]
fn a_source_that_is_not_there_denies() {
    let bench = Bench::new(LONG, &[]);
    assert_eq!(bench.login("ann", "right"), PasswordOutcome::Failed(Failure::Internal));
}

#[test]
fn stopping_denies_what_waits() {
    let memory = Memory::with(&[("ann", HASH)]);
    let mut bench = Bench::new(LONG, &[&memory]);
    let gate = Arc::clone(&bench.gate);
    let gate = gate.lock().unwrap();
    let busy = bench.submit("ann", "right", None);
    bench.busy_with("right");
    let waiting = bench.submit("ann", "guess", None);
    bench.until_queued(1);
    drop(bench.pool.take());
    assert_eq!(busy.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::Stopped));
    assert_eq!(waiting.recv_timeout(LONG).unwrap(), PasswordOutcome::Failed(Failure::Stopped));
    drop(gate);
}

#[test]
fn nothing_that_can_be_shown_holds_a_password() {
    let login = asks("ann", |_| {}).login("hunter2", None, Instant::now());
    assert_eq!(format!("{login:?}"), "Login { username: \"ann\", source: PasswordId(0), .. }");
    let source: Arc<str> = "staff".into();
    let reason = StoredHash::parse("hunter2").unwrap_err();
    for (failure, text) in [
        (
            Failure::Source { source: Arc::clone(&source), reason: "no such file".into() },
            "password source `staff` cannot be read: no such file",
        ),
        (
            Failure::Hash { source: Arc::clone(&source), reason },
            "the user's hash in password source `staff` cannot be read: it looks like a password in plain text",
        ),
        (Failure::NoText { source: Arc::clone(&source) }, "the user's hash in password source `staff` is not text"),
        (
            Failure::NoUser { source: Arc::clone(&source) },
            "the client gave no username, and password source `staff` has an entry without one, which lets no one in",
        ),
        (Failure::Several { source }, "password source `staff` has more than one entry of the user"),
        (Failure::TooLate, "the password could not be checked within the deadline"),
        (Failure::Share, "too many logins wait for their passwords to be checked"),
        (Failure::Stopped, "the driver is stopping"),
        (Failure::Internal, "the password check failed, which is a fault in this program"),
    ] {
        assert_eq!(failure.to_string(), text);
    }
}

#[test]
fn a_flood_is_answered_within_the_deadline() {
    let users: Vec<(&'static str, &str)> = vec![("ann", HASH)];
    let memory = Memory::with(&users);
    let bench = Bench::new(Duration::from_secs(2), &[&memory]);
    let gate = bench.gate.lock().unwrap();
    let start = Instant::now();
    let outcomes: Vec<_> =
        (0u32..10_000).map(|n| bench.submit(&format!("u{n}"), "guess", Some(IpAddr::from(n.to_be_bytes())))).collect();
    let submitted = start.elapsed();
    for outcome in outcomes {
        let left = (submitted + Duration::from_secs(2)).saturating_sub(start.elapsed());
        assert_eq!(outcome.recv_timeout(left).unwrap(), PasswordOutcome::Failed(Failure::TooLate));
    }
    drop(gate);
    bench.until(|state| state.queued_checks() == 0 && state.asking_of(PasswordId(0)) == 0);
}

#[test]
fn what_is_put_down_is_bounded_whatever_the_clerk_does() {
    let memory = Memory::with(&[("ann", HASH)]);
    let bench = Bench::bounded(LONG, &[&memory], |bounds| bounds.places = 16);
    let gate = bench.gate.lock().unwrap();
    let busy = bench.submit("ann", "busy", None);
    bench.busy_with("busy");
    let outcomes: Vec<_> = (0..1000)
        .map(|n| {
            let outcome = bench.submit(&format!("u{n}"), "guess", peer(1));
            let lying = bench.pool.as_ref().unwrap().shared.intake.len();
            assert!(lying <= 4, "{lying} logins are not counted to anybody");
            outcome
        })
        .collect();
    bench.until(|state| state.asking_of(PasswordId(0)) + state.queued_checks() == 16);
    drop(gate);
    assert_eq!(busy.recv_timeout(LONG).unwrap(), wrong(0));
    let outcomes: Vec<PasswordOutcome> = outcomes.iter().map(|outcome| outcome.recv_timeout(LONG).unwrap()).collect();
    let (first, last) = outcomes.split_at(outcomes.len() - 32);
    assert!(last.contains(&PasswordOutcome::Unknown), "{last:?}");
    assert!(first.contains(&PasswordOutcome::Failed(Failure::Share)), "{first:?}");
}

#[test]
fn outcomes_are_told_some_at_a_time() {
    let lots = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&lots);
    let told = Box::new(move || {
        told.fetch_add(1, Ordering::SeqCst);
    });
    let (done, outcomes) = mpsc::channel();
    let memory = Memory::default();
    memory.hangs.store(true, Ordering::SeqCst);
    let sources = vec![("source".into(), Box::new(memory) as Box<dyn Source>)];
    let pool = Pool::with(sources, PoolSettings::of(LONG), told, Log::to(std::io::sink()));
    for n in 0..3 {
        let done = done.clone();
        pool.submit(asks("ann", move |outcome| done.send((n, outcome)).unwrap()).login("x", None, Instant::now()));
    }
    assert_eq!(lots.load(Ordering::SeqCst), 0);
    drop(pool);
    let mut stopped: Vec<_> = outcomes.try_iter().collect();
    stopped.sort_by_key(|(n, _)| *n);
    assert_eq!(stopped, [0, 1, 2].map(|n| (n, PasswordOutcome::Failed(Failure::Stopped))));
    assert_eq!(lots.load(Ordering::SeqCst), 1);
}

#[test]
fn workers_give_way_to_the_other_threads() {
    let here = || getpriority_process(Some(gettid())).unwrap();
    let (report, told) = mpsc::channel();
    let mut settings = PoolSettings::of(LONG);
    assert_eq!(settings.workers, thread::available_parallelism().unwrap().get());
    settings.workers = 1;
    settings.verify = Arc::new(move |_, _, _| {
        report.send(here()).unwrap();
        true
    });
    let memory = Memory::with(&[("ann", HASH)]);
    let sources = vec![("source".into(), Box::new(memory.clone()) as Box<dyn Source>)];
    let pool = Pool::with(sources, settings, Box::new(|| {}), Log::to(std::io::sink()));
    let (verified, times, log) = (mpsc::channel().1, mpsc::channel().1, mpsc::channel().1);
    let bench = Bench { pool: Some(pool), verified, times, gate: Arc::default(), log };
    assert_eq!(bench.login("ann", "right"), right(0));
    assert_eq!(told.recv_timeout(LONG).unwrap(), (here() + WORKER).min(NICEST));
    assert_eq!(memory.niceness.load(Ordering::SeqCst), (here() + desk::LOOK_UP).min(NICEST));
    let (report, told) = mpsc::channel();
    let late = asks("ann", move |_| report.send(here()).unwrap());
    let Some(long_ago) = Instant::now().checked_sub(LONG) else { return };
    bench.pool.as_ref().unwrap().submit(late.login("right", None, long_ago));
    assert_eq!(told.recv_timeout(LONG).unwrap(), here(), "whoever minds the deadlines does not");
}

/// A pool's state in which so many logins wait that all end at the same time.
fn waiting(count: usize, end: Instant) -> PoolState {
    let mut state = PoolState::new(1, PoolSettings::of(Duration::from_secs(2)).bounds);
    for _ in 0..count {
        let ticket = (end, state.number());
        let who = ShareHolder { peer: QueuePeer::Unknown, user: "ann".into(), places: 1 };
        let caller = Arc::new(asks("ann", |_| {}));
        let asking = AskingLogin { ticket, who, password: Zeroizing::default(), caller, costliest: None };
        state.admit(end, PasswordId(0), asking, &mut Outcomes::new());
    }
    state
}

#[test]
fn the_more_logins_wait_the_sooner_the_first_is_given_up() {
    let now = Instant::now();
    let end = now + LONG;
    let before = |millis| end.checked_sub(Duration::from_millis(millis)).unwrap();
    assert_eq!(waiting(1, end).next_end(), Some(end));
    assert_eq!(waiting(1001, end).next_end(), Some(before(20)));
    assert_eq!(waiting(20_000, end).next_end(), Some(before(200)), "not as soon as one likes");
    let mut state = waiting(1001, end);
    for (at, given_up) in [(21, 0), (20, 1), (15, 250), (1, 700), (0, 50)] {
        let mut told = Outcomes::new();
        state.expire(before(at), usize::MAX, &mut told);
        assert_eq!(told.len(), given_up, "{at} ms before the end");
    }
}

#[test]
fn logins_are_given_up_some_at_a_time() {
    let (now, mut told) = (Instant::now(), Outcomes::new());
    let mut state = waiting(3, now);
    state.expire(now, 2, &mut told);
    assert_eq!((told.len(), state.asking_of(PasswordId(0))), (2, 1));
    state.expire(now, 9, &mut told);
    assert_eq!((told.len(), state.next_end()), (3, None));
}
