//! Rate limits by the generic cell rate algorithm (GCRA): one number per key. Time is an argument.

use std::collections::BTreeMap;

/// Nanosecond resolution, fine enough for bytes at any line rate.
const NS_PER_MS: u64 = 1_000_000;

/// Interval at which a full table is pruned of idle keys, in milliseconds.
const PRUNE_INTERVAL_MS: u64 = 1_000;

/// A rate with a burst. A count of 0 means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Units per period.
    pub count: u64,
    /// Period in milliseconds.
    pub period_ms: u64,
    /// Burst in units.
    pub burst: u64,
}

impl RateLimit {
    /// Per second, with a burst of ten seconds.
    pub const fn per_second(count: u64) -> Self {
        Self {
            count,
            period_ms: 1_000,
            burst: count.saturating_mul(10),
        }
    }

    /// Per minute, with a burst of one minute.
    pub const fn per_minute(count: u64) -> Self {
        Self {
            count,
            period_ms: 60 * 1_000,
            burst: count,
        }
    }

    /// Per hour, with a burst of one hour.
    pub const fn per_hour(count: u64) -> Self {
        Self {
            count,
            period_ms: 60 * 60 * 1_000,
            burst: count,
        }
    }

    /// Returns the emission interval of `units` in nanoseconds.
    fn span_ns(&self, units: u64) -> u64 {
        let period_ns = u128::from(self.period_ms) * u128::from(NS_PER_MS);
        let span = u128::from(units) * period_ns / u128::from(self.count.max(1));
        u64::try_from(span).unwrap_or(u64::MAX)
    }
}

/// State of one key: its theoretical arrival time (TAT).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gcra {
    tat_ns: u64,
}

impl Gcra {
    /// Takes units if the limit allows them now.
    ///
    /// # Errors
    /// The wait in milliseconds; nothing was taken.
    pub fn take(&mut self, limit: &RateLimit, units: u64, now_ms: u64) -> Result<(), u64> {
        let (gcra, wait_ms) = self.after(limit, units, now_ms);
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        *self = gcra;
        Ok(())
    }

    /// Takes units unconditionally and returns the wait before the next in milliseconds, capped at
    /// `wait_ms_max`. Debt beyond the cap is dropped.
    pub fn charge(&mut self, limit: &RateLimit, units: u64, now_ms: u64, wait_ms_max: u64) -> u64 {
        let (gcra, wait_ms) = self.after(limit, units, now_ms);
        *self = gcra;
        if wait_ms <= wait_ms_max {
            return wait_ms;
        }
        let most_ns = limit.span_ns(limit.burst).saturating_add(ns(wait_ms_max));
        self.tat_ns = ns(now_ms).saturating_add(most_ns);
        wait_ms_max
    }

    fn after(&self, limit: &RateLimit, units: u64, now_ms: u64) -> (Self, u64) {
        if limit.count == 0 {
            return (*self, 0);
        }
        let now_ns = ns(now_ms);
        let tat_ns = self.tat_ns.max(now_ns).saturating_add(limit.span_ns(units));
        let over_ns = (tat_ns - now_ns).saturating_sub(limit.span_ns(limit.burst));
        (Self { tat_ns }, over_ns.div_ceil(NS_PER_MS))
    }

    fn is_idle(&self, now_ms: u64) -> bool {
        self.tat_ns <= ns(now_ms)
    }
}

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(NS_PER_MS)
}

/// A limiter with one GCRA state per key and a bounded table.
///
/// When the table is full, idle keys are pruned, which changes nothing for them. If none is idle,
/// all new keys share one state, so inventing keys gains nothing.
#[derive(Debug)]
pub struct KeyedLimiter<K> {
    limit: RateLimit,
    keys_max: usize,
    cells: BTreeMap<K, Gcra>,
    overflow: Gcra,
    pruned_ms: Option<u64>,
}

impl<K: Ord> KeyedLimiter<K> {
    /// Creates an empty limiter.
    pub fn new(limit: RateLimit, keys_max: usize) -> Self {
        Self {
            limit,
            keys_max,
            cells: BTreeMap::new(),
            overflow: Gcra::default(),
            pruned_ms: None,
        }
    }

    /// [`Gcra::take`] for this key.
    ///
    /// # Errors
    /// The wait in milliseconds.
    pub fn take(&mut self, key: K, units: u64, now_ms: u64) -> Result<(), u64> {
        let limit = self.limit;
        self.cell(key, now_ms).take(&limit, units, now_ms)
    }

    /// [`Gcra::charge`] for this key.
    pub fn charge(&mut self, key: K, units: u64, now_ms: u64, wait_ms_max: u64) -> u64 {
        let limit = self.limit;
        self.cell(key, now_ms)
            .charge(&limit, units, now_ms, wait_ms_max)
    }

