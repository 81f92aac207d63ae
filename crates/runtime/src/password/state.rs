//! Which login is where. Nothing here waits or calls anybody: outcomes are collected for the caller to tell
//! once the lock is released.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::cache::{Cache, CachedUser, CheckKey};
use super::hash::StoredHash;
use super::login::{Caller, Failure, PasswordOutcome};
use super::queue::{LoginQueue, QueueLimits, QueuePeer, Seq};
use exhook_policy_core::policy::model::PasswordId;

/// A login that has no answer yet: when it must have one, and its number.
pub(super) type Ticket = (Instant, u64);

/// Outcomes that are ready to be told.
pub(super) type Outcomes = Vec<(Arc<dyn Caller>, PasswordOutcome)>;

/// How much sooner a login is given up for each that waits. It is several times what giving one up takes, so that
/// the last is given up in time, and that whoever answers them gets them evenly.
const GIVING_UP: Duration = Duration::from_micros(20);

/// The bounds of the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Places in each queue, and of the logins that were turned away and wait for their deadline. A
    /// login takes one place, and one more for every KiB.
    pub(super) places: usize,
    /// Checks of one user's passwords that wait.
    pub(super) user: usize,
    /// Places of all logins without an answer, wherever they wait.
    pub(super) logins: usize,
    /// How much sooner than it must have its answer a login is given up at most.
    pub(super) sooner: Duration,
    /// How long a login counts to its peer's share once a worker took it.
    pub(super) window: Duration,
    /// From so much work on, in microseconds of an ordinary core, a check is long: it is not made in time in any case.
    pub(super) long: u64,
    /// How long a hash may take that guesses at other users cost as well.
    pub(super) pad: Duration,
    /// Long checks that may be under way together. The other workers are for those that can be made in time, which also go
    /// first: while one of them waits no long check is begun. Whoever is denied in any case takes nothing from the others, and
    /// under load may never have its turn.
    pub(super) long_at_once: usize,
    /// Right passwords that are remembered.
    pub(super) remembered: usize,
    /// How long they are.
    pub(super) remember: Duration,
}

impl Bounds {
    /// Where a check against this hash waits.
    pub(super) fn lane(&self, hash: &StoredHash) -> Lane {
        if hash.work() < self.long { Lane::Short } else { Lane::Long }
    }

    /// Whether guesses at other users may cost this hash as well.
    pub(super) fn may_pad(&self, hash: &StoredHash) -> bool {
        self.lane(hash) == Lane::Short && hash.time() <= self.pad
    }
}

/// A login on its way to, or at, a source.
pub(super) struct AskingLogin {
    pub(super) ticket: Ticket,
    pub(super) who: ShareHolder,
    pub(super) password: Zeroizing<Vec<u8>>,
    pub(super) caller: Arc<dyn Caller>,
    /// The costliest of the hashes that the sources asked so far would have had it verified against, none of them
    /// too costly for guesses at other users.
    pub(super) costliest: Option<Arc<StoredHash>>,
}

/// To whose shares a login is counted.
#[derive(Clone)]
pub(super) struct ShareHolder {
    pub(super) peer: QueuePeer,
    pub(super) user: Arc<str>,
    /// How many places it takes.
    pub(super) places: usize,
}

/// A password to verify against a hash.
pub(super) struct Check {
    pub(super) key: CheckKey,
    pub(super) hash: Arc<StoredHash>,
    /// A hash to verify as well unless the password is right, so that a wrong password takes as long
    /// for every user.
    pub(super) pad: Option<Arc<StoredHash>>,
    pub(super) password: Zeroizing<Vec<u8>>,
    pub(super) meaning: Meaning,
}

/// Which of two queues a check waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Short,
    Long,
}

/// What a verification decides.
#[derive(Clone)]
pub(super) enum Meaning {
    /// Right or wrong, by this source.
    Real(PasswordId),
    /// Nothing: the outcome is known, and only as much time is spent as for others.
    Spent(PasswordOutcome),
}

struct WaitingLogins {
    caller: Arc<dyn Caller>,
    place: LoginPlace,
    places: usize,
}

enum LoginPlace {
    Before(PasswordId, Seq),
    At(PasswordId),
    Check(CheckKey),
    /// It was turned away, and is denied at its deadline.
    Out(CheckKey, Guessed),
}

/// What is known of a password that may never be verified.
#[derive(Clone, Copy)]
struct Guessed {
    /// Whose it is said to be.
    user: CachedUser,
    /// Another one of this user was known to be right when it came.
    is_wrong: bool,
}

