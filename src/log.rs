//! Lines on stderr, which is the broker's console.
//!
//! A console that stops reading must not stop the driver: lines go through a bounded queue to a
//! thread of their own, and what does not fit is counted and said later.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

const QUEUE: usize = 4096;

/// A handle to the log. Clones write to the same queue.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the thread that writes to `out`.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        thread::spawn(move || write_lines(out, &lines, &count));
        Log { queue, dropped }
    }

    /// Starts the thread that writes to stderr.
    pub fn stderr() -> Self {
        Log::to(std::io::stderr())
    }

    /// Queues one line. Control characters are escaped, so that a client cannot forge lines.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        let line = one_line(&text.to_string());
        match self.queue.try_send(Message::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Queues text of several lines that the driver made itself: diagnostics, say.
    pub fn text(&self, text: &str) {
        for line in text.lines() {
            self.line(format_args!("{line}"));
        }
    }

    /// Waits until what is queued is written, or until `patience` is over.
    pub fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let (done, written) = mpsc::sync_channel(1);
        let mut request = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(request) {
            if Instant::now() >= end {
                return;
            }
            request = back;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = written.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

fn write_lines(mut out: impl Write, lines: &mpsc::Receiver<Message>, dropped: &AtomicU64) {
    while let Ok(message) = lines.recv() {
        // A closed console loses lines; there is nowhere to say so.
        match message {
            Message::Line(line) => {
                let _ = out.write_all(line.as_bytes());
            }
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "exhook-policy: {lost} log lines were dropped, the console did not keep up");
        }
    }
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 16);
    line.push_str("exhook-policy: ");
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}
