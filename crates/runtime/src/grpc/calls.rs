//! The calls that wait for an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tokio::sync::oneshot;

use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::decision::Answer;

/// All of them, by their tokens. These are counted, so that nobody can choose them badly.
#[derive(Debug, Default)]
pub(super) struct WaitingCalls {
    next: AtomicU64,
    waiting: Mutex<HashMap<Token, oneshot::Sender<Answer>, FixedState>>,
}

/// A call that may come to wait. Dropped, it waits no longer.
#[derive(Debug)]
pub(super) struct WaitingCall<'c> {
    calls: &'c WaitingCalls,
    pub(super) token: Token,
    answer: Option<oneshot::Receiver<Answer>>,
}

impl WaitingCalls {
    /// A call with a token of its own.
    pub(super) fn begin(&self) -> WaitingCall<'_> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(token, sender);
        WaitingCall { calls: self, token, answer: Some(answer) }
    }

    /// A call that will not wait.
    pub(super) fn pass(&self) -> WaitingCall<'_> {
        WaitingCall { calls: self, token: self.next.fetch_add(1, Ordering::Relaxed), answer: None }
    }

    /// Takes answers to them.
    pub(super) fn sink(self: &Arc<Self>) -> Sink {
        let calls = Arc::clone(self);
        Arc::new(move |answers| {
            // What is to be woken is woken without the lock.
            let mut ready = Vec::with_capacity(answers.len());
            let mut waiting = calls.waiting();
            for (token, answer) in answers {
                ready.extend(waiting.remove(token).map(|sender| (sender, *answer)));
            }
            drop(waiting);
            for (sender, answer) in ready {
                // Whoever waited may have given up.
                let _ = sender.send(answer);
            }
        })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Token, oneshot::Sender<Answer>, FixedState>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingCall<'_> {
    /// The answer, when it comes; `None` where it never will.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        self.answer.as_mut()?.await.ok()
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        if self.answer.is_some() {
            self.calls.waiting().remove(&self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_find_their_call_and_nobody_else() {
        let calls = Arc::new(WaitingCalls::default());
        let sink = calls.sink();
        let (mut one, mut two) = (calls.begin(), calls.begin());
        let gone = calls.begin().token;
        assert_eq!(calls.pass().answer().await, None);
        sink(&[(gone, Answer::Allow), (two.token, Answer::Deny), (one.token, Answer::Allow), (99, Answer::Allow)]);
        assert_eq!(one.answer().await, Some(Answer::Allow));
        assert_eq!(two.answer().await, Some(Answer::Deny));
        drop((one, two));
        assert!(calls.waiting().is_empty());
    }
}
