//! Latency histogram, and throughput in slots of 100 ms.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies in microseconds, three digits, up to one hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// The length of a throughput slot.
pub const SLOT: Duration = Duration::from_millis(100);

/// Counters of one event: stored or delivered.
pub struct Stats {
    window: Range<Duration>,
    inner: Mutex<Inner>,
}

struct Inner {
    latencies: Histogram<u64>,
    /// All events, including the warm-up.
    all: u64,
    within: u64,
    slots: Vec<u64>,
}

/// Latency summary in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// Number of samples.
    pub count: u64,
    /// Minimum.
    pub min_us: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Maximum.
    pub max_us: u64,
    /// The distribution: percent and latency.
    pub curve: Vec<(f64, u64)>,
}

/// Totals, throughput and latency.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// All events, including the warm-up and those after the end.
    pub all: u64,
    /// Events within the window.
    pub measured: u64,
    /// Their rate per second.
    pub per_s: f64,
    /// Latency from the scheduled time.
    pub latency: Latencies,
    /// Rate per second in each slot of the window.
    pub over_time_per_s: Vec<f64>,
}

impl Stats {
    /// Counts events within a window, relative to the start of the run.
    ///
    /// # Panics
    /// Never: the bounds of the histogram are right.
    pub fn new(window: Range<Duration>) -> Self {
        let latencies =
            Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are in order");
        let slots = (window.end.saturating_sub(window.start))
            .as_millis()
            .div_ceil(SLOT.as_millis());
        let slots = vec![0; usize::try_from(slots).unwrap_or(0)];
        Self {
            window,
            inner: Mutex::new(Inner {
                latencies,
                all: 0,
                within: 0,
                slots,
            }),
        }
    }

    /// Records pushes scheduled at `intended` and done at `now`. Latency counts pushes scheduled in the
    /// window, throughput those done in it.
    pub fn done(&self, intended: Duration, now: Duration, pushes: u64) {
        let mut inner = self.inner();
        inner.all += pushes;
        self.measure(&mut inner, intended, now, pushes);
        if self.window.contains(&now) {
            inner.within += pushes;
            let slot = (now - self.window.start).as_millis() / SLOT.as_millis();
            if let Some(slot) = usize::try_from(slot)
                .ok()
                .and_then(|slot| inner.slots.get_mut(slot))
            {
                *slot += pushes;
            }
        }
    }

    /// Records pushes scheduled at `intended` that are not done at `now`.
    pub fn not_done(&self, intended: Duration, now: Duration, pushes: u64) {
        self.measure(&mut self.inner(), intended, now, pushes);
    }

    fn measure(&self, inner: &mut Inner, intended: Duration, now: Duration, pushes: u64) {
        if self.window.contains(&intended) {
            let latency_us = now.saturating_sub(intended).as_micros();
            let latency_us = u64::try_from(latency_us).unwrap_or(u64::MAX).max(1);
            inner.latencies.saturating_record_n(latency_us, pushes);
        }
    }

    /// All events so far.
    pub fn all(&self) -> u64 {
        self.inner().all
    }

    /// Returns totals, throughput and latency.
    pub fn summary(&self) -> Summary {
        let inner = self.inner();
        let seconds = (self.window.end.saturating_sub(self.window.start)).as_secs_f64();
        let per_s = |count: u64, seconds: f64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        Summary {
            all: inner.all,
            measured: inner.within,
            per_s: per_s(inner.within, seconds),
            latency: Latencies::of(&inner.latencies),
            over_time_per_s: inner
                .slots
                .iter()
                .map(|slot| per_s(*slot, SLOT.as_secs_f64()))
                .collect(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latencies {
    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        // Finer towards the maximum: the same number of points for each halving of the rest.
        let curve = histogram.iter_quantiles(5);
        let curve = curve.map(|point| {
            (
                point.quantile_iterated_to() * 100.0,
                point.value_iterated_to(),
            )
        });
        Self {
            count: histogram.len(),
            min_us: histogram.min(),
            mean_us: histogram.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
            curve: curve.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn percentiles_match_the_samples() {
        let stats = Stats::new(ms(0)..ms(1_000));
        for latency_ms in 1..=1_000 {
            stats.done(ms(0), ms(latency_ms), 1);
        }
        let latency = stats.summary().latency;
        let near = |found_us: u64, ms: u64| found_us.abs_diff(ms * 1_000) <= ms;
        assert!(
            near(latency.p50_us, 500) && near(latency.p90_us, 900),
            "{latency:?}"
        );
        assert!(
            near(latency.p99_us, 990) && near(latency.p999_us, 999),
            "{latency:?}"
        );
        assert!(
            near(latency.max_us, 1_000) && near(latency.min_us, 1),
            "{latency:?}"
        );
        assert!((latency.mean_us - 500_500.0).abs() < 500.0 && latency.count == 1_000);
        assert!(
            latency.curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1),
            "{latency:?}"
        );
    }

    #[test]
    fn warm_up_counts_for_the_total_only() {
        let stats = Stats::new(ms(1_000)..ms(2_000));
        stats.done(ms(900), ms(950), 5); // before
        stats.done(ms(950), ms(1_050), 7); // meant for the warm-up, done after it
        stats.done(ms(1_950), ms(2_050), 11); // meant for the window, done after it
        let counted = stats.summary();
        assert_eq!(
            (counted.all, counted.measured, counted.latency.count),
            (23, 7, 11)
        );
        assert_eq!(counted.over_time_per_s[0], 70.0);
        assert_eq!(counted.over_time_per_s.len(), 10);
    }

    #[test]
    fn missing_answers_count_as_slow() {
        let stats = Stats::new(ms(0)..ms(1_000));
        stats.done(ms(0), ms(1), 1);
        stats.not_done(ms(0), ms(5_000), 1);
        let counted = stats.summary();
        assert_eq!((counted.all, counted.latency.count), (1, 2));
        assert!(counted.latency.max_us >= 4_990_000, "{counted:?}");
    }
}
