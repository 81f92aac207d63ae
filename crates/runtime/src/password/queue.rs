//! Logins that wait for a worker: newest first, shared out among peers and users.
//!
//! Newest first, because under overload the old ones are lost anyway: whoever waited longest is nearest to
//! the deadline. But newest first alone would let one busy peer push its logins before everybody else's for
//! ever, so that three bounds stand beside it:
//! - the peer of whom the fewest logins were taken lately (within a window) goes first, and newest first
//!   decides within a peer and among equals;
//! - where the queue is full, the oldest login of the peer that fills most of it falls out. A gateway with
//!   many devices behind it may fill the queue as long as nobody else needs it;
//! - one user may have a fixed number of logins waiting, from wherever they come: past it, the oldest of the
//!   peer that has most of them falls out, so that guessing a user's password elsewhere does not lock the
//!   user out.
//!
//! A peer is an IPv4 address or an IPv6 network of 64 bits, which is what one site commands.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many takings are remembered at most, whatever the window.
const REMEMBERED: usize = 4096;

/// Names a waiting item, and orders items by age.
pub(super) type Seq = u64;

/// Whom a login is counted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum QueuePeer {
    /// An address.
    V4([u8; 4]),
    /// The network's first 64 bits.
    V6([u16; 4]),
    /// All whose address the broker does not give.
    Unknown,
}

impl QueuePeer {
    pub(super) fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(v4)) => QueuePeer::V4(v4.octets()),
            Some(IpAddr::V6(v6)) => {
                let [a, b, c, d, ..] = v6.segments();
                QueuePeer::V6([a, b, c, d])
            }
            None => QueuePeer::Unknown,
        }
    }
}

/// What the queue holds at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    /// The sizes of all waiting items together.
    pub(super) size: usize,
    /// The waiting items of one user.
    pub(super) user: usize,
    /// For how long a taken item counts to its peer's share.
    pub(super) window: Duration,
}

/// Whose share was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsedUpShare {
    Peer,
    User,
}

pub(super) struct LoginQueue<T> {
    limits: QueueLimits,
    next: Seq,
    size: usize,
    jobs: BTreeMap<Seq, Job<T>>,
    peers: HashMap<QueuePeer, QueueShare>,
    /// Where the items of one user are limited.
    users: HashMap<Arc<str>, BTreeSet<Seq>>,
    /// Peers with waiting items, the one whose turn it is first: by takings, then by the newest item.
    turns: BTreeSet<(usize, Reverse<Seq>, QueuePeer)>,
    /// Peers with waiting items, the one that has to give way last: by size, then by the oldest item.
    sizes: BTreeSet<(usize, Reverse<Seq>, QueuePeer)>,
    /// Oldest first.
    taken: VecDeque<(Instant, QueuePeer)>,
}

struct Job<T> {
    peer: QueuePeer,
    user: Arc<str>,
    size: usize,
    item: T,
}

#[derive(Default)]
struct QueueShare {
    waiting: BTreeSet<Seq>,
    size: usize,
    taken: usize,
}

impl<T> LoginQueue<T> {
    pub(super) fn new(limits: QueueLimits) -> Self {
        LoginQueue {
            limits,
            next: 0,
            size: 0,
            jobs: BTreeMap::new(),
            peers: HashMap::new(),
            users: HashMap::new(),
            turns: BTreeSet::new(),
            sizes: BTreeSet::new(),
            taken: VecDeque::new(),
        }
    }

    /// Puts an item in, and gives what has to fall out for it, which may be the item itself. Its number
    /// is the one that [`LoginQueue::next`] gave before.
    pub(super) fn push(
        &mut self,
        now: Instant,
        peer: QueuePeer,
        user: &Arc<str>,
        size: usize,
        item: T,
    ) -> Vec<(T, UsedUpShare)> {
        self.forget(now);
        let mut fallen = Vec::new();
        self.insert(Job { peer, user: Arc::clone(user), size, item });
        if let Some(oldest) = self.too_much_of(user) {
            fallen.extend(self.remove(oldest).map(|item| (item, UsedUpShare::User)));
        }
        while self.size > self.limits.size
            && let Some((_, Reverse(oldest), _)) = self.sizes.last().copied()
        {
            fallen.extend(self.remove(oldest).map(|item| (item, UsedUpShare::Peer)));
        }
        fallen
    }

