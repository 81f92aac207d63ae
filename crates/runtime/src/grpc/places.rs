//! The places that connections take: how many there are, and who gets them.
//!
//! A place is a file descriptor. When all places are taken, a new connection takes the place of the
//! oldest one that has sent nothing, or else of the oldest one that has made no call. Connections
//! that have made a call keep their places, and can take three quarters of them at most. So neither
//! silent nor idle connections can lock a broker out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::net::{self, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::lines::BoundedLog;
use crate::log::Log;

/// Connections at most. EMQX opens 8 or 16, unless its `pool_size` says otherwise.
const MOST: usize = 4_096;
/// Descriptors for everything else, and for connections that are being closed.
const RESERVE: usize = 192;
/// The soft limit of descriptors is raised to the hard limit, but no further than this.
const DESCRIPTORS: u64 = 16_384;
/// Connections that are being closed, at most, before a new one is accepted.
const CLOSING: usize = 64;

/// How long a connection may take for its TLS handshake and the first bytes of HTTP/2.
pub(super) const SILENT: Duration = Duration::from_secs(10);
/// What every HTTP/2 connection begins with, in bytes. A broker sends it at once, and its first
/// call when there is one.
const PREFACE: usize = 24;
/// A connection that takes none of its answers for this long is closed. A broker gives up a call
/// much earlier.
const STUCK: Duration = Duration::from_secs(30);
/// At the end, a connection without a call under way is closed after this long, if its peer has not
/// closed it.
const LINGER: Duration = Duration::from_millis(500);

/// Calls under way on all connections, from their headers until their answers are taken. Beyond it,
/// the connection with most of them is closed.
pub(super) const ALL_CALLS: usize = 65_536;
/// Bytes of calls and answers that are kept for all connections. Beyond it, the connection with
/// most of them is closed.
pub(super) const ALL_BYTES: usize = 512 << 20;

/// Lines a minute about connections that were refused or closed.
const LINES: u32 = 20;

/// All places.
pub(super) struct ConnectionPlaces {
    most: usize,
    state: Mutex<PlacesState>,
    /// Calls under way, and the bytes kept for them.
    pub(super) calls: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    pub(super) watches: AtomicUsize,
    /// Becomes true at the end.
    ending: watch::Sender<bool>,
    lines: BoundedLog,
}

#[derive(Default)]
struct PlacesState {
    next: u64,
    /// By age.
    silent: BTreeMap<u64, Arc<ConnectionPlace>>,
    idle: BTreeMap<u64, Arc<ConnectionPlace>>,
    proved: BTreeMap<u64, Arc<ConnectionPlace>>,
    /// Those that were shut down, and still have a descriptor.
    closing: usize,
}

/// One connection's place.
pub(super) struct ConnectionPlace {
    number: u64,
    pub(super) address: IpAddr,
    opened: Instant,
    socket: Weak<Mutex<TcpStream>>,
    stage: AtomicU8,
    received: AtomicUsize,
    /// Calls under way, and those of them that are answered: their answers are not taken yet.
    pub(super) calls: AtomicUsize,
    pub(super) untaken: AtomicUsize,
    /// Calls that are over.
    pub(super) finished: AtomicU64,
    /// Bytes of calls and answers.
    pub(super) bytes: AtomicUsize,
    pub(super) watches: AtomicUsize,
    progress: Mutex<Progress>,
    pub(super) all: Arc<ConnectionPlaces>,
    /// Whether a line was written about its names.
    named_badly: AtomicBool,
}

/// Since when no call has been over, and whether answers wait.
struct Progress {
    finished: u64,
    waits: bool,
    since: Instant,
}

/// What a connection has shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum ConnectionStage {
    /// Not even the first bytes of HTTP/2.
    Silent,
    /// No call.
    Idle,
    /// A call that could be read.
    Proved,
    /// It was shut down.
    Closing,
}

impl PlacesState {
    fn open(&self) -> usize {
        self.silent.len() + self.idle.len() + self.proved.len()
    }

