//! The relay's own time, by which envelopes expire.
//!
//! It counts the milliseconds that the relay has been running, is kept in the store, and goes on
//! where it stopped. A wall clock that jumps (a board without a battery boots in 1970) moves it
//! neither forth nor back, and time during which nobody could fetch does not count.

use std::time::Duration;

/// Milliseconds in a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A moment of the relay's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelayTime(u64);

impl RelayTime {
    /// Milliseconds since the store was made, running time only.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the store was made, running time only.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Whole days since the store was made, running time only.
    pub const fn day(self) -> u64 {
        self.0 / DAY_MS
    }

    /// This moment and a while.
    #[must_use]
    pub fn plus(self, while_: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(while_.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}
