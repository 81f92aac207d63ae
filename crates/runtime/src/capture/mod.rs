//! What the broker asks and tells, written as JSON lines to be replayed.
//!
//! A line goes from [`Capture::told`] or [`Capture::decided`] into a bounded queue, and a thread of the capture's own
//! writes what is queued. Where the disk does not keep up, lines are dropped and counted, and a line in the file says
//! how many are missing at its place. No answer ever waits.
//!
//! - [`queue`]: the bounded queue.
//! - [`file`]: the files, their rotation and their lock.
//! - [`writer`]: the thread, and what is said of a disk that is in trouble.
//!
//! A line is an event as [`exhook_policy_core::event::json`] writes it: without its password and its payload.

mod file;
mod queue;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::log::Log;
use exhook_policy_core::decision::Found;
use exhook_policy_core::event::json::DecisionLine;
use exhook_policy_core::event::{Event, json};
use exhook_policy_core::policy::model::CaptureDef;

/// At the end of input, for so long a slow disk is waited for.
const LAST_WRITES: Duration = Duration::from_secs(9);

/// A running capture. Dropped, it ends as with [`Capture::close`] and [`Capture::finish`], unless another goes on with its file.
pub struct Capture {
    lines: Arc<CaptureLines>,
    def: CaptureDef,
}

/// What those have in common that write one file, one after the other.
struct CaptureLines {
    queue: Arc<queue::CaptureQueue>,
}

impl Drop for CaptureLines {
    fn drop(&mut self) {
        self.queue.close(Instant::now() + LAST_WRITES);
        self.queue.wait_for_writer();
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capture({:?})", self.def.events)
    }
}

impl Capture {
    /// Starts the thread that opens the file and writes. This neither waits nor fails: a file that cannot be opened is
    /// logged and tried again.
    pub fn start(def: &CaptureDef, log: &Log) -> Self {
        let queue = Arc::new(queue::CaptureQueue::default());
        let writer = writer::CaptureWriter::new(Arc::clone(&queue), def, log.clone());
        let started = thread::Builder::new().name("capture".to_owned()).spawn(move || writer.run());
        if let Err(error) = started {
            log.line(format_args!("capture: nothing is written, no thread can be started: {error}"));
            queue.writer_ended();
        }
        Capture { lines: Arc::new(CaptureLines { queue }), def: def.clone() }
    }

    /// The capture of a policy that takes the place of another; `None` where it has none.
    ///
    /// Where both write the same file, the thread that writes it is the same: one process alone writes a file, and what the
    /// policy before has under way belongs there too. By other terms, those hold for what is queued already as well. Another
    /// file is written by another thread, and the file before gets what is left for it.
    pub fn succeed(before: Option<&Arc<Capture>>, def: Option<&CaptureDef>, log: &Log) -> Option<Arc<Capture>> {
        let def = def?;
        Some(match before {
            Some(before) if before.def == *def => Arc::clone(before),
            Some(before) if before.def.file == def.file => {
                before.lines.queue.define(def.clone());
                Arc::new(Capture { lines: Arc::clone(&before.lines), def: def.clone() })
            }
            Some(_) | None => Arc::new(Capture::start(def, log)),
        })
    }

    /// Takes note of an event on which nothing is decided. Never waits.
    pub fn told(&self, event: &Event<'_>) {
        if self.def.events.takes(event.hook()) {
            self.lines.queue.push(&json::write(event, now_ms()));
        }
    }

    /// Takes note of a question that came `at` (Unix milliseconds), of what was decided, and of what the password
    /// sources said that were asked, by their names. Never waits.
    pub fn decided<'a>(
        &self,
        event: &Event<'a>,
        at: i64,
        decided: DecisionLine<'a>,
        passwords: impl Iterator<Item = (&'a str, Found)>,
    ) {
        if self.def.events.takes(event.hook()) {
            self.lines.queue.push(&json::write_decided(event, at, decided, passwords));
        }
    }

    /// How many bytes of lines wait to be written.
    pub fn waiting(&self) -> usize {
        self.lines.queue.len()
    }

    /// Says that the input has ended. What is queued is written, in up to nine seconds from now; what
    /// the disk refuses then is given up.
    pub fn close(&self) {
        self.lines.queue.close(Instant::now() + LAST_WRITES);
    }

    /// Waits until everything is written, no longer than [`Capture::close`] says.
    pub fn finish(&self) {
        self.lines.queue.wait_for_writer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exhook_policy_core::policy::model::Captured;

    #[test]
    fn the_same_file_stays_with_its_thread_and_another_gets_one_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::to(std::io::sink());
        let events = Captured { logins: true, topics: true, connections: true, sessions: false, messages: true };
        let def = |name: &str, max_size| CaptureDef { file: dir.path().join(name), max_size, max_files: 2, events };
        assert!(Capture::succeed(None, None, &log).is_none());
        let first = Capture::succeed(None, Some(&def("a", 1 << 20)), &log).unwrap();
        let same = Capture::succeed(Some(&first), Some(&def("a", 1 << 20)), &log).unwrap();
        assert!(Arc::ptr_eq(&first, &same));
        let other_terms = Capture::succeed(Some(&first), Some(&def("a", 1 << 21)), &log).unwrap();
        assert!(!Arc::ptr_eq(&first, &other_terms) && Arc::ptr_eq(&first.lines, &other_terms.lines));
        let other_file = Capture::succeed(Some(&first), Some(&def("b", 1 << 20)), &log).unwrap();
        assert!(!Arc::ptr_eq(&first.lines, &other_file.lines));
        assert!(Capture::succeed(Some(&first), None, &log).is_none());
    }
}
