//! The bounded queue between the threads that decide and the one that writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::now_ms;
use exhook_policy_core::event::json;
use exhook_policy_core::policy::model::CaptureDef;

/// How many bytes of lines may wait.
const MAX_BYTES: usize = 8 << 20;
/// So long lines are gathered before they are written, unless half of the queue is full.
const GATHER: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct CaptureQueue {
    state: Mutex<CaptureQueueState>,
    wake: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct CaptureQueueState {
    /// Whole lines, with their ends.
    lines: Vec<u8>,
    /// How many lines did not fit behind these.
    dropped: u64,
    writer_waits: bool,
    /// The files are to be written by other terms.
    defined: Option<CaptureDef>,
    /// No more will come, and until then the writer is waited for.
    closing: Option<Instant>,
    writer_ended: bool,
}

/// What the writer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many lines are missing behind those that were taken.
    pub(super) dropped: u64,
    /// No more will come.
    pub(super) is_last: bool,
}

impl CaptureQueue {
    fn state(&self) -> MutexGuard<'_, CaptureQueueState> {
        // Every change below leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.state().lines.len()
    }

    /// Queues a line, or counts it where it does not fit. Once one was dropped, so is every later one until the writer
    /// has taken what is there: the gap is in one place.
    pub(super) fn push(&self, line: &str) {
        if line.len() > json::LONGEST {
            // No client can cause one, and nobody would read it.
            return self.push(&json::write_dropped(1, now_ms()));
        }
        let mut state = self.state();
        if state.writer_ended {
            return;
        }
        if state.dropped > 0 || state.lines.len() + line.len() >= MAX_BYTES {
            state.dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line.as_bytes());
        state.lines.push(b'\n');
        let is_half_full = state.lines.len() >= MAX_BYTES / 2;
        if std::mem::take(&mut state.writer_waits) || is_half_full {
            self.wake.notify_one();
        }
    }

    /// By these terms the files are written from now on.
    pub(super) fn define(&self, def: CaptureDef) {
        self.state().defined = Some(def);
    }

    pub(super) fn take_defined(&self) -> Option<CaptureDef> {
        self.state().defined.take()
    }

    /// Waits for lines, or for the end of input, and puts the lines into `batch`, which is empty. Where some were
    /// dropped, the last line says so.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> Taken {
        let mut state = self.state();
        while state.is_idle() {
            state.writer_waits = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let gathered = Instant::now() + GATHER;
        while state.closing.is_none() && state.dropped == 0 && state.lines.len() < MAX_BYTES / 2 {
            let left = gathered.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut state.lines, batch);
        let dropped = std::mem::take(&mut state.dropped);
        let is_last = state.closing.is_some();
        drop(state);
        if dropped > 0 {
            batch.extend_from_slice(json::write_dropped(dropped, now_ms()).as_bytes());
            batch.push(b'\n');
        }
        Taken { dropped, is_last }
    }

    /// Waits until `end`, but no longer than for the end of input. Gives back whether that has come.
    pub(super) fn pause(&self, end: Instant) -> bool {
        let mut state = self.state();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closing.is_some() {
                return state.closing.is_some();
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says that no more will come. Said again, the first time holds.
    pub(super) fn close(&self, end: Instant) {
        self.state().closing.get_or_insert(end);
        self.wake.notify_one();
    }

    /// Waits until the writer ended, but no longer than it may take.
    pub(super) fn wait_for_writer(&self) {
        let mut state = self.state();
        while !state.writer_ended {
            let left = state.closing.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The writer's last word.
    pub(super) fn writer_ended(&self) {
        self.state().writer_ended = true;
        self.ended.notify_all();
    }
}

impl CaptureQueueState {
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && self.closing.is_none()
    }
}
