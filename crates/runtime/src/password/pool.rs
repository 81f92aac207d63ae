//! The threads that check passwords.
//!
//! Whoever submits a login only puts it down (see [`Intake`]): it is the thread that reads the broker's calls, and
//! everybody's topic decisions stand behind it. Then a login goes through two stages. First its source is asked for
//! the stored hash: each source has a thread of its own, so that one that hangs holds up nobody else's. Second, the
//! password is verified against the hash, by as many workers as there are cores. Before each stage stands a
//! [`LoginQueue`](super::queue), and beside both a thread, the clerk, that takes new logins into the first queue and
//! denies what is not decided shortly before the deadline, whatever the others are doing. The others give way: whoever reads the broker's calls, and
//! the broker itself, go before them wherever they want the same core, and the workers come last.
//!
//! Equal checks that are under way together are made once, and a password that was right within the last
//! minutes is not verified again as long as the stored hash, which is looked up anew, is the same: a storm
//! of returning clients costs no hash. A user that no source knows costs a verification all the
//! same: that of the costliest hash of the sources that were asked, of those that take at most a quarter of the
//! deadline. So does a wrong password of a user who has a cheaper hash, and a user whose hash cannot be read. Of a
//! file every hash is known; of a database, those that were asked for. Users with costlier hashes can be told by the
//! time of an answer: if every guess cost these, a few guesses a second would leave no time for the right logins.
//!
//! A check is begun even where its login's deadline comes before its end. The login is denied, but what came
//! of the check is remembered for the client that comes again, unless every check of such a hash takes too long;
//! and since the newest goes first, hardly more than one check of each worker ends like this in a storm.

mod desk;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;

use super::cache::Keys;
use super::hash::{Memory, StoredHash, longest_pad};
use super::intake::Intake;
use super::login::{Failure, OutcomesTold, PasswordLogin, PasswordOutcome};
use super::queue::QueuePeer;
use super::source::{self, CostliestHash, Source};
use super::state::{AskingLogin, Bounds, Check, Meaning, Outcomes, PoolState, ShareHolder};
use crate::log::Log;
use desk::Desk;
use exhook_policy_core::policy::model::{PasswordDef, PasswordId};

/// How long before the deadline a login is denied at the latest.
const MARGIN: Duration = Duration::from_millis(250);
/// How much nicer than the rest of the program a worker is. What a storm's beginning has cost the other threads the
/// system makes them wait for, and the less a worker weighs, the sooner they are even. On a core that another thread
/// wants all the time it still gets a tenth: on a busy machine logins take longer, and do not starve.
const WORKER: i32 = 10;
/// The nicest that a thread can be.
const NICEST: i32 = 19;
/// How long a worker without work keeps the memory that it worked in.
const IDLE: Duration = Duration::from_secs(1);
/// How many logins are given up before others may have the lock.
const GIVEN_UP_AT_ONCE: usize = 64;

/// Checks passwords on threads of its own. When it is dropped, what waits is denied.
pub struct Pool {
    shared: Arc<PoolShared>,
    /// What was seen of each source, for the pool that comes after this one.
    seen: Vec<(PasswordDef, CostliestHash)>,
    deadline: Duration,
}

/// Everything that the policy does not say: tests say otherwise.
pub(super) struct PoolSettings {
    pub(super) workers: usize,
    pub(super) deadline: Duration,
    pub(super) bounds: Bounds,
    pub(super) verify: Verify,
}

type Verify = Arc<dyn Fn(&StoredHash, &[u8], &mut Memory) -> bool + Send + Sync>;

impl PoolSettings {
    pub(super) fn of(deadline: Duration) -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from).max(2);
        PoolSettings {
            workers,
            deadline,
            bounds: Bounds {
                places: 65_536,
                user: 16,
                logins: 131_072,
                sooner: deadline / 10,
                window: deadline,
                pad: longest_pad(deadline),
                long: u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX),
                long_at_once: long_at_once(workers),
                remembered: 65_536,
                remember: Duration::from_secs(5 * 60),
            },
            verify: Arc::new(StoredHash::verify_in),
        }
    }
}

/// How many of the workers may make long checks together.
fn long_at_once(workers: usize) -> usize {
    (workers / 4).max(1)
}

struct PoolShared {
    intake: Intake,
    state: Mutex<PoolState>,
    /// A login waits for the source of this index.
    asked: Vec<Condvar>,
    /// A check waits.
    checkable: Condvar,
    /// How long a login has, counted from its arrival.
    patience: Duration,
    keys: Keys,
    names: Vec<Arc<str>>,
    interrupts: Vec<Arc<dyn Fn() + Send + Sync>>,
    verify: Verify,
    told: OutcomesTold,
    log: Log,
}

