//! Reconnect backoff: exponential with full jitter, so that a restarted relay is not hit by all
//! devices at once.

use crate::rng::{CryptoRng, random};

/// Upper bound after the first failure, in milliseconds.
pub const FIRST_MS: u64 = 1_000;
/// Largest upper bound, in milliseconds.
pub const HIGHEST_MS: u64 = 60_000;

/// Counts failures since the last success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Resets the count after a welcome.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and returns the delay in milliseconds, at least `retry_after_ms`.
    pub fn failed(&mut self, retry_after_ms: u64, rng: &mut dyn CryptoRng) -> u64 {
        let bound = FIRST_MS
            .saturating_mul(1 << self.failures.min(16))
            .min(HIGHEST_MS);
        self.failures = self.failures.saturating_add(1);
        let wait = u64::from_be_bytes(random(rng)) % (bound + 1);
        wait.max(retry_after_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::SeededRng;

    proptest! {
        #[test]
        fn backoff_stays_under_doubling_bound(seed: u64, failures in 0_u32..100) {
            let (mut backoff, mut rng) = (Backoff::default(), SeededRng(seed));
            for failure in 0..failures {
                let bound = (1_000_u64 << failure.min(6)).min(60_000);
                prop_assert!(backoff.failed(0, &mut rng) <= bound);
            }
            backoff.succeeded();
            prop_assert!(backoff.failed(0, &mut rng) <= 1_000);
            prop_assert!(backoff.failed(90_000, &mut rng) >= 90_000);
        }
    }
}