    fn places(&self) -> impl Iterator<Item = &Arc<ConnectionPlace>> {
        self.silent.values().chain(self.idle.values()).chain(self.proved.values())
    }

    fn remove(&mut self, number: u64) -> Option<Arc<ConnectionPlace>> {
        let PlacesState { silent, idle, proved, .. } = self;
        [silent, idle, proved].into_iter().find_map(|places| places.remove(&number))
    }

    /// Shuts a connection down. Its task ends then, and with it all its calls.
    fn close(&mut self, number: u64) {
        if let Some(place) = self.remove(number) {
            self.closing += 1;
            place.stage.store(ConnectionStage::Closing as u8, Ordering::Relaxed);
            place.shut_down();
        }
    }
}

impl ConnectionPlaces {
    /// As many places as this process may have descriptors for.
    pub(super) fn of_process(log: Log) -> Arc<Self> {
        let limit = descriptors();
        ConnectionPlaces::new(limit.saturating_sub(RESERVE).max(limit / 2).min(MOST), log)
    }

    pub(super) fn new(most: usize, log: Log) -> Arc<Self> {
        Arc::new(ConnectionPlaces {
            most,
            state: Mutex::default(),
            calls: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            ending: watch::Sender::new(false),
            lines: BoundedLog::new(log, LINES, "connections"),
        })
    }

    /// The log of what is wrong with connections.
    pub(super) fn lines(&self) -> &BoundedLog {
        &self.lines
    }

    /// A place for a new connection; `None` if all are taken by brokers.
    pub(super) fn take(
        self: &Arc<Self>,
        address: IpAddr,
        socket: Weak<Mutex<TcpStream>>,
    ) -> Option<Arc<ConnectionPlace>> {
        let mut state = self.state();
        if state.open() >= self.most {
            let (kind, first) = match state.silent.values().next() {
                Some(place) => ("has sent nothing", Some(place)),
                None => ("has made no call", state.idle.values().next()),
            };
            let (number, oldest) = first.map(|place| (place.number, place.address))?;
            state.close(number);
            self.lines.line(format_args!(
                "all {} places for connections are taken: closed the oldest connection that {kind}, from {oldest}",
                self.most
            ));
        }
        let number = state.next;
        state.next += 1;
        let now = Instant::now();
        let place = Arc::new(ConnectionPlace {
            number,
            address,
            opened: now,
            socket,
            stage: AtomicU8::new(ConnectionStage::Silent as u8),
            received: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            untaken: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            progress: Mutex::new(Progress { finished: 0, waits: false, since: now }),
            all: Arc::clone(self),
            named_badly: AtomicBool::new(false),
        });
        state.silent.insert(number, Arc::clone(&place));
        Some(place)
    }

    /// Whether too many descriptors are held by connections that are being closed.
    pub(super) fn is_crowded(&self) -> bool {
        self.state().closing > CLOSING.min(self.most / 4)
    }

    /// Closes connections that are silent for too long, or take no answers. To be called every
    /// second or so.
    pub(super) fn sweep(&self, now: Instant) {
        let mut state = self.state();
        let is_late = |place: &ConnectionPlace| now.saturating_duration_since(place.opened) > SILENT;
        let silent: Vec<_> = state.silent.values().take_while(|place| is_late(place)).cloned().collect();
        let is_stuck = |place: &ConnectionPlace| place.untaken.load(Ordering::Relaxed) > 0 && place.quiet(now) > STUCK;
        let stuck: Vec<_> = state.places().filter(|place| is_stuck(place)).cloned().collect();
        for place in &silent {
            state.close(place.number);
        }
        for place in &stuck {
            state.close(place.number);
        }
        drop(state);
        if let Some(first) = silent.first() {
            self.lines.line(format_args!(
                "closed {} connections that sent nothing within {SILENT:?}, the first of them from {}",
                silent.len(),
                first.address
            ));
        }
        for place in stuck {
            self.lines.line(format_args!(
                "closed a connection from {}: it took none of its {} answers within {STUCK:?}",
                place.address,
                place.untaken.load(Ordering::Relaxed)
            ));
        }
        self.lines.sum_up();
    }

