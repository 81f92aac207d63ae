//! The thread that writes: one transaction for all that is queued, then the answers.

mod sharing;
mod upkeep;

use std::cell::Cell;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::RowBudget;
use super::denials::{self, OwnedDenial};
use super::latch::Latch;
use super::now_ms;
use super::origins::BrokerNames;
use super::queue::{HistoryQueue, QueuedRecord};
use super::record::HistoryEntry;
use super::sqlite::apply::{ATTEMPTS, Apply, BetweenEvents};
use super::sqlite::bans::Exchange;
use super::sqlite::denials::DenialRows;
use super::sqlite::long_names;
use super::sqlite::registry::{Before, Opened, Registry};
use super::sqlite::retention::Sweep;
use super::sqlite::store::{self, Store, StoreFault};
use crate::log::Log;
use crate::process::Recorder;
use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::decision::Answer;
use exhook_policy_core::policy::model::HistoryDef;

/// Records of one transaction.
const BATCH: usize = 4_096;
/// Denials are written no more often, to leave the time to the events.
const DENIALS_EVERY: Duration = Duration::from_millis(200);
/// The broker's heartbeat with commits, and how much later it comes without.
const BEAT: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(2);
/// How often brokers that are gone are looked for, and a driver that does not record asks again.
const CHECK: Duration = Duration::from_secs(10);
/// The WAL is moved into the database so long after the first record in it, or when it has grown large.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(5);
/// When the database is tried again.
const RETRY_BUSY: Duration = Duration::from_millis(20);
const RETRY_TROUBLE: Duration = Duration::from_secs(1);
const RETRY_UNFIT: Duration = Duration::from_secs(30);
/// Every driver of a pool has noticed by then that the file or its WAL is another one: what one opens anew must not be
/// mixed with what another has open still.
const RETRY_REPLACED: Duration = Duration::from_secs(4);

/// What the writer starts with.
pub(super) struct HistoryWriter {
    pub(super) queue: Arc<HistoryQueue>,
    pub(super) def: HistoryDef,
    pub(super) me: Recorder,
    pub(super) deadline: Duration,
    pub(super) sink: Sink,
    pub(super) log: Log,
    pub(super) bans: Exchange,
    /// Is opened once the bans were read, or cannot be.
    pub(super) bans_read: Arc<Latch>,
}

impl HistoryWriter {
    /// Writes until the input ends and everything is written, or the time for it is over.
    pub(super) fn run(self) {
        let queue = Arc::clone(&self.queue);
        let sink = Arc::clone(&self.sink);
        // However this thread ends, nobody waits for it afterwards.
        let bans_read = Arc::clone(&self.bans_read);
        let _last_word = LastWord { queue, sink, log: self.log.clone(), bans_read };
        RunningWriter::new(self).run();
    }
}

struct LastWord {
    queue: Arc<HistoryQueue>,
    sink: Sink,
    log: Log,
    bans_read: Arc<Latch>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.bans_read.open();
        if std::thread::panicking() {
            self.log.line(format_args!("history: nothing more is recorded, because of an error in this program"));
        }
        answer(&self.sink, &self.queue.writer_ended());
    }
}

fn answer(sink: &Sink, tokens: &[Token]) {
    if !tokens.is_empty() {
        let answers: Vec<(Token, Answer)> = tokens.iter().map(|&token| (token, Answer::NoOpinion)).collect();
        sink(&answers);
    }
}

enum WriterStage {
    /// The database is not open; it is tried again then.
    Closed {
        retry: Instant,
    },
    /// Another driver of this broker records; it is looked at again then.
    Standby {
        check: Instant,
        /// Bans are shared all the same.
        store: Option<Box<Store>>,
    },
    Recording(Recording),
}

struct Recording {
    store: Store,
    registry: Box<Registry>,
}

/// What was said of a database that does not commit.
#[derive(Default)]
struct Complaint {
    /// The last fault.
    fault: Option<String>,
    said: Option<String>,
}

struct RunningWriter {
    with: HistoryWriter,
    stage: WriterStage,
    before: Option<Before>,
    /// The brokers that were heard of, by their number.
    origins: Vec<Arc<BrokerNames>>,
    /// Taken from the queue and not committed.
    batch: Vec<QueuedRecord>,
    /// A record of the batch cannot be written: find out which.
    one_by_one: bool,
    /// Folded and not committed.
    denials: Vec<OwnedDenial>,
    rows: DenialRows,
    attempts: Cell<RowBudget>,
    between: BetweenEvents,
    complaint: Complaint,
    standby_said: bool,
    /// Unix milliseconds.
    input_ended: Option<i64>,
    next_denials: Instant,
    next_beat: Instant,
    next_unsure: Instant,
    next_check: Instant,
    next_bans: Instant,
    next_sweep: Instant,
    sweep_busy_from: Instant,
    sweep: Option<Sweep>,
    /// Records that are in the WAL alone.
    unmoved: usize,
    next_checkpoint: Instant,
    next_wal_line: Instant,
    next_waiting_line: Instant,
    next_dropped_line: Instant,
}

