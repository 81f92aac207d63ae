//! What matching a text can take, told from the automaton alone.

use std::iter::Sum;
use std::ops::Add;

use super::{Machine, MatchState, StateId};

/// States whose marks are cleared within one step.
pub(super) const STATES_MARKED: usize = 16;

/// Parts of a step.
pub(super) const EIGHTHS: usize = 8;

/// What matching takes at most, in steps of [`Work`](crate::text::Work).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Whatever the text.
    pub(crate) fixed: usize,
    /// For each byte of the text, in eighths of a step.
    pub(crate) eighths: usize,
}

impl Cost {
    /// For a text of so many bytes.
    pub(crate) fn of(self, length: usize) -> usize {
        self.fixed.saturating_add(self.eighths.saturating_mul(length) / EIGHTHS)
    }

    /// The longest text for which so many steps are enough.
    pub(crate) fn longest(self, steps: usize) -> usize {
        steps.saturating_sub(self.fixed).saturating_mul(EIGHTHS) / self.eighths.max(1)
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { fixed: self.fixed.saturating_add(other.fixed), eighths: self.eighths.saturating_add(other.eighths) }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), Add::add)
    }
}

/// How a state is reached.
#[derive(Debug, Clone, Copy)]
struct CostReach {
    /// How many steps lead to it that were not followed yet.
    entries: usize,
    /// Characters that are read before it.
    least: usize,
    most: usize,
    repeats: bool,
}

impl Machine {
    /// The states behind a repetition without end can be met at every character; the others at a few places. A
    /// client's value counts as one character.
    pub(crate) fn cost(&self) -> Cost {
        let unreached = CostReach { entries: 0, least: usize::MAX, most: 0, repeats: false };
        let mut reaches = vec![unreached; self.states.len()];
        let mut stack = vec![self.start];
        while let Some(state) = stack.pop() {
            let Some(reach) = reaches.get_mut(state as usize) else { continue };
            if std::mem::replace(&mut reach.repeats, true) {
                continue;
            }
            for next in self.next_of(state) {
                if let Some(reach) = reaches.get_mut(*next as usize) {
                    reach.entries += 1;
                }
                stack.push(*next);
            }
        }
        // The first state is met before anything leads to it.
        let mut fixed = 1 + self.states.len() / STATES_MARKED;
        let mut ready = Vec::new();
        if let Some(start) = reaches.get_mut(self.start as usize) {
            start.least = 0;
            ready.extend((start.entries == 0).then_some(self.start));
        }
        // A state is ready once all states before it are done. Behind a repetition none ever is.
        while let Some(state) = ready.pop() {
            let Some(reach) = reaches.get_mut(state as usize) else { continue };
            reach.repeats = false;
            let (steps, CostReach { least, most, .. }) = (self.steps_of(state), *reach);
            fixed = fixed.saturating_add((most.saturating_sub(least) + 1).saturating_mul(steps));
            let read = usize::from(self.reads_character(state));
            for next in self.next_of(state) {
                let Some(reach) = reaches.get_mut(*next as usize) else { continue };
                reach.least = reach.least.min(least + read);
                reach.most = reach.most.max(most + read);
                reach.entries = reach.entries.saturating_sub(1);
                ready.extend((reach.entries == 0).then_some(*next));
            }
        }
        let repeating = (0..).zip(&reaches).filter(|(_, reach)| reach.repeats).map(|(state, _)| self.steps_of(state));
        let rate = repeating.fold(1, usize::saturating_add);
        Cost { fixed, eighths: rate.saturating_mul(EIGHTHS) }
    }

    /// The steps that a state takes wherever it is met: one for each state behind it, and one if it reads.
    fn steps_of(&self, state: StateId) -> usize {
        self.next_of(state).len() + usize::from(self.reads_character(state))
    }

    fn reads_character(&self, state: StateId) -> bool {
        match self.state(state) {
            MatchState::Char(..) | MatchState::Class(..) | MatchState::Value(..) => true,
            MatchState::Split(_)
            | MatchState::Start(_)
            | MatchState::End(_)
            | MatchState::Around(..)
            | MatchState::Match => false,
        }
    }

    fn next_of(&self, state: StateId) -> &[StateId] {
        match self.state(state) {
            MatchState::Char(_, next)
            | MatchState::Class(_, next)
            | MatchState::Value(_, next)
            | MatchState::Start(next)
            | MatchState::End(next)
            | MatchState::Around(_, next) => std::slice::from_ref(next),
            MatchState::Split(ways) => ways,
            MatchState::Match => &[],
        }
    }
}
