//! The bounded queue between the thread that reads the broker's calls and the one that writes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::budget::LeftOut;
use super::denials::{self, Bound, OwnedDenial};
use super::origins::{BrokerNames, OriginId, Origins};
use super::record::{HistoryEntry, Owned, Sign, Whose};
use crate::limits::Ban;
use exhook_policy_core::answer_sink::Token;
use exhook_policy_core::event::Origin;
use exhook_policy_core::event::short::short;
use exhook_policy_core::policy::model::HistoryDef;

/// Records that may wait, and their bytes.
const MAX_RECORDS: usize = 200_000;
const MAX_BYTES: usize = 64 << 20;
/// Denials that may wait; more than this are counted without their names.
const MAX_DENIALS: Bound = denials::MAX_WAITING;
/// Bans that may wait, their names cut and marked; more than this hold, but are not written.
pub(super) const MAX_BANS: usize = 1_000;

/// The clients whose connection is unsure, by cluster.
pub(super) type Unsure = HashMap<Box<str>, HashSet<Box<str>>>;

/// A record on its way to the database.
#[derive(Debug)]
pub(super) struct QueuedRecord {
    /// When the event came, Unix milliseconds.
    pub(super) at: i64,
    /// The same by the clock that is never set.
    pub(super) arrived: Instant,
    /// The call to answer once it is written.
    pub(super) token: Option<Token>,
    /// The broker that it comes from.
    pub(super) origin: OriginId,
    pub(super) entry: HistoryEntry,
}

/// What the writer is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub(super) struct WriterWork {
    pub(super) records: bool,
    pub(super) denials: bool,
    /// The policy says otherwise what is kept, and where.
    pub(super) defined: bool,
    pub(super) bans: bool,
    /// No more will come; be done by then.
    pub(super) closing: Option<Instant>,
}

/// What happened outside the promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lapses {
    /// Events that were answered before they were written.
    pub answered_early: u64,
    /// Events that were not kept, because too many waited.
    pub dropped: u64,
}

