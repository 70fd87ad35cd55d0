//! The uptime recorder: samples readiness each minute and writes the uptime log each hour.

use parking_lot::{Mutex, MutexGuard};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::observe::{NotReadyReason, NotReadyReasons};
use crate::observe::{clock_ms, moment, wall_ms};
use crate::relay::Relay;
use graceful_rules::latency::Latency;
use graceful_rules::sla::SlaTerms;
use graceful_rules::uptime::{CLOCK_SET_MS, Outage, Record};

use super::uptime_log::UptimeLogError;
use super::{UptimeLog, monthly};

/// The sampling interval.
const MINUTE: Duration = Duration::from_secs(60);

/// How often an idle relay writes: as often as it checkpoints its clock.
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A longer interval between two samples was an outage: the machine slept, or the process was
/// suspended.
const MINUTE_MS_MAX: u64 = 90_000;

/// Outages in memory; above this the log is written early.
const TROUBLES_MAX: usize = 240;

/// A jump of the wall clock that is reported.
const STEP_MS: i64 = 60_000;

const HELD_UP: &str = "the machine slept, or the process was suspended";

/// A jump of the wall clock while the relay ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// When, on the monotonic clock.
    pub clock_ms: u64,
    /// By how much in milliseconds; negative for backward.
    pub by_ms: i64,
}

/// Records uptime. Clones share the log.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    relay: Relay,
}

struct Inner {
    uptime_log: UptimeLog,
    data: PathBuf,
    sla_terms: SlaTerms,
    /// The time of the last write.
    since_ms: u64,
    latency: Latency,
    outages: Vec<Outage>,
    /// The current reason for not being ready, and its start.
    matter: Option<(NotReadyReason, u64)>,
    looked_ms: u64,
    wall_offset_ms: i64,
    jump: Option<Jump>,
}

impl Recorder {
    /// Starts the log of a run. A failed write is logged and not fatal: a relay must start on a
    /// full disk too.
    pub fn begin(data: &Path, sla_terms: SlaTerms, relay: Relay) -> Self {
        let mut uptime_log =
            UptimeLog::read(data, sla_terms.planned_stop_max_ms).unwrap_or_else(|error| {
                tracing::warn!(%error, "starting a new uptime log");
                UptimeLog::empty(data, sla_terms.planned_stop_max_ms)
            });
        let at = moment(relay_ms(&relay));
        let (since_ms, wall_offset_ms) = (at.clock_ms, offset_ms());
        let started = uptime_log.begin(Record::Started { at });
        let inner = Inner {
            uptime_log,
            data: data.to_path_buf(),
            sla_terms,
            since_ms,
            latency: Latency::default(),
            outages: Vec::new(),
            matter: None,
            looked_ms: since_ms,
            wall_offset_ms,
            jump: None,
        };
        let recorder = Self {
            inner: Arc::new(Mutex::new(inner)),
            relay,
        };
        recorder.told(started);
        recorder.make_due();
        recorder
    }

