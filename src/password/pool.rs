//! The threads that check passwords.
//!
//! Whoever submits a login only puts it down (see [`Intake`]): it is the thread that reads the broker's calls, and
//! everybody's topic decisions stand behind it. Then a login goes through two stages. First its source is asked for the stored hash: each source has a thread
//! of its own, so that one that hangs holds up nobody else's. Second, the password is verified against the
//! hash, by as many workers as there are cores. Before each stage stands a [`Queue`](super::queue), and beside
//! both a thread, the clerk, that takes new logins into the first queue and denies what is not decided shortly
//! before the deadline, whatever the others are doing. All these threads give way: whoever reads the broker's
//! calls, and the broker itself, go before them wherever they want the same core.
//!
//! Equal checks that are under way together are made once, and a password that was right within the last
//! minutes is not verified again as long as the stored hash, which is looked up anew, is the same: a storm
//! of returning clients costs no hash. A user that no source knows costs a verification all the same, with
//! the parameters of the hashes that were seen where it was looked for.
//!
//! A check is begun even where its login's deadline comes before its end. The login is denied, but what came
//! of the check is remembered for the client that comes again; and since the newest goes first, hardly more than
//! one check of each worker ends like this in a storm.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;

use super::cache::{Key, Keys};
use super::hash::{Memory, StoredHash};
use super::intake::Intake;
use super::login::{Failure, Login, Outcome, Told};
use super::queue::Peer;
use super::source::{self, Found, Source};
use super::state::{Asker, Asking, Bounds, Check, Meaning, Outcomes, State};
use crate::log::Log;
use crate::policy::model::{PasswordDef, PasswordId};

/// How long before the deadline a login is denied at the latest.
const MARGIN: Duration = Duration::from_millis(250);
/// How often a source that stays unreadable is logged.
const REPEAT: Duration = Duration::from_secs(60);
/// How much nicer than the rest of the program the threads here are. Whoever wakes up goes before it at once, and on a core that
/// another thread wants all the time it still gets a quarter: on a busy machine logins take longer, and do not starve.
const NICER: i32 = 5;
/// The nicest that a thread can be.
const NICEST: i32 = 19;
/// How long a worker without work keeps the memory that it worked in.
const IDLE: Duration = Duration::from_secs(1);
/// How many logins the clerk takes on, and gives up, before it lets others have the lock.
const AT_ONCE: usize = 64;
/// How many logins whoever submits one takes on where too many have been put down.
const HELP: usize = 2;

/// Checks passwords on threads of its own. When it is dropped, what waits is denied.
pub struct Pool {
    shared: Arc<Shared>,
}

/// Everything that the policy does not say: tests say otherwise.
pub(super) struct Settings {
    pub(super) workers: usize,
    pub(super) deadline: Duration,
    pub(super) bounds: Bounds,
    pub(super) verify: Verify,
}

type Verify = Arc<dyn Fn(&StoredHash, &[u8], &mut Memory) -> bool + Send + Sync>;

impl Settings {
    pub(super) fn of(deadline: Duration) -> Self {
        Settings {
            workers: thread::available_parallelism().map_or(1, usize::from),
            deadline,
            bounds: Bounds {
                places: 65_536,
                user: 16,
                logins: 131_072,
                window: deadline,
                remembered: 65_536,
                remember: Duration::from_secs(5 * 60),
            },
            verify: Arc::new(StoredHash::verify_in),
        }
    }
}

struct Shared {
    intake: Intake,
    state: Mutex<State>,
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
    told: Told,
    log: Log,
}

impl Pool {
    /// Starts the threads. `deadline` is within which the caller has to answer, from a login's arrival; the
    /// outcome comes a tenth of it, and a quarter of a second at most, earlier. No source is read before a
    /// login asks for it.
    pub fn start(sources: &[PasswordDef], deadline: Duration, told: Told, log: Log) -> Pool {
        let sources = sources.iter().map(|def| (def.name.as_str().into(), source::open(def))).collect();
        Pool::with(sources, Settings::of(deadline), told, log)
    }

