//! How often: a steady rate with room for a burst, kept as one number per key (the generic cell
//! rate algorithm). Time is an argument.

use std::collections::BTreeMap;

/// Nanoseconds in a millisecond: fine enough for bytes at any rate that a line has.
const NS_PER_MS: u64 = 1_000_000;

/// How often tables that are full are looked through for keys at rest, in milliseconds.
const TIDY_MS: u64 = 1_000;

/// So many in a period, and so many at once after a rest. A count of 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many in a period.
    pub count: u64,
    /// The period, in milliseconds.
    pub period_ms: u64,
    /// How many at once.
    pub burst: u64,
}

impl Allowance {
    /// So many a second, and ten seconds' worth at once.
    pub const fn per_second(count: u64) -> Self {
        Self {
            count,
            period_ms: 1_000,
            burst: count.saturating_mul(10),
        }
    }

    /// So many a minute, all of them at once if need be.
    pub const fn per_minute(count: u64) -> Self {
        Self {
            count,
            period_ms: 60 * 1_000,
            burst: count,
        }
    }

    /// So many an hour, all of them at once if need be.
    pub const fn per_hour(count: u64) -> Self {
        Self {
            count,
            period_ms: 60 * 60 * 1_000,
            burst: count,
        }
    }

    /// What this many take of it, in nanoseconds.
    fn span_ns(&self, units: u64) -> u64 {
        let period_ns = u128::from(self.period_ms) * u128::from(NS_PER_MS);
        let span = u128::from(units) * period_ns / u128::from(self.count.max(1));
        u64::try_from(span).unwrap_or(u64::MAX)
    }
}

/// What one key has taken: the moment at which it will be at rest again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    rested_ns: u64,
}

impl Taken {
    /// Takes this many if they are allowed now.
    ///
    /// # Errors
    /// In how many milliseconds they will be; nothing was taken.
    pub fn take(&mut self, allowance: &Allowance, units: u64, now_ms: u64) -> Result<(), u64> {
        let (taken, wait_ms) = self.after(allowance, units, now_ms);
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        *self = taken;
        Ok(())
    }

    /// Takes this many, allowed or not, and says in how many milliseconds to take more. Never is
    /// the wait longer than `wait_ms_max`: what exceeds it is forgiven.
    pub fn charge(
        &mut self,
        allowance: &Allowance,
        units: u64,
        now_ms: u64,
        wait_ms_max: u64,
    ) -> u64 {
        let (taken, wait_ms) = self.after(allowance, units, now_ms);
        *self = taken;
        if wait_ms <= wait_ms_max {
            return wait_ms;
        }
        let most_ns = allowance
            .span_ns(allowance.burst)
            .saturating_add(ns(wait_ms_max));
        self.rested_ns = ns(now_ms).saturating_add(most_ns);
        wait_ms_max
    }

    fn after(&self, allowance: &Allowance, units: u64, now_ms: u64) -> (Self, u64) {
        if allowance.count == 0 {
            return (*self, 0);
        }
        let now_ns = ns(now_ms);
        let rested_ns = self
            .rested_ns
            .max(now_ns)
            .saturating_add(allowance.span_ns(units));
        let over_ns = (rested_ns - now_ns).saturating_sub(allowance.span_ns(allowance.burst));
        (Self { rested_ns }, over_ns.div_ceil(NS_PER_MS))
    }

    fn is_at_rest(&self, now_ms: u64) -> bool {
        self.rested_ns <= ns(now_ms)
    }
}

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(NS_PER_MS)
}

/// One allowance for each of many keys, of which a bounded number is remembered. When there is no
/// room for another, keys at rest are forgotten, which changes nothing for them; where none is, all
/// further keys share one allowance, so that inventing keys gains nobody anything.
#[derive(Debug)]
pub struct Rates<K> {
    allowance: Allowance,
    keys_max: usize,
    taken: BTreeMap<K, Taken>,
    others: Taken,
    tidied_ms: Option<u64>,
}

impl<K: Ord> Rates<K> {
    /// Nobody has taken anything yet.
    pub fn new(allowance: Allowance, keys_max: usize) -> Self {
        Self {
            allowance,
            keys_max,
            taken: BTreeMap::new(),
            others: Taken::default(),
            tidied_ms: None,
        }
    }

    /// As [`Taken::take`], for this key.
    ///
    /// # Errors
    /// In how many milliseconds to try again.
    pub fn take(&mut self, key: K, units: u64, now_ms: u64) -> Result<(), u64> {
        let allowance = self.allowance;
        self.of(key, now_ms).take(&allowance, units, now_ms)
    }

