//! The identity of a relay and of its store.

use graceful_protocol::{RelayId, StoreEpoch};

/// The identity of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The relay's id, generated with the store.
    pub relay_id: RelayId,
    /// The store epoch: new after each restore.
    pub epoch: StoreEpoch,
}

impl Identity {
    /// Generates an identity from the operating system's randomness.
    ///
    /// # Panics
    /// If the operating system has no randomness.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives randomness");
        let (relay_id, epoch) = bytes.split_at(16);
        Self {
            relay_id: RelayId::try_from(relay_id).expect("16 bytes"),
            epoch: StoreEpoch::try_from(epoch).expect("16 bytes"),
        }
    }
}
