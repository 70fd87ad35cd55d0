//! What one account may keep: what all may, unless an operator chose otherwise for it.

use serde::{Deserialize, Serialize};

use graceful_protocol::Limits;

/// What an operator chose for one account. What is `None` is as for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Bytes, as envelopes are counted. 0: it keeps nothing new.
    pub bytes_max: Option<u64>,
    /// Envelopes.
    pub envelopes_max: Option<u64>,
}

impl Quota {
    /// Bytes that may be kept, where all others may keep those in `limits`.
    pub fn bytes_max(&self, limits: &Limits) -> u64 {
        self.bytes_max.unwrap_or(limits.account_bytes_max)
    }

    /// The same for envelopes.
    pub fn envelopes_max(&self, limits: &Limits) -> u64 {
        self.envelopes_max.unwrap_or(limits.account_envelopes_max)
    }
}