    /// As [`Taken::charge`], for this key.
    pub fn charge(&mut self, key: K, units: u64, now_ms: u64, wait_ms_max: u64) -> u64 {
        let allowance = self.allowance;
        self.of(key, now_ms)
            .charge(&allowance, units, now_ms, wait_ms_max)
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    fn of(&mut self, key: K, now_ms: u64) -> &mut Taken {
        let tidy_due = self
            .tidied_ms
            .is_none_or(|tidied_ms| now_ms >= tidied_ms.saturating_add(TIDY_MS));
        if self.taken.len() >= self.keys_max && tidy_due {
            self.tidied_ms = Some(now_ms);
            self.taken.retain(|_, taken| !taken.is_at_rest(now_ms));
        }
        if self.taken.len() < self.keys_max || self.taken.contains_key(&key) {
            return self.taken.entry(key).or_default();
        }
        &mut self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEN_A_MINUTE: Allowance = Allowance::per_minute(10);

    #[test]
    fn a_burst_goes_through_and_then_the_rate_holds() {
        let mut taken = Taken::default();
        for _ in 0..10 {
            assert_eq!(taken.take(&TEN_A_MINUTE, 1, 1_000), Ok(()));
        }
        assert_eq!(taken.take(&TEN_A_MINUTE, 1, 1_000), Err(6_000));
        assert_eq!(taken.take(&TEN_A_MINUTE, 1, 6_999), Err(1));
        assert_eq!(taken.take(&TEN_A_MINUTE, 1, 7_000), Ok(()));
        assert!(
            taken.take(&TEN_A_MINUTE, 1, 7_000).is_err(),
            "one came back, not two"
        );
        assert_eq!(
            taken.take(&TEN_A_MINUTE, 10, 1_000_000),
            Ok(()),
            "a rest brings all of it back"
        );
    }

    #[test]
    fn a_count_of_nought_is_no_limit() {
        let mut taken = Taken::default();
        for _ in 0..1_000 {
            assert_eq!(taken.take(&Allowance::per_second(0), 1 << 40, 0), Ok(()));
        }
        assert_eq!(taken.charge(&Allowance::per_second(0), 1 << 40, 0, 100), 0);
    }

    #[test]
    fn who_is_charged_waits_for_a_bounded_time() {
        let (rate, mut taken) = (
            Allowance {
                count: 100,
                period_ms: 1_000,
                burst: 100,
            },
            Taken::default(),
        );
        assert_eq!(taken.charge(&rate, 100, 0, 5_000), 0);
        assert_eq!(taken.charge(&rate, 50, 0, 5_000), 500);
        assert_eq!(taken.charge(&rate, 1 << 50, 0, 5_000), 5_000);
        assert_eq!(
            taken.charge(&rate, 0, 5_000, 5_000),
            0,
            "what was beyond is forgiven"
        );
    }

    #[test]
    fn keys_are_bounded_and_inventing_them_gains_nothing() {
        let mut rates = Rates::new(TEN_A_MINUTE, 4);
        for key in 0..4 {
            assert_eq!(rates.take(key, 10, 0), Ok(()));
        }
        // The table is full of keys that are busy: all others have one allowance between them.
        let allowed = (100..1_000)
            .filter(|key| rates.take(*key, 1, 10).is_ok())
            .count();
        assert_eq!((allowed, rates.len()), (10, 4));
        // Those known before keep their own.
        assert_eq!(rates.take(1, 1, 6_000), Ok(()));
        // At rest they make room.
        assert_eq!(rates.take(7, 10, 200_000), Ok(()));
        assert_eq!(rates.take(8, 10, 200_000), Ok(()));
        assert_eq!(rates.len(), 2);
    }

    proptest! {
        /// Whatever the order and size of what is asked, no window has more than rate and burst allow.
        #[test]
        fn never_more_than_rate_and_burst(
            steps in proptest::collection::vec((0_u64..5_000, 1_u64..30), 1..200),
            count in 1_u64..200,
            burst in 1_u64..100,
        ) {
            let rate = Allowance { count, period_ms: 1_000, burst };
            let (mut taken, mut now_ms, mut granted) = (Taken::default(), 0, Vec::new());
            for (wait_ms, units) in steps {
                now_ms += wait_ms;
                match taken.take(&rate, units, now_ms) {
                    Ok(()) => granted.push((now_ms, units)),
                    // Who waits as long as told is let in, unless it asks for more than a burst.
                    Err(wait_ms) if units <= burst => {
                        prop_assert_eq!({ taken }.take(&rate, units, now_ms + wait_ms), Ok(()));
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
