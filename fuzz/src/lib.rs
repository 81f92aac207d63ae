//! What the fuzz targets share.

/// Choices that the bytes of an input make, one byte each. Where they have run out it is always the first.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// What these bytes choose.
    pub fn of(bytes: &'a [u8]) -> Self {
        Choices(bytes)
    }

    /// Whether nothing is left to choose by.
    pub fn are_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first) % count
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// At least `least` and at most `most` things.
    pub fn some<T>(&mut self, least: usize, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| make(self)).collect()
    }
}
