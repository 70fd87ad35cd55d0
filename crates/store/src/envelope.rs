//! What the store keeps beside an envelope's payload.

use graceful_protocol::{Chain, DeviceKey};
use graceful_rules::{AccountNumber, EnvelopeMeta, RelayTime};

/// The header of a stored envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeHeader {
    /// The account whose log the envelope is in.
    pub account: AccountNumber,
    /// Seq, sender, recipient and size.
    pub meta: EnvelopeMeta,
    /// When the envelope was stored, in relay time.
    pub arrived: RelayTime,
    /// The sender's number for the envelope.
    pub push_number: u64,
    /// The sender's key when it pushed: its membership may have ended since.
    pub sender_key: DeviceKey,
    /// The running hash of the account through this envelope.
    pub chain: Chain,
}