/// Equal checks, which are made once.
struct Flight {
    tickets: BTreeSet<Ticket>,
    /// The place in the queues; `None` once a worker took it.
    queued: Option<(Lane, Seq)>,
    guessed: Guessed,
}

/// The checks that wait.
struct Checks {
    short: LoginQueue<Check>,
    long: LoginQueue<Check>,
    /// Long ones that are under way.
    long_under_way: usize,
}

impl Checks {
    fn of(&mut self, lane: Lane) -> &mut LoginQueue<Check> {
        match lane {
            Lane::Short => &mut self.short,
            Lane::Long => &mut self.long,
        }
    }
}

pub(super) struct PoolState {
    pub(super) stopping: bool,
    bounds: Bounds,
    numbers: u64,
    /// How many workers wait for a check.
    pub(super) idle: usize,
    /// By when they must have an answer.
    waiting: BTreeMap<Ticket, WaitingLogins>,
    /// The places that they take.
    held: usize,
    /// Those of them that were turned away.
    held_out: usize,
    /// Before each source.
    asking: Vec<LoginQueue<AskingLogin>>,
    checks: Checks,
    flights: HashMap<CheckKey, Flight>,
    right: Cache,
}

impl PoolState {
    /// How many logins wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn new(sources: usize, bounds: Bounds) -> Self {
        let limits = QueueLimits { size: bounds.places, user: usize::MAX, window: bounds.window };
        PoolState {
            stopping: false,
            bounds,
            numbers: 0,
            idle: 0,
            waiting: BTreeMap::new(),
            held: 0,
            held_out: 0,
            asking: std::iter::repeat_with(|| LoginQueue::new(limits)).take(sources).collect(),
            checks: Checks {
                short: LoginQueue::new(QueueLimits { user: bounds.user, ..limits }),
                long: LoginQueue::new(QueueLimits { user: bounds.user, ..limits }),
                long_under_way: 0,
            },
            flights: HashMap::new(),
            right: Cache::new(bounds.remembered, bounds.remember),
        }
    }

    /// The number of the next login.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Takes a login on and has it wait for its first source. False where there is no such source.
    pub(super) fn admit(&mut self, now: Instant, source: PasswordId, asking: AskingLogin, told: &mut Outcomes) -> bool {
        let places = asking.who.places;
        while self.held + places > self.bounds.logins
            && let Some((oldest, _)) = self.waiting.first_key_value()
        {
            let oldest = *oldest;
            self.give_up(now, oldest, Failure::Share, told);
        }
        self.held += places;
        let waiting = WaitingLogins { caller: Arc::clone(&asking.caller), place: LoginPlace::At(source), places };
        self.waiting.insert(asking.ticket, waiting);
        self.ask(now, source, asking, told)
    }

    /// Has a login wait for a source, unless it has its answer. False where there is no such source.
    pub(super) fn ask(&mut self, now: Instant, source: PasswordId, asking: AskingLogin, told: &mut Outcomes) -> bool {
        let ticket = asking.ticket;
        let Some(queue) = self.asking.get_mut(source.0) else {
            self.answer(ticket, PasswordOutcome::Failed(Failure::Internal), told);
            return false;
        };
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return true };
        waiting.place = LoginPlace::Before(source, queue.next());
        let ShareHolder { peer, user, places } = asking.who.clone();
        for (fallen, _) in queue.push(now, peer, &user, places, asking) {
            self.answer(fallen.ticket, PasswordOutcome::Failed(Failure::Share), told);
        }
        true
    }

    /// The login that the source's thread has to look up next.
    pub(super) fn next_asking(&mut self, now: Instant, source: PasswordId) -> Option<AskingLogin> {
        let asking = self.asking.get_mut(source.0)?.pop(now)?;
        if let Some(waiting) = self.waiting.get_mut(&asking.ticket) {
            waiting.place = LoginPlace::At(source);
        }
        Some(asking)
    }

    /// Has a password checked, unless it is remembered, or under way, or the login has its answer.
    /// `stored` is the hash as it is stored.
    pub(super) fn check(
        &mut self,
        now: Instant,
        ticket: Ticket,
        who: &ShareHolder,
        (check, stored): (Check, &str),
        told: &mut Outcomes,
    ) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        if let Meaning::Real(source) = check.meaning
            && self.right.holds(now, &check.key)
        {
            self.answer(ticket, PasswordOutcome::Right(source), told);
            return;
        }
        waiting.place = LoginPlace::Check(check.key);
        let source = match &check.meaning {
            Meaning::Real(source) | Meaning::Spent(PasswordOutcome::Wrong(source)) => Some(*source),
            Meaning::Spent(_) => None,
        };
        let user = self.right.user(source.map(|source| source.0), &who.user, stored);
        let is_wrong = self.right.knows(now, &user);
        if let Some(flight) = self.flights.get_mut(&check.key) {
            flight.tickets.insert(ticket);
            flight.guessed.is_wrong |= is_wrong;
            flight.queued = flight.queued.and_then(|(lane, seq)| Some((lane, self.checks.of(lane).renew(seq)?)));
            return;
        }
        let lane = self.bounds.lane(&check.hash);
        let queue = self.checks.of(lane);
        let guessed = Guessed { user, is_wrong };
        let flight = Flight { tickets: BTreeSet::from([ticket]), queued: Some((lane, queue.next())), guessed };
        self.flights.insert(check.key, flight);
        for (fallen, _) in queue.push(now, who.peer, &who.user, who.places, check) {
            self.turn_away(now, &fallen.key, told);
        }
    }

    /// There is no place for a check.
    fn turn_away(&mut self, now: Instant, key: &CheckKey, told: &mut Outcomes) {
        let Some(Flight { tickets, guessed, .. }) = self.flights.remove(key) else { return };
        let is_wrong = self.is_known_wrong(now, key, guessed);
        for ticket in tickets {
            match self.waiting.get_mut(&ticket) {
                // If these were denied at once as soon as they are known to be wrong, and the
                // others not, everyone could find out for which users a right password is
                // remembered. Where too many wait like this, all of them are denied at once.
                Some(waiting)
                    if waiting.caller.is_counted() && self.held_out + waiting.places <= self.bounds.places =>
                {
                    self.held_out += waiting.places;
                    waiting.place = LoginPlace::Out(*key, guessed);
                }
                Some(waiting) if waiting.caller.is_counted() && is_wrong => {
                    self.answer(ticket, PasswordOutcome::KnownWrong(Failure::Share), told);
                }
                Some(_) | None => self.answer(ticket, PasswordOutcome::Failed(Failure::Share), told),
            }
        }
    }

    /// The check that the next worker has to make.
    pub(super) fn next_check(&mut self, now: Instant) -> Option<(Lane, Check)> {
        let (lane, check) = match self.checks.short.pop(now) {
            Some(check) => (Lane::Short, check),
            None if self.checks.long_under_way < self.bounds.long_at_once => {
                let check = self.checks.long.pop(now)?;
                self.checks.long_under_way += 1;
                (Lane::Long, check)
            }
            None => return None,
        };
        if let Some(flight) = self.flights.get_mut(&check.key) {
            flight.queued = None;
        }
        Some((lane, check))
    }

    /// A check was made: `verified` is `None` where it failed.
    pub(super) fn checked(
        &mut self,
        now: Instant,
        (lane, key): (Lane, CheckKey),
        meaning: Meaning,
        verified: Option<bool>,
        told: &mut Outcomes,
    ) {
        if lane == Lane::Long {
            self.checks.long_under_way -= 1;
        }
        let outcome = match (meaning, verified) {
            (_, None) => PasswordOutcome::Failed(Failure::Internal),
            (Meaning::Spent(outcome), Some(_)) => outcome,
            (Meaning::Real(source), Some(false)) => PasswordOutcome::Wrong(source),
            (Meaning::Real(source), Some(true)) => {
                // Even where it came too late: the client will try again. But not where that is so of every check of this
                // hash: no guess at it would be told or counted as wrong, and the right one be let in the second time.
                if let Some(flight) = self.flights.get(&key)
                    && (lane == Lane::Short || !flight.tickets.is_empty())
                {
                    self.right.remember(now, key, flight.guessed.user);
                }
                PasswordOutcome::Right(source)
            }
        };
        self.land(&key, &outcome, told);
    }

    fn land(&mut self, key: &CheckKey, outcome: &PasswordOutcome, told: &mut Outcomes) {
        for ticket in self.flights.remove(key).map(|flight| flight.tickets).unwrap_or_default() {
            self.answer(ticket, outcome.clone(), told);
        }
    }

    /// Answers a login, unless it has its answer.
    pub(super) fn answer(&mut self, ticket: Ticket, outcome: PasswordOutcome, told: &mut Outcomes) {
        if let Some(waiting) = self.take_out(&ticket) {
            told.push((waiting.caller, outcome));
        }
    }

    /// Takes out a login that has its answer.
    fn take_out(&mut self, ticket: &Ticket) -> Option<WaitingLogins> {
        let waiting = self.waiting.remove(ticket)?;
        self.held -= waiting.places;
        match waiting.place {
            LoginPlace::Out(..) => self.held_out -= waiting.places,
            LoginPlace::Before(..) | LoginPlace::At(_) | LoginPlace::Check(_) => {}
        }
        Some(waiting)
    }

    /// Whether the login still waits for its answer.
    pub(super) fn waits(&self, ticket: &Ticket) -> bool {
        self.waiting.contains_key(ticket)
    }

    /// When the next login has to be given up.
    ///
    /// This is the sooner the more of them wait, for giving them up takes its time as well. Those that are given up
    /// sooner are the oldest of so many that hardly one of them would have had its turn, and with each of them the
    /// others gain time, so that there is work for the workers up to the end.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let (end, _) = self.waiting.first_key_value()?.0;
        let others = u32::try_from(self.waiting.len() - 1).unwrap_or(u32::MAX);
        end.checked_sub(GIVING_UP.saturating_mul(others).min(self.bounds.sooner))
    }

    /// Gives up logins whose time is over now, the first `most` of them. Gives the sources that are busy with one
    /// of them.
    pub(super) fn expire(&mut self, now: Instant, most: usize, told: &mut Outcomes) -> Vec<PasswordId> {
        let mut busy = Vec::new();
        while told.len() < most
            && self.next_end().is_some_and(|end| end <= now)
            && let Some((ticket, _)) = self.waiting.first_key_value()
        {
            let ticket = *ticket;
            busy.extend(self.give_up(now, ticket, Failure::TooLate, told));
        }
        busy
    }

    /// Gives up every login.
    pub(super) fn stop(&mut self, told: &mut Outcomes) {
        self.stopping = true;
        (self.held, self.held_out) = (0, 0);
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            told.push((waiting.caller, PasswordOutcome::Failed(Failure::Stopped)));
        }
    }

    fn is_known_wrong(&self, now: Instant, key: &CheckKey, guessed: Guessed) -> bool {
        (guessed.is_wrong || self.right.knows(now, &guessed.user)) && !self.right.holds(now, key)
    }

    /// Takes a login out of wherever it waits. Gives the source that is busy with it.
    fn give_up(&mut self, now: Instant, ticket: Ticket, failure: Failure, told: &mut Outcomes) -> Option<PasswordId> {
        let waiting = self.take_out(&ticket)?;
        let is_wrong = match &waiting.place {
            LoginPlace::Before(..) | LoginPlace::At(_) => false,
            LoginPlace::Check(key) => {
                self.flights.get(key).is_some_and(|flight| self.is_known_wrong(now, key, flight.guessed))
            }
            LoginPlace::Out(key, guessed) => self.is_known_wrong(now, key, *guessed),
        };
        let outcome = if is_wrong { PasswordOutcome::KnownWrong(failure) } else { PasswordOutcome::Failed(failure) };
        told.push((waiting.caller, outcome));
        match waiting.place {
            LoginPlace::Out(..) => None,
            LoginPlace::Before(source, seq) => {
                self.asking.get_mut(source.0)?.remove(seq);
                None
            }
            LoginPlace::At(source) => Some(source),
            LoginPlace::Check(key) => {
                let flight = self.flights.get_mut(&key)?;
                flight.tickets.remove(&ticket);
                if flight.tickets.is_empty()
                    && let Some((lane, seq)) = flight.queued
                {
                    self.flights.remove(&key);
                    self.checks.of(lane).remove(seq);
                }
                None
            }
        }
    }
}

#[cfg(test)]
impl PoolState {
    pub(super) fn queued_checks(&self) -> usize {
        self.checks.short.len() + self.checks.long.len()
    }

    pub(super) fn asking_of(&self, source: PasswordId) -> usize {
        self.asking[source.0].len()
    }

    /// The places of all logins, and of those that were turned away.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.held, self.held_out)
    }

    pub(super) fn waiting_checks(&self) -> usize {
        self.flights.values().map(|flight| flight.tickets.len()).sum()
    }

    pub(super) fn remembers_any(&self) -> bool {
        !self.right.is_empty()
    }
}