impl RunningWriter {
    fn new(writer: HistoryWriter) -> Self {
        let now = Instant::now();
        RunningWriter {
            stage: WriterStage::Closed { retry: now },
            before: None,
            origins: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            one_by_one: false,
            denials: Vec::new(),
            rows: DenialRows::default(),
            attempts: Cell::new(ATTEMPTS),
            between: BetweenEvents::default(),
            complaint: Complaint::default(),
            standby_said: false,
            input_ended: None,
            next_denials: now,
            next_beat: now,
            next_unsure: now,
            next_check: now + CHECK,
            next_bans: now,
            next_sweep: now,
            sweep_busy_from: now,
            sweep: None,
            unmoved: 0,
            next_checkpoint: now,
            next_wal_line: now,
            next_waiting_line: now,
            next_dropped_line: now,
            with: writer,
        }
    }

    fn run(&mut self) {
        loop {
            let work = match self.stage {
                WriterStage::Closed { retry } => self.with.queue.pause(retry, false),
                WriterStage::Standby { check, store: None } => self.with.queue.pause(check, false),
                WriterStage::Standby { check, store: Some(_) } => {
                    self.with.queue.pause(check.min(self.next_bans), self.with.bans.pending.is_empty())
                }
                WriterStage::Recording(_) if self.batch.is_empty() => {
                    self.with.queue.wait(self.next_wake(), self.next_denials)
                }
                WriterStage::Recording(_) => self.with.queue.wait(Instant::now(), self.next_denials),
            };
            if work.defined {
                self.define();
            }
            if let Some(end) = work.closing {
                let input_ended = *self.input_ended.get_or_insert_with(now_ms);
                let bans = work.bans || !self.with.bans.pending.is_empty();
                let left = work.records || work.denials || bans || !self.batch.is_empty() || !self.denials.is_empty();
                let stands_by = match self.stage {
                    WriterStage::Standby { store: Some(_), .. } => !bans,
                    WriterStage::Standby { store: None, .. } => true,
                    WriterStage::Closed { .. } | WriterStage::Recording(_) => false,
                };
                if !left || Instant::now() >= end || stands_by {
                    self.end(input_ended);
                    return;
                }
            }
            let step = match self.stage {
                WriterStage::Standby { check, store: Some(_) } if Instant::now() < check => self.share_bans(),
                WriterStage::Closed { .. } | WriterStage::Standby { .. } => self.open(),
                WriterStage::Recording(_) => self.write(),
            };
            if let Err(fault) = step {
                self.failed(&fault);
            }
            self.complain_of_delay();
        }
    }

    fn next_wake(&self) -> Instant {
        let mut wake = self.next_beat + IDLE;
        wake = wake.min(self.next_check);
        if self.with.bans.is_used() {
            wake = wake.min(self.next_bans);
        }
        if !self.with.bans.pending.is_empty() {
            wake = wake.min(Instant::now() + RETRY_BUSY);
        }
        if !self.denials.is_empty() {
            wake = wake.min(self.next_denials);
        }
        wake = wake.min(if self.sweep.is_some() { Instant::now() } else { self.next_sweep });
        if self.unmoved > 0 { wake.min(self.next_checkpoint) } else { wake }
    }

    fn open(&mut self) -> Result<(), StoreFault> {
        let mut store = Store::open(&self.with.def.database, self.with.def.sync)?;
        if self.with.bans.is_used() && self.with.bans.pending.is_empty() {
            // To read takes no lock, which others may hold for long: who is kept out stays so.
            self.with.bans.forget();
            self.take_up_bans(&store)?;
        }
        let now = now_ms();
        let transaction = store.begin()?;
        match Registry::open(&transaction, &self.with.me, self.before, now)? {
            Opened::Standby { slot } => {
                transaction.rollback()?;
                self.stand_by(&slot, store);
            }
            Opened::Recording(registry) => {
                long_names::cut(&transaction)?;
                let unsure = registry.unsure(&transaction)?;
                transaction.commit()?;
                self.with.queue.set_unsure(unsure);
                if matches!(self.stage, WriterStage::Standby { .. }) {
                    self.with.queue.set_standby(false);
                    self.standby_said = false;
                    self.say(format_args!("history: this driver{}, records now", self.own_slot()));
                }
                self.with.queue.usable();
                self.before = Some(registry.before());
                self.rows.forget();
                self.stage = WriterStage::Recording(Recording { store, registry: Box::new(registry) });
                self.next_beat = Instant::now() + BEAT;
            }
        }
        self.with.bans.forget();
        self.next_bans = Instant::now();
        self.share_bans()
    }

