//! A policy that did not load is loaded once its file is mended, though the broker calls nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use exhook_policy_core::handler::{Handler, IsChanged};

use super::{Driver, Policy};

/// How often it is asked whether a policy that did not load has changed.
const LOOK: Duration = Duration::from_millis(250);

/// The looks at a policy that did not load. A disk may hang, so each is on a thread of its own.
pub(super) struct PolicyLooks {
    last: Instant,
    seen: Arc<LookSeen>,
}

#[derive(Default)]
struct LookSeen {
    is_looking: AtomicBool,
    is_changed: AtomicBool,
}

impl PolicyLooks {
    /// The policy was read just now.
    pub(super) fn begun(now: Instant) -> Self {
        PolicyLooks { last: now, seen: Arc::default() }
    }

    /// Begins the next look if it is due and the one before is over; whether one has seen a change.
    fn look(&mut self, is_changed: &IsChanged) -> bool {
        if self.last.elapsed() >= LOOK {
            self.last = Instant::now();
            if !self.seen.is_looking.swap(true, Ordering::SeqCst) {
                self.begin(is_changed);
            }
        }
        self.seen.is_changed.load(Ordering::SeqCst)
    }

    fn begin(&self, is_changed: &IsChanged) {
        let (seen, is_changed) = (Arc::clone(&self.seen), Arc::clone(is_changed));
        let look = move || {
            if is_changed() {
                seen.is_changed.store(true, Ordering::SeqCst);
            }
            seen.is_looking.store(false, Ordering::SeqCst);
        };
        if thread::Builder::new().name("look".to_owned()).spawn(look).is_err() {
            // No thread can be had at the moment: the next look is tried again.
            self.seen.is_looking.store(false, Ordering::SeqCst);
        }
    }
}

impl<H: Handler> Driver<H> {
    /// When to ask next whether a policy that did not load has changed.
    pub(super) fn look_due(&self) -> Option<Instant> {
        match &self.policy {
            Policy::Failed { refused, looks, .. } => refused.is_changed.as_ref().map(|_| looks.last + LOOK),
            Policy::Unknown | Policy::Loading { .. } | Policy::Ready { .. } => None,
        }
    }

    /// Loads a policy that did not load once it has changed, though the broker calls nothing.
    pub(super) fn look_again(&mut self) {
        let Policy::Failed { module, refused, looks, .. } = &mut self.policy else { return };
        if refused.is_changed.as_ref().is_some_and(|is_changed| looks.look(is_changed)) {
            let module = module.clone();
            self.start_loading(&module);
        }
    }
}
