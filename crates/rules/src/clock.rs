//! The relay's own clock, by which envelopes expire.
//!
//! It counts milliseconds of running time and is stored, so a wall clock that jumps does not move
//! it (a board without a battery boots in 1970). Time during which no device could fetch does not
//! count.

use std::time::Duration;

/// Milliseconds in a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A point in the relay's running time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelayTime(u64);

impl RelayTime {
    /// Creates a time from milliseconds of running time since the store was created.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Returns milliseconds of running time since the store was created.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Returns whole days of running time since the store was created.
    pub const fn day(self) -> u64 {
        self.0 / DAY_MS
    }

    /// Returns this time plus a duration.
    #[must_use]
    pub fn plus(self, while_: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(while_.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}
