//! Storage quota of one account.

use serde::{Deserialize, Serialize};

use graceful_protocol::Limits;

/// An operator's override for one account. `None` uses the relay's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Stored bytes; 0 stores nothing new.
    pub bytes_max: Option<u64>,
    /// Stored envelopes.
    pub envelopes_max: Option<u64>,
}

impl Quota {
    /// Returns the byte quota.
    pub fn bytes_max(&self, limits: &Limits) -> u64 {
        self.bytes_max.unwrap_or(limits.account_bytes_max)
    }

    /// Returns the envelope quota.
    pub fn envelopes_max(&self, limits: &Limits) -> u64 {
        self.envelopes_max.unwrap_or(limits.account_envelopes_max)
    }
}
