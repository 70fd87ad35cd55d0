//! How long pushes took from the moment they were handed to the writer to the disk, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use graceful_rules::latency::{BUCKETS, Latency, bucket};

/// Counts since they were last taken.
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
    /// One push is on disk.
    pub(super) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.steps[bucket(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// All that were counted since this was last asked.
    pub(super) fn take(&self) -> Latency {
        let mut latency = Latency::default();
        for (step, count) in self.steps.iter().enumerate() {
            latency.add(step, count.swap(0, Ordering::Relaxed));
        }
        latency
    }
}
