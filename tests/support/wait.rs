//! Waiting for what must come.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Long for a machine that is busy. Nothing takes a tenth of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
pub(crate) fn until(condition: impl FnMut() -> bool) {
    until_or(condition, || "it does not happen".to_owned());
}

/// Waits, and fails with the message.
#[track_caller]
pub(crate) fn until_or(mut condition: impl FnMut() -> bool, message: impl Fn() -> String) {
    until_some(|| condition().then_some(()), message);
}

/// Waits until there is something, and gives it.
#[track_caller]
pub(crate) fn until_some<T>(mut look: impl FnMut() -> Option<T>, message: impl Fn() -> String) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{}", message());
        sleep(Duration::from_millis(10));
    }
}

/// As `until_or`, where the test's connections go on meanwhile.
pub(crate) async fn until_async(mut condition: impl AsyncFnMut() -> bool, message: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "{}", message());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
