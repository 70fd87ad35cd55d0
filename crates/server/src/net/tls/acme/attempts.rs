//! Failed orders and the backoff after them, on disk: a relay in a restart loop must not use up the
//! rate limit of the authority.

use std::io;
use std::path::Path;
use std::time::Duration;

/// The backoff in minutes after the first consecutive failure, the second and so on; the last value
/// repeats.
const WAIT_MINUTES: [u32; 4] = [1, 10, 100, 24 * 60];

/// Let's Encrypt allows this many failures for a name in an hour.
const FAILURES_IN_AN_HOUR_MAX: usize = 5;

const HOUR_MINUTES: u32 = 60;

/// The state on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Attempts {
    /// The names of the order. Other names reset the backoff, but not the hourly limit.
    names: Vec<String>,
    failures_in_a_row: u32,
    /// The start of the newest failures in milliseconds since 1970, the oldest first.
    failed_at_ms: Vec<u64>,
}

impl Attempts {
    /// Reads the state. A time in the future was written under another clock and counts as now.
    pub(super) fn read(path: &Path, names: &[String], now_ms: u64) -> Self {
        let kept = graceful_fs_util::read_optional(path).ok().flatten();
        let kept = kept.and_then(|text| serde_json::from_slice(&text).ok());
        let mut attempts: Self = kept.unwrap_or_default();
        let was_ahead = attempts.settle(names, now_ms);
        if was_ahead {
            // Otherwise each restart would restart the backoff. If it cannot be written, it does.
            let _ = attempts.write(path);
        }
        attempts
    }

    fn settle(&mut self, names: &[String], now_ms: u64) -> bool {
        let mut was_ahead = false;
        for at_ms in &mut self.failed_at_ms {
            was_ahead |= *at_ms > now_ms;
            *at_ms = (*at_ms).min(now_ms);
        }
        if self.names != names {
            self.names = names.to_vec();
            self.failures_in_a_row = 0;
        }
        was_ahead
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        graceful_fs_util::atomic_write(path, &serde_json::to_vec(self)?)
    }

    /// Counts an order as failed when it starts.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.failed_at_ms.push(now_ms);
        let surplus = self
            .failed_at_ms
            .len()
            .saturating_sub(FAILURES_IN_AN_HOUR_MAX);
        self.failed_at_ms.drain(..surplus);
    }

    /// Removes the failure of the newest order.
    pub(super) fn succeeded(&mut self) {
        self.failures_in_a_row = 0;
        self.failed_at_ms.pop();
    }

    /// Returns how long to wait. A manual reload skips the backoff, but not the limit of the
    /// authority.
    pub(super) fn wait(&self, now_ms: u64, minute: Duration, asked: bool) -> Duration {
        let until = |from_ms: u64, minutes: u32| {
            let gone = Duration::from_millis(now_ms.saturating_sub(from_ms));
            (minute * minutes).saturating_sub(gone)
        };
        let mut wait = Duration::ZERO;
        if let [.., newest_ms] = self.failed_at_ms[..]
            && !asked
            && self.failures_in_a_row > 0
        {
            let step = (self.failures_in_a_row as usize).min(WAIT_MINUTES.len()) - 1;
            wait = until(newest_ms, WAIT_MINUTES[step]);
        }
        if let [oldest_ms, _, _, _, _] = self.failed_at_ms[..] {
            wait = wait.max(until(oldest_ms, HOUR_MINUTES));
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const MINUTE_MS: u64 = 60_000;
    const START_MS: u64 = 1_800_000_000_000;

    fn names() -> Vec<String> {
        vec!["relay.example".to_owned()]
    }

    /// Returns the wait in minutes at a time, as read after a restart.
    fn wait_after_restart(path: &Path, now_ms: u64, asked: bool) -> u128 {
        let wait = Attempts::read(path, &names(), now_ms).wait(now_ms, MINUTE, asked);
        wait.as_millis().div_ceil(60_000)
    }

    fn fail(path: &Path, now_ms: u64) {
        let mut attempts = Attempts::read(path, &names(), now_ms);
        attempts.begin(now_ms);
        attempts.write(path).expect("written");
    }

    #[test]
    fn each_failure_in_a_row_waits_longer_over_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("attempts.json");
        let mut now_ms = START_MS;
        assert_eq!(wait_after_restart(&path, now_ms, false), 0);
        for expected in [1, 10, 100, 1_440, 1_440] {
            fail(&path, now_ms);
            assert_eq!(wait_after_restart(&path, now_ms, false), expected);
            assert_eq!(
                wait_after_restart(&path, now_ms + expected as u64 * MINUTE_MS - 1, false),
                1
            );
            now_ms += expected as u64 * MINUTE_MS;
            assert_eq!(wait_after_restart(&path, now_ms, false), 0);
        }
        let mut attempts = Attempts::read(&path, &names(), now_ms);
        attempts.begin(now_ms);
        attempts.succeeded();
        assert_eq!(attempts.wait(now_ms, MINUTE, false), Duration::ZERO);
    }

    /// Repeated reloads, a restart loop and changed names.
    #[test]
    fn nobody_gets_more_than_five_failures_out_of_an_hour() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("attempts.json");
        let mut failures = Vec::new();
        for second in 0..3 * 3_600 {
            let now_ms = START_MS + second * 1_000;
            let other = vec![format!("name-{second}.example")];
            if Attempts::read(&path, &other, now_ms).wait(now_ms, MINUTE, true) == Duration::ZERO {
                fail(&path, now_ms);
                failures.push(second);
            }
        }
        assert!(failures.len() >= 10, "{failures:?}");
        for hour in failures.windows(FAILURES_IN_AN_HOUR_MAX + 1) {
            assert!(hour[FAILURES_IN_AN_HOUR_MAX] - hour[0] >= 3_600, "{hour:?}");
        }
    }

    #[test]
    fn a_clock_that_went_back_waits_once_more_and_not_for_decades() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("attempts.json");
        fail(&path, START_MS);
        fail(&path, START_MS + MINUTE_MS);
        let earlier_ms = START_MS - 400 * 86_400_000;
        assert_eq!(wait_after_restart(&path, earlier_ms, false), 10);
        // The wait continues, over restarts too.
        assert_eq!(
            wait_after_restart(&path, earlier_ms + 4 * MINUTE_MS, false),
            6
        );
        assert_eq!(
            wait_after_restart(&path, earlier_ms + 10 * MINUTE_MS, false),
            0
        );
        // Neither 1970 nor an invalid file stops it.
        assert_eq!(wait_after_restart(&path, 0, false), 10);
        std::fs::write(&path, "{").expect("ours");
        assert_eq!(wait_after_restart(&path, START_MS, false), 0);
    }
}
