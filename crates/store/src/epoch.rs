//! A new history: what a store that was put back from a backup tells its devices, so that they know
//! it for a restore and push again what it lacks.

use graceful_protocol::StoreEpoch;

use super::tables::{META, meta};
use super::{Store, StoreError};

impl Store {
    /// From the next opening on, the store tells this history.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn begin_epoch(&self, epoch: StoreEpoch) -> Result<(), StoreError> {
        // What the journal has is of the history before, and is kept.
        self.close()?;
        let transaction = self.database.begin_write()?;
        transaction
            .open_table(META.definition)?
            .insert(meta::EPOCH, epoch.as_bytes().as_slice())?;
        transaction.commit()?;
        Ok(())
    }
}
