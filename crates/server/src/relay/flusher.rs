//! The thread: a thread that folds what the journal has into redb, while the writer goes on.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use graceful_store::Store;

/// Tells the thread that there is something to fold. When this is dropped, it ends.
pub(super) struct Flusher {
    /// There until it is dropped.
    sender: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts the thread. If it fails, so has the store.
    pub(super) fn spawn(store: Arc<Store>, failed: CancellationToken) -> Self {
        let (flusher, notified) = sync_channel(1);
        let failing = failed.drop_guard();
        let thread = std::thread::Builder::new()
            .name("flusher".into())
            .spawn(move || {
                while notified.recv().is_ok() {
                    if let Err(error) = store.flush() {
                        tracing::error!(%error, "the store failed; the relay has to stop");
                        return;
                    }
                }
                failing.disarm();
            })
            .expect("a thread can be started at start-up");
        Self {
            sender: Some(flusher),
            thread: Some(thread),
        }
    }

    pub(super) fn notify(&self) {
        match self.sender.as_ref().map(|sender| sender.try_send(())) {
            Some(Err(TrySendError::Disconnected(()))) => tracing::debug!("the flusher has ended"),
            // Who has been told and has not begun yet finds this, too.
            Some(Ok(()) | Err(TrySendError::Full(()))) | None => {}
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.sender.take());
        // Whoever waits for the writer to end wants the store to himself.
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the flusher ended badly");
        }
    }
}
