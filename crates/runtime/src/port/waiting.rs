//! The calls that are not answered yet, in the order of their arrival.
//!
//! Ids are of no use for this: the broker gives an id out again as soon as it is free, and a driver that
//! came late may be called with ids that it knows already.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use exhook_policy_core::answer_sink::Token;
use exhook_policy_core::decision::Mode;
use exhook_policy_core::hook::Hook;

/// A call that is not answered yet.
#[derive(Debug)]
pub(super) struct UnansweredCall {
    /// The id's term as it came.
    pub(super) id: Box<[u8]>,
    pub(super) hook: Hook,
    pub(super) arrived: Instant,
    /// The mode in the state that came with the call, if it was looked at.
    pub(super) state: Option<Mode>,
}

/// All of them. Tokens are given out in order, so a token is a place.
#[derive(Debug, Default)]
pub(super) struct UnansweredCalls {
    /// The token of the first place.
    first: Token,
    places: VecDeque<Option<UnansweredCall>>,
}

impl UnansweredCalls {
    /// The token of the next call.
    pub(super) fn next_token(&self) -> Token {
        self.first + self.places.len() as Token
    }

    /// The call that [`UnansweredCalls::next_token`] was for needs no place: it is answered, or never will be.
    pub(super) fn pass(&mut self) {
        self.places.push_back(None);
        self.tidy();
    }

    /// The call that [`UnansweredCalls::next_token`] was for waits.
    pub(super) fn push(&mut self, call: UnansweredCall) {
        self.places.push_back(Some(call));
    }

    /// Takes a call in order to answer it. There is nothing to take where it was answered before.
    pub(super) fn take(&mut self, token: Token) -> Option<UnansweredCall> {
        let place = usize::try_from(token.checked_sub(self.first)?).ok()?;
        let call = self.places.get_mut(place)?.take();
        self.tidy();
        call
    }

    /// Takes the oldest call if it came `deadline` ago or earlier.
    pub(super) fn take_overdue(&mut self, deadline: Duration, now: Instant) -> Option<(Token, UnansweredCall)> {
        let due = self.due(deadline)?;
        if due > now {
            return None;
        }
        let token = self.first;
        Some((token, self.take(token)?))
    }

    /// When the oldest call has to be answered.
    pub(super) fn due(&self, deadline: Duration) -> Option<Instant> {
        // The first place is never empty, see `tidy`.
        self.places.front()?.as_ref()?.arrived.checked_add(deadline)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn tidy(&mut self) {
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        if self.places.is_empty() && self.places.capacity() > 4096 {
            self.places.shrink_to(64);
        }
    }
}
