//! Connection history in SQLite: who is online, who was, and who was refused.
//!
//! An event goes from [`History::record`] into a bounded queue, and a thread of the history's own
//! writes all that is queued in one transaction ([`writer`]). Once that is committed, the calls are
//! answered, in one go. So what was acknowledged survives the death of the driver, and the thread
//! that reads the broker's calls never waits for a disk.
//!
//! - [`record`]: what is kept of an event. No password can get in: logins are not kept at all.
//! - [`denials`]: refusals, folded.
//! - [`let_in`]: the rules that let clients in which are not connected yet.
//! - [`queue`]: the bounded queue, and when an event is no longer waited for.
//! - [`origins`]: the brokers that events come from, each by a small number.
//! - [`budget`]: what strangers can have written within a minute.
//! - [`latch`]: whether the bans that stand in the database are known.
//! - [`writer`]: the thread that writes, and when it does what.
//! - [`sqlite`]: the database, and all that is written to it.
//! - [`resync`]: what is unsure is settled by the broker's list of its clients.
//! - [`read`]: who is online, who was, and who was refused, for people.
//!
//! The tables are described in `schema/`. Times are Unix milliseconds.

mod budget;
mod denials;
mod latch;
mod let_in;
mod origins;
mod queue;
pub mod read;
mod record;
pub mod resync;
mod sqlite;
mod writer;

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use budget::LeftOut;
pub use denials::{Asked, Denial};
pub use queue::Lapses;
pub use sqlite::bans::{Whom, lift};

use crate::clock::now_ms;
use crate::limits::{Ban, Limits};
use crate::log::Log;
use crate::process::{Recorder, Serves};
use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::event::{BrokerLoaded, Client, Event, Origin};
use exhook_policy_core::policy::model::{HistoryDef, Record};

/// A commit that is overdue by this much is waited for no longer.
const OVERDUE: Duration = Duration::from_secs(1);
/// At the end of input, for so long it is tried to write what is queued. With the last try and what else a
/// driver does at its end, that is ten seconds.
const LAST_TRIES: Duration = Duration::from_secs(9);

/// A running history. Dropped, it ends as with [`History::finish`].
pub struct History {
    queue: Arc<queue::HistoryQueue>,
    let_in: let_in::LetIn,
    bans_read: Arc<latch::Latch>,
    /// [`Record::bits`], which a new definition changes.
    record: AtomicU8,
    limits: Arc<Limits>,
    terms: Mutex<Terms>,
}

/// What a history goes by, which the next policy may say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Terms {
    def: HistoryDef,
    deadline: Duration,
    /// The limits want to know of the bans that stand in the database.
    reads_bans: bool,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History({:?})", self.recorded())
    }
}

impl History {
    /// Starts the thread that opens the database and writes. This neither waits nor fails: a database
    /// that cannot be opened is logged and tried again.
    ///
    /// `deadline` is the time within which the transport answers every call by itself. `sink` gets
    /// the answers of the calls for which [`History::record`] said so.
    pub fn start(def: &HistoryDef, recorder: Recorder, deadline: Duration, sink: Sink, log: &Log) -> Self {
        History::with_limits(def, recorder, deadline, sink, log, Arc::default())
    }

    /// The history of a policy that takes the place of another; `None` where it keeps none.
    ///
    /// A history that runs goes on with the one thread that it has, also in another database: nothing that comes meanwhile
    /// is lost, and what is queued is written to the new one. It is told of a definition or a deadline that is another one.
    /// Where the limits are used now and were not before, the bans in the database are read, and
    /// [`History::wait_for_bans`] waits for that. Never waits.
    ///
    /// `limits` are those of all policies, as they are used from now on; the other parameters are those of
    /// [`History::start`]. Where the limits are used, they are given the bans that stand in the database, and those that
    /// others add or lift.
    pub fn succeed(
        before: Option<&Arc<History>>,
        def: Option<&HistoryDef>,
        recorder: &Recorder,
        deadline: Duration,
        sink: &Sink,
        log: &Log,
        limits: &Arc<Limits>,
    ) -> Option<Arc<History>> {
        let def = def?;
        let Some(before) = before else {
            let (recorder, sink, limits) = (recorder.clone(), Arc::clone(sink), Arc::clone(limits));
            return Some(Arc::new(History::with_limits(def, recorder, deadline, sink, log, limits)));
        };
        before.define(Terms { def: def.clone(), deadline, reads_bans: before.limits.is_used() });
        Some(Arc::clone(before))
    }

