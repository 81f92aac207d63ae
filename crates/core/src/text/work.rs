//! How much work deciding one question may take.

use std::cell::Cell;

/// Why it could not be told whether a condition of a question holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// A list could not be read.
    List,
    /// The broker does not tell a field of the client, or the time is not known.
    Field,
    /// A pattern takes more work than one question may.
    Pattern,
}

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
    /// Of the condition that could not be told last.
    doubt: Cell<Option<Doubt>>,
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
        Work { left: Cell::new(steps), whole: steps, doubt: Cell::new(None) }
    }

    /// Takes steps out of it. False if there were not that many left; then none are left.
    pub fn spend(&self, steps: usize) -> bool {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Notes why a condition cannot be told. The condition that leaves a rule undecided is asked
    /// after all of the rules before it, so the last note is about that rule.
    pub fn doubt(&self, doubt: Doubt) {
        self.doubt.set(Some(doubt));
    }

    /// Why the condition that could not be told last could not be; `None` if all could be told.
    pub fn doubted(&self) -> Option<Doubt> {
        if self.left() == 0 { Some(Doubt::Pattern) } else { self.doubt.get() }
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
