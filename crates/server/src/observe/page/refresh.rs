//! Renders the status page each minute, so that a request costs the same regardless of its content.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Region, Regions, STYLE, State, page};
use crate::http::StatusPage;
use crate::observe::sla::Recorder;
use crate::observe::wall_ms;
use crate::relay::Relay;
use graceful_rules::uptime::days;

const MINUTE: Duration = Duration::from_secs(60);

/// Renders until cancelled, and at each change of readiness.
pub async fn refresh(
    page_handle: StatusPage,
    name: String,
    recorder: Recorder,
    relay: Relay,
    cancel: CancellationToken,
) {
    let mut readiness = relay.readiness().subscribe();
    let mut minutes = interval(MINUTE);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            () = cancel.cancelled() => return,
            _ = minutes.tick() => Ok(()),
            changed = readiness.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let (page_handle, name, recorder, relay) = (
            page_handle.clone(),
            name.clone(),
            recorder.clone(),
            relay.clone(),
        );
        let made =
            tokio::task::spawn_blocking(move || make(&page_handle, &name, &recorder, &relay)).await;
        if made.is_err() {
            tracing::warn!("rendering the status page failed");
        }
    }
}

fn make(page_handle: &StatusPage, name: &str, recorder: &Recorder, relay: &Relay) {
    let (records, planned_stop_max_ms) = recorder.so_far();
    let all = days(&records, planned_stop_max_ms, None);
    let regions = [Region::new(name, &all, state(relay), wall_ms())];
    let html = page(&regions);
    match serde_json::to_string(&Regions {
        regions: regions.to_vec(),
    }) {
        Ok(json) => page_handle.publish(html, STYLE, json),
        Err(error) => tracing::warn!(%error, "rendering the status page failed"),
    }
}

/// Returns the state, and why devices cannot sync.
fn state(relay: &Relay) -> (State, Option<String>) {
    match relay.readiness().reasons().first() {
        None => (State::Up, None),
        Some(reason) if reason.is_planned() => {
            (State::Maintenance, Some(reason.message().to_owned()))
        }
        Some(reason) => (State::Down, Some(reason.message().to_owned())),
    }
}
