//! The results of the canary: test devices that sync through the public listener.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::observe::{Metrics, NotReadyReason, Readiness};
use parking_lot::{Mutex, MutexGuard};

/// The result of the last run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CanaryResult {
    /// Why the last run failed, without addresses or ids; `None` if it succeeded or none has run.
    pub error: Option<String>,
    /// The end of the last successful run, in seconds since 1970; 0 if there is none.
    pub last_ok_s: u64,
    /// The duration of the last successful run.
    pub duration: Duration,
}

/// The results of all runs.
#[derive(Debug)]
pub struct CanaryStatus {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    last: Mutex<CanaryResult>,
}

impl CanaryStatus {
    pub(crate) fn new(metrics: Arc<Metrics>, readiness: Readiness) -> Self {
        Self {
            metrics,
            readiness,
            last: Mutex::default(),
        }
    }

    /// Records a successful run.
    pub fn record_ok(&self, duration: Duration) {
        self.metrics.canary_ok.inc();
        let last_ok_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let before = std::mem::replace(
            &mut *self.last(),
            CanaryResult {
                error: None,
                last_ok_s,
                duration,
            },
        );
        self.readiness.set(NotReadyReason::CanaryFailed, false);
        if before.error.is_some() {
            tracing::info!("canary run succeeded again");
        }
    }

    /// Records a failed run.
    pub fn record_failure(&self, error: String) {
        self.metrics.canary_error.inc();
        tracing::error!(error, "canary run failed; devices may fail in the same way");
        self.last().error = Some(error);
        self.readiness.set(NotReadyReason::CanaryFailed, true);
    }

    /// Records a run that could not start, for a reason that readiness has already.
    pub fn record_blocked(&self, reason: NotReadyReason) {
        self.metrics.canary_error.inc();
        self.last().error = Some(reason.message().to_owned());
    }

    /// Returns the result of the last run.
    pub fn last_result(&self) -> CanaryResult {
        self.last().clone()
    }

    fn last(&self) -> MutexGuard<'_, CanaryResult> {
        self.last.lock()
    }
}
