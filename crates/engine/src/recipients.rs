//! The newest push that each recipient should have. Every header names it, so that a relay that
//! withholds one is detected.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::record::Queued;

/// The newest push per recipient.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recipients {
    /// The newest push for all devices.
    pub(crate) shared: u64,
    /// The newest push for one device.
    targeted: BTreeMap<Bytes, u64>,
}

impl Recipients {
    pub(crate) fn newest_for(&self, recipient: &Bytes) -> u64 {
        let targeted = self.targeted.get(recipient).copied().unwrap_or(0);
        targeted.max(self.shared)
    }

    pub(crate) fn record(&mut self, change: &Queued) {
        if change.recipient.is_empty() {
            self.shared = change.push_number;
        } else {
            self.targeted
                .insert(change.recipient.clone(), change.push_number);
        }
    }
}
