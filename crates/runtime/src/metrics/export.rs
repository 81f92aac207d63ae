//! Where metrics are to be had.

use std::convert::Infallible;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::listen::listen;
use crate::files::atomic::put;
use crate::files::for_everyone::make_folder_for_everyone;
use crate::log::Log;
use exhook_policy_core::policy::model::MetricsDef;

/// When it is tried again what did not work.
const AGAIN: Duration = Duration::from_secs(10);
/// How long who asks may take for it and for taking the answer, together.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the end waits for the thread, which a disk may hold up.
const LAST: Duration = Duration::from_secs(1);
/// The collector runs as another user.
const READABLE: u32 = 0o644;

/// Makes the page.
pub type PageMaker = Arc<dyn Fn() -> String + Send + Sync>;

/// Gives metrics away, on a thread of its own, until it is dropped. Then it lets go of its place, and takes its file away.
#[derive(Debug)]
pub struct Exporter {
    def: MetricsDef,
    over: Arc<ExporterEnd>,
    /// Nothing ever comes; it closes when the thread has ended.
    ended: Receiver<Infallible>,
}

/// Whether it is over.
#[derive(Debug, Default)]
pub(super) struct ExporterEnd {
    is: Mutex<bool>,
    changed: Condvar,
}

impl ExporterEnd {
    fn state(&self) -> MutexGuard<'_, bool> {
        self.is.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self) -> bool {
        *self.state()
    }

    pub(super) fn end(&self) {
        *self.state() = true;
        self.changed.notify_all();
    }

    /// Waits, no longer than until it is over.
    pub(super) fn pause(&self, pause: Duration) {
        drop(self.changed.wait_timeout_while(self.state(), pause, |over| !*over));
    }
}

impl Exporter {
    /// Starts. What does not work is logged, and tried again.
    pub fn start(def: &MetricsDef, page: PageMaker, log: &Log) -> Self {
        let over = Arc::new(ExporterEnd::default());
        let work = ExporterWork { page, log: log.clone(), over: Arc::clone(&over), said: None };
        let (ends, ended) = channel();
        let started = thread::Builder::new().name("metrics".to_owned()).spawn({
            let def = def.clone();
            move || {
                let _ends = ends;
                work.run(&def);
            }
        });
        if let Err(error) = started {
            log.line(format_args!("metrics: there are none, no thread can be started: {error}"));
        }
        Exporter { def: def.clone(), over, ended }
    }

    /// Where it gives them.
    pub fn def(&self) -> &MetricsDef {
        &self.def
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.over.end();
        let _ = self.ended.recv_timeout(LAST);
    }
}

struct ExporterWork {
    page: PageMaker,
    log: Log,
    over: Arc<ExporterEnd>,
    /// What was said of something that does not work.
    said: Option<String>,
}

impl ExporterWork {
    fn run(mut self, def: &MetricsDef) {
        while !self.over.is() {
            let ended = match def {
                MetricsDef::File { path, every } => self.write_to(path, *every),
                MetricsDef::Listen(address) => self.answer_at(*address),
            };
            if let Err(error) = ended {
                self.complain(&error);
            }
            self.over.pause(AGAIN);
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
        while !self.over.is() {
            put(path, (self.page)().as_bytes(), READABLE, false).map_err(problem)?;
            self.works();
            self.over.pause(every);
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("{} cannot be taken away: {error}", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Answers whoever asks until it is over.
    fn answer_at(&mut self, address: SocketAddr) -> Result<(), String> {
        let problem = |error: io::Error| format!("cannot listen on {address}: {error}");
        let listener = TcpListener::bind(address).map_err(problem)?;
        listener.set_nonblocking(true).map_err(problem)?;
        self.works();
        listen(&listener, &self.page, PATIENCE, &self.over);
        Ok(())
    }
}

/// The lock by which one process alone writes a file; `None` where another does. It ends with the file that is given.
fn lock(path: &Path) -> io::Result<Option<File>> {
    if let Some(folder) = path.parent() {
        make_folder_for_everyone(folder)?;
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    // A link would have it made elsewhere, and a named pipe would take for ever.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path.with_file_name(name))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(30);

    fn page(text: &'static str) -> PageMaker {
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
        // Who dropped it need not wait.
        drop(first);
        assert!(!path.exists());
        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_port_is_free_once_it_is_over() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let exporter = Exporter::start(&MetricsDef::Listen(free), page("one 1\n"), &Log::to(io::sink()));
        wait(|| std::net::TcpStream::connect(free).is_ok());
        drop(exporter);
        assert!(std::net::TcpStream::connect(free).is_err());
    }

    #[test]
    fn a_thread_that_hangs_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let def = MetricsDef::File { path: dir.path().join("x.prom"), every: Duration::from_secs(1) };
        let (entered, enters) = channel();
        let (let_go, held) = channel::<Infallible>();
        let held = Mutex::new(held);
        let hangs: PageMaker = Arc::new(move || {
            entered.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
            String::new()
        });
        let exporter = Exporter::start(&def, hangs, &Log::to(io::sink()));
        enters.recv_timeout(LONG).unwrap();
        // It would take until this is dropped.
        drop(exporter);
        drop(let_go);
        wait(|| lock(&dir.path().join("x.prom")).unwrap().is_some());
    }

    #[test]
    fn a_lock_is_made_where_it_stands_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(".x.prom.lock")).unwrap();
        assert!(lock(&dir.path().join("x.prom")).is_err());
        assert!(!elsewhere.exists());
    }
}
