//! What drivers of one database have in common: who records a broker, and bans.

use std::mem;
use std::time::{Duration, Instant};

use super::{BEAT, CHECK, Complaint, Recording, RunningWriter, WriterStage, answer};
use crate::clock::Moment;
use crate::history::budget::LeftOut;
use crate::history::queue::MAX_BANS;
use crate::history::sqlite::bans::Exchange;
use crate::history::sqlite::store::{Store, StoreFault};
use crate::log::Log;
use crate::process::Serves;
use exhook_policy_core::answer_sink::Token;

/// Bans that wait, or were dropped, are worth a line, this often.
const LINE_EVERY: Duration = Duration::from_secs(60);

impl RunningWriter {
    /// Another driver records, and this one shares bans alone.
    pub(super) fn stand_by(&mut self, slot: &str, store: Store) {
        let mut tokens: Vec<Token> = self.batch.drain(..).filter_map(|item| item.token).collect();
        tokens.extend(self.with.queue.set_standby(true));
        answer(&self.with.sink, &tokens);
        self.denials.clear();
        self.complaint = Complaint::default();
        if !mem::replace(&mut self.standby_said, true) {
            self.say(format_args!(
                "history: the driver {slot} of this broker records; this one{}, records nothing",
                self.own_slot()
            ));
        }
        self.stage = WriterStage::Standby { check: Instant::now() + CHECK, store: Some(Box::new(store)) };
    }

    /// Whether another driver records, and bans alone are shared.
    pub(super) fn is_sharing(&self) -> bool {
        matches!(self.stage, WriterStage::Standby { check, store: Some(_) } if Instant::now() < check)
    }

    /// Writes bans that have begun, and takes over what others did to them.
    pub(super) fn share_bans(&mut self) -> Result<(), StoreFault> {
        let (store, bans) = match &mut self.stage {
            WriterStage::Recording(Recording { store, .. }) => (store, &mut self.with.bans),
            WriterStage::Standby { store: Some(store), .. } => (&mut **store, &mut self.with.bans),
            WriterStage::Standby { store: None, .. } | WriterStage::Closed { .. } => return Ok(()),
        };
        // What waits here must not grow where the database cannot be written.
        if bans.pending.len() < MAX_BANS {
            let (new, dropped) = self.with.queue.take_bans();
            bans.pending.extend(new);
            if dropped > 0 {
                self.with.queue.add_left_out(LeftOut { bans: dropped, ..LeftOut::default() });
                if is_due(&mut self.next_dropped_line) {
                    self.with.log.line(format_args!(
                        "history: more bans than may wait to be written: the others hold until this process ends, and cannot be \
                         shown or lifted; `status` and the metrics count them"
                    ));
                }
            }
        }
        let due = bans.due(Moment::now(), self.input_ended.is_some());
        if due < bans.pending.len() && is_due(&mut self.next_waiting_line) {
            self.with.log.line(format_args!(
                "history: more bans than there is room for in a minute (4 MiB of names): the others hold, and are written in the \
                 minutes that follow"
            ));
        }
        if due > 0 {
            let transaction = store.begin()?;
            match bans.write(&transaction, due).map_err(StoreFault::from) {
                Ok(()) => {
                    transaction.commit()?;
                    self.unmoved += due;
                    bans.written(due, Moment::now());
                }
                Err(StoreFault::Record(error)) => {
                    transaction.rollback()?;
                    self.with.log.line(format_args!("history: bans are not written: {error}"));
                    bans.give_up();
                }
                Err(fault) => return Err(fault),
            }
        }
        let now = Instant::now();
        if now < self.next_bans {
            return Ok(());
        }
        self.next_bans = now + BEAT;
        if bans.is_used() {
            take_up(bans, store, &self.with.log)?;
        }
        self.with.bans_read.open();
        Ok(())
    }

    /// Takes over the bans of a database that is about to be used.
    pub(super) fn take_up_bans(&mut self, store: &Store) -> Result<(), StoreFault> {
        take_up(&mut self.with.bans, store, &self.with.log)?;
        self.with.bans_read.open();
        Ok(())
    }

    /// The driver's name, for a line that has it in commas.
    pub(super) fn own_slot(&self) -> String {
        match &self.with.me.serves {
            Serves::Parent { slot, .. } => format!(", {slot}"),
            Serves::Callers => String::new(),
        }
    }
}

/// Whether the time of a line has come; then the next comes later.
fn is_due(next: &mut Instant) -> bool {
    let now = Instant::now();
    let is_due = now >= *next;
    if is_due {
        *next = now + LINE_EVERY;
    }
    is_due
}

fn take_up(bans: &mut Exchange, store: &Store, log: &Log) -> Result<(), StoreFault> {
    if let Some(no_place @ 1..) = bans.read(&store.db, Moment::now())? {
        log.line(format_args!("history: {no_place} bans are not carried out: too many hold"));
    }
    Ok(())
}
