//! Maintenance (the janitor): sweeps expired envelopes, destroys the keys of past days, checkpoints
//! the clock and flushes the memtable. It writes only when something is due.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use graceful_rules::command::{Command, Outcome};

use super::{Relay, Stopped};
use crate::observe::NotReadyReason;

/// How often maintenance runs.
const INTERVAL: Duration = Duration::from_secs(30);

/// How often an idle relay writes its clock.
const CLOCK_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60 * 60);

pub(super) async fn run(relay: Relay, stopping: CancellationToken) {
    let mut rounds = interval(INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut marked = Instant::now();
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = stopping.cancelled() => return,
            () = relay.failed() => {
                let readiness = &relay.inner.readiness;
                return readiness.set(NotReadyReason::StoreFailed, true);
            }
        }
        let checkpoint_due = marked.elapsed() >= CLOCK_CHECKPOINT_INTERVAL;
        if checkpoint_due {
            marked = Instant::now();
        }
        if relay.run_once(checkpoint_due).await.is_err() {
            return;
        }
    }
}

impl Relay {
    async fn run_once(&self, checkpoint_due: bool) -> Result<(), Stopped> {
        if checkpoint_due {
            self.commit(Command::SaveClock).await?;
            let done = self.inner.store.checkpoint().await;
            self.inner.writer.check_read(done)?;
        }
        let now = self.inner.clock.now();
        let due = self.inner.store.check_due(now).await;
        let (due, has_low_disk_space) = self.inner.writer.check_read(due)?;
        self.inner
            .readiness
            .set(NotReadyReason::DiskLow, has_low_disk_space);
        if due {
            while let Outcome::Swept {
                envelopes,
                more: true,
            } = self.commit(Command::Sweep).await?
            {
                tracing::debug!(envelopes, "swept");
            }
        }
        let ready = self.inner.readiness.reasons().is_empty();
        let done = self.inner.store.maintain(now, ready).await;
        self.inner.writer.check_read(done)?;
        Ok(())
    }
}
