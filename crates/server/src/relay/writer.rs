//! The one writer: takes every change that waits, commits them in one transaction, answers each.
//! No timer: while one commit is on its way to the disk, the next batch gathers.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use graceful_rules::change::{Change, Outcome};
use graceful_store::{Store, StoreError};

use super::Stopped;
use super::clock::RelayClock;
use super::fold::Bell;
use super::latency::Stopwatch;
use super::metrics::Metrics;
use super::wake::Wakes;

/// Changes that may wait for the writer.
const INBOX_CHANGES_MAX: usize = 4_096;

/// Bytes of payload that may wait for the writer or be in its hands, in KiB.
const IN_HAND_KIB_MAX: u32 = 64 * 1024;

/// Changes in one transaction: a bound on how long the first of them waits.
const COMMIT_CHANGES_MAX: usize = 4_096;

struct Asked {
    change: Change,
    answer: oneshot::Sender<Outcome>,
    /// Its share of the memory for payloads, given back when it is dropped.
    _room: OwnedSemaphorePermit,
    /// Since when it waits, if it is a push.
    pushed: Option<Instant>,
}

/// A handle to the writer.
pub(super) struct Writer {
    inbox: Mutex<Option<mpsc::Sender<Asked>>>,
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    failed: CancellationToken,
    stopwatch: Arc<Stopwatch>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        store: Arc<Store>,
        clock: RelayClock,
        wakes: Arc<Wakes>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (inbox, waiting) = mpsc::channel(INBOX_CHANGES_MAX);
        let failed = CancellationToken::new();
        // Dropped in a panic, too: a relay without a writer must not look alive.
        let failing = failed.clone().drop_guard();
        let stopwatch = Arc::new(Stopwatch::default());
        let (watch, counted) = (stopwatch.clone(), metrics.clone());
        let bell = Bell::hang(store.clone(), failed.clone());
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                match write(&store, &clock, (&wakes, &watch, &bell), &counted, waiting) {
                    Ok(()) => drop(failing.disarm()),
                    Err(error) => {
                        tracing::error!(%error, "the store failed; the relay has to stop")
                    }
                }
            })
            .expect("a thread can be started at start-up");
        Self {
            inbox: Mutex::new(Some(inbox)),
            room: Arc::new(Semaphore::new(IN_HAND_KIB_MAX as usize)),
            metrics,
            failed,
            stopwatch,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Hands a change over, waiting for room. The answer comes when it is on disk, or not at all if
    /// the store fails.
    pub(super) async fn commit(
        &self,
        change: Change,
    ) -> Result<oneshot::Receiver<Outcome>, Stopped> {
        let pushed = matches!(change, Change::Push { .. }).then(Instant::now);
        let inbox = self
            .inbox
            .lock()
            .expect("nobody panics holding it")
            .clone()
            .ok_or(Stopped)?;
        let weight = weight_kib(&change);
        let room = self.room.clone().try_acquire_many_owned(weight);
        let (room, place) = match room.ok().zip(inbox.clone().try_reserve_owned().ok()) {
            Some(both) => both,
            // Seldom, and so with memory of its own: a session's task is as large as the largest of its
            // steps for as long as it lasts.
            None => Box::pin(self.wait_for_room(weight, inbox)).await?,
        };
        let (answer, answered) = oneshot::channel();
        self.metrics.asked();
        place.send(Asked {
            change,
            answer,
            _room: room,
            pushed,
        });
        Ok(answered)
    }

    async fn wait_for_room(
        &self,
        weight_kib: u32,
        inbox: mpsc::Sender<Asked>,
    ) -> Result<(OwnedSemaphorePermit, mpsc::OwnedPermit<Asked>), Stopped> {
        let room = self
            .room
            .clone()
            .acquire_many_owned(weight_kib)
            .await
            .map_err(|_| Stopped)?;
        let place = inbox.reserve_owned().await.map_err(|_| Stopped)?;
        Ok((room, place))
    }

    /// What a reader got of the store, on a thread of its own. If that failed, the relay has to stop.
    pub(super) fn read<T>(
        &self,
        read: Result<Result<T, StoreError>, JoinError>,
    ) -> Result<T, Stopped> {
        let failure = match read {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(failure, "the store failed; the relay has to stop");
        self.failed.cancel();
        Err(Stopped)
    }

    /// How long pushes take.
    pub(super) fn stopwatch(&self) -> &Stopwatch {
        &self.stopwatch
    }

    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Lets the writer finish what waits, and ends it.
    pub(super) async fn stop(&self) {
        drop(self.inbox.lock().expect("nobody panics holding it").take());
        let thread = self.thread.lock().expect("nobody panics holding it").take();
        if let Some(thread) = thread {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("the writer ended badly");
            }
        }
    }
}

/// Bytes in KiB, one at least, and never more than there is room for.
fn weight_kib(change: &Change) -> u32 {
    let bytes: usize = match change {
        Change::Push { envelopes, .. } => envelopes
            .iter()
            .map(|offered| size_of_val(offered) + offered.envelope.sealed.len())
            .sum(),
        Change::Append { entries, .. }
        | Change::Regain { entries, .. }
        | Change::Recover { entries, .. } => entries
            .iter()
            .map(|entry| size_of_val(entry) + entry.body.len() + entry.signature.len())
            .sum(),
        _ => 0,
    };
    u32::try_from(bytes / 1024 + 1)
        .unwrap_or(IN_HAND_KIB_MAX)
        .min(IN_HAND_KIB_MAX)
}

fn write(
    store: &Store,
    clock: &RelayClock,
    (wakes, stopwatch, bell): (&Wakes, &Stopwatch, &Bell),
    metrics: &Metrics,
    mut waiting: mpsc::Receiver<Asked>,
) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    while waiting.blocking_recv_many(&mut batch, COMMIT_CHANGES_MAX) > 0 {
        let mut answers = Vec::with_capacity(batch.len());
        let mut changes = Vec::with_capacity(batch.len());
        for asked in batch.drain(..) {
            changes.push(asked.change);
            answers.push((asked.answer, asked._room, asked.pushed));
        }
        let (count, began) = (changes.len(), Instant::now());
        let committed = store.commit(changes, clock.now())?;
        metrics.committed(count, began.elapsed());
        for ((answer, _room, pushed), outcome) in answers.into_iter().zip(committed.outcomes) {
            let took = pushed.map(|since| since.elapsed());
            metrics.came(&outcome, took);
            took.inspect(|took| stopwatch.stored(*took));
            // Who asked may be gone; what was asked is done all the same.
            let _ = answer.send(outcome);
        }
        for stir in committed.stirs {
            wakes.stir(&stir);
        }
        if store.has_to_fold() {
            bell.ring();
        }
    }
    Ok(())
}
