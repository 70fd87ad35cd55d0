//! Which push of this device each reader should have before the next one: its header says so, and
//! a relay that withholds one is found out.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::record::Queued;

/// The newest push of this device that each reader should have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readers {
    /// Of those for every device.
    pub(crate) shared: u64,
    /// Of those for one alone.
    addressed: BTreeMap<Bytes, u64>,
}

impl Readers {
    pub(crate) fn newest_for(&self, addressee: &Bytes) -> u64 {
        let addressed = self.addressed.get(addressee).copied().unwrap_or(0);
        addressed.max(self.shared)
    }

    pub(crate) fn note(&mut self, change: &Queued) {
        if change.addressee.is_empty() {
            self.shared = change.push_number;
        } else {
            self.addressed
                .insert(change.addressee.clone(), change.push_number);
        }
    }
}
