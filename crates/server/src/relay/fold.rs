//! The folder: a thread that folds what the journal has into redb, while the writer goes on.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use graceful_store::Store;

/// Tells the folder that there is something to fold. When this is dropped, it ends.
pub(super) struct Bell {
    /// There until it is dropped.
    rope: Option<SyncSender<()>>,
    folder: Option<JoinHandle<()>>,
}

impl Bell {
    /// Starts the folder. If it fails, so has the store.
    pub(super) fn hang(store: Arc<Store>, failed: CancellationToken) -> Self {
        let (bell, rung) = sync_channel(1);
        let failing = failed.drop_guard();
        let folder = std::thread::Builder::new()
            .name("folder".into())
            .spawn(move || {
                while rung.recv().is_ok() {
                    if let Err(error) = store.fold() {
                        tracing::error!(%error, "the store failed; the relay has to stop");
                        return;
                    }
                }
                failing.disarm();
            })
            .expect("a thread can be started at start-up");
        Self {
            rope: Some(bell),
            folder: Some(folder),
        }
    }

    pub(super) fn ring(&self) {
        match self.rope.as_ref().map(|rope| rope.try_send(())) {
            Some(Err(TrySendError::Disconnected(()))) => tracing::debug!("the folder has ended"),
            // Who has been told and has not begun yet finds this, too.
            Some(Ok(()) | Err(TrySendError::Full(()))) | None => {}
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        drop(self.rope.take());
        // Whoever waits for the writer to end wants the store to himself.
        if self
            .folder
            .take()
            .is_some_and(|folder| folder.join().is_err())
        {
            tracing::error!("the folder ended badly");
        }
    }
}
