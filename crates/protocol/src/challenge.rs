//! How a device proves itself: it signs the relay's nonce together with everything that makes the
//! answer useless elsewhere.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::{AccountId, DeviceKey, StoreEpoch};

const DOMAIN: &[u8] = b"graceful-relay/1 authenticate\0";

/// Bytes of a greeting's nonce.
pub const NONCE_BYTES: usize = 32;

/// What is signed, in this order.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// From the greeting.
    pub nonce: &'a [u8],
    /// From the greeting.
    pub epoch: StoreEpoch,
    /// The host name or address that the device dialled, without port, in lower case.
    pub host: &'a str,
    /// The account it belongs to.
    pub account: AccountId,
    /// The device itself.
    pub device: DeviceKey,
}

impl Challenge<'_> {
    /// domain ‖ nonce (32) ‖ epoch (16) ‖ account (32) ‖ device (32) ‖ host.
    /// Only the last part varies in length, so no two challenges have the same bytes.
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

    /// The device's answer.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.message()).to_bytes()
    }

    /// Whether `signature` is this device's answer (RFC 8032, strict: no small-order keys).
    pub fn verify(&self, signature: &[u8]) -> bool {
        verify(&self.device, &self.message(), signature)
    }
}

/// Whether `signature` over `message` was made with `key` (RFC 8032, strict).
pub(super) fn verify(key: &DeviceKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    VerifyingKey::from_bytes(key.as_bytes())
        .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}
