//! What is done now and then, between the batches: another definition, heartbeats, old rows, the WAL; and what is
//! said of a database that cannot be written.

use std::time::{Duration, Instant};

use super::{BEAT, CHECK, Complaint, Recording, RunningWriter, WriterStage};
use crate::clock::Moment;
use crate::history::budget::{LeftOut, Rest};
use crate::history::now_ms;
use crate::history::queue::{Defined, Lapses};
use crate::history::sqlite::retention::{self, Sweep};
use crate::history::sqlite::store::StoreFault;

/// How often old rows are looked for, and for how long only while no events wait.
const SWEEP: Duration = Duration::from_secs(60);
const SWEEP_IDLE: Duration = Duration::from_secs(5);
/// A WAL that readers hold at this size is worth a line, this often.
const LARGE_WAL: u64 = 64 << 20;
const LARGE_WAL_EVERY: Duration = Duration::from_secs(600);

impl RunningWriter {
    /// The policy says otherwise what is kept, for how long, and where.
    pub(super) fn define(&mut self) {
        let Some(Defined { def, deadline }) = self.with.queue.take_defined() else { return };
        let elsewhere = def.database != self.with.def.database;
        let reopened = elsewhere || def.sync != self.with.def.sync;
        self.next_bans = Instant::now();
        if elsewhere {
            let from = match &self.stage {
                WriterStage::Recording(Recording { store, .. }) => Some(&store.db),
                WriterStage::Standby { store, .. } => store.as_ref().map(|store| &store.db),
                WriterStage::Closed { .. } => None,
            };
            self.with.bans.moves(from, Moment::now());
            // What is open in the old one is in doubt there from now on.
            self.leave(now_ms());
            self.before = None;
            // What was said of the old one, and is left to say, is not true of the new one.
            let lapses = self.with.queue.take_lapses();
            if lapses != Lapses::default() {
                self.say_lapses("is left", lapses);
            }
            self.complaint = Complaint::default();
        }
        self.with.def = def;
        self.with.deadline = deadline;
        // It began by the old `keep`; where there is none now, it would never end.
        self.sweep = None;
        if !reopened {
            return;
        }
        if matches!(self.stage, WriterStage::Standby { .. }) {
            self.with.queue.set_standby(false);
            self.standby_said = false;
        }
        self.rows.forget();
        self.stage = WriterStage::Closed { retry: Instant::now() };
    }

    /// Counts the attempts that have no row, and says so once a minute.
    pub(super) fn count_attempts(&mut self) {
        let Some(Rest { count, is_first }) = self.attempts.get_mut().rest() else { return };
        self.with.queue.add_left_out(LeftOut { attempts: count, ..LeftOut::default() });
        if is_first {
            self.say(format_args!(
                "history: more attempts than there is room for in a minute (16 MiB of names): the rest of this minute's have no row \
                 in `attempts`; `status` and the metrics count them"
            ));
        }
    }

    /// Counts the denials that stand in rows without names, and says so once a minute.
    pub(super) fn count_denials(&mut self) {
        let Some(Rest { count, is_first }) = self.rows.rest() else { return };
        self.with.queue.add_left_out(LeftOut { denials: count, ..LeftOut::default() });
        if is_first {
            self.say(format_args!(
                "history: more kinds of denials than there is room for in a minute (1,000, and 1 MiB of names; for one address a \
                 quarter): the rest of this minute's are counted in rows whose names are `...`; `status` and the metrics count them"
            ));
        }
    }

    /// The heartbeat of an idle broker, and what else is to be looked at now and then.
    pub(super) fn beat(&mut self) -> Result<(), StoreFault> {
        self.next_beat = Instant::now() + BEAT;
        let WriterStage::Recording(Recording { store, registry }) = &mut self.stage else { return Ok(()) };
        if store.is_replaced() {
            return Err(StoreFault::Replaced);
        }
        let missed = self.with.queue.take_gap();
        let me = &self.with.me;
        let beaten = store.begin().and_then(|transaction| {
            let now = now_ms();
            if missed {
                registry.missed(&transaction, now)?;
            }
            registry.beat(&transaction, me, now)?;
            Ok(transaction.commit()?)
        });
        match beaten {
            Ok(()) => self.registry_changed(),
            Err(fault) => {
                if missed {
                    self.with.queue.restore_gap();
                }
                Err(fault)
            }
        }
    }

