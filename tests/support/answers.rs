//! Answers that come later.

use std::collections::HashSet;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::decision::Answer;

/// A sink, and the answers that come to it.
pub(crate) fn channel() -> (Sink, Receiver<(Token, Answer)>) {
    let (sender, later) = mpsc::channel();
    let sender = Mutex::new(sender);
    let sink = move |answers: &[(Token, Answer)]| {
        for answer in answers {
            let _ = sender.lock().unwrap().send(*answer);
        }
    };
    (Arc::new(sink), later)
}

/// The events that were answered, which have no answer but that they are kept.
#[derive(Clone, Default)]
pub(crate) struct Answered(Arc<(Mutex<HashSet<Token>>, Condvar)>);

impl Answered {
    pub(crate) fn sink(&self) -> Sink {
        let told = self.clone();
        Arc::new(move |answers| {
            let mut set = told.0.0.lock().unwrap();
            for &(token, answer) in answers {
                assert_eq!(answer, Answer::NoOpinion);
                assert!(set.insert(token), "{token} was answered twice");
            }
            told.0.1.notify_all();
        })
    }

    /// Whether this one is answered before so much time is over.
    pub(crate) fn comes(&self, token: Token, patience: Duration) -> bool {
        let (set, changed) = &*self.0;
        let waited = changed.wait_timeout_while(set.lock().unwrap(), patience, |set| !set.contains(&token));
        !waited.unwrap().1.timed_out()
    }
}
