//! The time of day, and how long something lasts.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// Unix milliseconds as a time in UTC; the number itself where no calendar has it.
pub fn in_utc(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Unix milliseconds when this program was younger than that: 2026-01-01.
const BEFORE: i64 = 1_767_225_600_000;

/// Unix milliseconds; `None` where the clock is surely wrong, as on a machine that has not learned the time since it was switched on.
pub fn told_ms() -> Option<i64> {
    believed(now_ms())
}

fn believed(now: i64) -> Option<i64> {
    Some(now).filter(|now| *now >= BEFORE)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_shows_a_time_before_this_program_is_not_believed() {
        // As it is where the system has no time at all, or has not learned it yet.
        assert_eq!([0, -1, BEFORE - 1].map(believed), [None; 3]);
        assert_eq!([BEFORE, i64::MAX].map(believed), [Some(BEFORE), Some(i64::MAX)]);
        assert!(told_ms().is_some());
    }
}
