//! What the machine does not let a test do.

use std::env;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Says that something cannot be put to the test here, and why. In CI that is a failure, since
/// nobody reads what a test that passes says. Elsewhere the test goes on with what is left of it.
#[track_caller]
pub(crate) fn cannot_run(what: &str, why: impl Display) {
    assert!(env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{what} cannot be tested: {why}");
    // Past what keeps the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "\n*** NOT TESTED: {what}: {why} ***\n");
}

/// For a test that keeps all cores busy, or that measures how long something takes: no other of
/// these runs meanwhile. Those that mostly wait go on beside it.
pub(crate) fn busy() -> Busy {
    static BUSY: Mutex<()> = Mutex::new(());
    Busy { _alone: BUSY.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// As long as this is there, the test is the only one of its kind. Each test has a thread, which
/// may wait for it.
pub(crate) struct Busy {
    _alone: MutexGuard<'static, ()>,
}
