//! The thread that writes: one transaction for all that is queued, then the answers.

mod upkeep;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::apply::Apply;
use super::brokers::{self, Place, Role};
use super::denials::{self, OwnedDenial};
use super::now_ms;
use super::process::Recorder;
use super::queue::{Item, Queue};
use super::retention::Sweep;
use super::store::{Fault, Store};
use crate::decision::Answer;
use crate::log::Log;
use crate::policy::model::HistoryDef;
use crate::reply::{Sink, Token};

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

/// What the writer starts with.
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) def: HistoryDef,
    pub(super) me: Recorder,
    pub(super) deadline: Duration,
    pub(super) sink: Sink,
    pub(super) log: Log,
}

impl Writer {
    /// Writes until the input ends and everything is written, or the time for it is over.
    pub(super) fn run(self) {
        let queue = Arc::clone(&self.queue);
        let sink = Arc::clone(&self.sink);
        // However this thread ends, nobody waits for it afterwards.
        let _last_word = LastWord { queue, sink, log: self.log.clone() };
        let now = Instant::now();
        let mut running = Running {
            stage: Stage::Closed { retry: now },
            previous: None,
            batch: Vec::with_capacity(BATCH),
            one_by_one: false,
            denials: Vec::new(),
            rows: denials::Rows::default(),
            complaint: Complaint::default(),
            standby_said: false,
            input_ended: None,
            next_denials: now,
            next_beat: now,
            next_check: now + CHECK,
            next_sweep: now,
            sweep_busy_from: now,
            sweep: None,
            unmoved: 0,
            next_checkpoint: now,
            next_wal_line: now,
            with: self,
        };
        running.run();
    }
}

struct LastWord {
    queue: Arc<Queue>,
    sink: Sink,
    log: Log,
}

