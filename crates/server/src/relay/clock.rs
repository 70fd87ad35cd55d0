//! Relay time: the time of the store at the start plus the monotonic time since.

use std::time::{Duration, Instant};

use graceful_rules::RelayTime;

/// Continues where the clock of the store stopped.
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

    /// Relay time, for expiry.
    pub(super) fn now(&self) -> RelayTime {
        self.base.plus(self.started.elapsed())
    }

    /// Milliseconds since the start of the process, for timeouts.
    pub(super) fn uptime_ms(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }

    /// The instant at which [`RelayClock::uptime_ms`] reaches this value.
    pub(super) fn instant(&self, uptime_ms: u64) -> tokio::time::Instant {
        (self.started + Duration::from_millis(uptime_ms)).into()
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