    fn write(&mut self) -> Result<(), StoreFault> {
        if self.batch.is_empty() {
            self.with.queue.take(&mut self.batch, BATCH, &mut self.origins);
        }
        if !self.batch.is_empty() {
            self.write_batch()?;
        }
        let now = Instant::now();
        if now >= self.next_denials || self.input_ended.is_some() {
            self.write_denials()?;
        }
        self.share_bans()?;
        if now >= self.next_beat + IDLE {
            self.beat()?;
        }
        if now >= self.next_check {
            self.check()?;
        }
        self.sweep(now)?;
        self.checkpoint(now)
    }

    fn write_batch(&mut self) -> Result<(), StoreFault> {
        let beat = Instant::now() >= self.next_beat;
        let missed = beat && self.with.queue.take_gap();
        let attempts = self.attempts.get();
        match self.commit_batch(beat, missed) {
            Ok(()) => {
                if beat {
                    self.next_beat = Instant::now() + BEAT;
                }
                self.committed()
            }
            Err(fault) => {
                // None of them has a row.
                self.attempts.set(attempts);
                self.between.take_listened_for();
                if missed {
                    self.with.queue.restore_gap();
                }
                Err(fault)
            }
        }
    }

    /// `missed`: events before these were not kept.
    fn commit_batch(&mut self, beat: bool, missed: bool) -> Result<(), StoreFault> {
        let WriterStage::Recording(Recording { store, registry }) = &mut self.stage else { return Ok(()) };
        if beat && store.is_replaced() {
            return Err(StoreFault::Replaced);
        }
        let me = &self.with.me;
        let transaction = store.begin()?;
        registry.begin(&transaction, me, &self.batch, now_ms())?;
        for item in &self.batch {
            let mut write = || -> Result<(), StoreFault> {
                let Some(named) = self.origins.get(item.origin.index()) else { return Ok(()) };
                let record = match &item.entry {
                    HistoryEntry::Loaded { booted_at } => {
                        return Ok(registry.loaded(&transaction, me, item.at, (item.origin, named), *booted_at)?);
                    }
                    HistoryEntry::Away => return Ok(registry.away(&transaction, item.at, item.origin)?),
                    HistoryEntry::Event(record) => record,
                };
                let Some(broker) = registry.broker(&transaction, me, item.at, item.origin, named)? else {
                    return Ok(());
                };
                let cluster = &*named.cluster;
                let (kept, attempts, between) = (self.with.def.record, &self.attempts, &self.between);
                let apply = Apply { db: &transaction, broker, cluster, record: kept, attempts, between };
                Ok(apply.apply(item.at, record)?)
            };
            if !self.one_by_one {
                write()?;
                continue;
            }
            let attempts = self.attempts.get();
            if let Some(error) = store::write_alone(&transaction, write)? {
                self.attempts.set(attempts);
                registry.undone();
                self.with.log.line(format_args!("history: a record was left out: {error}"));
            }
        }
        if missed {
            registry.missed(&transaction, now_ms())?;
        }
        if beat {
            registry.beat(&transaction, me, now_ms())?;
        }
        Ok(transaction.commit()?)
    }

    fn committed(&mut self) -> Result<(), StoreFault> {
        self.with.queue.committed();
        self.with.queue.listen_for(self.between.take_listened_for());
        self.one_by_one = false;
        self.count_attempts();
        if self.unmoved == 0 {
            self.next_checkpoint = Instant::now() + CHECKPOINT_AFTER;
        }
        self.unmoved += self.batch.len();
        let mut late = 0;
        let mut answers = Vec::with_capacity(self.batch.len());
        for item in self.batch.drain(..) {
            if let Some(token) = item.token {
                // The transport answers at the deadline by itself.
                late += u64::from(item.arrived.elapsed() > self.with.deadline);
                answers.push((token, Answer::NoOpinion));
            }
        }
        if !answers.is_empty() {
            (self.with.sink)(&answers);
        }
        if late > 0 {
            self.with.queue.add_lapses(late);
        }
        if !self.with.queue.is_overdue() {
            self.recovered();
        }
        self.registry_changed()
    }