impl Drop for LastWord {
    fn drop(&mut self) {
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

fn replaced() -> Fault {
    Fault::Trouble("its file was removed or replaced".to_owned())
}

enum Stage {
    /// The database is not open; it is tried again then.
    Closed {
        retry: Instant,
    },
    /// Another driver of this broker records; it is looked at again then.
    Standby {
        check: Instant,
    },
    Recording(Recording),
}

struct Recording {
    store: Store,
    place: Place,
    gaps: i64,
    node_known: bool,
}

/// What was said of a database that does not commit.
#[derive(Default)]
struct Complaint {
    /// The last fault.
    fault: Option<String>,
    said: Option<String>,
}

struct Running {
    with: Writer,
    stage: Stage,
    previous: Option<Place>,
    /// Taken from the queue and not committed.
    batch: Vec<Item>,
    /// A record of the batch cannot be written: find out which.
    one_by_one: bool,
    /// Folded and not committed.
    denials: Vec<OwnedDenial>,
    rows: denials::Rows,
    complaint: Complaint,
    standby_said: bool,
    /// Unix milliseconds.
    input_ended: Option<i64>,
    next_denials: Instant,
    next_beat: Instant,
    next_check: Instant,
    next_sweep: Instant,
    sweep_busy_from: Instant,
    sweep: Option<Sweep>,
    /// Records that are in the WAL alone.
    unmoved: usize,
    next_checkpoint: Instant,
    next_wal_line: Instant,
}

impl Running {
    fn run(&mut self) {
        loop {
            let work = match self.stage {
                Stage::Closed { retry } => self.with.queue.pause(retry),
                Stage::Standby { check } => self.with.queue.pause(check),
                Stage::Recording(_) if self.batch.is_empty() => {
                    self.with.queue.wait(self.next_wake(), self.next_denials)
                }
                Stage::Recording(_) => self.with.queue.wait(Instant::now(), self.next_denials),
            };
            if let Some(end) = work.closing {
                let input_ended = *self.input_ended.get_or_insert_with(now_ms);
                let left = work.records || work.denials || !self.batch.is_empty() || !self.denials.is_empty();
                if !left || Instant::now() >= end || matches!(self.stage, Stage::Standby { .. }) {
                    self.end(input_ended);
                    return;
                }
            }
            let step = match self.stage {
                Stage::Closed { .. } | Stage::Standby { .. } => self.open(),
                Stage::Recording(_) => self.write(),
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
        if !self.denials.is_empty() {
            wake = wake.min(self.next_denials);
        }
        wake = wake.min(if self.sweep.is_some() { Instant::now() } else { self.next_sweep });
        if self.unmoved > 0 { wake.min(self.next_checkpoint) } else { wake }
    }

    fn open(&mut self) -> Result<(), Fault> {
        let mut store = Store::open(&self.with.def.database, self.with.def.sync)?;
        let now = now_ms();
        let transaction = store.begin()?;
        let role = brokers::register(&transaction, &self.with.me, self.previous, now)?;
        match role {
            Role::Standby { slot } => {
                transaction.rollback()?;
                self.stand_by(&slot);
            }
            Role::Recording(place) => {
                let gaps = brokers::gaps(&transaction, place.broker)?;
                let unsure = brokers::unsure(&transaction, place.broker)?;
                transaction.commit()?;
                self.with.queue.set_unsure(unsure);
                if matches!(self.stage, Stage::Standby { .. }) {
                    self.with.queue.set_standby(false);
                    self.standby_said = false;
                    self.say(format_args!("history: this driver, {}, records now", self.with.me.serves.slot()));
                }
                self.with.queue.usable();
                self.previous = Some(place);
                self.rows.forget();
                self.stage = Stage::Recording(Recording { store, place, gaps, node_known: false });
                self.next_beat = Instant::now() + BEAT;
            }
        }
        Ok(())
    }

    fn stand_by(&mut self, slot: &str) {
        let mut tokens: Vec<Token> = self.batch.drain(..).filter_map(|item| item.token).collect();
        tokens.extend(self.with.queue.set_standby(true));
        answer(&self.with.sink, &tokens);
        self.denials.clear();
        self.complaint = Complaint::default();
        if !mem::replace(&mut self.standby_said, true) {
            self.say(format_args!(
                "history: the driver {slot} of this broker records; this one, {}, records nothing",
                self.with.me.serves.slot()
            ));
        }
        self.stage = Stage::Standby { check: Instant::now() + CHECK };
    }

    fn write(&mut self) -> Result<(), Fault> {
        if self.batch.is_empty() {
            self.with.queue.take(&mut self.batch, BATCH);
        }
        if !self.batch.is_empty() {
            self.write_batch()?;
        }
        let now = Instant::now();
        if now >= self.next_denials || self.input_ended.is_some() {
            self.write_denials()?;
        }
        if now >= self.next_beat + IDLE {
            self.beat()?;
        }
        if now >= self.next_check {
            self.check()?;
        }
        self.sweep(now)?;
        self.checkpoint(now)
    }

    fn write_batch(&mut self) -> Result<(), Fault> {
        let beat = Instant::now() >= self.next_beat;
        let missed = beat && self.with.queue.take_gap();
        match self.commit_batch(beat, missed) {
            Ok(gaps) => {
                if beat {
                    self.next_beat = Instant::now() + BEAT;
                }
                self.committed(gaps)
            }
            Err(fault) => {
                if missed {
                    self.with.queue.restore_gap();
                }
                Err(fault)
            }
        }
    }

    /// Returns how often rows of this broker became unsure. `missed`: events before these were not kept.
    fn commit_batch(&mut self, beat: bool, missed: bool) -> Result<i64, Fault> {
        let Stage::Recording(recording) = &mut self.stage else { return Ok(0) };
        let Place { broker, .. } = recording.place;
        if beat && recording.store.is_replaced() {
            return Err(replaced());
        }
        let transaction = recording.store.begin()?;
        if !recording.node_known
            && let Some(node) = self.batch.iter().find_map(|item| item.record.node())
        {
            if brokers::name_node(&transaction, broker, node)? {
                brokers::close_gone(&transaction, &self.with.me, broker, Some(node), now_ms())?;
            }
            recording.node_known = true;
        }
        let apply = Apply { db: &transaction, broker, record: self.with.def.record };
        for item in &self.batch {
            if !self.one_by_one {
                apply.apply(item.at, &item.record)?;
                continue;
            }
            transaction.execute_batch("SAVEPOINT record")?;
            match apply.apply(item.at, &item.record).map_err(Fault::from) {
                Ok(()) => transaction.execute_batch("RELEASE record")?,
                Err(Fault::Record(error)) => {
                    transaction.execute_batch("ROLLBACK TO record; RELEASE record")?;
                    self.with.log.line(format_args!("history: a record was left out: {error}"));
                }
                Err(fault) => return Err(fault),
            }
        }
        if missed {
            brokers::doubt(&transaction, broker, now_ms())?;
        }
        let mut gaps = recording.gaps;
        if beat {
            brokers::alive(&transaction, broker, now_ms())?;
            gaps = brokers::gaps(&transaction, broker)?;
        }
        transaction.commit()?;
        Ok(gaps)
    }

    fn committed(&mut self, gaps: i64) -> Result<(), Fault> {
        self.with.queue.committed();
        self.one_by_one = false;
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
        self.look_for_gaps(gaps)
    }

    /// Another driver of the pool found rows to be unsure: their clients are listened for here too.
    fn look_for_gaps(&mut self, gaps: i64) -> Result<(), Fault> {
        if let Stage::Recording(recording) = &mut self.stage
            && gaps != recording.gaps
        {
            let unsure = brokers::unsure(&recording.store.db, recording.place.broker)?;
            recording.gaps = gaps;
            self.with.queue.set_unsure(unsure);
        }
        Ok(())
    }

    fn write_denials(&mut self) -> Result<(), Fault> {
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
        let Stage::Recording(recording) = &mut self.stage else { return Ok(()) };
        let rows = &mut self.rows;
        let pending = &self.denials;
        let written = recording.store.begin().and_then(|transaction| {
            rows.write(&transaction, pending)?;
            Ok(transaction.commit()?)
        });
        match written {
            Ok(()) => self.unmoved += self.denials.len(),
            Err(Fault::Record(error)) => {
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

    fn failed(&mut self, fault: &Fault) {
        self.complaint.fault = Some(fault.to_string());
        let retry = match fault {
            // The lock was waited for already.
            Fault::Busy if matches!(self.stage, Stage::Recording(_)) => return,
            Fault::Busy => RETRY_BUSY,
            Fault::Record(_) if !self.one_by_one && !self.batch.is_empty() => {
                self.one_by_one = true;
                return;
            }
            Fault::Record(_) | Fault::Trouble(_) => RETRY_TROUBLE,
            Fault::Unfit(_) => RETRY_UNFIT,
        };
        if !matches!(fault, Fault::Busy) {
            self.complain();
        }
        if matches!(fault, Fault::Unfit(_)) {
            let tokens = self.with.queue.give_up_waiting(&mut self.batch);
            answer(&self.with.sink, &tokens);
        }
        self.rows.forget();
        let retry = if self.input_ended.is_some() { retry.min(RETRY_TROUBLE) } else { retry };
        let retry = Instant::now() + retry;
        self.stage = match self.stage {
            Stage::Standby { .. } => Stage::Standby { check: Instant::now() + CHECK },
            Stage::Closed { .. } | Stage::Recording(_) => Stage::Closed { retry },
        };
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        self.with.log.line(text);
    }

    fn end(&mut self, input_ended: i64) {
        let lost = self.batch.len() + self.with.queue.len();
        if lost > 0 {
            self.say(format_args!(
                "history: {lost} events are lost: {} could not be written before the driver ended",
                self.with.def.database.display()
            ));
        }
        answer(&self.with.sink, &self.batch.drain(..).filter_map(|item| item.token).collect::<Vec<_>>());
        let Stage::Recording(recording) = &mut self.stage else { return };
        let place = recording.place;
        // Where this fails, the process is still seen to be gone.
        let _ = recording.store.begin().and_then(|transaction| {
            brokers::alive(&transaction, place.broker, input_ended)?;
            brokers::driver_ends(&transaction, place, input_ended)?;
            Ok(transaction.commit()?)
        });
    }
}