    /// Returns the number of tracked keys.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Returns whether no key is tracked.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn cell(&mut self, key: K, now_ms: u64) -> &mut Gcra {
        let prune_due = self
            .pruned_ms
            .is_none_or(|pruned_ms| now_ms >= pruned_ms.saturating_add(PRUNE_INTERVAL_MS));
        if self.cells.len() >= self.keys_max && prune_due {
            self.pruned_ms = Some(now_ms);
            self.cells.retain(|_, gcra| !gcra.is_idle(now_ms));
        }
        if self.cells.len() < self.keys_max || self.cells.contains_key(&key) {
            return self.cells.entry(key).or_default();
        }
        &mut self.overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEN_A_MINUTE: RateLimit = RateLimit::per_minute(10);

    #[test]
    fn limiter_allows_burst_then_rate() {
        let mut gcra = Gcra::default();
        for _ in 0..10 {
            assert_eq!(gcra.take(&TEN_A_MINUTE, 1, 1_000), Ok(()));
        }
        assert_eq!(gcra.take(&TEN_A_MINUTE, 1, 1_000), Err(6_000));
        assert_eq!(gcra.take(&TEN_A_MINUTE, 1, 6_999), Err(1));
        assert_eq!(gcra.take(&TEN_A_MINUTE, 1, 7_000), Ok(()));
        assert!(
            gcra.take(&TEN_A_MINUTE, 1, 7_000).is_err(),
            "one unit was restored, not two"
        );
        assert_eq!(
            gcra.take(&TEN_A_MINUTE, 10, 1_000_000),
            Ok(()),
            "an idle key has its full burst"
        );
    }

    #[test]
    fn limiter_with_count_zero_is_unlimited() {
        let mut gcra = Gcra::default();
        for _ in 0..1_000 {
            assert_eq!(gcra.take(&RateLimit::per_second(0), 1 << 40, 0), Ok(()));
        }
        assert_eq!(gcra.charge(&RateLimit::per_second(0), 1 << 40, 0, 100), 0);
    }

    #[test]
    fn charged_wait_is_capped() {
        let (rate, mut gcra) = (
            RateLimit {
                count: 100,
                period_ms: 1_000,
                burst: 100,
            },
            Gcra::default(),
        );
        assert_eq!(gcra.charge(&rate, 100, 0, 5_000), 0);
        assert_eq!(gcra.charge(&rate, 50, 0, 5_000), 500);
        assert_eq!(gcra.charge(&rate, 1 << 50, 0, 5_000), 5_000);
        assert_eq!(
            gcra.charge(&rate, 0, 5_000, 5_000),
            0,
            "debt beyond the cap is dropped"
        );
    }

    #[test]
    fn limiter_with_full_table_shares_one_state() {
        let mut rates = KeyedLimiter::new(TEN_A_MINUTE, 4);
        for key in 0..4 {
            assert_eq!(rates.take(key, 10, 0), Ok(()));
        }
        // The table is full of active keys: all new ones share one state.
        let allowed = (100..1_000)
            .filter(|key| rates.take(*key, 1, 10).is_ok())
            .count();
        assert_eq!((allowed, rates.len()), (10, 4));
        // Tracked keys keep their own state.
        assert_eq!(rates.take(1, 1, 6_000), Ok(()));
        // Idle keys are pruned.
        assert_eq!(rates.take(7, 10, 200_000), Ok(()));
        assert_eq!(rates.take(8, 10, 200_000), Ok(()));
        assert_eq!(rates.len(), 2);
    }

    proptest! {
        /// Whatever the order and size of requests, no window exceeds rate and burst.
        #[test]
        fn limiter_never_exceeds_rate_and_burst(
            steps in proptest::collection::vec((0_u64..5_000, 1_u64..30), 1..200),
            count in 1_u64..200,
            burst in 1_u64..100,
        ) {
            let rate = RateLimit { count, period_ms: 1_000, burst };
            let (mut gcra, mut now_ms, mut granted) = (Gcra::default(), 0, Vec::new());
            for (wait_ms, units) in steps {
                now_ms += wait_ms;
                match gcra.take(&rate, units, now_ms) {
                    Ok(()) => granted.push((now_ms, units)),
                    // Waiting as long as returned is enough, unless the request exceeds the burst.
                    Err(wait_ms) if units <= burst => {
                        prop_assert_eq!({ gcra }.take(&rate, units, now_ms + wait_ms), Ok(()));
                    }
                    Err(_) => {}
                }
            }
            for (first, (from_ms, _)) in granted.iter().enumerate() {
                let mut sum = 0;
                for (until_ms, units) in &granted[first..] {
                    sum += units;
                    let most = burst + (until_ms - from_ms) * count / 1_000 + 1;
                    prop_assert!(sum <= most, "{sum} > {most}");
                }
            }
        }
    }
}
