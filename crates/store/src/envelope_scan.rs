//! Everything there is to see of the envelopes kept: what whoever reads the disk can know.

use bytes::Bytes;

use graceful_protocol::DeviceKey;
use graceful_rules::RelayTime;

use super::row::IndexEntry;
use super::tables::{INDEX, LOG, second};
use super::{Store, StoreError, envelope};

/// One envelope, as the disk shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleMetadata {
    /// Its entry in its account's log.
    pub seq: u64,
    /// Who pushed it.
    pub sender: DeviceKey,
    /// Its sender's number for it.
    pub push_number: u64,
    /// When it came, by the relay's own clock.
    pub arrived: RelayTime,
    /// The envelope itself.
    pub sealed: Bytes,
}

impl Store {
    /// Every envelope of every account. For showing what a relay can know, not for its work: all of
    /// it is in memory at once.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn visible_metadata(&self) -> Result<Vec<VisibleMetadata>, StoreError> {
        let snapshot = self.snapshot()?;
        let (log, index) = (snapshot.table(LOG), snapshot.table(INDEX));
        let mut all = Vec::new();
        for item in index.iter()? {
            let (key, value) = item?;
            let entry = IndexEntry::from_bytes(second(key.value()), value.value());
            let (head, sealed) = envelope::read(&log, &snapshot.keys, &entry)?;
            let (seq, sender) = (entry.meta.seq, head.sender_key);
            let (push_number, arrived) = (head.push_number, head.arrived);
            all.push(VisibleMetadata {
                seq,
                sender,
                push_number,
                arrived,
                sealed,
            });
        }
        Ok(all)
    }
}
