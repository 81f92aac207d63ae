//! The thread beside the calls: it looks at the policy file, and keeps what is kept.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::EngineShared;
use super::housekeeping::{EngineStanding, Housekeeping};
use super::reload::{PolicyAtStart, PolicyReload, PolicyStanding};
use crate::clock::now_ms;
use crate::state::status::PolicyFault;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long the end waits for this thread, which a disk may hold up.
const LAST: Duration = Duration::from_secs(1);

/// Ends the thread.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    stopping: bool,
    ended: bool,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, and tells whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), pause, |run| !run.stopping);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state().stopping
    }

    /// Ends the thread, and waits for the end if that comes soon.
    pub(super) fn stop(&self) {
        let mut run = self.state();
        run.stopping = true;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(run, LAST, |run| !run.ended));
    }

    fn ended(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }
}

/// Starts the thread. Without it the policy stays as it is, which is said.
pub(super) fn start(shared: &Arc<EngineShared>, at_start: PolicyAtStart) {
    let watched = Arc::clone(shared);
    let started = thread::Builder::new().name("reload".to_owned()).spawn(move || {
        let bell = Arc::clone(&watched.bell);
        run(&watched, at_start);
        bell.ended();
    });
    if let Err(error) = started {
        shared.bell.ended();
        shared.around.log.line(format_args!("the policy is not watched, no thread can be started: {error}"));
    }
}

fn run(shared: &Arc<EngineShared>, at_start: PolicyAtStart) {
    let mut housekeeping = Housekeeping::begin(shared);
    let mut reload = PolicyReload::begin(shared, at_start);
    loop {
        housekeeping.round(reload.standing());
        if !shared.bell.pause(LOOK) {
            break;
        }
        housekeeping.retire(reload.look(Instant::now(), housekeeping.is_unwritten()));
        if shared.bell.is_stopping() {
            break;
        }
        housekeeping.reap();
    }
    housekeeping.end();
}

/// Says once, where `exhook-policy status` reads it, that there is nothing to watch: no policy could be loaded.
pub(super) fn leave_word(shared: &Arc<EngineShared>, fault: &PolicyFault) {
    shared.bell.ended();
    let policy = PolicyStanding { since: now_ms(), fault: Some(fault.clone()), ..PolicyStanding::default() };
    Housekeeping::of(shared).leave_word(&EngineStanding { policy, brokers: Vec::new() });
}
