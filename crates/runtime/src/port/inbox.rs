//! What other threads hand to the thread that reads and writes: late answers, and the loaded policy.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::decision::Answer;
use exhook_policy_core::handler::Refused;

/// A letter box with a bell that `poll` hears.
#[derive(Debug)]
pub(super) struct Inbox<H> {
    letters: Mutex<Letters<H>>,
    bell: OwnedFd,
}

#[derive(Debug)]
struct Letters<H> {
    answers: Vec<(Token, Answer)>,
    loaded: Option<Result<H, Refused>>,
}

impl<H: Send + 'static> Inbox<H> {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Inbox { letters: Mutex::new(Letters { answers: Vec::new(), loaded: None }), bell }))
    }

    /// The way in for late answers.
    pub(super) fn sink(self: &Arc<Self>) -> Sink {
        let inbox = Arc::clone(self);
        Arc::new(move |answers| {
            inbox.lock().answers.extend_from_slice(answers);
            inbox.ring();
        })
    }

    /// Hands over the outcome of loading.
    pub(super) fn loaded(&self, result: Result<H, Refused>) {
        self.lock().loaded = Some(result);
        self.ring();
    }

    /// Takes everything; the answers take the place of `answers`, which was empty.
    pub(super) fn take(&self, answers: &mut Vec<(Token, Answer)>) -> Option<Result<H, Refused>> {
        let mut letters = self.lock();
        mem::swap(answers, &mut letters.answers);
        letters.loaded.take()
    }

    /// Stops the bell. Call this before [`Inbox::take`], or a letter may lie unheard.
    pub(super) fn heard(&self) {
        // Fails where the bell does not ring, which is as good.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn ring(&self) {
        // Fails only where the bell has rung 2^64 times unheard, and then it rings still.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, Letters<H>> {
        // Nothing that holds the lock can leave the letters half done.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
