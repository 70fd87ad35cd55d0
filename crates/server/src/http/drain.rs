//! Graceful shutdown: stop admitting, end sessions in batches, then end everything else.

use std::time::Duration;

use super::ServerState;
use crate::observe::NotReadyReason;

/// The minimum batch of sessions.
const SLICE_MIN: usize = 50;
/// The maximum number of batches.
const SLICES_MAX: usize = 20;
/// The time over which the batches are spread.
const SPREAD_MAX: Duration = Duration::from_secs(5);

/// Returns the size of a batch and the pause between batches: devices must not all reconnect at
/// once.
fn slices(sessions: usize, time_max: Duration) -> (usize, Duration) {
    let count = sessions.div_ceil(SLICE_MIN).clamp(1, SLICES_MAX);
    let size = sessions.div_ceil(count);
    let spread = SPREAD_MAX.min(time_max / 4);
    let pauses = u32::try_from(count - 1).unwrap_or(u32::MAX);
    (
        size,
        if pauses == 0 {
            Duration::ZERO
        } else {
            spread / pauses
        },
    )
}

impl ServerState {
    /// Ends sessions, while new connections are rejected with a retry time. [`ServerState::close`] aborts what
    /// is left.
    pub(super) async fn drain(&self) {
        self.draining.cancel();
        self.relay.readiness().set(NotReadyReason::Draining, true);
        let count = self.admission.count();
        tracing::info!(connections = count, "draining");
        let (at_a_time, pause) = slices(count, self.options.stop_timeout);
        let drained = async {
            self.admission.drain(at_a_time, pause).await;
            self.sessions.close();
            self.sessions.wait().await;
        };
        let _ = tokio::time::timeout(self.options.stop_timeout, drained).await;
    }

    /// Ends what is left within two seconds.
    pub(super) async fn close(&self) {
        self.draining.cancel();
        self.closing.cancel();
        let (sessions, tasks) = (&self.sessions, &self.tasks);
        sessions.close();
        tasks.close();
        if !sessions.is_empty() {
            tracing::warn!(
                connections = sessions.len(),
                "aborting connections that did not end in time"
            );
            self.cut.cancel();
        }
        let ended = tokio::time::timeout(LAST_TASKS, tasks.wait()).await;
        if ended.is_err() {
            self.cut.cancel();
        }
        tokio::join!(sessions.wait(), tasks.wait());
    }
}

/// For requests in progress and rejections that are being sent.
const LAST_TASKS: Duration = Duration::from_millis(2_500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_go_at_once_and_many_in_slices_that_fit_the_time() {
        let long = Duration::from_secs(30);
        assert_eq!(slices(0, long), (0, Duration::ZERO));
        assert_eq!(slices(50, long), (50, Duration::ZERO));
        assert_eq!(slices(51, long), (26, Duration::from_secs(5)));
        assert_eq!(slices(2_000, long).0, 100);
        for sessions in [1, 49, 101, 1_000, 100_000] {
            for time_max in [1, 10, 60] {
                let time_max = Duration::from_secs(time_max);
                let (size, pause) = slices(sessions, time_max);
                let count = sessions.div_ceil(size);
                assert!(count <= SLICES_MAX);
                let pauses = u32::try_from(count - 1).expect("few");
                assert!(pause * pauses <= time_max / 4, "{sessions} in {time_max:?}");
            }
        }
    }
}
