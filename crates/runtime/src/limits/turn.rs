//! When a login gets its answer whose password was checked.

use std::time::Duration;

use super::tries::{LoginDigests, Number};
use super::{AT_ONCE, LimitedLogin, Limits, LimitsState, NameDigest, Why, millis};
use super::{Ready, Turn};
use crate::clock::Moment;
use exhook_policy_core::decision::Mode;
use exhook_policy_core::event::places;
use exhook_policy_core::policy::model::Counted;

impl Limits {
    /// The password of a login is about to be checked, which takes no longer than `patience`. Its
    /// number, unless nothing counts for `lockout` or the limit is not carried out: then no answer
    /// has to wait. A number has to be given back, to [`concluded`](Self::concluded) or
    /// [`abandoned`](Self::abandoned).
    pub fn begin(&self, login: LimitedLogin<'_>, patience: Duration, now: Moment) -> Option<Number> {
        let def = login.defs.lockout.as_ref()?;
        let lockout = match login.mode {
            Mode::Enforce => self.subjects(login, Why::Lockout),
            Mode::Audit => return None,
        };
        if lockout.is_empty() {
            return None;
        }
        let names = lockout.iter().map(|(key, digest)| (key.counted(), *digest)).collect();
        let mut state = self.state(now);
        let ends = state.now.saturating_add(millis(patience));
        let places = places(login.client.bytes());
        Some(state.tries.begin(names, places, usize::from(def.most), millis(def.within), ends))
    }

    /// A login ends without a decision. Whether answers to others may be ready.
    pub fn abandoned(&self, number: Number, now: Moment) -> bool {
        let mut state = self.state(now);
        state.tries.end(number);
        state.tries.due().is_some()
    }

    /// Logins whose answers are ready, some at a time, and whether there may be more, also where
    /// none of these is ready. They have no number any more.
    ///
    /// Those that wait get their answers when enough of the logins before them are decided. When a
    /// ban begins, all logins that it keeps out get theirs at once, decided or not: if only some
    /// did, these would show which password was right.
    pub fn ready(&self, now: Moment) -> (Vec<Ready>, bool) {
        let mut ready = Vec::new();
        let mut state = self.state(now);
        // Each that is looked at counts: others want the lock also while none is ready.
        for _ in 0..AT_ONCE {
            let Some((counted, digest)) = state.tries.due() else { break };
            match state.next_ready(counted, digest) {
                Some(next) => ready.extend(next.ended()),
                None => state.tries.looked_at(),
            }
        }
        (ready, state.tries.due().is_some())
    }

    /// How many logins are counted for `lockout` and have no answer yet.
    pub fn under_way(&self, now: Moment) -> usize {
        self.state(now).tries.len()
    }
}

impl LimitsState {
    /// When a login that was just decided gets its answer. Those that wait take `room` places
    /// at most.
    pub(super) fn turn(&mut self, number: Number, room: usize) -> Turn {
        let names = self.tries.names(number);
        match self.blocker(number, &names) {
            None => self.end(number),
            Some(_) if self.tries.is_outlasted(number) || !self.tries.has_room(number, room) => {
                self.end(number);
                Turn::Never
            }
            Some(blocker) => {
                self.tries.decide(number);
                self.tries.block(number, &blocker);
                Turn::Later
            }
        }
    }

    /// The login gets its answer now.
    pub(super) fn end(&mut self, number: Number) -> Turn {
        self.tries.end(number);
        Turn::Now
    }

    /// A name whose logins the answer has to wait for.
    fn blocker(&mut self, number: Number, names: &LoginDigests) -> Option<NameDigest> {
        let now = self.now;
        let blocks = |(counted, digest): &(Counted, NameDigest)| {
            let within = self.tries.within(digest);
            let failures = self.table(Why::Lockout, *counted).counts.recent(digest, now, within);
            self.tries.has_to_wait(number, digest, failures).then_some(*digest)
        };
        names.iter().find_map(blocks)
    }

    /// Looks at the next login of a crowd that is due; `None` if no further one is ready.
    fn next_ready(&mut self, counted: Counted, digest: NameDigest) -> Option<LookResult> {
        if self.is_banned(Why::Lockout, counted, &digest) {
            let number = self.tries.any(&digest)?;
            self.tries.end(number);
            return Some(LookResult::Ends((number, Some(Why::Lockout))));
        }
        let number = self.tries.first_blocked(&digest)?;
        let names = self.tries.names(number);
        match self.blocker(number, &names) {
            Some(blocker) if blocker == digest => None,
            Some(blocker) => {
                self.tries.unblock(number, &digest);
                self.tries.block(number, &blocker);
                Some(LookResult::Waits)
            }
            None => {
                let banned = names.iter().any(|(counted, digest)| self.is_banned(Why::Lockout, *counted, digest));
                self.tries.end(number);
                Some(LookResult::Ends((number, banned.then_some(Why::Lockout))))
            }
        }
    }
}

/// What came of looking at a login that waits.
enum LookResult {
    /// It is ready.
    Ends(Ready),
    /// It waits for logins of another name.
    Waits,
}

impl LookResult {
    fn ended(self) -> Option<Ready> {
        match self {
            LookResult::Ends(ready) => Some(ready),
            LookResult::Waits => None,
        }
    }
}
