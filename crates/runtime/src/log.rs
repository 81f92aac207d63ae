//! Lines on stderr, which is the broker's console.
//!
//! A console that stops reading must not stop the driver: lines go through a bounded queue to a
//! thread of their own, and what does not fit is counted and said later.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvError, SyncSender, TryRecvError, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

/// How many lines wait for the console.
const QUEUE: usize = 4096;
/// Longer lines are cut to so many bytes: what waits for a console that is stuck must not swell, and what
/// takes long to write out must not hold up the calls.
const LONGEST: usize = 16 << 10;
/// How often dropped lines are said while more are dropped.
const SAY_DROPPED: Duration = Duration::from_secs(1);
/// How long whoever writes looks away after the last line. To wake the writer costs more than the line.
const NAP: Duration = Duration::from_millis(1);
/// How long a console that takes nothing now is left alone.
const NOT_NOW: Duration = Duration::from_millis(10);

/// A handle to the log. Clones write to the same queue.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<LogMessage>,
    /// Not said yet.
    dropped: Arc<AtomicU64>,
    /// Altogether.
    lost: Arc<AtomicU64>,
}

enum LogMessage {
    Line(String),
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the thread that writes to `out`.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        // Without a thread every line is dropped, and the driver does its work in silence.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(out, &lines, &count));
        Log { queue, dropped, lost: Arc::default() }
    }

    /// Starts the thread that writes to stderr.
    pub fn stderr() -> Self {
        Log::to(std::io::stderr())
    }

    /// Queues one line. Control characters are escaped, so that a client cannot forge lines; a line of more
    /// than 16 KiB is cut.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        let line = one_line(text);
        match self.queue.try_send(LogMessage::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Queues text of several lines that the driver made itself: diagnostics, say.
    pub fn text(&self, text: &str) {
        for line in text.lines() {
            self.line(format_args!("{line}"));
        }
    }

    /// How many lines were dropped since the start, because the console did not keep up.
    pub fn dropped(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until what is queued is written, or until `patience` is over.
    pub fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let (done, written) = mpsc::sync_channel(1);
        let mut request = LogMessage::Flush(done);
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

fn write_lines(mut out: impl Write, lines: &mpsc::Receiver<LogMessage>, dropped: &AtomicU64) {
    let mut said = Instant::now();
    let mut rested = true;
    loop {
        let message = match lines.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Empty) => {
                say_dropped(&mut out, dropped);
                if !mem::replace(&mut rested, true) {
                    thread::sleep(NAP);
                    continue;
                }
                match lines.recv() {
                    Ok(message) => message,
                    Err(RecvError) => return,
                }
            }
            Err(TryRecvError::Disconnected) => return say_dropped(&mut out, dropped),
        };
        rested = false;
        match message {
            LogMessage::Line(line) => {
                if write_whole(&mut out, line.as_bytes()).is_err() {
                    // A console that is gone: there is nowhere to say so.
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            LogMessage::Flush(done) => {
                say_dropped(&mut out, dropped);
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        // Where the queue never empties, now and then all the same.
        if said.elapsed() >= SAY_DROPPED {
            say_dropped(&mut out, dropped);
            said = Instant::now();
        }
    }
}

fn say_dropped(out: &mut impl Write, dropped: &AtomicU64) {
    let count = dropped.swap(0, Ordering::Relaxed);
    if count > 0 {
        let line = format!("exhook-policy: {count} log lines were dropped, the console did not keep up\n");
        if write_whole(out, line.as_bytes()).is_err() {
            dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Writes a line, and waits where others have set the console not to block.
fn write_whole(out: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => line = line.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(NOT_NOW),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn one_line(text: fmt::Arguments<'_>) -> String {
    let mut line = LogLine(String::with_capacity(128));
    line.0.push_str("exhook-policy: ");
    if fmt::write(&mut line, text).is_err() {
        line.0.push_str(" ... and more");
    }
    line.0.push('\n');
    line.0
}

/// Escapes control characters, and takes no more than a line may hold.
struct LogLine(String);

impl fmt::Write for LogLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() >= LONGEST {
                return Err(fmt::Error);
            }
            if c.is_control() && c != '\t' {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A console that takes a line when it gets leave to.
    #[derive(Clone, Default)]
    struct Console {
        written: Arc<Mutex<Vec<u8>>>,
        stuck: Arc<Mutex<()>>,
        answers: Arc<Mutex<Vec<io::ErrorKind>>>,
    }

    impl Write for Console {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.stuck.lock().unwrap());
            if let Some(kind) = self.answers.lock().unwrap().pop() {
                return Err(kind.into());
            }
            // Piecemeal, as a pipe may.
            let count = bytes.len().min(10);
            self.written.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Console {
        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_line_stays_one_line() {
        let console = Console::default();
        let log = Log::to(console.clone());
        log.line(format_args!("client {:?}\nexhook-policy: \x1b[2Jforged\r\u{85}\t{}", "a\nb", "é"));
        log.text("two\nlines");
        log.flush(LONG);
        assert_eq!(
            console.text(),
            "exhook-policy: client \"a\\nb\"\\nexhook-policy: \\u{1b}[2Jforged\\r\\u{85}\té\n\
             exhook-policy: two\nexhook-policy: lines\n"
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let console = Console::default();
        let log = Log::to(console.clone());
        log.line(format_args!("{}", "\u{1}".repeat(1 << 20)));
        log.line(format_args!("next"));
        log.flush(LONG);
        let text = console.text();
        let lines: Vec<_> = text.lines().collect();
        assert!(
            matches!(lines[..], [cut, "exhook-policy: next"]
            if cut.ends_with("\\u{1} ... and more") && cut.len() < LONGEST + 32),
            "{} bytes",
            text.len()
        );
    }

    #[test]
    fn a_stuck_console_stops_nobody_and_dropped_lines_are_counted() {
        let console = Console::default();
        let stuck = console.stuck.lock().unwrap();
        let log = Log::to(console.clone());
        let sent = 3 * QUEUE;
        for n in 0..sent {
            log.line(format_args!("{n}"));
        }
        log.flush(Duration::from_millis(20));
        assert_eq!(console.text(), "");
        drop(stuck);
        log.flush(LONG);
        let text = console.text();
        let dropped = |line: &str| {
            let line = line.strip_suffix(" log lines were dropped, the console did not keep up")?;
            line.strip_prefix("exhook-policy: ")?.parse::<usize>().ok()
        };
        let lost: usize = text.lines().filter_map(dropped).sum();
        let written = text.lines().filter(|line| dropped(line).is_none()).count();
        assert_eq!(lost + written, sent, "{lost} were dropped");
        assert!(written >= QUEUE && text.starts_with("exhook-policy: 0\nexhook-policy: 1\n"));
    }

    #[test]
    fn a_console_that_fails_for_a_while_loses_no_more_than_it_must() {
        let console = Console::default();
        *console.answers.lock().unwrap() =
            vec![io::ErrorKind::BrokenPipe, io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock];
        let log = Log::to(console.clone());
        log.line(format_args!("lost"));
        log.line(format_args!("kept"));
        log.flush(LONG);
        let mut lines: Vec<_> = console.text().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(
            lines,
            ["exhook-policy: 1 log lines were dropped, the console did not keep up", "exhook-policy: kept"]
        );
    }
}
