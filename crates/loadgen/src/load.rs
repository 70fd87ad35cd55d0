//! A run: all connections under load, and the relay's resource usage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accounts::ProvisionedDevice;
use super::plan::{Mode, Plan};
use super::process::{Process, Used};
use super::schedule::Schedule;
use super::stats::{Stats, Summary};
use super::timer::Timer;
use super::worker::{Payload, Run, Worker, WorkerResult};
use graceful_raw_client::{RawConnection, RawError};

/// How long a run waits for answers after its end.
const DRAIN_WAIT: Duration = Duration::from_secs(10);
/// Interval of progress reports.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// In-flight frames, if the greeting does not say.
const IN_FLIGHT_FRAMES_MAX: u32 = 1;

/// The result of a run.
pub struct Outcome {
    /// Pushes sent, including the warm-up.
    pub pushed: u64,
    /// Scheduled pushes without an answer.
    pub unanswered: u64,
    /// Stored pushes.
    pub stored: Summary,
    /// Delivered pushes, if receivers are connected.
    pub delivered: Option<Summary>,
    /// The relay's usage during the measurement, and before it.
    pub relay: Option<(Used, Used)>,
    /// The generator's usage.
    pub generator: Used,
    /// The creators' open connections, with the number of their account.
    pub creators: Vec<(usize, RawConnection)>,
    /// The error that ended the run early.
    pub trouble: Option<RawError>,
}

/// Progress of a run.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Elapsed time, including the warm-up.
    pub elapsed: Duration,
    /// Pushes stored so far.
    pub stored: u64,
}

/// Runs the load over authenticated connections, until its time is over or `stop` is cancelled.
pub async fn run(
    plan: &Plan,
    provisioned: Vec<ProvisionedDevice>,
    payload: Payload,
    relay: Option<Process>,
    stop: &CancellationToken,
    mut tell: impl FnMut(Progress),
) -> Outcome {
    let end = plan.warm_up + plan.duration;
    let window = plan.warm_up..end;
    let run = Arc::new(Run {
        started: Instant::now(),
        payload,
        batch: plan.batch,
        stored: Stats::new(window.clone()),
        delivered: Stats::new(window.clone()),
        stop: CancellationToken::new(),
    });
    let mut work = Work::begin(plan, provisioned, &run, end, stop);
    let own = Process::new(std::process::id());
    let used = || (relay.and_then(Process::used), own.used_alone());
    let progress = |run: &Run| Progress {
        elapsed: run.started.elapsed(),
        stored: run.stored.all(),
    };
    work.until(window.start, || tell(progress(&run))).await;
    let before = used();
    work.until(window.end, || tell(progress(&run))).await;
    let after = used();
    work.drain(plan, &run).await;
    let delivered = (plan.mode == Mode::Deliver).then(|| run.delivered.summary());
    Outcome {
        pushed: work.pushed,
        unanswered: work.unanswered,
        stored: run.stored.summary(),
        delivered,
        relay: after
            .0
            .zip(before.0)
            .map(|(after, before)| (after.since(&before), before)),
        generator: after.1.since(&before.1),
        creators: work.creators,
        trouble: work.trouble,
    }
}

/// All workers, and the results of those that ended.
struct Work {
    workers: JoinSet<(usize, usize, WorkerResult)>,
    run: Arc<Run>,
    /// Pushing devices that are not done.
    pushing: usize,
    pushed: u64,
    unanswered: u64,
    creators: Vec<(usize, RawConnection)>,
    trouble: Option<RawError>,
    /// The caller's stop signal.
    stop: CancellationToken,
    _pacer: Option<Timer>,
}

impl Work {
    fn begin(
        plan: &Plan,
        provisioned: Vec<ProvisionedDevice>,
        run: &Arc<Run>,
        end: Duration,
        stop: &CancellationToken,
    ) -> Self {
        let mut workers = JoinSet::new();
        let mut wakes = Vec::new();
        for slot in provisioned {
            let wake = Arc::new(Notify::new());
            let pushes = slot.device == 0 && plan.mode != Mode::Idle;
            let limits = slot.connection.greeting.limits.as_ref();
            let in_flight_max =
                limits.map_or(IN_FLIGHT_FRAMES_MAX, |limits| limits.in_flight_frames_max);
            let schedule = pushes.then(|| {
                wakes.push(wake.clone());
                Schedule::new(
                    plan.pace(slot.account),
                    in_flight_max as usize,
                    plan.batch,
                    end,
                )
            });
            let worker = Worker::new(slot.connection, run.clone(), schedule, wake);
            workers.spawn(async move { (slot.account, slot.device, worker.work().await) });
        }
        let pushing = wakes.len();
        let timer = plan
            .frame_rate()
            .map(|rate| Timer::start(rate, run.started, wakes));
        Self {
            workers,
            run: run.clone(),
            pushing,
            pushed: 0,
            unanswered: 0,
            creators: Vec::new(),
            trouble: None,
            stop: stop.clone(),
            _pacer: timer,
        }
    }

    /// Waits until this moment or the first error.
    async fn until(&mut self, moment: Duration, mut tell: impl FnMut()) {
        let deadline = tokio::time::Instant::from_std(self.run.started + moment);
        let mut progress = tokio::time::interval(PROGRESS_EVERY);
        let stop = self.stop.clone();
        while self.trouble.is_none() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(deadline) => return,
                _ = progress.tick() => tell(),
                Some(ended) = self.workers.join_next() => self.take(ended),
            }
        }
    }

    /// Waits for outstanding answers, and stops all workers.
    async fn drain(&mut self, plan: &Plan, run: &Run) {
        let deadline = tokio::time::Instant::now() + DRAIN_WAIT;
        let receivers = plan.devices as u64 - 1;
        let mut look = tokio::time::interval(PROGRESS_EVERY / 10);
        while self.trouble.is_none() && !self.stop.is_cancelled() {
            let delivered =
                plan.mode != Mode::Deliver || run.delivered.all() >= run.stored.all() * receivers;
            if self.pushing == 0 && delivered {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => break,
                _ = look.tick() => {}
                Some(ended) = self.workers.join_next() => self.take(ended),
            }
        }
        run.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            self.take(ended);
        }
    }

    fn take(&mut self, ended: Result<(usize, usize, WorkerResult), tokio::task::JoinError>) {
        let (account, device, ended) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                self.trouble = Some(RawError::Broken(error.to_string()));
                return;
            }
        };
        self.pushed += ended.pushed;
        self.unanswered += ended.unanswered;
        if device == 0 {
            self.pushing = self.pushing.saturating_sub(1);
        }
        match ended.trouble {
            Some(trouble) => self.trouble = self.trouble.take().or(Some(trouble)),
            None if device == 0 => self.creators.push((account, ended.connection)),
            None => {}
        }
    }
}
