//! What the relay's trials of itself have shown: whether a change really gets through it.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Counter;

/// How the last trial ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CanaryResult {
    /// Why it failed, in a sentence that may be read by anyone; `None`: it did not, or there was none yet.
    pub trouble: Option<String>,
    /// When the last good one ended, in seconds since 1970; 0: there was none.
    pub last_ok_s: u64,
    /// How long the last good one took.
    pub took: Duration,
}

/// The results.
#[derive(Debug, Default)]
pub struct CanaryStatus {
    last: Mutex<CanaryResult>,
    /// Trials that went well.
    pub succeeded: Counter,
    /// Trials that did not.
    pub failed: Counter,
}

impl CanaryStatus {
    /// A trial went well.
    pub fn record_ok(&self, took: Duration) {
        self.succeeded.increase();
        let last_ok_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let before = std::mem::replace(
            &mut *self.last(),
            CanaryResult {
                trouble: None,
                last_ok_s,
                took,
            },
        );
        if before.trouble.is_some() {
            tracing::info!("the relay's trial of itself goes well again");
        }
    }

    /// A trial failed.
    pub fn record_failure(&self, trouble: String) {
        self.failed.increase();
        tracing::error!(
            trouble,
            "the relay's trial of itself failed: devices may have the same trouble"
        );
        self.last().trouble = Some(trouble);
    }

    /// How the last one ended.
    pub fn last_result(&self) -> CanaryResult {
        self.last().clone()
    }

    fn last(&self) -> MutexGuard<'_, CanaryResult> {
        self.last.lock().expect("nobody panics holding it")
    }
}
