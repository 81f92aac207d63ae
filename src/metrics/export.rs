//! Where metrics are to be had.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};

use crate::log::Log;
use crate::policy::model::MetricsDef;

/// When it is tried again what did not work.
const AGAIN: Duration = Duration::from_secs(10);
/// How long who asks may take for it, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether it is over.
const LOOK: i64 = 500_000_000;
/// A request has no more bytes.
const REQUEST: usize = 8 << 10;

/// Makes the page.
pub type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// Gives metrics away, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Exporter {
    def: MetricsDef,
    over: Arc<AtomicBool>,
}

impl Exporter {
    /// Starts. What does not work is logged, and tried again.
    pub fn start(def: &MetricsDef, page: Page, log: &Log) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let work = Work { page, log: log.clone(), over: Arc::clone(&over), said: None };
        let started = thread::Builder::new().name("metrics".to_owned()).spawn({
            let def = def.clone();
            move || work.run(&def)
        });
        if let Err(error) = started {
            log.line(format_args!("metrics: there are none, no thread can be started: {error}"));
        }
        Exporter { def: def.clone(), over }
    }

    /// Where it gives them.
    pub fn def(&self) -> &MetricsDef {
        &self.def
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

struct Work {
    page: Page,
    log: Log,
    over: Arc<AtomicBool>,
    /// What was said of something that does not work.
    said: Option<String>,
}

impl Work {
    fn run(mut self, def: &MetricsDef) {
        while !self.is_over() {
            let ended = match def {
                MetricsDef::File { path, every } => self.write_to(path, *every),
                MetricsDef::Listen(address) => self.listen(*address),
            };
            if let Err(error) = ended {
                self.complain(&error);
            }
            self.pause(AGAIN);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn pause(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while !self.is_over() && Instant::now() < end {
            thread::sleep(Duration::from_millis(100).min(end.saturating_duration_since(Instant::now())));
        }
    }

    fn complain(&mut self, error: &dyn fmt::Display) {
        let error = error.to_string();
        if self.said.as_ref() != Some(&error) {
            self.log.line(format_args!("metrics: {error}"));
            self.said = Some(error);
        }
    }

    fn works(&mut self) {
        if self.said.take().is_some() {
            self.log.line(format_args!("metrics: they are to be had again"));
        }
    }

    /// Replaces the file until it is over, and takes it away then: what is old must not pass for new.
    fn write_to(&mut self, path: &Path, every: Duration) -> Result<(), String> {
        let problem = |error: io::Error| format!("{} cannot be written: {error}", path.display());
        let _lock = lock(path).map_err(problem)?.ok_or_else(|| format!("another process writes {}", path.display()))?;
        while !self.is_over() {
            replace(path, &(self.page)()).map_err(problem)?;
            self.works();
            self.pause(every);
        }
        fs::remove_file(path).map_err(problem)
    }

    /// Answers whoever asks until it is over, one after the other.
    fn listen(&mut self, address: SocketAddr) -> Result<(), String> {
        let problem = |error: io::Error| format!("cannot listen on {address}: {error}");
        let listener = TcpListener::bind(address).map_err(problem)?;
        listener.set_nonblocking(true).map_err(problem)?;
        self.works();
        while !self.is_over() {
            let mut fds = [PollFd::new(&listener, PollFlags::IN)];
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: LOOK }));
            match listener.accept() {
                // Who asks and goes away again harms nobody.
                Ok((stream, _)) => drop(answer(stream, &self.page)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Too many open files, say: it passes.
                Err(_) => self.pause(Duration::from_millis(100)),
            }
        }
        Ok(())
    }
}

/// The lock by which one process alone writes a file; `None` where another does. It ends with the file that is given.
fn lock(path: &Path) -> io::Result<Option<File>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside(path, ".lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The collector runs as another user, and must never read half a file.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let aside = beside(path, ".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&aside)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(aside, path)
}

/// A hidden file, which the collector does not read.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}

/// One request, whatever it asks for, and one answer.
fn answer(mut stream: TcpStream, page: &Page) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let end = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || request.len() > REQUEST {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => request.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    stream.set_write_timeout(Some(PATIENCE))?;
    let is_asked = request.starts_with(b"GET /metrics ") || request.starts_with(b"GET /metrics?");
    let (status, text) = if is_asked { ("200 OK", page()) } else { ("404 Not Found", "GET /metrics\n".to_owned()) };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn page(text: &'static str) -> Page {
        Arc::new(move || text.to_owned())
    }

    #[track_caller]
    fn wait(met: impl Fn() -> bool) {
        let end = Instant::now() + LONG;
        while !met() {
            assert!(Instant::now() < end);
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_file_is_there_until_it_is_over_and_one_process_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/x.prom");
        let def = MetricsDef::File { path: path.clone(), every: Duration::from_secs(3600) };
        let log = Log::to(io::sink());
        let first = Exporter::start(&def, page("one\n"), &log);
        wait(|| fs::read_to_string(&path).is_ok_and(|text| text == "one\n"));
        // Opened anew, the lock is another one's, as it is for another process.
        assert!(lock(&path).unwrap().is_none());
        let names = || {
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        assert!(names().iter().all(|name| name == "x.prom" || name == ".x.prom.lock"), "{:?}", names());
        drop(first);
        wait(|| !path.exists());
        wait(|| lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_port_answers_one_after_the_other_and_hangs_on_nobody() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let exporter = Exporter::start(&MetricsDef::Listen(free), page("one 1\n"), &Log::to(io::sink()));
        let ask = |request: &str| -> String {
            let mut stream = TcpStream::connect(free).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        };
        wait(|| TcpStream::connect(free).is_ok());
        // These two say nothing, and too much.
        let silent = TcpStream::connect(free).unwrap();
        assert_eq!(ask(&"x".repeat(3 * REQUEST)), "");
        let answer = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\none 1\n"), "{answer}");
        assert!(ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
        drop((silent, exporter));
        wait(|| TcpStream::connect(free).is_err());
    }
}
