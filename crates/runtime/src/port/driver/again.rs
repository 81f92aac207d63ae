//! A policy that did not load is loaded once its file is mended, though the broker calls nothing.

use std::time::{Duration, Instant};

use exhook_policy_core::handler::Handler;

use super::{Driver, Policy};

/// How often it is asked whether a policy that did not load has changed.
const LOOK: Duration = Duration::from_millis(500);

impl<H: Handler> Driver<H> {
    /// When to ask next whether a policy that did not load has changed.
    pub(super) fn look_due(&self) -> Option<Instant> {
        match &self.policy {
            Policy::Failed { refused, looked, .. } => refused.is_changed.as_ref().map(|_| *looked + LOOK),
            Policy::Unknown | Policy::Loading { .. } | Policy::Ready { .. } => None,
        }
    }

    /// Loads a policy that did not load once it has changed, though the broker calls nothing.
    pub(super) fn look_again(&mut self) {
        let Policy::Failed { module, refused, looked, .. } = &mut self.policy else { return };
        let Some(is_changed) = refused.is_changed.as_ref().filter(|_| looked.elapsed() >= LOOK) else { return };
        *looked = Instant::now();
        if is_changed() {
            let module = module.clone();
            self.start_loading(&module);
        }
    }
}
