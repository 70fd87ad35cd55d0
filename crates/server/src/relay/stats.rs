//! Statistics that have to be measured: the store, the disk and the process. Measured at most once
//! in a few seconds.

use std::time::{Duration, Instant};

use graceful_rules::RelayTime;
use graceful_store::{DiskUsage, Totals};

use super::{Relay, Stopped};
use crate::observe::ProcessStats;
use crate::observe::{NotReadyReason, NotReadyReasons};

/// How long a snapshot is reused.
const CACHE_TTL: Duration = Duration::from_secs(2);

/// The statistics at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StatsSnapshot {
    /// Accounts.
    pub accounts: u64,
    /// Stored envelopes.
    pub envelopes: u64,
    /// The age of the oldest envelope in seconds; 0 if there is none.
    pub oldest_envelope_s: u64,
    /// The size of the store file.
    pub store_bytes: u64,
    /// Free disk space for this user; `None` if unknown.
    pub disk_free_bytes: Option<u64>,
    /// New envelopes are rejected below this.
    pub disk_free_bytes_min: u64,
    /// Whether new envelopes are rejected.
    pub low_disk_space: bool,
    /// The process; `None` if unknown.
    pub process: Option<ProcessStats>,
}

impl Relay {
    /// Returns the statistics, at most `CACHE_TTL` old.
    ///
    /// # Errors
    /// [`Stopped`] if the store failed.
    pub async fn stats(&self) -> Result<StatsSnapshot, Stopped> {
        // Concurrent callers share one measurement.
        let mut stats = self.inner.stats.lock().await;
        if let Some((seen, stats)) = &*stats
            && seen.elapsed() < CACHE_TTL
        {
            return Ok(*stats);
        }
        let usage = self.inner.store.usage().await;
        let (totals, disk_usage) = self.inner.writer.check_read(usage)?;
        let seen = snapshot(&totals, &disk_usage, self.inner.clock.now());
        self.inner
            .readiness
            .set(NotReadyReason::DiskLow, seen.low_disk_space);
        *stats = Some((Instant::now(), seen));
        Ok(seen)
    }

    /// Measures what can change without an event, then returns why the relay is not ready.
    pub async fn check_readiness(&self) -> NotReadyReasons {
        if self.stats().await.is_err() {
            self.inner.readiness.set(NotReadyReason::StoreFailed, true);
        }
        self.inner.readiness.reasons()
    }

    /// The reasons in one sentence for people, with the error of the last canary run.
    pub fn not_ready_message(&self, reasons: &NotReadyReasons) -> Option<String> {
        let message = |reason: &NotReadyReason| match reason {
            NotReadyReason::CanaryFailed => match self.canary().last_result().error {
                Some(error) => format!("{}: {error}", reason.message()),
                None => reason.message().to_owned(),
            },
            _ => reason.message().to_owned(),
        };
        let messages: Vec<String> = reasons.iter().map(message).collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }
}

fn snapshot(totals: &Totals, disk_usage: &DiskUsage, now: RelayTime) -> StatsSnapshot {
    let oldest_ms = disk_usage
        .oldest
        .map_or(0, |oldest| now.ms().saturating_sub(oldest.ms()));
    StatsSnapshot {
        accounts: totals.accounts,
        envelopes: totals.envelopes,
        oldest_envelope_s: oldest_ms / 1_000,
        store_bytes: disk_usage.file_bytes,
        disk_free_bytes: disk_usage.free_bytes,
        disk_free_bytes_min: disk_usage.free_bytes_min,
        low_disk_space: disk_usage.low_disk_space,
        process: ProcessStats::current(),
    }
}
