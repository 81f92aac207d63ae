//! Passwords that were right a short while ago.
//!
//! What is remembered is a keyed hash of source, username, stored hash and password together, under a key
//! that this process made for itself: a changed stored hash misses, and nothing here leads back to a
//! password. Only right passwords are remembered, so that a client that returns costs no hash, and a
//! guess always costs one. Beside them stands whose they are: if a right password of a user is
//! remembered, another one is known to be wrong before it is verified.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use pbkdf2::hmac::{HmacReset, KeyInit, Mac};
use sha2::Sha256;

/// Stands for one check of a password: equal keys have equal outcomes.
pub(super) type CheckKey = [u8; 32];

/// Stands for a user of a source with the hash that is stored there.
pub(super) type CachedUser = [u64; 2];

/// Makes keys.
pub(super) struct Keys(HmacReset<Sha256>);

impl Keys {
    /// With a key from the system's randomness.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        Ok(Keys::with(&key))
    }

    /// With a key that others know: fit only for comparing what is under way.
    pub(super) fn public() -> Self {
        Keys::with(&[0; 64])
    }

    fn with(key: &[u8; 64]) -> Self {
        Keys(HmacReset::new(key.into()))
    }

    /// The key of these parts, each of which counts with its length.
    pub(super) fn key(&self, parts: &[&[u8]]) -> CheckKey {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        // In its place: a move would leave a copy of the last part behind, which is the password.
        mac.finalize_reset().into_bytes().into()
    }
}

/// The keys of right passwords. All are kept for the same time, so that the order of coming is the order
/// of going.
pub(super) struct Cache {
    keep: Duration,
    size: usize,
    until: HashMap<CheckKey, Instant>,
    /// Of whom a right password is remembered, and until when.
    users: HashMap<CachedUser, Instant>,
    order: VecDeque<(Instant, CheckKey, CachedUser)>,
    digests: [RandomState; 2],
}

impl Cache {
    /// Keeps at most `size` keys, each for the time `keep`.
    pub(super) fn new(size: usize, keep: Duration) -> Self {
        Cache {
            keep,
            size,
            until: HashMap::new(),
            users: HashMap::new(),
            order: VecDeque::new(),
            digests: [RandomState::new(), RandomState::new()],
        }
    }

    /// Whether the key is remembered.
    pub(super) fn holds(&self, now: Instant, key: &CheckKey) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    /// Stands for the user of a source whose stored hash is `stored`.
    pub(super) fn user(&self, source: Option<usize>, user: &str, stored: &str) -> CachedUser {
        self.digests.each_ref().map(|keys| keys.hash_one((source, user, stored)))
    }

    /// Whether a right password of this user is remembered.
    pub(super) fn knows(&self, now: Instant, user: &CachedUser) -> bool {
        self.users.get(user).is_some_and(|until| now < *until)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Remembers a key of this user. If it is remembered already, its time begins again.
    pub(super) fn remember(&mut self, now: Instant, key: CheckKey, user: CachedUser) {
        while let Some((until, _, _)) = self.order.front()
            && (*until <= now || self.order.len() >= self.size.max(1))
        {
            if let Some((until, key, user)) = self.order.pop_front() {
                if self.until.get(&key) == Some(&until) {
                    self.until.remove(&key);
                }
                if self.users.get(&user) == Some(&until) {
                    self.users.remove(&user);
                }
            }
        }
        if self.size > 0 {
            let until = now + self.keep;
            self.until.insert(key, until);
            self.users.insert(user, until);
            self.order.push_back((until, key, user));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(300);

    #[test]
    fn keys_depend_on_every_part_and_its_length() {
        let keys = Keys::random().unwrap();
        let key = keys.key(&[b"source", b"user", b"hash", b"password"]);
        assert_eq!(key, keys.key(&[b"source", b"user", b"hash", b"password"]));
        for other in [
            [&b"sourc"[..], b"euser", b"hash", b"password"],
            [b"source", b"user", b"hash2", b"password"],
            [b"source", b"user", b"hash", b"passwore"],
        ] {
            assert_ne!(key, keys.key(&other));
        }
        assert_ne!(key, Keys::random().unwrap().key(&[b"source", b"user", b"hash", b"password"]));
    }

    #[test]
    fn keys_are_kept_for_a_time() {
        let (mut cache, now) = (Cache::new(8, KEEP), Instant::now());
        assert!(!cache.holds(now, &[1; 32]));
        cache.remember(now, [1; 32], [1; 2]);
        assert!(cache.holds(now + Duration::from_millis(299_999), &[1; 32]));
        assert!(!cache.holds(now + KEEP, &[1; 32]));
        cache.remember(now + KEEP, [2; 32], [2; 2]);
        assert_eq!((cache.until.len(), cache.users.len(), cache.order.len()), (1, 1, 1));
    }

    #[test]
    fn the_oldest_keys_make_room() {
        let (mut cache, now) = (Cache::new(2, KEEP), Instant::now());
        for n in 1..=3 {
            cache.remember(now + Duration::from_secs(u64::from(n)), [n; 32], [n.into(); 2]);
        }
        let held = [1, 2, 3].map(|n| cache.holds(now, &[n; 32]));
        assert_eq!(held, [false, true, true]);
        // A key that came again does not go with its first coming.
        let mut cache = Cache::new(2, KEEP);
        cache.remember(now, [1; 32], [1; 2]);
        cache.remember(now + Duration::from_secs(1), [1; 32], [1; 2]);
        cache.remember(now + Duration::from_secs(2), [2; 32], [2; 2]);
        assert!(cache.holds(now, &[1; 32]) && cache.holds(now, &[2; 32]));
    }

    #[test]
    fn a_user_is_known_while_one_right_password_is_remembered() {
        let (mut cache, now) = (Cache::new(8, KEEP), Instant::now());
        let user = cache.user(Some(0), "ann", "hash");
        for other in [
            cache.user(Some(1), "ann", "hash"),
            cache.user(Some(0), "bob", "hash"),
            cache.user(Some(0), "ann", "other"),
        ] {
            assert_ne!(user, other);
        }
        assert!(!cache.knows(now, &user));
        cache.remember(now, [1; 32], user);
        // Two passwords may be right for one hash.
        cache.remember(now + KEEP / 2, [2; 32], user);
        cache.remember(now + KEEP, [3; 32], [3; 2]);
        assert!(!cache.holds(now + KEEP, &[1; 32]) && cache.knows(now + KEEP, &user));
        assert!(!cache.knows(now + KEEP * 3 / 2, &user));
        cache.remember(now + KEEP * 3 / 2, [4; 32], [4; 2]);
        assert_eq!(cache.users.len(), 2);
    }

    #[test]
    fn a_cache_of_no_size_remembers_nothing() {
        let (mut cache, now) = (Cache::new(0, KEEP), Instant::now());
        cache.remember(now, [1; 32], [1; 2]);
        assert!(!cache.holds(now, &[1; 32]));
    }
}