    /// Closes the connection that has most calls or bytes, if all connections together have too
    /// many.
    pub(super) fn relieve(&self) {
        let mut state = self.state();
        // Those that are being closed are over their calls soon.
        let sum = |count: fn(&ConnectionPlace) -> usize| state.places().map(|place| count(place)).sum::<usize>();
        let count: fn(&ConnectionPlace) -> usize = if sum(ConnectionPlace::calls) > ALL_CALLS {
            ConnectionPlace::calls
        } else if sum(ConnectionPlace::bytes) > ALL_BYTES {
            ConnectionPlace::bytes
        } else {
            return;
        };
        let Some(place) = state.places().max_by_key(|place| count(place)).cloned() else { return };
        state.close(place.number);
        drop(state);
        self.lines.line(format_args!(
            "closed the connection from {}: it had more under way than any other, {} calls of {} and {} MiB of {}",
            place.address,
            place.calls(),
            self.calls.load(Ordering::Relaxed),
            place.bytes() >> 20,
            self.bytes.load(Ordering::Relaxed) >> 20,
        ));
    }

    /// The end begins: no connection that has sent nothing is waited for, and nobody watches the
    /// health any more.
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
        let mut state = self.state();
        while let Some(number) = state.silent.keys().next().copied() {
            state.close(number);
        }
    }

    /// Becomes true at the end.
    pub(super) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// At the end, which began then: closes connections that have no call to answer.
    pub(super) fn close_idle(&self, begun: Instant, now: Instant) {
        let mut state = self.state();
        let is_over = |place: &ConnectionPlace| place.unanswered() == 0 && place.quiet(now) > LINGER;
        if now.saturating_duration_since(begun) > LINGER {
            let over: Vec<_> = state.places().filter(|place| is_over(place)).map(|place| place.number).collect();
            for number in over {
                state.close(number);
            }
        }
    }

    /// The calls that are not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.state().places().map(|place| place.unanswered()).sum()
    }

    fn state(&self) -> MutexGuard<'_, PlacesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// Bytes of HTTP/2 came.
    pub(super) fn received(&self, bytes: usize) {
        if self.stage.load(Ordering::Relaxed) == ConnectionStage::Silent as u8
            && self.received.fetch_add(bytes, Ordering::Relaxed) + bytes >= PREFACE
        {
            let mut state = self.all.state();
            if let Some(place) = state.silent.remove(&self.number) {
                self.stage.store(ConnectionStage::Idle as u8, Ordering::Relaxed);
                state.idle.insert(self.number, place);
            }
        }
    }

    /// A call came that could be read: it keeps its place, as long as a quarter is left to those
    /// that come.
    pub(super) fn prove(&self) {
        if self.stage.load(Ordering::Relaxed) == ConnectionStage::Idle as u8 {
            let mut state = self.all.state();
            if state.proved.len() < self.all.most - self.all.most / 4
                && let Some(place) = state.idle.remove(&self.number)
            {
                self.stage.store(ConnectionStage::Proved as u8, Ordering::Relaxed);
                state.proved.insert(self.number, place);
            }
        }
    }

    /// Closes the connection, which has too much under way.
    pub(super) fn close(&self, problem: &str) {
        let mut state = self.all.state();
        let was_open = !self.is_closing();
        state.close(self.number);
        drop(state);
        if was_open {
            self.all.lines.line(format_args!("closed a connection from {}: {problem}", self.address));
        }
    }

    /// The connection has no descriptor any more.
    pub(super) fn leave(&self) {
        let mut state = self.all.state();
        if state.remove(self.number).is_none() {
            state.closing = state.closing.saturating_sub(1);
        }
    }

    /// True for the first call with names that are too long.
    pub(super) fn is_first_badly_named(&self) -> bool {
        !self.named_badly.swap(true, Ordering::Relaxed)
    }

    /// Acknowledges now what came.
    pub(super) fn acknowledge(&self) {
        if let Some(socket) = self.socket.upgrade() {
            // If it cannot be done, the connection is only slow.
            let _ = sockopt::set_tcp_quickack(&*lock(&socket), true);
        }
    }

    /// Whether the connection was shut down.
    pub(super) fn is_closing(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == ConnectionStage::Closing as u8
    }

    fn shut_down(&self) {
        if let Some(socket) = self.socket.upgrade() {
            // If the peer has gone, it is closed already.
            let _ = net::shutdown(&*lock(&socket), net::Shutdown::Both);
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn unanswered(&self) -> usize {
        self.calls().saturating_sub(self.untaken.load(Ordering::Relaxed))
    }

    /// How long no answer has been taken, or how long none has waited to be taken.
    fn quiet(&self, now: Instant) -> Duration {
        let (finished, waits) = (self.finished.load(Ordering::Relaxed), self.untaken.load(Ordering::Relaxed) > 0);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if (progress.finished, progress.waits) != (finished, waits) {
            *progress = Progress { finished, waits, since: now };
        }
        now.saturating_duration_since(progress.since)
    }
}

/// The stream, for one who reads or writes it or sets an option.
pub(super) fn lock(socket: &Mutex<TcpStream>) -> MutexGuard<'_, TcpStream> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many descriptors this process may have. systemd and most shells give 1,024 at first, and far
/// more if asked.
fn descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    let have = current.unwrap_or(DESCRIPTORS);
    let limit = if have < wanted && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        wanted
    } else {
        have
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn brokers_keep_their_places_and_leave_a_quarter() {
        let places = ConnectionPlaces::new(8, Log::stderr());
        let take = || places.take(FROM, Weak::new()).unwrap();
        let open =
            |connections: &[Arc<ConnectionPlace>]| connections.iter().filter(|place| !place.is_closing()).count();
        let brokers: Vec<_> = (0..8).map(|_| take()).collect();
        for broker in &brokers {
            // A call is nothing before there is HTTP/2.
            broker.prove();
            broker.received(PREFACE - 1);
            broker.received(1);
            broker.prove();
        }
        let idle = take();
        idle.received(PREFACE);
        let silent: Vec<_> = (0..50).map(|_| take()).collect();
        assert_eq!((open(&brokers), open(&[idle]), open(&silent)), (6, 1, 1));
        assert!(!silent[49].is_closing() && places.is_crowded());
        for place in brokers.iter().chain(&silent) {
            place.leave();
        }
        // The idle one is left.
        let state = places.state();
        assert_eq!((state.open(), state.closing), (1, 0));
    }

    #[test]
    fn silent_connections_give_way_before_idle_ones() {
        let places = ConnectionPlaces::new(4, Log::stderr());
        let take = || places.take(FROM, Weak::new()).unwrap();
        let idle = take();
        idle.received(PREFACE);
        let silent: Vec<_> = (0..20).map(|_| take()).collect();
        assert!(!idle.is_closing() && silent.iter().filter(|place| !place.is_closing()).count() == 3);
        for place in &silent {
            place.received(PREFACE);
        }
        take();
        assert!(idle.is_closing());
    }

    #[tokio::test]
    async fn a_connection_that_sends_nothing_is_closed_in_time() {
        let places = ConnectionPlaces::new(8, Log::stderr());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut clients = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..2 {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let stream = Arc::new(Mutex::new(listener.accept().await.unwrap().0));
            taken.push((places.take(FROM, Arc::downgrade(&stream)).unwrap(), stream));
        }
        taken[1].0.received(PREFACE);
        places.sweep(Instant::now());
        assert!(!taken[0].0.is_closing());
        places.sweep(Instant::now() + SILENT + Duration::from_secs(1));
        assert_eq!(clients[0].read(&mut [0]).await.unwrap(), 0);
        assert!(taken[0].0.is_closing() && !taken[1].0.is_closing());
    }
}
