//! The janitor: sweeps what has expired, overwrites the keys of days that are over, and marks the clock
//! now and then so that a crash costs little of it, and folds in what the journal has. It writes only when there is reason to.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use graceful_rules::change::{Change, Outcome};

use super::{Cause, Relay, Stopped};

/// How often it looks whether something has expired.
const ROUND: Duration = Duration::from_secs(30);

/// How often an idle relay writes: only its clock.
const MARK: Duration = Duration::from_secs(60 * 60);

pub(super) async fn keep_house(relay: Relay, stopping: CancellationToken) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut marked = Instant::now();
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = stopping.cancelled() => return,
        }
        let mark_due = marked.elapsed() >= MARK;
        if mark_due {
            marked = Instant::now();
        }
        if relay.round(mark_due).await.is_err() {
            return;
        }
    }
}

impl Relay {
    async fn round(&self, mark_due: bool) -> Result<(), Stopped> {
        if mark_due {
            self.change(Change::MarkClock).await?;
            let store = self.inner.store.clone();
            let folded = tokio::task::spawn_blocking(move || store.fold_all()).await;
            self.inner.writer.read(folded)?;
        }
        let (store, now) = (self.inner.store.clone(), self.inner.clock.now());
        let due = tokio::task::spawn_blocking(move || {
            store.lay_ballast();
            Ok((store.has_expired(now)?, store.lacks_room()?))
        });
        let due = due.await;
        let (due, lacks_room) = self.inner.writer.read(due)?;
        self.inner.conditions.set(Cause::ShortOfRoom, lacks_room);
        if due {
            while let Outcome::Swept {
                envelopes,
                more: true,
            } = self.change(Change::Sweep).await?
            {
                tracing::debug!(envelopes, "swept");
            }
        }
        let (store, well) = (
            self.inner.store.clone(),
            self.inner.conditions.now().is_empty(),
        );
        let tidied = tokio::task::spawn_blocking(move || {
            let forgot = well && store.forget_upgrade(now)?;
            Ok((store.retire_day_keys(now)?, forgot))
        });
        let tidied = tidied.await;
        let (days, forgot) = self.inner.writer.read(tidied)?;
        if forgot {
            tracing::info!(
                "a day has gone well since the upgrade: the store as it was before is removed"
            );
        }
        if days > 0 {
            tracing::info!(
                days,
                "what was kept on days that are over is gone, and their keys are overwritten"
            );
        }
        Ok(())
    }
}
