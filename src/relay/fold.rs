//! The folder: a thread that folds what the journal has into redb, while the writer goes on.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Tells the folder that there is something to fold. It ends when this is dropped.
pub(super) struct Bell(SyncSender<()>);

impl Bell {
    /// Starts the folder. If it fails, so has the store.
    pub(super) fn hang(store: Arc<Store>, failed: CancellationToken) -> Self {
        let (bell, rung) = sync_channel(1);
        let failing = failed.drop_guard();
        std::thread::Builder::new()
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
        Self(bell)
    }

    pub(super) fn ring(&self) {
        match self.0.try_send(()) {
            // Who has been told and has not begun yet finds this, too.
            Ok(()) | Err(TrySendError::Full(())) => {}
            Err(TrySendError::Disconnected(())) => tracing::debug!("the folder has ended"),
        }
    }
}
