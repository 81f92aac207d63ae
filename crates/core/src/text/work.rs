//! How much work deciding one question may take.

use std::cell::Cell;

/// What is left of the work that one question may take, in steps of some ten nanoseconds.
///
/// Clients choose the texts that patterns are matched against, and one question can hold up all the
/// others. The steps are counted, not timed, and do not depend on earlier questions: the same
/// question has the same answer on every machine. What cannot be settled within the bound is not
/// known, and is denied.
#[derive(Debug)]
pub struct Work {
    left: Cell<usize>,
    whole: usize,
}

impl Work {
    /// The steps that one question may take, over all rules: some ten milliseconds.
    pub const QUESTION: usize = 800_000;

    /// The work of one question of a client.
    pub fn of_question() -> Self {
        Work::of(Work::QUESTION)
    }

    /// As many steps as it takes, for tools that decide nothing.
    pub fn unbounded() -> Self {
        Work::of(usize::MAX)
    }

    /// So many steps.
    pub(crate) fn of(steps: usize) -> Self {
        Work { left: Cell::new(steps), whole: steps }
    }

    /// Takes steps out of it. False if there were not that many left; then none are left.
    pub fn spend(&self, steps: usize) -> bool {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// How many steps are left.
    pub fn left(&self) -> usize {
        self.left.get()
    }

    /// How many steps were taken.
    pub fn spent(&self) -> usize {
        self.whole - self.left.get()
    }
}