    /// Samples and writes until cancelled.
    pub async fn keep(self, cancel: CancellationToken) {
        let mut readiness = self.relay.readiness().subscribe();
        let mut minutes = interval(MINUTE);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.relay.failed() => {
                    self.relay.readiness().set(NotReadyReason::StoreFailed, true);
                    self.look(true);
                    return;
                }
                _ = minutes.tick() => self.look(true),
                changed = readiness.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.look(false);
                }
            }
            if self.lock().is_due() {
                self.on_a_thread(Self::fold).await;
            }
        }
    }

    /// Writes everything up to now.
    pub async fn note(&self) {
        self.look(false);
        self.on_a_thread(Self::fold).await;
    }

    /// Writes the end of the run. `planned`: it was requested.
    pub async fn end(&self, planned: bool) {
        self.look(false);
        self.on_a_thread(move |recorder| {
            recorder.fold();
            let at = moment(relay_ms(&recorder.relay));
            recorder.told(
                recorder
                    .lock()
                    .uptime_log
                    .add(Record::Stopped { at, planned }),
            );
        })
        .await;
    }

    /// Returns the last jump of the wall clock in this run, except the first time that it was set.
    pub fn jump(&self) -> Option<Jump> {
        self.lock().jump
    }

    /// Returns all records, including what is only in memory, and the maximum planned stop in
    /// milliseconds.
    pub(crate) fn so_far(&self) -> (Vec<Record>, i64) {
        let inner = self.lock();
        let records = inner
            .uptime_log
            .records()
            .iter()
            .cloned()
            .chain([inner.since_noted(relay_ms(&self.relay))]);
        (records.collect(), inner.uptime_log.planned_stop_max_ms())
    }

    /// Writes block on the disk.
    async fn on_a_thread(&self, write: impl FnOnce(&Self) + Send + 'static) {
        let recorder = self.clone();
        let _ = tokio::task::spawn_blocking(move || write(&recorder)).await;
    }

    fn look(&self, minute: bool) {
        let reasons = self.relay.readiness().reasons();
        let latency = self.relay.take_latency();
        let mut inner = self.lock();
        inner.latency.merge(&latency);
        inner.look(clock_ms(), minute, &reasons);
        inner.look_at_the_wall();
    }

    fn fold(&self) {
        let written = self.lock().fold(relay_ms(&self.relay));
        self.told(written);
        self.make_due();
    }

    fn make_due(&self) {
        let inner = self.lock();
        let now = moment(0);
        if now.wall_ms >= CLOCK_SET_MS
            && let Err(error) =
                monthly::make_due(&inner.data, &inner.uptime_log, &inner.sla_terms, &now)
        {
            tracing::warn!(%error, "writing the monthly uptime report failed");
        }
    }

    fn told(&self, written: Result<(), UptimeLogError>) {
        if let Err(error) = written {
            tracing::warn!(%error, "writing the uptime log failed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    fn look(&mut self, now_ms: u64, minute: bool, reasons: &NotReadyReasons) {
        let took_ms = now_ms.saturating_sub(self.looked_ms);
        if took_ms > MINUTE_MS_MAX && self.matter.is_none() {
            let from_ms = self.looked_ms + u64::try_from(MINUTE.as_millis()).unwrap_or(0);
            self.outages.push(Outage {
                from_ms,
                until_ms: now_ms,
                cause: HELD_UP.into(),
                planned: false,
            });
        }
        self.looked_ms = now_ms;
        // One at a time: the most severe.
        let gravest = reasons.first().copied();
        if gravest != self.matter.map(|(cause, _)| cause) || minute && gravest.is_none() {
            self.close(now_ms);
            self.matter = gravest.map(|cause| (cause, now_ms));
        }
    }

    /// Ends the current outage now.
    fn close(&mut self, now_ms: u64) {
        if let Some((cause, from_ms)) = self.matter.take().filter(|(_, from_ms)| *from_ms < now_ms)
        {
            self.outages.push(outage(cause, from_ms, now_ms));
        }
    }

    fn is_due(&self) -> bool {
        self.looked_ms.saturating_sub(self.since_ms) >= HOUR_MS
            || self.outages.len() >= TROUBLES_MAX
    }

    /// Returns the record since the last write.
    fn since_noted(&self, relay_ms: u64) -> Record {
        let at = moment(relay_ms);
        let mut outages = self.outages.clone();
        if let Some((cause, from_ms)) = self.matter.filter(|(_, from_ms)| *from_ms < at.clock_ms) {
            outages.push(outage(cause, from_ms, at.clock_ms));
        }
        let lasted_ms = at.clock_ms.saturating_sub(self.since_ms);
        Record::Interval {
            at,
            lasted_ms,
            latency: self.latency.clone(),
            outages,
        }
    }

    fn fold(&mut self, relay_ms: u64) -> Result<(), UptimeLogError> {
        let at = moment(relay_ms);
        let goes_on = self.matter;
        self.close(at.clock_ms);
        self.matter = goes_on.map(|(cause, _)| (cause, at.clock_ms));
        let lasted_ms = at.clock_ms.saturating_sub(self.since_ms);
        self.since_ms = at.clock_ms;
        let (latency, outages) = (
            std::mem::take(&mut self.latency),
            std::mem::take(&mut self.outages),
        );
        self.uptime_log.add(Record::Interval {
            at,
            lasted_ms,
            latency,
            outages,
        })
    }

    fn look_at_the_wall(&mut self) {
        let offset_ms = offset_ms();
        let by_ms = offset_ms - self.wall_offset_ms;
        // A clock that is set for the first time after boot did not jump.
        let was_set = wall_ms() - by_ms >= CLOCK_SET_MS;
        if by_ms.abs() >= STEP_MS && was_set {
            self.jump = Some(Jump {
                clock_ms: clock_ms(),
                by_ms,
            });
        }
        self.wall_offset_ms = offset_ms;
    }
}

fn outage(cause: NotReadyReason, from_ms: u64, until_ms: u64) -> Outage {
    Outage {
        from_ms,
        until_ms,
        cause: cause.message().to_owned(),
        planned: cause.is_planned(),
    }
}

fn offset_ms() -> i64 {
    wall_ms() - i64::try_from(clock_ms()).unwrap_or(i64::MAX / 2)
}

fn relay_ms(relay: &Relay) -> u64 {
    u64::try_from(relay.running().as_millis()).unwrap_or(u64::MAX)
}