    /// Says what the registry has to say. Where other rows are unsure than before, their clients are listened for.
    fn registry_changed(&mut self) -> Result<(), StoreFault> {
        let WriterStage::Recording(Recording { store, registry }) = &mut self.stage else { return Ok(()) };
        self.before = Some(registry.before());
        for line in registry.take_lines() {
            self.with.log.line(format_args!("history: {line}"));
        }
        // There may be very many of them.
        let now = Instant::now();
        if now >= self.next_unsure && registry.take_changed() {
            self.next_unsure = now + BEAT;
            let unsure = registry.unsure(&store.db)?;
            self.with.queue.set_unsure(unsure);
        }
        Ok(())
    }

    fn write_denials(&mut self) -> Result<(), StoreFault> {
        let (new, mut dropped) = self.with.queue.take_denials();
        self.denials.extend(new);
        dropped += denials::shorten(&mut self.denials);
        if dropped > 0 {
            self.denials.push(OwnedDenial::nameless(now_ms(), dropped));
        }
        self.next_denials = Instant::now() + DENIALS_EVERY;
        if self.denials.is_empty() {
            return Ok(());
        }
        self.denials = denials::fold(mem::take(&mut self.denials));
        let WriterStage::Recording(Recording { store, registry }) = &mut self.stage else { return Ok(()) };
        self.denials.retain(|denial| !registry.stands_by(denial.origin));
        let rows = &mut self.rows;
        let pending = &self.denials;
        let written = store.begin().and_then(|transaction| {
            rows.write(&transaction, pending)?;
            Ok(transaction.commit()?)
        });
        match written {
            Ok(()) => {
                self.unmoved += self.denials.len();
                self.rows.committed();
                self.count_denials();
            }
            Err(StoreFault::Record(error)) => {
                self.rows.forget();
                self.say(format_args!("history: denials were left out: {error}"));
            }
            Err(fault) => {
                self.rows.forget();
                return Err(fault);
            }
        }
        self.denials.clear();
        Ok(())
    }

    fn failed(&mut self, fault: &StoreFault) {
        self.complaint.fault = Some(fault.to_string());
        if !matches!(fault, StoreFault::Busy) {
            self.with.bans_read.open();
        }
        if let WriterStage::Recording(recording) = &mut self.stage {
            recording.registry.undone();
        }
        let retry = match fault {
            // The lock was waited for already.
            StoreFault::Busy if matches!(self.stage, WriterStage::Recording(_)) => return,
            StoreFault::Busy if self.is_sharing() => {
                self.next_bans = Instant::now() + BEAT;
                return;
            }
            StoreFault::Busy => RETRY_BUSY,
            StoreFault::Record(_) if !self.one_by_one && !self.batch.is_empty() => {
                self.one_by_one = true;
                return;
            }
            StoreFault::Record(_) | StoreFault::Trouble(_) => RETRY_TROUBLE,
            StoreFault::Unfit(_) => RETRY_UNFIT,
            StoreFault::Replaced => RETRY_REPLACED,
        };
        if !matches!(fault, StoreFault::Busy) {
            self.complain();
        }
        if matches!(fault, StoreFault::Unfit(_)) {
            let tokens = self.with.queue.give_up_waiting(&mut self.batch);
            answer(&self.with.sink, &tokens);
        }
        self.rows.forget();
        let retry = if self.input_ended.is_some() { retry.min(RETRY_TROUBLE) } else { retry };
        let retry = Instant::now() + retry;
        self.stage = match self.stage {
            WriterStage::Standby { .. } => WriterStage::Standby { check: Instant::now() + CHECK, store: None },
            WriterStage::Closed { .. } | WriterStage::Recording(_) => WriterStage::Closed { retry },
        };
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        self.with.log.line(text);
    }

    fn end(&mut self, input_ended: i64) {
        let lost = self.batch.len() + self.with.queue.len();
        if lost > 0 {
            self.say(format_args!(
                "history: {lost} events are lost: {} could not be written before the {} ended",
                self.with.def.database.display(),
                self.with.me.serves.word()
            ));
        }
        answer(&self.with.sink, &self.batch.drain(..).filter_map(|item| item.token).collect::<Vec<_>>());
        self.leave(input_ended);
    }

    /// Says in the database that this process records there no longer, from then on (Unix milliseconds).
    fn leave(&mut self, from: i64) {
        let WriterStage::Recording(Recording { store, registry }) = &mut self.stage else { return };
        // Where this fails, the process is still seen to be gone.
        let _ = store.begin().and_then(|transaction| {
            registry.end(&transaction, from)?;
            Ok(transaction.commit()?)
        });
    }
}

#[cfg(test)]
mod tests;
