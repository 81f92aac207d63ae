//! Log lines about connections and calls. Anyone who reaches the port can cause them, so there are
//! only a few a minute.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::log::Log;

const MINUTE: Duration = Duration::from_secs(60);

/// A log with a bounded number of lines a minute. The others are counted.
pub(super) struct BoundedLog {
    log: Log,
    most: u32,
    about: &'static str,
    count: Mutex<LineCount>,
}

struct LineCount {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl BoundedLog {
    pub(super) fn new(log: Log, most: u32, about: &'static str) -> Self {
        BoundedLog { log, most, about, count: Mutex::new(LineCount { since: Instant::now(), written: 0, left_out: 0 }) }
    }

    /// Writes the line, or counts it if there were enough in this minute.
    pub(super) fn line(&self, text: fmt::Arguments<'_>) {
        {
            let mut count = self.count();
            self.turn(&mut count);
            if count.written == self.most {
                count.left_out += 1;
                return;
            }
            count.written += 1;
        }
        self.log.line(text);
    }

    /// Says how many lines were left out, once the minute is over.
    pub(super) fn sum_up(&self) {
        self.turn(&mut self.count());
    }

    fn turn(&self, count: &mut LineCount) {
        if count.since.elapsed() < MINUTE {
            return;
        }
        let left_out = std::mem::replace(count, LineCount { since: Instant::now(), written: 0, left_out: 0 }).left_out;
        if left_out > 0 {
            self.log.line(format_args!(
                "{left_out} more lines about {} were left out: at most {} a minute are written",
                self.about, self.most
            ));
        }
    }

    fn count(&self) -> MutexGuard<'_, LineCount> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Console(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Console {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_beyond_twenty_a_minute_are_counted() {
        let console = Console::default();
        let log = Log::to(console.clone());
        let lines = BoundedLog::new(log.clone(), 20, "connections");
        for number in 0..1_000 {
            lines.line(format_args!("line {number}"));
        }
        lines.sum_up();
        lines.count().since = Instant::now().checked_sub(MINUTE).unwrap();
        lines.sum_up();
        lines.line(format_args!("the next minute"));
        log.flush(Duration::from_secs(30));
        let text = String::from_utf8(console.0.lock().unwrap().clone()).unwrap();
        let last: Vec<_> = text.lines().skip(19).collect();
        assert_eq!(
            last,
            [
                "exhook-policy: line 19",
                "exhook-policy: 980 more lines about connections were left out: at most 20 a minute are written",
                "exhook-policy: the next minute",
            ]
        );
    }
}
