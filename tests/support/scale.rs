//! How much is done: what is enough in CI, and more in a soak.

use std::env;
use std::time::Duration;

/// 1 in CI; `EXHOOK_POLICY_SOAK` in a soak.
pub(crate) fn scale() -> u32 {
    env::var("EXHOOK_POLICY_SOAK").ok().map_or(1, |scale| scale.parse().unwrap())
}

/// So much in CI, and the multiple in a soak, but no more than `most`.
pub(crate) fn times(in_ci: u32, most: u32) -> u32 {
    in_ci.saturating_mul(scale()).min(most)
}

/// So long in CI, and the multiple in a soak, but no longer than `most`.
pub(crate) fn long(in_ci: Duration, most: Duration) -> Duration {
    in_ci.saturating_mul(scale()).min(most)
}