    pub(super) fn with(sources: Vec<(Arc<str>, Box<dyn Source>)>, settings: Settings, told: Told, log: Log) -> Pool {
        let mut bounds = settings.bounds;
        let keys = Keys::random().unwrap_or_else(|e| {
            log.line(format_args!("no verified password is remembered, since the system gives no randomness: {e}"));
            bounds.remembered = 0;
            Keys::public()
        });
        let shared = Arc::new(Shared {
            // A part of what the queues hold: what lies here has no share that it could exceed.
            intake: Intake::new(bounds.places / 4),
            state: Mutex::new(State::new(sources.len(), bounds)),
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
        shared.spawn("password-clerk", Shared::attend);
        for _ in 0..settings.workers {
            shared.spawn("password-hash", Shared::check);
        }
        for (index, (_, source)) in sources.into_iter().enumerate() {
            let mut desk = Desk { id: PasswordId(index), source, typical: None, trouble: None };
            shared.spawn("password-lookup", move |shared| desk.serve(shared));
        }
        Pool { shared }
    }

    /// Takes a login on. It never waits.
    pub fn submit(&self, login: Login) {
        if !self.shared.intake.put(login) {
            // Those that came first, so that the queues' bounds and shares hold for all.
            let mut told = Outcomes::new();
            let wanted = self.shared.take_on(&mut self.shared.lock(), HELP, &mut told);
            self.shared.wake(wanted);
            self.shared.tell(told);
        }
    }
}

impl Drop for Pool {
    /// The threads end by themselves; one that hangs is not waited for.
    fn drop(&mut self) {
        let mut told = Outcomes::new();
        self.shared.lock().stop(&mut told);
        let stopped = |login: Login| (login.caller, Outcome::Failed(Failure::Stopped));
        told.extend(self.shared.intake.stop().into_iter().map(stopped));
        for condvar in &self.shared.asked {
            condvar.notify_all();
        }
        self.shared.checkable.notify_all();
        self.shared.tell(told);
    }
}

impl Shared {
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Shared) + Send + 'static) {
        let shared = Arc::clone(self);
        let work = move || {
            give_way();
            work(&shared);
        };
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
        if let Err(e) = spawned {
            // Logins that needed this thread are denied at the deadline.
            self.log.line(format_args!("cannot start the thread {name}: {e}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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
            let wanted = self.take_on(&mut state, AT_ONCE, &mut told);
            let now = Instant::now();
            for source in state.expire(now, AT_ONCE, &mut told) {
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
    fn take_on(&self, state: &mut State, most: usize, told: &mut Outcomes) -> BTreeSet<PasswordId> {
        // With the state at hand already, so that they keep their order.
        let logins = self.intake.take(most);
        let now = Instant::now();
        let mut wanted = BTreeSet::new();
        for Login { caller, password, peerhost, arrived, source } in logins {
            let end = arrived + self.patience;
            if end <= now {
                told.push((caller, Outcome::Failed(Failure::TooLate)));
                continue;
            }
            let who = Asker { peer: Peer::of(peerhost), user: caller.username().into() };
            let ticket = (end, state.number());
            if state.admit(now, source, Asking { ticket, who, password, caller, costliest: None }, told) {
                wanted.insert(source);
            }
        }
        wanted
    }

    /// Verifies passwords.
    fn check(&self) {
        let mut memory = Memory::default();
        let mut state = self.lock();
        while !state.stopping {
            let Some(Check { key, hash, password, meaning }) = state.next_check(Instant::now()) else {
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
            let verified = catch_unwind(AssertUnwindSafe(|| (self.verify)(&hash, &password, &mut memory))).ok();
            drop(password);
            let mut told = Outcomes::new();
            state = self.lock();
            state.checked(Instant::now(), key, meaning, verified, &mut told);
            drop(state);
            self.tell(told);
            state = self.lock();
        }
    }
}

/// Has the other threads go before this one. Where the system does not let it, it competes with them.
fn give_way() {
    let this = Some(gettid());
    if let Ok(now) = getpriority_process(this) {
        let _ = setpriority_process(this, now.saturating_add(NICER).min(NICEST));
    }
}

/// Looks users up in one source.
struct Desk {
    id: PasswordId,
    source: Box<dyn Source>,
    /// The hash that was seen last.
    typical: Option<Arc<StoredHash>>,
    /// Since when the source cannot be read and was logged to be so, and why.
    trouble: Option<(Instant, Arc<str>)>,
}

impl Desk {
    fn serve(&mut self, shared: &Shared) {
        let mut state = shared.lock();
        while !state.stopping {
            let Some(asking) = state.next_asking(Instant::now(), self.id) else {
                state = match shared.asked.get(self.id.0) {
                    Some(asked) => asked.wait(state).unwrap_or_else(PoisonError::into_inner),
                    None => return,
                };
                continue;
            };
            drop(state);
            let ticket = asking.ticket;
            let served = catch_unwind(AssertUnwindSafe(|| self.look_up(shared, asking)));
            if served.is_err() {
                let mut told = Outcomes::new();
                shared.lock().answer(ticket, Outcome::Failed(Failure::Internal), &mut told);
                shared.tell(told);
            }
            state = shared.lock();
        }
    }

    fn look_up(&mut self, shared: &Shared, asking: Asking) {
        let found = match self.source.look_up(&asking.who.user, asking.ticket.0) {
            Ok(found) => {
                self.readable(shared);
                found
            }
            Err(reason) => {
                let reason: Arc<str> = reason.into();
                // What was interrupted at its deadline has its answer already.
                self.unreadable(shared, &reason);
                let failure = Failure::Source { source: shared.name(self.id), reason };
                let mut told = Outcomes::new();
                shared.lock().answer(asking.ticket, Outcome::Failed(failure), &mut told);
                shared.tell(told);
                return;
            }
        };
        let source = shared.name(self.id);
        match found {
            Found::Nobody => self.nobody(shared, asking),
            Found::Several => self.spend(shared, asking, Failure::Several { source }),
            Found::NoText => self.spend(shared, asking, Failure::NoText { source }),
            Found::Hash(text) => match StoredHash::parse(&text) {
                Err(reason) => self.spend(shared, asking, Failure::Hash { source, reason }),
                Ok(hash) => {
                    let hash = Arc::new(hash);
                    self.typical = Some(Arc::clone(&hash));
                    let id = self.id.0.to_be_bytes();
                    let parts: [&[u8]; 5] =
                        [b"real", &id, asking.who.user.as_bytes(), text.as_bytes(), &asking.password];
                    let key = shared.keys.key(&parts);
                    let meaning = if asking.password.is_empty() {
                        Meaning::Spent(Outcome::Wrong(self.id))
                    } else {
                        Meaning::Real(self.id)
                    };
                    queue_check(shared, asking, key, hash, meaning);
                }
            },
        }
    }

    /// The source does not know the user: on to the next source, or to the end.
    fn nobody(&mut self, shared: &Shared, mut asking: Asking) {
        if !shared.lock().waits(&asking.ticket) {
            return;
        }
        let here = self.typical_hash();
        let costliest = match asking.costliest.take() {
            Some(elsewhere) if elsewhere.work() >= here.work() => elsewhere,
            Some(_) | None => here,
        };
        if let Some(next) = asking.caller.unknown() {
            asking.costliest = Some(costliest);
            let mut told = Outcomes::new();
            let there_is_one = shared.lock().ask(Instant::now(), next, asking, &mut told);
            if there_is_one {
                shared.wake([next]);
            }
            shared.tell(told);
        } else {
            let key = shared.keys.key(&[b"unknown", asking.who.user.as_bytes(), &asking.password]);
            queue_check(shared, asking, key, costliest, Meaning::Spent(Outcome::Unknown));
        }
    }

    /// The user is denied, but not sooner than others.
    fn spend(&mut self, shared: &Shared, asking: Asking, failure: Failure) {
        let id = self.id.0.to_be_bytes();
        let key = shared.keys.key(&[b"failed", &id, asking.who.user.as_bytes(), &asking.password]);
        queue_check(shared, asking, key, self.typical_hash(), Meaning::Spent(Outcome::Failed(failure)));
    }

    /// A hash like those of the source's users.
    fn typical_hash(&mut self) -> Arc<StoredHash> {
        if self.typical.is_none() {
            self.typical = self.source.sample().and_then(|text| StoredHash::parse(text).ok()).map(Arc::new);
        }
        self.typical.clone().unwrap_or_else(|| Arc::new(StoredHash::stand_in()))
    }

    fn unreadable(&mut self, shared: &Shared, reason: &Arc<str>) {
        let now = Instant::now();
        let told = self.trouble.as_ref().is_some_and(|(at, known)| known == reason && now - *at < REPEAT);
        if !told {
            let name = shared.name(self.id);
            shared.log.line(format_args!(
                "password source `{name}` cannot be read, so that logins that need it are denied: {reason}"
            ));
            self.trouble = Some((now, Arc::clone(reason)));
        }
    }

    fn readable(&mut self, shared: &Shared) {
        if self.trouble.take().is_some() {
            let name = shared.name(self.id);
            shared.log.line(format_args!("password source `{name}` can be read again"));
        }
    }
}

fn queue_check(shared: &Shared, asking: Asking, key: Key, hash: Arc<StoredHash>, meaning: Meaning) {
    let Asking { ticket, who, password, .. } = asking;
    let mut told = Outcomes::new();
    let mut state = shared.lock();
    state.check(Instant::now(), ticket, &who, Check { key, hash, password, meaning }, &mut told);
    let idle = state.idle > 0;
    drop(state);
    // To wake nobody costs a system call as well.
    if idle {
        shared.checkable.notify_one();
    }
    shared.tell(told);
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
