//! How often something was seen of each name within the last while.
//!
//! Exact for every name that has a place. Where there is none left, the name that was seen longest ago gives its place up:
//! who wants to be forgotten between two guesses has to bring as many other names as there are places, and be counted
//! with each.

use std::collections::{HashMap, VecDeque};

use smallvec::SmallVec;

use super::NameDigest;

/// What a table may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) names: usize,
    /// Times at which something was seen, of all names together.
    pub(super) times: usize,
}

#[derive(Debug, Default)]
pub(super) struct LimitCounts {
    names: HashMap<NameDigest, LimitCount>,
    /// Whom was seen when, the last one last. A name that was seen again since stands further behind as well.
    order: VecDeque<(u64, NameDigest)>,
    times: usize,
    turn: u64,
}

#[derive(Debug, Default)]
struct LimitCount {
    /// The last turn at which it was seen.
    turn: u64,
    /// When it was seen, oldest first.
    times: SmallVec<[u64; 2]>,
}

/// What came of seeing a name once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountSeen {
    /// It was seen too often, and is not counted any more.
    pub(super) too_often: bool,
    /// So many others, whose time was not over, gave up their places.
    pub(super) given_up: u64,
}

impl LimitCounts {
    /// Sees a name. `now` never goes back, and `most` times within `within` are too many.
    pub(super) fn see(&mut self, digest: NameDigest, now: u64, within: u64, most: usize, room: Room) -> CountSeen {
        self.forget_old(now, within);
        self.turn += 1;
        let count = self.names.entry(digest).or_default();
        let before = count.times.len();
        count.times.retain(|time| now - *time < within);
        count.times.push(now);
        count.turn = self.turn;
        let after = count.times.len();
        self.times = self.times + after - before;
        self.order.push_back((self.turn, digest));
        let too_often = after >= most;
        if too_often {
            self.forget(&digest);
        }
        let mut given_up = 0;
        while self.names.len() > room.names || self.times > room.times {
            let Some((turn, oldest)) = self.order.pop_front() else { break };
            if self.is_last(turn, &oldest) {
                given_up += u64::from(!self.is_over(&oldest, now, within));
                self.forget(&oldest);
            }
        }
        if self.order.len() > 2 * self.names.len() + 64 {
            let names = &self.names;
            self.order.retain(|(turn, digest)| names.get(digest).is_some_and(|count| count.turn == *turn));
        }
        CountSeen { too_often, given_up }
    }

    /// How often the name was seen within the last `within`.
    pub(super) fn recent(&self, digest: &NameDigest, now: u64, within: u64) -> usize {
        let Some(count) = self.names.get(digest) else { return 0 };
        count.times.iter().filter(|time| now.saturating_sub(**time) < within).count()
    }

    /// Two at a time, so that nobody waits for it and more go than come.
    fn forget_old(&mut self, now: u64, within: u64) {
        for _ in 0..2 {
            let Some((turn, oldest)) = self.order.front().copied() else { return };
            let is_last = self.is_last(turn, &oldest);
            if is_last && !self.is_over(&oldest, now, within) {
                return;
            }
            self.order.pop_front();
            if is_last {
                self.forget(&oldest);
            }
        }
    }

    fn is_last(&self, turn: u64, digest: &NameDigest) -> bool {
        self.names.get(digest).is_some_and(|count| count.turn == turn)
    }

    fn is_over(&self, digest: &NameDigest, now: u64, within: u64) -> bool {
        let last = self.names.get(digest).and_then(|count| count.times.last());
        last.is_none_or(|last| now.saturating_sub(*last) >= within)
    }

    fn forget(&mut self, digest: &NameDigest) {
        if let Some(count) = self.names.remove(digest) {
            self.times -= count.times.len();
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize, usize) {
        (self.names.len(), self.times, self.order.len())
    }
}