impl Pool {
    /// Starts the threads. `deadline` is within which the caller has to answer, from a login's arrival; the
    /// outcome comes a tenth of it, and a quarter of a second at most, earlier, and up to another tenth where many wait.
    /// Password files are read at once, on their own threads, and databases when a login asks for
    /// it. `told` is called after outcomes were told.
    pub fn start(sources: &[PasswordDef], deadline: Duration, told: OutcomesTold, log: Log) -> Pool {
        Pool::start_after(None, sources, deadline, told, log)
    }

    /// The pool of a policy that takes the place of another; `None` where it has no password sources.
    ///
    /// Where the sources and the deadline are the same, it is the pool `before`, which remembers whose password was right a
    /// short while ago. Otherwise a new one is started, which knows what the one before saw of the same sources: how
    /// costly their users' hashes are. What is under way in the one before is decided there, until that is dropped.
    pub fn succeed(
        before: Option<&Arc<Pool>>,
        sources: &[PasswordDef],
        deadline: Duration,
        told: OutcomesTold,
        log: &Log,
    ) -> Option<Arc<Pool>> {
        match before {
            _ if sources.is_empty() => None,
            Some(before) if before.is_for(sources, deadline) => Some(Arc::clone(before)),
            before => {
                Some(Arc::new(Pool::start_after(before.map(|pool| &**pool), sources, deadline, told, log.clone())))
            }
        }
    }

    fn is_for(&self, sources: &[PasswordDef], deadline: Duration) -> bool {
        self.deadline == deadline && self.seen.iter().map(|(def, _)| def).eq(sources)
    }

    /// As [`start`](Self::start). This pool knows what the pool before saw of the same sources.
    fn start_after(
        before: Option<&Pool>,
        sources: &[PasswordDef],
        deadline: Duration,
        told: OutcomesTold,
        log: Log,
    ) -> Pool {
        // What fits into a longer deadline may be too long for this one.
        let before = before.filter(|before| before.deadline <= deadline);
        let known = |def: &PasswordDef| {
            let (_, seen) = before?.seen.iter().find(|(own, _)| own.source == def.source)?;
            Some(seen.clone())
        };
        let seen: Vec<CostliestHash> = sources.iter().map(|def| known(def).unwrap_or_default()).collect();
        let opened = |(def, seen): (&PasswordDef, &CostliestHash)| {
            (def.name.as_str().into(), source::open(def, deadline, seen.clone()))
        };
        let opened = sources.iter().zip(&seen).map(opened).collect();
        let mut pool = Pool::with(opened, PoolSettings::of(deadline), told, log);
        pool.seen = sources.iter().cloned().zip(seen).collect();
        pool
    }

    pub(super) fn with(
        sources: Vec<(Arc<str>, Box<dyn Source>)>,
        settings: PoolSettings,
        told: OutcomesTold,
        log: Log,
    ) -> Pool {
        let mut bounds = settings.bounds;
        let keys = Keys::random().unwrap_or_else(|e| {
            log.line(format_args!("no verified password is remembered, since the system gives no randomness: {e}"));
            bounds.remembered = 0;
            Keys::public()
        });
        let shared = Arc::new(PoolShared {
            // A part of what the queues hold: what lies here has no share that it could exceed.
            intake: Intake::new(bounds.places / 4),
            state: Mutex::new(PoolState::new(sources.len(), bounds)),
            asked: sources.iter().map(|_| Condvar::new()).collect(),
            checkable: Condvar::new(),
            patience: settings.deadline.saturating_sub(MARGIN.min(settings.deadline / 10)),
            keys,
            names: sources.iter().map(|(name, _)| Arc::clone(name)).collect(),
            interrupts: sources.iter().map(|(_, source)| source.interrupt()).collect(),
            verify: settings.verify,
            told,
            log,
        });
        shared.spawn("password-clerk", PoolShared::attend);
        for _ in 0..settings.workers {
            shared.spawn("password-hash", PoolShared::check);
        }
        for (index, (_, source)) in sources.into_iter().enumerate() {
            let mut desk = Desk::new(PasswordId(index), source, bounds);
            shared.spawn("password-lookup", move |shared| desk.serve(shared));
        }
        Pool { shared, seen: Vec::new(), deadline: settings.deadline }
    }

    /// How many logins have no answer yet.
    pub fn waiting(&self) -> usize {
        self.shared.intake.len() + self.shared.lock().len()
    }

    /// Takes a login on. It never waits.
    pub fn submit(&self, login: PasswordLogin) {
        let shared = &*self.shared;
        let mut fits = shared.intake.put(login);
        while !fits {
            // The clerk does not keep up. The bounds and shares of the queue have to hold for all.
            let mut told = Outcomes::new();
            let wanted = shared.take_on(&mut shared.lock(), &mut told);
            shared.wake(wanted);
            shared.tell(told);
            fits = !shared.intake.is_too_full();
        }
    }
}