    /// The number of the next item.
    pub(super) fn next(&self) -> Seq {
        self.next
    }

    /// Takes the item out whose turn it is.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        self.forget(now);
        let (_, Reverse(newest), _) = self.turns.first().copied()?;
        let job = self.take(newest)?;
        if self.taken.len() >= REMEMBERED {
            self.forget_one();
        }
        self.edit_peer(job.peer, |share| share.taken += 1);
        self.taken.push_back((now, job.peer));
        Some(job.item)
    }

    /// Which item of the user has to fall out, where too many wait.
    fn too_much_of(&self, user: &str) -> Option<Seq> {
        let waiting = self.users.get(user).filter(|waiting| waiting.len() > self.limits.user)?;
        let peer_of = |seq: &Seq| self.jobs.get(seq).map(|job| job.peer);
        // Few enough to be counted pairwise: the limit is exceeded by one at most.
        let of_same_peer = |seq: &Seq| waiting.iter().filter(|other| peer_of(other) == peer_of(seq)).count();
        waiting.iter().copied().max_by_key(|seq| (of_same_peer(seq), Reverse(*seq)))
    }

    /// Takes an item out, as if it had never been in.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<T> {
        self.take(seq).map(|job| job.item)
    }

    /// Makes an item the newest and gives its new number.
    pub(super) fn renew(&mut self, seq: Seq) -> Option<Seq> {
        let job = self.take(seq)?;
        Some(self.insert(job))
    }

    fn insert(&mut self, job: Job<T>) -> Seq {
        let (seq, size) = (self.next, job.size);
        self.next += 1;
        self.size += size;
        self.edit_peer(job.peer, |share| {
            share.waiting.insert(seq);
            share.size += size;
        });
        if self.limits.user < usize::MAX {
            self.users.entry(Arc::clone(&job.user)).or_default().insert(seq);
        }
        self.jobs.insert(seq, job);
        seq
    }

    fn take(&mut self, seq: Seq) -> Option<Job<T>> {
        let job = self.jobs.remove(&seq)?;
        self.size -= job.size;
        self.edit_peer(job.peer, |share| {
            share.waiting.remove(&seq);
            share.size -= job.size;
        });
        if let Some(waiting) = self.users.get_mut(&job.user) {
            waiting.remove(&seq);
            if waiting.is_empty() {
                self.users.remove(&job.user);
            }
        }
        Some(job)
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.taken.front()
            && now.saturating_duration_since(*at) >= self.limits.window
        {
            self.forget_one();
        }
    }

    fn forget_one(&mut self) {
        if let Some((_, peer)) = self.taken.pop_front() {
            self.edit_peer(peer, |share| share.taken -= 1);
        }
    }

    fn edit_peer(&mut self, peer: QueuePeer, edit: impl FnOnce(&mut QueueShare)) {
        let share = self.peers.entry(peer).or_default();
        if let Some((turn, size)) = share.places(peer) {
            self.turns.remove(&turn);
            self.sizes.remove(&size);
        }
        edit(share);
        if let Some((turn, size)) = share.places(peer) {
            self.turns.insert(turn);
            self.sizes.insert(size);
        } else if share.taken == 0 {
            self.peers.remove(&peer);
        }
    }
}

#[cfg(test)]
impl<T> LoginQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }
}

type QueuePlace = (usize, Reverse<Seq>, QueuePeer);

impl QueueShare {
    /// Where the peer stands in `turns` and in `sizes`, while something of it waits.
    fn places(&self, peer: QueuePeer) -> Option<(QueuePlace, QueuePlace)> {
        let (oldest, newest) = (self.waiting.first()?, self.waiting.last()?);
        Some(((self.taken, Reverse(*newest), peer), (self.size, Reverse(*oldest), peer)))
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
