//! A log-scale histogram of durations from 50 µs to beyond a minute, in buckets a fifth wide.

use serde::{Deserialize, Serialize};

/// Upper bound of the first bucket in microseconds.
const FIRST_US: f64 = 50.0;

/// Buckets per doubling.
const BUCKETS_PER_DOUBLING: f64 = 4.0;

/// Number of buckets; the last one holds everything above 100 s.
pub const BUCKETS: usize = 86;

/// A histogram of durations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    counts: [u64; BUCKETS],
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }
}

/// Returns the bucket of a duration.
pub fn bucket(us: u64) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "buckets are a fifth wide")]
    let steps = ((us.max(1) as f64 / FIRST_US).log2() * BUCKETS_PER_DOUBLING).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the buckets"
    )]
    let step = steps.clamp(0.0, (BUCKETS - 1) as f64) as usize;
    step
}

/// Returns the upper bound of a bucket in milliseconds.
pub fn end_ms(step: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let doublings = step as f64 / BUCKETS_PER_DOUBLING;
    FIRST_US * doublings.exp2() / 1_000.0
}

impl Latency {
    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Adds `count` durations to a bucket.
    pub fn add(&mut self, step: usize, count: u64) {
        self.counts[step.min(BUCKETS - 1)] += count;
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns a percentile in milliseconds, rounded up to a bucket bound (at most a fifth too
    /// high); `None` when empty.
    pub fn percentile_ms(&self, percent: u64) -> Option<f64> {
        let needed = (self.count() * percent).div_ceil(100);
        let mut counted = 0;
        let step = self.counts.iter().position(|count| {
            counted += count;
            needed > 0 && counted >= needed
        });
        step.map(end_ms)
    }
}

/// Pairs of bucket and count, without empty buckets.
impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let some = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        serializer.collect_seq(some)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latency = Self::default();
        for (step, count) in Vec::<(usize, u64)>::deserialize(deserializer)? {
            latency.add(step, count);
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_overstates_by_a_fifth_at_most() {
        for us in [1, 50, 51, 999, 1_000, 123_456, 90_000_000] {
            let mut latency = Latency::default();
            latency.add(bucket(us), 1);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let ms = us as f64 / 1_000.0;
            let told = latency.percentile_ms(50).expect("one");
            assert!(told >= ms * 0.999, "{us}: {told}");
            assert!(us < 50 || told <= ms * 1.2, "{us}: {told}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_count_all_buckets() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile_ms(50), None);
        latency.add(bucket(1_000), 95);
        latency.add(bucket(50_000), 4);
        latency.add(bucket(2_000_000), 1);
        let within = |percent| latency.percentile_ms(percent).expect("some");
        assert!(within(50) < 1.3 && within(95) < 1.3 && within(99) < 61.0 && within(100) > 1_900.0);
    }
}
