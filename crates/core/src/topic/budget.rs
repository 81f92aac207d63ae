//! How much work an analysis may take.

/// What is left of the work that an analysis may take, in steps of some ten nanoseconds. What ends for want of it says
/// so; nothing is guessed instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// A budget of so many steps.
    pub fn new(steps: usize) -> Self {
        Budget { left: steps }
    }

    /// Takes steps out of it. False where there are not so many left, and then none are.
    pub fn spend(&mut self, steps: usize) -> bool {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// How many steps are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Does work that may take at most so many of the steps.
    pub fn within<R>(&mut self, steps: usize, work: impl FnOnce(&mut Budget) -> R) -> R {
        let mut part = Budget { left: steps.min(self.left) };
        self.left -= part.left;
        let result = work(&mut part);
        self.left += part.left;
        result
    }
}