impl Drop for Pool {
    /// The threads end by themselves; one that hangs is not waited for.
    fn drop(&mut self) {
        let mut told = Outcomes::new();
        self.shared.lock().stop(&mut told);
        let stopped = |login: PasswordLogin| (login.caller, PasswordOutcome::Failed(Failure::Stopped));
        told.extend(self.shared.intake.stop().map(stopped));
        for condvar in &self.shared.asked {
            condvar.notify_all();
        }
        self.shared.checkable.notify_all();
        self.shared.tell(told);
    }
}

impl PoolShared {
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&PoolShared) + Send + 'static) {
        let shared = Arc::clone(self);
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared));
        if let Err(e) = spawned {
            // Logins that needed this thread are denied at the deadline.
            self.log.line(format_args!("cannot start the thread {name}: {e}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, sources: impl IntoIterator<Item = PasswordId>) {
        sources.into_iter().filter_map(|source| self.asked.get(source.0)).for_each(Condvar::notify_one);
    }

    fn name(&self, source: PasswordId) -> Arc<str> {
        self.names.get(source.0).map_or_else(|| "".into(), Arc::clone)
    }

    /// Tells outcomes, with the lock released.
    fn tell(&self, told: Outcomes) {
        if told.is_empty() {
            return;
        }
        let tell = |what: &mut dyn FnMut()| {
            if catch_unwind(AssertUnwindSafe(what)).is_err() {
                self.log.line(format_args!("the answer to a login failed, which is a fault in this program"));
            }
        };
        for (caller, outcome) in told {
            let mut outcome = Some(outcome);
            tell(&mut || outcome.take().into_iter().for_each(|outcome| caller.done(outcome)));
        }
        tell(&mut || (self.told)());
    }

    /// What the clerk does: it takes logins on, and gives up those whose time is over.
    fn attend(&self) {
        loop {
            let mut told = Outcomes::new();
            let mut state = self.lock();
            if state.stopping {
                return;
            }
            let wanted = self.take_on(&mut state, &mut told);
            let now = Instant::now();
            for source in state.expire(now, GIVEN_UP_AT_ONCE, &mut told) {
                if let Some(interrupt) = self.interrupts.get(source.0) {
                    interrupt();
                }
            }
            let end = state.next_end();
            drop(state);
            if wanted.is_empty() && told.is_empty() {
                self.intake.wait(end);
            }
            self.wake(wanted);
            self.tell(told);
        }
    }

    /// Has the first of the logins that were put down wait for their sources, and gives these.
    fn take_on(&self, state: &mut PoolState, told: &mut Outcomes) -> BTreeSet<PasswordId> {
        // With the state at hand already, so that they keep their order.
        let logins = self.intake.take();
        let now = Instant::now();
        let mut wanted = BTreeSet::new();
        for login in logins {
            let places = login.places();
            let PasswordLogin { caller, password, peerhost, arrived, source } = login;
            let end = arrived + self.patience;
            if end <= now {
                told.push((caller, PasswordOutcome::Failed(Failure::TooLate)));
                continue;
            }
            let who = ShareHolder { peer: QueuePeer::of(peerhost), user: caller.username().into(), places };
            let ticket = (end, state.number());
            if state.admit(now, source, AskingLogin { ticket, who, password, caller, costliest: None }, told) {
                wanted.insert(source);
            }
        }
        wanted
    }

    /// Verifies passwords.
    fn check(&self) {
        give_way(WORKER);
        let mut memory = Memory::default();
        let mut state = self.lock();
        while !state.stopping {
            let Some((lane, Check { key, hash, pad, password, meaning })) = state.next_check(Instant::now()) else {
                state.idle += 1;
                let timed_out;
                if memory.is_free() {
                    state = self.checkable.wait(state).unwrap_or_else(PoisonError::into_inner);
                    timed_out = false;
                } else {
                    let waited = self.checkable.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                    (state, timed_out) = (waited.0, waited.1.timed_out());
                }
                state.idle -= 1;
                if timed_out {
                    // Freeing it takes a while.
                    drop(state);
                    memory.free();
                    state = self.lock();
                }
                continue;
            };
            drop(state);
            let mut verify = |hash: &StoredHash| (self.verify)(hash, &password, &mut memory);
            let verified = catch_unwind(AssertUnwindSafe(|| {
                let verified = verify(&hash);
                let is_right = verified && matches!(meaning, Meaning::Real(_));
                if let Some(pad) = pad.filter(|_| !is_right) {
                    verify(&pad);
                }
                verified
            }))
            .ok();
            drop(password);
            let mut told = Outcomes::new();
            state = self.lock();
            state.checked(Instant::now(), (lane, key), meaning, verified, &mut told);
            drop(state);
            self.tell(told);
            state = self.lock();
        }
    }
}

/// Has the other threads go before this one. Where the system does not let it, it competes with them.
fn give_way(nicer: i32) {
    let this = Some(gettid());
    if let Ok(now) = getpriority_process(this) {
        let _ = setpriority_process(this, now.saturating_add(nicer).min(NICEST));
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
