//! Which push of this device each reader should have before the next one: its header says so, and
//! a relay that withholds one is found out.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::record::Queued;

/// The newest push of this device that each reader should have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recipients {
    /// Of those for every device.
    pub(crate) shared: u64,
    /// Of those for one alone.
    targeted: BTreeMap<Bytes, u64>,
}

impl Recipients {
    pub(crate) fn newest_for(&self, recipient: &Bytes) -> u64 {
        let targeted = self.targeted.get(recipient).copied().unwrap_or(0);
        targeted.max(self.shared)
    }

    pub(crate) fn note(&mut self, change: &Queued) {
        if change.recipient.is_empty() {
            self.shared = change.push_number;
        } else {
            self.targeted
                .insert(change.recipient.clone(), change.push_number);
        }
    }
}
