//! Logins whose passwords are being checked, in their order of arrival.
//!
//! Guesses that are sent at once must not get more answers than guesses that are sent one after the
//! other. So the answer to a login may have to wait until enough of the logins before it are
//! decided: as long as these could still fail often enough to begin a ban. This holds for every
//! answer, whatever it is, so that the time of an answer does not show which password was right.
//!
//! Each login is in one crowd for each name that it counts for. A login whose answer waits is
//! listed in one crowd that makes it wait, and is looked at again when a login of that crowd is
//! decided.

use std::collections::{BTreeSet, HashMap, VecDeque};

use smallvec::SmallVec;

use super::NameDigest;
use exhook_policy_core::policy::model::Counted;

/// A login whose password is being checked. Later ones have higher numbers.
pub type Number = u64;

/// What a login counts for: the fields, and the digest of their values.
pub(super) type LoginDigests = SmallVec<[(Counted, NameDigest); 4]>;

/// All logins that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Tries {
    last: Number,
    all: HashMap<Number, Try>,
    /// The places of those that are decided.
    decided: usize,
    crowds: HashMap<NameDigest, Crowd>,
    /// Crowds to look at: a login of them was decided, or a ban began.
    due: VecDeque<(Counted, NameDigest)>,
}

#[derive(Debug)]
struct Try {
    names: LoginDigests,
    is_decided: bool,
    /// How many places it takes among those that wait.
    places: usize,
    /// A login before it may take longer than this one can wait.
    is_outlasted: bool,
}

/// Logins of one name that have no answer yet.
#[derive(Debug, Default)]
struct Crowd {
    /// The limit of the policy that asked last: so many failures begin a ban.
    most: usize,
    /// The failures that count are at most this old, in milliseconds.
    within: u64,
    /// When the last of its logins is decided at the latest.
    ends: u64,
    undecided: BTreeSet<Number>,
    /// Their answers wait.
    decided: BTreeSet<Number>,
    /// Those of the decided ones that this crowd makes wait.
    blocked: BTreeSet<Number>,
    is_due: bool,
}

impl Tries {
    /// A login arrives that takes so many places. It is decided until `ends`.
    pub(super) fn begin(&mut self, names: LoginDigests, places: usize, most: usize, within: u64, ends: u64) -> Number {
        self.last += 1;
        let number = self.last;
        let mut is_outlasted = false;
        for (_, digest) in &names {
            let crowd = self.crowds.entry(*digest).or_default();
            is_outlasted |= crowd.ends > ends;
            (crowd.most, crowd.within, crowd.ends) = (most, within, crowd.ends.max(ends));
            crowd.undecided.insert(number);
        }
        self.all.insert(number, Try { names, is_decided: false, places, is_outlasted });
        number
    }

    /// The login is decided, and may still have to wait for its answer.
    pub(super) fn decide(&mut self, number: Number) {
        let Some(this) = self.all.get_mut(&number).filter(|this| !this.is_decided) else { return };
        this.is_decided = true;
        self.decided += this.places;
        for (counted, digest) in &this.names {
            if let Some(crowd) = self.crowds.get_mut(digest) {
                crowd.undecided.remove(&number);
                crowd.decided.insert(number);
                if !crowd.blocked.is_empty() {
                    crowd.call(&mut self.due, *counted, *digest);
                }
            }
        }
    }

    /// The login has its answer.
    pub(super) fn end(&mut self, number: Number) {
        let Some(this) = self.all.remove(&number) else { return };
        if this.is_decided {
            self.decided -= this.places;
        }
        for (counted, digest) in &this.names {
            let Some(crowd) = self.crowds.get_mut(digest) else { continue };
            let was_undecided = crowd.undecided.remove(&number);
            crowd.decided.remove(&number);
            crowd.blocked.remove(&number);
            if crowd.undecided.is_empty() && crowd.decided.is_empty() {
                self.crowds.remove(digest);
            } else if was_undecided && !crowd.blocked.is_empty() {
                crowd.call(&mut self.due, *counted, *digest);
            }
        }
    }

    /// A ban of this name began.
    pub(super) fn banned(&mut self, counted: Counted, digest: NameDigest) {
        if let Some(crowd) = self.crowds.get_mut(&digest) {
            crowd.call(&mut self.due, counted, digest);
        }
    }

    /// The names that the login counts for; none once it has its answer.
    pub(super) fn names(&self, number: Number) -> LoginDigests {
        self.all.get(&number).map(|this| this.names.clone()).unwrap_or_default()
    }

    /// Whether a login before it may take longer than this one can wait.
    pub(super) fn is_outlasted(&self, number: Number) -> bool {
        self.all.get(&number).is_some_and(|this| this.is_outlasted)
    }

    /// How old the failures of this name are at most that count.
    pub(super) fn within(&self, digest: &NameDigest) -> u64 {
        self.crowds.get(digest).map_or(0, |crowd| crowd.within)
    }

    /// Whether the logins before this one could still begin a ban, after so many failures. It never
    /// waits if no login before it is undecided.
    pub(super) fn has_to_wait(&self, number: Number, digest: &NameDigest, failures: usize) -> bool {
        let Some(crowd) = self.crowds.get(digest) else { return false };
        let missing = crowd.most.saturating_sub(failures).max(1);
        crowd.undecided.len() >= missing && crowd.undecided.iter().nth(missing - 1).is_some_and(|last| *last < number)
    }

    /// The answer waits for logins of this name.
    pub(super) fn block(&mut self, number: Number, digest: &NameDigest) {
        if let Some(crowd) = self.crowds.get_mut(digest) {
            crowd.blocked.insert(number);
        }
    }

    /// The crowd to look at next.
    pub(super) fn due(&self) -> Option<(Counted, NameDigest)> {
        self.due.front().copied()
    }

    /// The crowd was looked at.
    pub(super) fn looked_at(&mut self) {
        if let Some((_, digest)) = self.due.pop_front()
            && let Some(crowd) = self.crowds.get_mut(&digest)
        {
            crowd.is_due = false;
        }
    }

    /// A login of this name that has no answer yet.
    pub(super) fn any(&self, digest: &NameDigest) -> Option<Number> {
        let crowd = self.crowds.get(digest)?;
        crowd.undecided.first().or(crowd.decided.first()).copied()
    }

    /// The first login that waits for logins of this name.
    pub(super) fn first_blocked(&self, digest: &NameDigest) -> Option<Number> {
        self.crowds.get(digest)?.blocked.first().copied()
    }

    /// The login does not wait for logins of this name any more.
    pub(super) fn unblock(&mut self, number: Number, digest: &NameDigest) {
        if let Some(crowd) = self.crowds.get_mut(digest) {
            crowd.blocked.remove(&number);
        }
    }

    /// Whether the answer of this login can wait as well, if those that wait take `room` places at
    /// most.
    pub(super) fn has_room(&self, number: Number, room: usize) -> bool {
        self.all.get(&number).is_some_and(|this| self.decided + this.places <= room)
    }

    /// How many logins have no answer yet.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.crowds.is_empty() && self.due.is_empty() && self.decided == 0
    }
}

impl Crowd {
    fn call(&mut self, due: &mut VecDeque<(Counted, NameDigest)>, counted: Counted, digest: NameDigest) {
        if !std::mem::replace(&mut self.is_due, true) {
            due.push_back((counted, digest));
        }
    }
}
