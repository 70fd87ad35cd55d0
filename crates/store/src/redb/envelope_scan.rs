//! What can be read of stored envelopes without any key of a device.

use bytes::Bytes;
use graceful_protocol::DeviceKey;
use graceful_rules::RelayTime;

use super::codec::IndexEntry;
use super::log;
use super::schema::{INDEX, LOG, second};
use super::store::Store;
use crate::StoreError;

/// What the relay can see of one envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleMetadata {
    /// Its position in its account's log.
    pub seq: u64,
    /// The device that pushed it.
    pub sender: DeviceKey,
    /// The sender's number for it.
    pub push_number: u64,
    /// When it was stored, in relay time.
    pub arrived: RelayTime,
    /// The sealed envelope.
    pub sealed: Bytes,
}

impl Store {
    /// Returns every envelope of every account, all of them in memory at once. Meant to show what a relay
    /// can see, not for its work.
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
            let (header, sealed) = log::read(&log, &snapshot.keys, &entry)?;
            all.push(VisibleMetadata {
                seq: entry.meta.seq,
                sender: header.sender_key,
                push_number: header.push_number,
                arrived: header.arrived,
                sealed,
            });
        }
        Ok(all)
    }
}
