//! Late answers on their way to the transport.

use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::decision::Answer;

/// Where they go, whichever policy they are of.
pub(super) struct Outlet {
    pub(super) sink: Sink,
    /// Answers to logins that go into the sink together.
    concluded: Mutex<Vec<(Token, Answer)>>,
}

impl Outlet {
    pub(super) fn new(sink: Sink) -> Self {
        Outlet { sink, concluded: Mutex::default() }
    }

    /// The answer to a login is ready.
    pub(super) fn put(&self, token: Token, answer: Answer) {
        self.concluded().push((token, answer));
    }

    /// Hands over the answers to logins that are ready.
    pub(super) fn tell(&self) {
        let answers = mem::take(&mut *self.concluded());
        (self.sink)(&answers);
    }

    fn concluded(&self) -> MutexGuard<'_, Vec<(Token, Answer)>> {
        self.concluded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}