pub(super) struct HistoryQueue {
    state: Mutex<HistoryQueueState>,
    wake: Condvar,
    ended: Condvar,
    /// A commit that is late by so many milliseconds is waited for no longer.
    patience: AtomicU64,
    /// Whether events may come from several brokers.
    has_callers: bool,
    /// Some client is unsure. Only tells whether `State::unsure` is worth a look.
    any_unsure: AtomicBool,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
struct HistoryQueueState {
    records: VecDeque<QueuedRecord>,
    bytes: usize,
    denials: Vec<OwnedDenial>,
    denial_bytes: usize,
    /// Denials that did not fit.
    denials_dropped: u64,
    bans: Vec<Ban>,
    /// Bans that did not fit.
    bans_dropped: u64,
    /// When the oldest record came of those that the writer took and has not committed.
    in_flight: Option<Instant>,
    /// The database cannot be used; nobody waits until a commit succeeds.
    hopeless: bool,
    /// Another driver records.
    standby: bool,
    /// Records were dropped, so the database misses ends of connections.
    gap: bool,
    lapses: Lapses,
    /// Those that were asked for, or that nobody is to be told of any more.
    told_lapses: Lapses,
    left_out: LeftOut,
    unsure: Unsure,
    origins: Origins,
    writer_waits: bool,
    defined: Option<Defined>,
    closing: Option<Closing>,
    writer_ended: bool,
}

/// What a policy says of its history.
#[derive(Debug, Clone)]
pub(super) struct Defined {
    pub(super) def: HistoryDef,
    /// Within which the transport answers every call by itself.
    pub(super) deadline: Duration,
}

/// When the writer stops, and when nobody waits for it any more.
#[derive(Debug, Clone, Copy)]
struct Closing {
    end: Instant,
    last: Instant,
}

impl HistoryQueue {
    pub(super) fn new(patience: Duration, has_callers: bool) -> Self {
        HistoryQueue {
            state: Mutex::default(),
            wake: Condvar::new(),
            ended: Condvar::new(),
            patience: AtomicU64::new(millis(patience)),
            has_callers,
            any_unsure: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, HistoryQueueState> {
        // Every change below leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record; true where its call is answered once it is committed.
    pub(super) fn push(&self, at: i64, origin: Origin<'_>, record: Owned, token: Option<Token>) -> bool {
        let now = Instant::now();
        let entry = HistoryEntry::Event(record);
        let size = entry.size();
        let mut state = self.state();
        if state.standby || state.writer_ended {
            return false;
        }
        let Some(origin) = self.origin(&mut state, origin) else {
            state.lapses.dropped += 1;
            return false;
        };
        if state.records.len() >= MAX_RECORDS || state.bytes + size > MAX_BYTES {
            state.lapses.dropped += 1;
            state.gap = true;
            return false;
        }
        let overdue = state.is_overdue(now, self.patience());
        let token = if overdue { None } else { token };
        if overdue {
            state.lapses.answered_early += 1;
        }
        state.bytes += size;
        state.records.push_back(QueuedRecord { at, arrived: now, token, origin, entry });
        self.wake(&mut state);
        token.is_some()
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::Relaxed))
    }

    /// From now on this is kept, and there. What is queued and not committed yet goes there too.
    pub(super) fn define(&self, defined: Defined, patience: Duration) {
        self.patience.store(millis(patience), Ordering::Relaxed);
        self.state().defined = Some(defined);
        self.wake.notify_one();
    }

    pub(super) fn take_defined(&self) -> Option<Defined> {
        self.state().defined.take()
    }

    fn origin(&self, state: &mut HistoryQueueState, origin: Origin<'_>) -> Option<OriginId> {
        if self.has_callers { state.origins.id(origin) } else { Some(OriginId::PARENT) }
    }

    /// Queues what is known of a broker itself, though much waits: it comes once in a while. Where far too much does, all
    /// is doubted later.
    pub(super) fn push_word(&self, at: i64, origin: Origin<'_>, entry: HistoryEntry) {
        let mut state = self.state();
        if state.standby || state.writer_ended || !self.has_callers {
            return;
        }
        if state.records.len() >= 2 * MAX_RECORDS {
            state.gap = true;
            return;
        }
        let Some(origin) = self.origin(&mut state, origin) else { return };
        state.bytes += entry.size();
        state.records.push_back(QueuedRecord { at, arrived: Instant::now(), token: None, origin, entry });
        self.wake(&mut state);
    }

    pub(super) fn push_denial(&self, origin: Origin<'_>, mut denial: OwnedDenial) {
        let mut state = self.state();
        if state.standby || state.writer_ended {
            return;
        }
        let Some(origin) = self.origin(&mut state, origin) else { return };
        denial.origin = origin;
        let bytes = state.denial_bytes + denial.size();
        if !MAX_DENIALS.allows(state.denials.len() + 1, bytes) {
            state.denials_dropped += 1;
            return;
        }
        state.denial_bytes = bytes;
        state.denials.push(denial);
        self.wake(&mut state);
    }

    /// Queues bans that have begun, though another driver records: each keeps its own.
    pub(super) fn push_bans(&self, bans: impl IntoIterator<Item = Ban>) {
        let mut state = self.state();
        if state.writer_ended {
            return;
        }
        for ban in bans {
            if state.bans.len() < MAX_BANS {
                state.bans.push(ban);
            } else {
                state.bans_dropped += 1;
            }
        }
        self.wake(&mut state);
    }

    /// The bans that wait, and how many were dropped.
    pub(super) fn take_bans(&self) -> (Vec<Ban>, u64) {
        let mut state = self.state();
        (std::mem::take(&mut state.bans), std::mem::take(&mut state.bans_dropped))
    }

    /// Notes that this client is there, in case it was in doubt.
    pub(super) fn heard(&self, now: impl FnOnce() -> i64, origin: Origin<'_>, sign: Sign<'_>) {
        if !self.any_unsure.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        let cluster = origin.cluster.unwrap_or_default();
        let Some(clients) = state.unsure.get_mut(cluster) else { return };
        if !clients.remove(&*short(sign.clientid)) {
            return;
        }
        if clients.is_empty() {
            state.unsure.remove(cluster);
        }
        self.any_unsure.store(!state.unsure.is_empty(), Ordering::Relaxed);
        if state.records.len() < MAX_RECORDS
            && let Some(origin) = self.origin(&mut state, origin)
        {
            let entry = HistoryEntry::Event(Owned::Heard { whose: Whose::from(sign) });
            state.bytes += entry.size();
            state.records.push_back(QueuedRecord { at: now(), arrived: Instant::now(), token: None, origin, entry });
            self.wake(&mut state);
        }
    }

    /// More clients are in doubt, each with its cluster.
    pub(super) fn listen_for(&self, clients: Vec<(Box<str>, Box<str>)>) {
        if clients.is_empty() {
            return;
        }
        let mut state = self.state();
        for (cluster, clientid) in clients {
            state.unsure.entry(cluster).or_default().insert(clientid);
        }
        self.any_unsure.store(true, Ordering::Relaxed);
    }

    fn wake(&self, state: &mut HistoryQueueState) {
        if std::mem::take(&mut state.writer_waits) {
            self.wake.notify_one();
        }
    }

    /// Waits for work, but no longer than until `end`. Denials are work from `denials_from` on.
    pub(super) fn wait(&self, end: Instant, denials_from: Instant) -> WriterWork {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let work = state.work();
            let end = if work.denials { end.min(denials_from) } else { end };
            if work.records || work.bans || work.defined || work.closing.is_some() || now >= end {
                return work;
            }
            state.writer_waits = true;
            state = self.wake.wait_timeout(state, end - now).unwrap_or_else(PoisonError::into_inner).0;
            state.writer_waits = false;
        }
    }

