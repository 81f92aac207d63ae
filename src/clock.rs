//! The time of day, and how long something lasts.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// A point in time by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Unix milliseconds, by a clock that may be set.
    pub unix: i64,
    /// Milliseconds by a clock that is never set. They tell how long something lasts, and within this process alone.
    pub steady: u64,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let since = BEGIN.get_or_init(Instant::now).elapsed();
        Moment { unix: now_ms(), steady: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}
