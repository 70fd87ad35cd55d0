//! The running hash of an account's log. Two devices that agree on it at a seq have seen the same
//! envelopes from the same senders in the same order.

use sha2::{Digest, Sha256};

use super::{Chain, DeviceKey};

const DOMAIN: &[u8] = b"graceful-relay/1 chain\0";

/// Running hash of an empty log.
pub const START: Chain = Chain::new([0; 32]);

/// Returns the running hash after one more envelope: SHA-256(domain ‖ before ‖ seq ‖ sender ‖
/// SHA-256(sealed)), integers big-endian.
pub fn extend(before: &Chain, seq: u64, sender: &DeviceKey, sealed: &[u8]) -> Chain {
    extend_by_digest(before, seq, sender, &digest(sealed))
}

/// Returns the digest of an envelope in the running hash: SHA-256(sealed).
pub fn digest(sealed: &[u8]) -> [u8; 32] {
    Sha256::digest(sealed).into()
}

/// [`extend`] with a precomputed digest.
pub fn extend_by_digest(before: &Chain, seq: u64, sender: &DeviceKey, digest: &[u8; 32]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(before.as_bytes());
    hash.update(seq.to_be_bytes());
    hash.update(sender.as_bytes());
    hash.update(digest);
    Chain::new(hash.finalize().into())
}
