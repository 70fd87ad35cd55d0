//! Who keeps the record while the relay runs: looks each minute, notes each hour.

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

/// How often it looks.
const MINUTE: Duration = Duration::from_secs(60);

/// How often an idle relay writes: no more often than it marks its clock.
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A minute that takes longer than this was no minute of service: the machine slept, or the process was
/// held up.
const MINUTE_MS_MAX: u64 = 90_000;

/// Troubles that are held in memory; with more of them the hour is noted early.
const TROUBLES_MAX: usize = 240;

/// A step of the wall clock that is told.
const STEP_MS: i64 = 60_000;

const HELD_UP: &str = "the machine slept, or the process was held up";

/// A wall clock that jumped while the relay ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// When, by the clock that nobody sets.
    pub clock_ms: u64,
    /// How far, in milliseconds; back where it is negative.
    pub by_ms: i64,
}

/// Keeps the record. Clones are handles to the same.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    relay: Relay,
}

struct Inner {
    uptime_log: UptimeLog,
    data: PathBuf,
    sla_terms: SlaTerms,
    /// Since when nothing was noted.
    since_ms: u64,
    latency: Latency,
    outages: Vec<Outage>,
    /// What is the matter now, and since when.
    matter: Option<(NotReadyReason, u64)>,
    looked_ms: u64,
    wall_offset_ms: i64,
    jump: Option<Jump>,
}

impl Recorder {
    /// Begins the record of a run in the data folder. What cannot be written is told and no reason to stop:
    /// a relay has to start on a full disk, too.
    pub fn begin(data: &Path, sla_terms: SlaTerms, relay: Relay) -> Self {
        let mut uptime_log =
            UptimeLog::read(data, sla_terms.planned_stop_max_ms).unwrap_or_else(|error| {
                tracing::warn!(%error, "the record of uptime begins anew");
                UptimeLog::empty(data, sla_terms.planned_stop_max_ms)
            });
        let at = moment(relay_ms(&relay));
        let (since_ms, wall_offset_ms) = (at.clock_ms, offset_ms());
        let begun = uptime_log.begin(Record::Started { at });
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
        recorder.told(begun);
        recorder.make_due();
        recorder
    }

    /// Looks and notes until told to stop noting.
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

    /// Notes everything up to now.
    pub async fn note(&self) {
        self.look(false);
        self.on_a_thread(Self::fold).await;
    }

    /// Notes the end. `planned`: somebody told it to stop.
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

    /// The last jump of the wall clock, if there was one in this run and the time was not just being set
    /// for the first time.
    pub fn jump(&self) -> Option<Jump> {
        self.lock().jump
    }

    /// All that was recorded, with what is only in memory yet; and how long a planned stop may last, in
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

    /// Writing waits for the disk.
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
            tracing::warn!(%error, "the month's report of uptime could not be made");
        }
    }

    fn told(&self, written: Result<(), UptimeLogError>) {
        if let Err(error) = written {
            tracing::warn!(%error, "the record of uptime lacks what was to be noted now");
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

    /// What is the matter is a trouble up to now.
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

    /// The while since the last note, as it would be noted now.
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
        // A clock that is set for the first time after a boot does what it should.
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