    /// Waits until `end`, or until the input ends; `for_bans`, or until there are some.
    pub(super) fn pause(&self, end: Instant, for_bans: bool) -> WriterWork {
        let mut state = self.state();
        let was_closing = state.closing.is_some();
        loop {
            let now = Instant::now();
            let shared = for_bans && !state.bans.is_empty();
            if now >= end || shared || state.defined.is_some() || (!was_closing && state.closing.is_some()) {
                return state.work();
            }
            state.writer_waits = for_bans;
            state = self.wake.wait_timeout(state, end - now).unwrap_or_else(PoisonError::into_inner).0;
            state.writer_waits = false;
        }
    }

    /// Moves up to `limit` records to `batch`, in the order in which they came, and to `origins` the brokers that are
    /// not there yet.
    pub(super) fn take(&self, batch: &mut Vec<QueuedRecord>, limit: usize, origins: &mut Vec<Arc<BrokerNames>>) {
        let mut state = self.state();
        let count = limit.min(state.records.len());
        batch.extend(state.records.drain(..count));
        state.bytes = state.bytes.saturating_sub(batch.iter().map(|item| item.entry.size()).sum());
        state.in_flight = batch.first().map(|item| item.arrived);
        origins.extend_from_slice(state.origins.since(origins.len()));
    }

    /// Whether the oldest record has waited for too long.
    pub(super) fn is_overdue(&self) -> bool {
        self.state().is_overdue(Instant::now(), self.patience())
    }

    /// The database is there again.
    pub(super) fn usable(&self) {
        self.state().hopeless = false;
    }

    /// What was taken is committed.
    pub(super) fn committed(&self) {
        let mut state = self.state();
        state.in_flight = None;
        state.hopeless = false;
    }

    /// The denials that wait, and how many were dropped.
    pub(super) fn take_denials(&self) -> (Vec<OwnedDenial>, u64) {
        let mut state = self.state();
        state.denial_bytes = 0;
        (std::mem::take(&mut state.denials), std::mem::take(&mut state.denials_dropped))
    }

    /// Nobody shall wait for the database until a commit succeeds. Returns the calls that did.
    pub(super) fn give_up_waiting(&self, batch: &mut [QueuedRecord]) -> Vec<Token> {
        let mut state = self.state();
        state.hopeless = true;
        let tokens: Vec<Token> =
            batch.iter_mut().chain(state.records.iter_mut()).filter_map(|item| item.token.take()).collect();
        state.lapses.answered_early += tokens.len() as u64;
        tokens
    }

    /// Another driver records, or does no longer. Returns the calls that waited.
    pub(super) fn set_standby(&self, standby: bool) -> Vec<Token> {
        let mut state = self.state();
        state.standby = standby;
        if !standby {
            return Vec::new();
        }
        state.bytes = 0;
        state.denials.clear();
        state.denial_bytes = 0;
        state.denials_dropped = 0;
        state.tell_lapses();
        state.gap = false;
        state.in_flight = None;
        state.hopeless = false;
        std::mem::take(&mut state.records).into_iter().filter_map(|item| item.token).collect()
    }

    pub(super) fn set_unsure(&self, clients: Unsure) {
        let mut state = self.state();
        self.any_unsure.store(!clients.is_empty(), Ordering::Relaxed);
        state.unsure = clients;
    }

    /// Whether records were dropped, and everything that came before them is written.
    pub(super) fn take_gap(&self) -> bool {
        let mut state = self.state();
        state.records.is_empty() && std::mem::take(&mut state.gap)
    }

    pub(super) fn restore_gap(&self) {
        self.state().gap = true;
    }

    pub(super) fn lapses(&self) -> Lapses {
        self.state().lapses
    }

