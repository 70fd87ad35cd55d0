//! Maintenance: retired day keys, the copy from before an upgrade, ballast, the store epoch.

use std::time::Duration;

use graceful_protocol::StoreEpoch;
use graceful_rules::RelayTime;

use super::data_dir;
use super::files::BEFORE_UPGRADE;
use super::schema::{LOG, META, meta};
use super::store::Store;
use crate::StoreError;

/// How long the copy from before an upgrade stays, in relay time.
const BACKUP_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    /// Does what is due at any time: reserves ballast again, overwrites the keys of days whose envelopes are
    /// all gone and, if the relay is ready, removes the copy from before an upgrade when it is a day old.
    ///
    /// # Errors
    /// [`StoreError`]: the process has to end.
    pub fn maintain(&self, now: RelayTime, ready: bool) -> Result<(), StoreError> {
        self.allocate_ballast();
        if ready && self.remove_upgrade_backup(now)? {
            tracing::info!(
                "the relay was ready for a day after the upgrade: {BEFORE_UPGRADE} is removed"
            );
        }
        let days = self.retire_day_keys(now)?;
        if days > 0 {
            tracing::info!(
                days,
                "the envelopes of past days are gone, and their keys are overwritten"
            );
        }
        Ok(())
    }

    /// Overwrites the keys of past days of whose envelopes none is left. Returns how many. Not a commit: the
    /// removal of their last envelopes is durable already.
    ///
    /// # Errors
    /// [`StoreError`]: a key may still be there, and the process has to end; the next start tries again.
    pub fn retire_day_keys(&self, now: RelayTime) -> Result<usize, StoreError> {
        let ring = self.keys.ring();
        if !ring.has_past_days(now) {
            return Ok(0);
        }
        if ring.unused(&self.snapshot()?.table(LOG), now)?.is_empty() {
            return Ok(0);
        }
        // While the journal is locked no commit can add an envelope under a key that is about to go, and
        // what a snapshot shows is durable.
        let journal = self.journal();
        let unused = {
            let snapshot = self.snapshot()?;
            snapshot.keys.unused(&snapshot.table(LOG), now)?
        };
        self.keys.remove(&unused);
        drop(journal);
        self.keys.erase(&unused)?;
        Ok(unused.len())
    }

    /// Removes the copy from before an upgrade if the relay has run for a day since. Returns whether it did.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn remove_upgrade_backup(&self, now: RelayTime) -> Result<bool, StoreError> {
        let Some(disk_space) = &self.disk_space else {
            return Ok(false);
        };
        let backup = disk_space.data_dir().join(BEFORE_UPGRADE);
        if !backup.exists() {
            return Ok(false);
        }
        let upgraded = RelayTime::from_ms(self.snapshot()?.meta_number(meta::UPGRADED)?);
        if now < upgraded.plus(BACKUP_RETENTION) {
            return Ok(false);
        }
        data_dir::remove(&backup)?;
        Ok(true)
    }

    /// Reserves the ballast again if it was released and there is space.
    pub fn allocate_ballast(&self) {
        if let Some(disk_space) = &self.disk_space
            && let Err(error) = disk_space.allocate_ballast()
        {
            tracing::warn!(%error, "could not reserve ballast; on a full disk, space would have to be freed by hand");
        }
    }

    /// Starts a store epoch: devices learn of it after the next start, and push again what the store lacks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn begin_epoch(&self, epoch: StoreEpoch) -> Result<(), StoreError> {
        // Flushed first: the journal belongs to the epoch before.
        self.close()?;
        let transaction = self.database.begin_write()?;
        transaction
            .open_table(META.definition)?
            .insert(meta::EPOCH, epoch.as_bytes().as_slice())?;
        transaction.commit()?;
        Ok(())
    }
}
