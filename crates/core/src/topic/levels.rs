//! A topic, split once.

use smallvec::SmallVec;

/// The levels of a topic name or filter, which is no longer than MQTT allows.
#[derive(Debug)]
pub struct Levels<'t> {
    text: &'t str,
    /// Where each level ends. Deeper topics than this holds take memory of their own.
    ends: SmallVec<[u16; 64]>,
}

impl<'t> Levels<'t> {
    /// None yet.
    pub(super) fn of(text: &'t str) -> Self {
        Levels { text, ends: SmallVec::new() }
    }

    /// Adds the level that ends before this byte.
    pub(super) fn push_end(&mut self, end: usize) {
        // The end of what is no longer than MQTT allows fits.
        self.ends.push(u16::try_from(end).unwrap_or(u16::MAX));
    }

    /// Takes the last level away.
    pub(super) fn pop(&mut self) {
        self.ends.pop();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The level of this number, from 0.
    #[inline]
    pub fn get(&self, level: usize) -> Option<&'t str> {
        let end = *self.ends.get(level)?;
        let start = match level.checked_sub(1) {
            Some(before) => usize::from(*self.ends.get(before)?) + 1,
            None => 0,
        };
        self.text.get(start..end.into())
    }

    /// Each of them, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &'t str> {
        let mut start = 0;
        self.ends.iter().filter_map(move |end| {
            let level = self.text.get(start..usize::from(*end));
            start = usize::from(*end) + 1;
            level
        })
    }
}
