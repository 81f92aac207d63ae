//! Numbers that look random.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// The same numbers for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// From `EXHOOK_POLICY_SEED`, or from the time of day. The seed is printed, which a failed test
    /// shows.
    #[expect(clippy::print_stdout, reason = "what a test prints is shown where it fails")]
    pub(crate) fn new(test: &str) -> Self {
        let given = env::var("EXHOOK_POLICY_SEED").ok().map(|seed| seed.parse().unwrap());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
        let seed = given.unwrap_or_else(now);
        println!("{test}: EXHOOK_POLICY_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// At most so many of them.
    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.byte()).collect()
    }

    /// One below the bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}
