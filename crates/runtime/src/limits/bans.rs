//! Who is kept out, and for how long.

use std::collections::HashMap;

use super::NameDigest;

#[derive(Debug, Default)]
pub(super) struct BanTable {
    held: HashMap<NameDigest, HeldBan>,
    /// From this size on those that are over are looked for.
    next_tidy: usize,
    /// When the first of them was over, as they were last looked for.
    first_over: u64,
}

/// A ban that may be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldBan {
    /// When it ends by the clock that is never set. This is what counts.
    pub(super) ends: u64,
    /// When it ends by the clock of the database.
    pub(super) until: i64,
    /// It stood in the database: where it no longer does, it was lifted.
    pub(super) is_stored: bool,
}

const TIDY: usize = 1_024;

impl BanTable {
    pub(super) fn holds(&self, digest: &NameDigest, now: u64) -> bool {
        // Most of the time nobody is kept out.
        !self.held.is_empty() && self.held.get(digest).is_some_and(|held| held.ends > now)
    }

    /// False where there is no place for it: no ban gives way to another.
    pub(super) fn add(&mut self, digest: NameDigest, ban: HeldBan, now: u64, room: usize) -> bool {
        if let Some(held) = self.held.get_mut(&digest) {
            if held.ends <= now {
                *held = ban;
            } else {
                // Each of those that share a database may have made one: the first is the one that counts.
                held.is_stored |= ban.is_stored;
            }
            return true;
        }
        if self.held.len() >= room.min(self.next_tidy.max(TIDY)) && now >= self.first_over {
            self.tidy(now);
        }
        if self.held.len() >= room {
            return false;
        }
        self.held.insert(digest, ban);
        true
    }

    pub(super) fn stored(&mut self, digest: &NameDigest) {
        if let Some(held) = self.held.get_mut(digest) {
            held.is_stored = true;
        }
    }

    /// Takes away those that were stored and are not there any more. That one is over by the clock of the database is no
    /// reason: that clock may have been set.
    pub(super) fn keep_stored(&mut self, now: u64, unix: i64, is_there: impl Fn(&NameDigest) -> bool) {
        self.held.retain(|digest, held| {
            let lifted = held.is_stored && held.until > unix && !is_there(digest);
            held.ends > now && !lifted
        });
    }

    /// None of them stands in the database that is looked at now.
    pub(super) fn moved(&mut self) {
        self.held.values_mut().for_each(|held| held.is_stored = false);
    }

    /// How many hold.
    pub(super) fn count(&self, now: u64) -> usize {
        self.held.values().filter(|held| held.ends > now).count()
    }

    fn tidy(&mut self, now: u64) {
        self.held.retain(|_, held| held.ends > now);
        self.next_tidy = self.held.len().saturating_mul(2);
        self.first_over = self.held.values().map(|held| held.ends).min().unwrap_or(0);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