    pub(super) fn check(&mut self) -> Result<(), StoreFault> {
        self.next_check = Instant::now() + CHECK;
        let WriterStage::Recording(Recording { store, registry }) = &mut self.stage else { return Ok(()) };
        let transaction = store.begin()?;
        registry.check(&transaction, &self.with.me, now_ms())?;
        transaction.commit()?;
        self.registry_changed()
    }

    /// One step of the removal of old rows, where no event waits for it.
    pub(super) fn sweep(&mut self, now: Instant) -> Result<(), StoreFault> {
        let WriterStage::Recording(recording) = &mut self.stage else { return Ok(()) };
        if self.sweep.is_none() && now >= self.next_sweep {
            let transaction = recording.store.begin()?;
            retention::tidy(&transaction, now_ms())?;
            transaction.commit()?;
            self.next_sweep = now + SWEEP;
            self.sweep_busy_from = now + SWEEP_IDLE;
            self.sweep = self.with.def.keep.map(|_| Sweep::default());
            return Ok(());
        }
        let (Some(sweep), Some(keep)) = (&mut self.sweep, self.with.def.keep) else { return Ok(()) };
        // A broker that is never idle gets rid of its old rows all the same.
        if self.with.queue.len() > 0 && now < self.sweep_busy_from {
            return Ok(());
        }
        let cutoff = now_ms().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let transaction = recording.store.begin()?;
        let more = sweep.step(&transaction, cutoff)?;
        transaction.commit()?;
        if !more {
            self.sweep = None;
        }
        Ok(())
    }

    pub(super) fn checkpoint(&mut self, now: Instant) -> Result<(), StoreFault> {
        let WriterStage::Recording(recording) = &mut self.stage else { return Ok(()) };
        let late = self.unmoved > 0 && now >= self.next_checkpoint;
        if !late && !recording.store.is_checkpoint_due() {
            return Ok(());
        }
        self.unmoved = 0;
        match recording.store.checkpoint() {
            Ok(left) if left > LARGE_WAL && now >= self.next_wal_line => {
                self.next_wal_line = now + LARGE_WAL_EVERY;
                self.say(format_args!(
                    "history: {} MiB wait in {}-wal, because a reader keeps its transaction open",
                    left >> 20,
                    self.with.def.database.display()
                ));
                Ok(())
            }
            // Another process is at it.
            Ok(_) | Err(StoreFault::Busy) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// A database that is only locked is worth a line once somebody did not wait for it.
    pub(super) fn complain_of_delay(&mut self) {
        if self.complaint.said.is_none() && self.with.queue.lapses() != Lapses::default() {
            self.complaint.fault.get_or_insert_with(|| "the disk is slow".to_owned());
            self.complain();
        }
    }

    pub(super) fn complain(&mut self) {
        if self.complaint.said == self.complaint.fault {
            return;
        }
        self.complaint.said.clone_from(&self.complaint.fault);
        if let Some(fault) = &self.complaint.said {
            self.with.log.line(format_args!(
                "history: {} cannot be written: {fault}; events are answered before they are recorded",
                self.with.def.database.display()
            ));
        }
    }

    pub(super) fn recovered(&mut self) {
        let complained = std::mem::take(&mut self.complaint).said.is_some();
        let lapses = self.with.queue.take_lapses();
        if complained {
            self.say_lapses("is written again", lapses);
        } else if lapses != Lapses::default() {
            self.say_lapses("is written", lapses);
        }
    }

    fn say_lapses(&self, how: &str, lapses: Lapses) {
        self.say(format_args!(
            "history: {} {how}; {} events were answered before they were recorded, {} were not kept",
            self.with.def.database.display(),
            lapses.answered_early,
            lapses.dropped
        ));
    }
}