    fn with_limits(
        def: &HistoryDef,
        recorder: Recorder,
        deadline: Duration,
        sink: Sink,
        log: &Log,
        limits: Arc<Limits>,
    ) -> Self {
        let terms = Terms { def: def.clone(), deadline, reads_bans: limits.is_used() };
        let bans_read: Arc<latch::Latch> = Arc::default();
        let queue =
            Arc::new(queue::HistoryQueue::new(OVERDUE.min(deadline), matches!(recorder.serves, Serves::Callers)));
        let writer = writer::HistoryWriter {
            queue: Arc::clone(&queue),
            def: def.clone(),
            me: recorder,
            deadline,
            sink,
            log: log.clone(),
            bans: sqlite::bans::Exchange::new(Arc::clone(&limits)),
            bans_read: Arc::clone(&bans_read),
        };
        let started = thread::Builder::new().name("history".to_owned()).spawn(move || writer.run());
        if let Err(error) = started {
            log.line(format_args!("history: nothing is recorded, no thread can be started: {error}"));
            queue.writer_ended();
            bans_read.open();
        }
        let (let_in, record) = (let_in::LetIn::default(), AtomicU8::new(def.record.bits()));
        History { queue, let_in, bans_read, record, limits, terms: Mutex::new(terms) }
    }

    /// Goes on by these terms, where they are others.
    fn define(&self, terms: Terms) {
        let before = mem::replace(&mut *self.terms.lock().unwrap_or_else(PoisonError::into_inner), terms.clone());
        if before == terms {
            return;
        }
        let Terms { def, deadline, reads_bans } = terms;
        if reads_bans && !before.reads_bans {
            self.bans_read.shut();
        } else if (&before.def, before.deadline) == (&def, deadline) {
            return;
        }
        self.record.store(def.record.bits(), Ordering::Relaxed);
        self.queue.define(queue::Defined { def, deadline }, OVERDUE.min(deadline));
    }

    /// How many events wait to be written.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// What happened outside the promise since the start.
    pub fn lapses(&self) -> Lapses {
        self.queue.all_lapses()
    }

    /// What was not written since the start because of a bound.
    pub fn left_out(&self) -> LeftOut {
        self.queue.left_out()
    }

    fn recorded(&self) -> Record {
        Record::of_bits(self.record.load(Ordering::Relaxed))
    }

    /// Takes note of any event. True where something is to be written: the call is then answered
    /// through the sink, with [`Answer::NoOpinion`](exhook_policy_core::decision::Answer::NoOpinion), once it is
    /// committed. False where the caller answers it itself, now. Never waits.
    ///
    /// False too, though it is written, while a commit is overdue by a second.
    pub fn record(&self, event: &Event<'_>, token: Token) -> bool {
        if let Some(sign) = record::Sign::in_event(event) {
            self.queue.heard(now_ms, event.origin(), sign);
        }
        match record::Owned::of(event, self.recorded(), |client| self.let_in.take(now_ms(), client)) {
            Some(owned) => self.queue.push(now_ms(), event.origin(), owned, Some(token)),
            None => false,
        }
    }

    /// Takes note that a rule let the client in: the row of its connection, which is about to
    /// begin, names the rule. Never waits.
    pub fn let_in(&self, client: &Client<'_>, rule: &str) {
        if self.recorded().connections {
            self.let_in.put(now_ms(), client, rule);
        }
    }

    /// Takes note of a refusal. Never waits, and nobody is told when it is written.
    pub fn denied(&self, denial: &Denial<'_>) {
        if self.recorded().denials {
            self.queue.push_denial(denial.client.origin(), denials::OwnedDenial::of(now_ms(), denial));
        }
    }

    /// Takes note of bans that have begun. Never waits, and nobody is told when they are written.
    pub fn banned(&self, bans: Vec<Ban>) {
        self.queue.push_bans(bans);
    }

    /// Waits until the limits know of the bans that stand in the database, or it is known that it cannot be used now.
    ///
    /// False where they are not known by then.
    pub fn wait_for_bans(&self, patience: Duration) -> bool {
        self.bans_read.wait(patience)
    }

    /// Takes note that this client is connected, because it did something. [`History::record`] does so
    /// by itself. Costs next to nothing where no client is unsure.
    pub fn heard(&self, client: &Client<'_>) {
        self.queue.heard(now_ms, client.origin(), record::Sign::of(client));
    }

    /// Takes note that a broker that calls this server is there. Where it booted after it was last heard of, what it
    /// had open ended then; where not, what came meanwhile was missed. Never waits.
    pub fn broker_loaded(&self, broker: &BrokerLoaded<'_>) {
        self.queue.push_word(now_ms(), broker.origin, record::HistoryEntry::Loaded { booted_at: broker.booted_at });
    }

    /// Takes note that a broker that called this server has stopped, or is out of reach: what it had open may end unheard.
    /// Never waits.
    pub fn broker_away(&self, origin: Origin<'_>) {
        self.queue.push_word(now_ms(), origin, record::HistoryEntry::Away);
    }

    /// At the end of input: writes what is queued, trying for up to nine seconds, and returns at once
    /// where nothing is. Events that come later are not kept.
    pub fn finish(&self) {
        let end = Instant::now() + LAST_TRIES;
        // The last transaction may take a little longer.
        self.queue.close(end, end + Duration::from_secs(1));
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests;
