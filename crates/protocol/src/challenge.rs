//! Device authentication: a signature over the relay's nonce, bound to store epoch, host, account
//! and device.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::{AccountId, DeviceKey, StoreEpoch};

const DOMAIN: &[u8] = b"graceful-relay/1 authenticate\0";

/// Length of a greeting's nonce.
pub const NONCE_BYTES: usize = 32;

/// The signed fields, in order.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// From the greeting.
    pub nonce: &'a [u8],
    /// From the greeting.
    pub epoch: StoreEpoch,
    /// The host name or address as dialled: without port, in lower case.
    pub host: &'a str,
    /// The claimed account.
    pub account: AccountId,
    /// The signing device.
    pub device: DeviceKey,
}

impl Challenge<'_> {
    /// Returns domain ‖ nonce (32) ‖ epoch (16) ‖ account (32) ‖ device (32) ‖ host.
    /// Only the last part varies in length, so the encoding is unambiguous.
    pub fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(DOMAIN.len() + 112 + self.host.len());
        message.extend_from_slice(DOMAIN);
        message.extend_from_slice(self.nonce);
        message.extend_from_slice(self.epoch.as_bytes());
        message.extend_from_slice(self.account.as_bytes());
        message.extend_from_slice(self.device.as_bytes());
        message.extend_from_slice(self.host.as_bytes());
        message
    }

    /// Signs the challenge.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.message()).to_bytes()
    }

    /// Verifies the signature (RFC 8032, strict: no small-order keys).
    pub fn verify(&self, signature: &[u8]) -> bool {
        verify(&self.device, &self.message(), signature)
    }
}

/// Verifies a signature over `message` by `key` (RFC 8032, strict).
pub(super) fn verify(key: &DeviceKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    VerifyingKey::from_bytes(key.as_bytes())
        .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}