    pub(super) fn take_lapses(&self) -> Lapses {
        self.state().tell_lapses()
    }

    /// All since the start.
    pub(super) fn all_lapses(&self) -> Lapses {
        let state = self.state();
        Lapses {
            answered_early: state.lapses.answered_early + state.told_lapses.answered_early,
            dropped: state.lapses.dropped + state.told_lapses.dropped,
        }
    }

    pub(super) fn add_lapses(&self, early: u64) {
        self.state().lapses.answered_early += early;
    }

    pub(super) fn add_left_out(&self, more: LeftOut) {
        self.state().left_out.add(more);
    }

    pub(super) fn left_out(&self) -> LeftOut {
        self.state().left_out
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.state().records.len()
    }

    /// Says that nothing more comes, and waits until the writer ended, at most until `last`. Said again, the
    /// first times hold.
    pub(super) fn close(&self, end: Instant, last: Instant) {
        let mut state = self.state();
        let Closing { last, .. } = *state.closing.get_or_insert(Closing { end, last });
        self.wake.notify_one();
        while !state.writer_ended {
            let left = last.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The writer's last word.
    pub(super) fn writer_ended(&self) -> Vec<Token> {
        let mut state = self.state();
        state.writer_ended = true;
        self.ended.notify_all();
        std::mem::take(&mut state.records).into_iter().filter_map(|item| item.token).collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl HistoryQueueState {
    fn is_overdue(&self, now: Instant, patience: Duration) -> bool {
        let oldest = self.in_flight.or_else(|| self.records.front().map(|item| item.arrived));
        self.hopeless || oldest.is_some_and(|since| now.saturating_duration_since(since) > patience)
    }

    fn tell_lapses(&mut self) -> Lapses {
        let lapses = std::mem::take(&mut self.lapses);
        self.told_lapses.answered_early += lapses.answered_early;
        self.told_lapses.dropped += lapses.dropped;
        lapses
    }

    fn work(&self) -> WriterWork {
        WriterWork {
            records: !self.records.is_empty(),
            denials: !self.denials.is_empty() || self.denials_dropped > 0,
            defined: self.defined.is_some(),
            bans: !self.bans.is_empty(),
            closing: self.closing.map(|closing| closing.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_outside_the_promise_is_counted_for_good() {
        let queue = HistoryQueue::new(Duration::from_secs(1), false);
        queue.add_lapses(3);
        assert!(queue.set_standby(true).is_empty());
        // Nothing to be said of, but it was so.
        assert_eq!(queue.lapses(), Lapses::default());
        let three = Lapses { answered_early: 3, dropped: 0 };
        assert_eq!(queue.all_lapses(), three);
        queue.set_standby(false);
        queue.add_lapses(1);
        assert_eq!(queue.take_lapses(), Lapses { answered_early: 1, dropped: 0 });
        assert_eq!(queue.all_lapses(), Lapses { answered_early: 4, dropped: 0 });
    }

    #[test]
    fn nothing_waits_for_a_database_that_was_given_up_until_it_is_usable() {
        let queue = HistoryQueue::new(Duration::from_secs(3_600), false);
        assert!(!queue.is_overdue());
        for is_there_again in [HistoryQueue::usable, HistoryQueue::committed] {
            assert!(queue.give_up_waiting(&mut []).is_empty());
            assert!(queue.is_overdue());
            is_there_again(&queue);
            assert!(!queue.is_overdue());
        }
    }

    #[test]
    fn a_driver_that_records_nothing_wakes_for_a_ban_where_it_shares_them() {
        const LONG: Duration = Duration::from_secs(60);
        let ban = || Ban {
            why: crate::limits::Why::Lockout,
            mode: exhook_policy_core::decision::Mode::Enforce,
            key: crate::limits::LimitKey { clientid: None, username: Some("u".into()), peerhost: None },
            since: 0,
            until: 1,
        };
        let queue = HistoryQueue::new(Duration::from_secs(1), false);
        queue.set_standby(true);
        std::thread::scope(|scope| {
            let begun = Instant::now();
            let woken = scope.spawn(|| queue.pause(Instant::now() + LONG, true));
            while !queue.state().writer_waits {
                std::thread::yield_now();
            }
            queue.push_bans([ban()]);
            assert!(woken.join().unwrap().bans && begun.elapsed() < LONG);
        });
        // Where it cannot write them it would come again and again.
        let end = Instant::now() + Duration::from_millis(50);
        queue.pause(end, false);
        assert!(Instant::now() >= end);
    }
}
