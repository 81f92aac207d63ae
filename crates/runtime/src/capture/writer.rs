//! The thread that writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::{CaptureTrouble, Rotation};
use super::queue::CaptureQueue;
use crate::log::Log;
use exhook_policy_core::policy::model::CaptureDef;

/// How often a file that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often something is said of a disk that stays in trouble.
const SAY: Duration = Duration::from_secs(60);
/// A buffer that grew beyond this for a burst of events is given back.
const KEEP: usize = 1 << 20;

pub(super) struct CaptureWriter {
    queue: Arc<CaptureQueue>,
    files: Rotation,
    log: Log,
    /// The last try failed.
    in_trouble: bool,
    /// Lines that were dropped and not spoken of yet.
    dropped: u64,
    say_from: Option<Instant>,
}

impl CaptureWriter {
    pub(super) fn new(queue: Arc<CaptureQueue>, def: &CaptureDef, log: Log) -> Self {
        CaptureWriter { queue, files: Rotation::new(def), log, in_trouble: false, dropped: 0, say_from: None }
    }

    /// Writes until the input has ended.
    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let taken = self.queue.take(&mut batch);
            self.dropped += taken.dropped;
            if batch.is_empty() && taken.is_last {
                break;
            }
            self.write(&batch, taken.is_last);
            batch.clear();
            batch.shrink_to(KEEP);
        }
        if self.dropped > 0 {
            self.say_dropped();
        }
        self.queue.writer_ended();
    }

    /// Writes the lines, however often that takes. Once the input has ended, what cannot be written is given up.
    fn write(&mut self, mut lines: &[u8], mut is_last: bool) {
        while !lines.is_empty() {
            if let Some(def) = self.queue.take_defined() {
                self.files.define(&def);
            }
            match self.files.write(lines) {
                Ok(count) => {
                    lines = lines.get(count..).unwrap_or_default();
                    self.written();
                }
                Err(trouble) => {
                    self.say_trouble(&trouble);
                    if is_last {
                        self.dropped += lines.split_inclusive(|byte| *byte == b'\n').count() as u64;
                        return;
                    }
                    is_last = self.queue.pause(Instant::now() + RETRY);
                }
            }
        }
    }

    fn written(&mut self) {
        if std::mem::take(&mut self.in_trouble) {
            self.log.line(format_args!("capture: {} is written again", self.files.path().display()));
            self.say_from = None;
        }
        if self.dropped > 0 && self.may_say() {
            self.say_dropped();
        }
    }

    fn say_trouble(&mut self, trouble: &CaptureTrouble) {
        let is_new = !std::mem::replace(&mut self.in_trouble, true);
        if is_new {
            self.say_from = None;
        }
        if self.may_say() {
            let path = self.files.path().display();
            self.log.line(format_args!("capture: {path} cannot be written, and is tried again: {trouble}"));
        }
    }

    fn say_dropped(&mut self) {
        let count = std::mem::take(&mut self.dropped);
        self.log.line(format_args!("capture: {count} lines are missing in {}", self.files.path().display()));
    }

    /// Whether the last word on this was long enough ago; what is said now is the next.
    fn may_say(&mut self) -> bool {
        let now = Instant::now();
        if self.say_from.is_some_and(|from| now < from) {
            return false;
        }
        self.say_from = Some(now + SAY);
        true
    }
}

#[cfg(test)]
mod tests;
