//! A lock-free histogram of push latency for the uptime log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use graceful_rules::latency::{BUCKETS, Latency, bucket};

/// Counts since the last [`LatencyHistogram::take`].
pub(super) struct LatencyHistogram {
    steps: [AtomicU64; BUCKETS],
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            steps: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl LatencyHistogram {
    /// Records one push.
    pub(super) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.steps[bucket(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts and resets them.
    pub(super) fn take(&self) -> Latency {
        let mut latency = Latency::default();
        for (step, count) in self.steps.iter().enumerate() {
            latency.add(step, count.swap(0, Ordering::Relaxed));
        }
        latency
    }
}
