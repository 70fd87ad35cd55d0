//! The relay's own time while it runs: what the store had, and the monotonic time since.

use std::time::{Duration, Instant};

use graceful_rules::RelayTime;

/// Runs from where the store's clock stopped.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayClock {
    base: RelayTime,
    started: Instant,
}

impl RelayClock {
    pub(super) fn starting_at(base: RelayTime) -> Self {
        Self {
            base,
            started: Instant::now(),
        }
    }

    /// For expiry.
    pub(super) fn now(&self) -> RelayTime {
        self.base.plus(self.started.elapsed())
    }

    /// Milliseconds of this process, for timeouts.
    pub(super) fn uptime_ms(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }

    /// The moment at which [`RelayClock::uptime_ms`] will be this.
    pub(super) fn instant(&self, uptime_ms: u64) -> tokio::time::Instant {
        (self.started + Duration::from_millis(uptime_ms)).into()
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
