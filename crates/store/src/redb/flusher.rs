//! The store with its flusher: a thread that flushes memtables while the writer continues.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use graceful_rules::RelayTime;
use graceful_rules::command::Command;

use super::store::Store;
use crate::{Committed, Engine, StoreError};

/// A store whose memtables are flushed by a thread of its own, which ends when this is dropped.
pub struct RedbEngine {
    store: Arc<Store>,
    /// There until it is dropped.
    notify: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RedbEngine {
    /// Starts the flusher. `on_failure` runs if a flush fails or panics: the process has to end.
    ///
    /// # Panics
    /// If no thread can be started.
    pub fn start(store: Store, on_failure: impl FnOnce() + Send + 'static) -> Self {
        let store = Arc::new(store);
        let (notify, notified) = sync_channel(1);
        let flushed = store.clone();
        let thread = std::thread::Builder::new()
            .name("flusher".into())
            .spawn(move || {
                let on_failure = OnFailure(Some(on_failure));
                if run(&flushed, &notified).is_ok() {
                    on_failure.disarm();
                }
            })
            .expect("a thread can be started");
        Self {
            store,
            notify: Some(notify),
            thread: Some(thread),
        }
    }

    /// Applies commands as [`Engine::commit`] does, and notifies the flusher if a memtable was sealed.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    pub fn commit(&self, commands: &[Command], now: RelayTime) -> Result<Committed, StoreError> {
        let committed = self.store.commit(commands, now)?;
        if self.store.needs_flush()
            && let Some(notify) = &self.notify
        {
            // A full channel is a notification that the flusher has not read yet.
            let _ = notify.try_send(());
        }
        Ok(committed)
    }

    /// Writes what only the journal has to the database, so that a start after it is quicker.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.store.flush_all()
    }
}

fn run(store: &Store, notified: &Receiver<()>) -> Result<(), ()> {
    while notified.recv().is_ok() {
        if let Err(error) = store.flush() {
            tracing::error!(%error, "the store failed; the relay has to stop");
            return Err(());
        }
    }
    Ok(())
}

impl Deref for RedbEngine {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for RedbEngine {
    fn drop(&mut self) {
        drop(self.notify.take());
        // Joined, so that the store is closed when the engine is gone.
        let thread = self.thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the flusher panicked");
        }
    }
}

/// Runs a function when it is dropped, in a panic as well, unless it was disarmed.
struct OnFailure<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnFailure<F> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for OnFailure<F> {
    fn drop(&mut self) {
        if let Some(on_failure) = self.0.take() {
            on_failure();
        }
    }
}
