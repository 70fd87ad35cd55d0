//! The end, in an orderly way: nobody new, then conversations slice by slice, then all the rest.

use std::time::Duration;

use super::ServerState;
use crate::observe::NotReadyReason;

/// Conversations that are ended together, at least: so few cost nobody anything.
const SLICE_MIN: usize = 50;
/// Slices at most.
const SLICES_MAX: usize = 20;
/// Over which the slices are spread, if there is time.
const SPREAD_MAX: Duration = Duration::from_secs(5);

/// How many conversations to end at a time, and how long to wait before the next: so that their
/// devices, and the relay that they go to instead, do not all shake hands in the same moment.
fn slices(conversations: usize, time_max: Duration) -> (usize, Duration) {
    let count = conversations.div_ceil(SLICE_MIN).clamp(1, SLICES_MAX);
    let size = conversations.div_ceil(count);
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
    /// Ends conversations, while whoever comes is told to come back. Those that do not end in time
    /// are left for [`Door::close`] to cut.
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

    /// Ends what is left, within two seconds; conversations have had their time.
    pub(super) async fn close(&self) {
        self.draining.cancel();
        self.closing.cancel();
        let (sessions, tasks) = (&self.sessions, &self.tasks);
        sessions.close();
        tasks.close();
        if !sessions.is_empty() {
            tracing::warn!(
                connections = sessions.len(),
                "some connections did not end in time and are cut"
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

/// For requests under way and refusals not yet heard.
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
        for conversations in [1, 49, 101, 1_000, 100_000] {
            for time_max in [1, 10, 60] {
                let time_max = Duration::from_secs(time_max);
                let (size, pause) = slices(conversations, time_max);
                let count = conversations.div_ceil(size);
                assert!(count <= SLICES_MAX);
                let pauses = u32::try_from(count - 1).expect("few");
                assert!(
                    pause * pauses <= time_max / 4,
                    "{conversations} in {time_max:?}"
                );
            }
        }
    }
}
