//! The only writer: commits all queued commands in one transaction and replies to each. There is no
//! timer: while one commit is on its way to the disk, the next batch gathers.

use std::sync::Arc;

use parking_lot::Mutex;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use graceful_rules::command::{Command, Outcome};
use graceful_store::StoreError;

use super::Stopped;
use super::clock::RelayClock;
use super::engine::Engine;
use super::latency::LatencyHistogram;
use super::notify::Subscriptions;
use crate::observe::Metrics;

/// Commands that may queue.
const QUEUE_COMMANDS_MAX: usize = 4_096;

/// Payload of queued commands and of the current batch in KiB.
const QUEUED_KIB_MAX: u32 = 64 * 1024;

/// Commands in one transaction, which bounds the latency of the first.
const BATCH_COMMANDS_MAX: usize = 4_096;

struct PendingCommand {
    change: Command,
    reply: oneshot::Sender<Outcome>,
    /// Its share of the payload memory.
    _permit: OwnedSemaphorePermit,
    /// The arrival time of a push.
    pushed: Option<Instant>,
}

/// A handle to the writer.
pub(super) struct Writer {
    inbox: Mutex<Option<mpsc::Sender<PendingCommand>>>,
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    failed: CancellationToken,
    latency: Arc<LatencyHistogram>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        store: Engine,
        clock: RelayClock,
        subscriptions: Arc<Subscriptions>,
        metrics: Arc<Metrics>,
        failed: CancellationToken,
    ) -> Self {
        let (inbox, waiting) = mpsc::channel(QUEUE_COMMANDS_MAX);
        // Cancelled by a panic too: a relay without a writer must not look alive.
        let failing = failed.clone().drop_guard();
        let latency = Arc::new(LatencyHistogram::default());
        let (watch, counted) = (latency.clone(), metrics.clone());
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                match write(&store, &clock, (&subscriptions, &watch), &counted, waiting) {
                    Ok(()) => drop(failing.disarm()),
                    Err(error) => {
                        tracing::error!(%error, "store failed; the relay stops")
                    }
                }
            })
            .expect("a thread can be started at start-up");
        Self {
            inbox: Mutex::new(Some(inbox)),
            room: Arc::new(Semaphore::new(QUEUED_KIB_MAX as usize)),
            metrics,
            failed,
            latency,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Queues a command, and waits for capacity. The reply comes when the command is on disk, or
    /// not at all if the store fails.
    pub(super) async fn commit(
        &self,
        change: Command,
    ) -> Result<oneshot::Receiver<Outcome>, Stopped> {
        let pushed = matches!(change, Command::Push { .. }).then(Instant::now);
        let inbox = self.inbox.lock().clone().ok_or(Stopped)?;
        let weight = weight_kib(&change);
        let room = self.room.clone().try_acquire_many_owned(weight);
        let (room, place) = match room.ok().zip(inbox.clone().try_reserve_owned().ok()) {
            Some(both) => both,
            // Boxed, since it is rare: the task of a session is as large as its largest step.
            None => Box::pin(self.reserve_slow(weight, inbox)).await?,
        };
        let (reply, outcome) = oneshot::channel();
        self.metrics.command_queued();
        place.send(PendingCommand {
            change,
            reply,
            _permit: room,
            pushed,
        });
        Ok(outcome)
    }

    async fn reserve_slow(
        &self,
        weight_kib: u32,
        inbox: mpsc::Sender<PendingCommand>,
    ) -> Result<(OwnedSemaphorePermit, mpsc::OwnedPermit<PendingCommand>), Stopped> {
        let room = self
            .room
            .clone()
            .acquire_many_owned(weight_kib)
            .await
            .map_err(|_| Stopped)?;
        let place = inbox.reserve_owned().await.map_err(|_| Stopped)?;
        Ok((room, place))
    }

    /// Unwraps the result of a read on another thread. A failure stops the relay.
    pub(super) fn check_read<T>(
        &self,
        read: Result<Result<T, StoreError>, JoinError>,
    ) -> Result<T, Stopped> {
        let failure = match read {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(failure, "store failed; the relay stops");
        self.failed.cancel();
        Err(Stopped)
    }

    /// Returns the histogram of push latency.
    pub(super) fn latency(&self) -> &LatencyHistogram {
        &self.latency
    }

    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Commits what is queued and stops the writer.
    pub(super) async fn stop(&self) {
        drop(self.inbox.lock().take());
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("writer thread panicked");
            }
        }
    }
}

/// Returns the payload in KiB, at least 1 and at most the capacity.
fn weight_kib(change: &Command) -> u32 {
    let bytes: usize = match change {
        Command::Push { envelopes, .. } => envelopes
            .iter()
            .map(|offered| size_of_val(offered) + offered.envelope.sealed.len())
            .sum(),
        Command::AppendMembership { entries, .. }
        | Command::RestoreMembership { entries, .. }
        | Command::RecoverAccount { entries, .. } => entries
            .iter()
            .map(|entry| size_of_val(entry) + entry.body.len() + entry.signature.len())
            .sum(),
        _ => 0,
    };
    u32::try_from(bytes / 1024 + 1)
        .unwrap_or(QUEUED_KIB_MAX)
        .min(QUEUED_KIB_MAX)
}

fn write(
    store: &Engine,
    clock: &RelayClock,
    (subscriptions, latency): (&Subscriptions, &LatencyHistogram),
    metrics: &Metrics,
    mut waiting: mpsc::Receiver<PendingCommand>,
) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    while waiting.blocking_recv_many(&mut batch, BATCH_COMMANDS_MAX) > 0 {
        let mut replies = Vec::with_capacity(batch.len());
        let mut changes = Vec::with_capacity(batch.len());
        for pending in batch.drain(..) {
            changes.push(pending.change);
            replies.push((pending.reply, pending._permit, pending.pushed));
        }
        let (count, began) = (changes.len(), Instant::now());
        let committed = store.commit(&changes, clock.now())?;
        metrics.record_commit(count, began.elapsed());
        for ((reply, _permit, pushed), outcome) in replies.into_iter().zip(committed.outcomes) {
            let took = pushed.map(|since| since.elapsed());
            metrics.record_outcome(&outcome, took);
            took.inspect(|took| latency.record(*took));
            // The sender may be gone; the command is committed nevertheless.
            let _ = reply.send(outcome);
        }
        for change in committed.changed_accounts {
            subscriptions.notify(&change);
        }
    }
    Ok(())
}
