//! A set of strings that is read often, never changed, and small beside its contents.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// The bytes of all entries one after the other, and a table of where each begins.
///
/// A million client ids of 17 bytes take 29 MiB, a third of what a set of owned strings takes.
/// The table is keyed at random, anew in each process, so that nobody who fills a list can choose entries that
/// collide. The hash is no cryptographic one: that is for those who could watch each look-up's time, and no client can.
#[derive(Default)]
pub(super) struct Strings {
    arena: Vec<u8>,
    /// Bytes of the longest entry: a longer text, which a client may choose, is not hashed.
    longest: u16,
    starts: HashTable<u32>,
    keys: RandomState,
}

/// Why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has more than 65535 bytes, the most that a string of MQTT can have.
    TooLong,
    /// The set holds as much as it can: 4 GiB.
    Full,
}

/// Stands where the length would, before a length of two bytes.
const LONG: u8 = u8::MAX;

impl Strings {
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        if text.len() > usize::from(self.longest) {
            return false;
        }
        let hash = self.keys.hash_one(text.as_bytes());
        self.starts.find(hash, |&start| entry(&self.arena, start) == text.as_bytes()).is_some()
    }

    /// Adds the text, unless it is there already.
    pub(super) fn insert(&mut self, text: &str) -> Result<(), Refused> {
        let length = u16::try_from(text.len()).map_err(|_| Refused::TooLong)?;
        let start = u32::try_from(self.arena.len()).map_err(|_| Refused::Full)?;
        let hash = self.keys.hash_one(text.as_bytes());
        if self.starts.find(hash, |&start| entry(&self.arena, start) == text.as_bytes()).is_some() {
            return Ok(());
        }
        if self.starts.len() == self.starts.capacity() {
            self.grow();
        }
        match u8::try_from(length) {
            Ok(short) if short != LONG => self.arena.push(short),
            Ok(_) | Err(_) => {
                self.arena.push(LONG);
                self.arena.extend_from_slice(&length.to_le_bytes());
            }
        }
        self.arena.extend_from_slice(text.as_bytes());
        self.longest = self.longest.max(length);
        let (arena, keys) = (&self.arena, &self.keys);
        self.starts.insert_unique(hash, start, |&start| keys.hash_one(entry(arena, start)));
        Ok(())
    }

    /// Makes the table anew with twice the room. It is filled in the order of the arena: the table's own growth goes
    /// through the arena from end to end for each entry that it moves, which takes most of the time of a long list.
    fn grow(&mut self) {
        let room = self.starts.len().saturating_mul(2).max(4);
        // The old table is freed first.
        self.starts = HashTable::new();
        self.starts.reserve(room, |_| 0);
        let (arena, keys) = (&self.arena, &self.keys);
        let mut at = 0;
        while let Ok(start) = u32::try_from(at)
            && at < arena.len()
        {
            let text = entry(arena, start);
            self.starts.insert_unique(keys.hash_one(text), start, |&start| keys.hash_one(entry(arena, start)));
            at += head(text.len()) + text.len();
        }
    }

    /// Gives back the room that was kept for more entries.
    pub(super) fn shrink(&mut self) {
        self.arena.shrink_to_fit();
        let (arena, keys) = (&self.arena, &self.keys);
        self.starts.shrink_to_fit(|&start| keys.hash_one(entry(arena, start)));
    }

    /// Bytes of memory that the set takes.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.arena.capacity() + self.starts.allocation_size()
    }
}

/// The bytes that the length of an entry takes.
fn head(length: usize) -> usize {
    if length < usize::from(LONG) { 1 } else { 3 }
}

fn entry(arena: &[u8], start: u32) -> &[u8] {
    let rest = arena.get(start as usize..).unwrap_or_default();
    let text = match rest {
        [LONG, low, high, text @ ..] => text.get(..usize::from(u16::from_le_bytes([*low, *high]))),
        [length, text @ ..] => text.get(..usize::from(*length)),
        [] => None,
    };
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn entries_of_every_length_are_found() {
        let mut set = Strings::default();
        let lengths = [0, 1, 2, 254, 255, 256, 257, 65_534, 65_535];
        for length in lengths {
            set.insert(&"x".repeat(length)).unwrap();
            set.insert(&"y".repeat(length)).unwrap();
            set.grow();
        }
        set.shrink();
        for length in 0..300 {
            assert_eq!(set.contains(&"x".repeat(length)), lengths.contains(&length), "{length}");
        }
        assert!(set.contains(&"y".repeat(65_535)) && !set.contains(&"y".repeat(65_533)));
        assert_eq!(set.insert(&"x".repeat(65_536)), Err(Refused::TooLong));
        assert_eq!(set.len(), 2 * lengths.len() - 1, "the empty entry is one");
    }

    #[test]
    fn a_million_client_ids_fit_in_40_mib() {
        let mut set = Strings::default();
        for n in 0..1_000_000 {
            set.insert(&format!("device-{n:010}")).unwrap();
        }
        set.shrink();
        assert_eq!(set.len(), 1_000_000);
        assert!(set.size() < 40 << 20, "{} bytes", set.size());
        assert!(set.contains("device-0000999999") && !set.contains("device-0001000000"));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_hash_set_holds(entries in proptest::collection::vec("[ab#é ]{0,3}", 0..40),
                                          asked in proptest::collection::vec("[ab#é ]{0,3}", 0..40)) {
            let mut set = Strings::default();
            for entry in &entries {
                set.insert(entry).unwrap();
            }
            set.shrink();
            let expected: HashSet<&String> = entries.iter().collect();
            prop_assert_eq!(set.len(), expected.len());
            for text in entries.iter().chain(&asked) {
                prop_assert_eq!(set.contains(text), expected.contains(text), "{}", text);
            }
        }
    }
}
