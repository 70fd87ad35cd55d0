//! Signatures by the recovery key: consent to a genesis entry, and authentication with the recovery
//! phrase alone.

use ed25519_dalek::{Signer, SigningKey};

use super::challenge::verify;
use super::wire::Genesis;
use super::{DeviceKey, StoreEpoch};

const RECOVER_DOMAIN: &[u8] = b"graceful-relay/1 recover\0";
const GENESIS_DOMAIN: &[u8] = b"graceful-relay/1 recovery founding\0";

/// The signed fields of a recovery, in order. Unlike a device's challenge it names no account: the
/// recovery phrase alone does not tell which.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryChallenge<'a> {
    /// From the greeting.
    pub nonce: &'a [u8],
    /// From the greeting.
    pub epoch: StoreEpoch,
    /// The host name or address as dialled: without port, in lower case.
    pub host: &'a str,
    /// The recovery key.
    pub key: DeviceKey,
}

impl RecoveryChallenge<'_> {
    /// Returns domain ‖ nonce (32) ‖ epoch (16) ‖ recovery key (32) ‖ host.
    pub fn message(&self) -> Vec<u8> {
        let epoch = self.epoch.as_bytes();
        [
            RECOVER_DOMAIN,
            self.nonce,
            epoch,
            self.key.as_bytes(),
            self.host.as_bytes(),
        ]
        .concat()
    }

    /// Signs the challenge.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.message()).to_bytes()
    }

    /// Verifies the signature (RFC 8032, strict: no small-order keys).
    pub fn verify(&self, signature: &[u8]) -> bool {
        verify(&self.key, &self.message(), signature)
    }
}

/// Returns domain ‖ author (32) ‖ agreement key (32) ‖ recovery key (32) ‖ recovery agreement key
/// (32) ‖ wrapped (80) ‖ salt.
///
/// Without this consent anyone who has seen the recovery key (the relay, a removed device) could
/// create an account in its name and lead the recovery phrase there.
pub fn genesis_message(author: &[u8], genesis: &Genesis) -> Vec<u8> {
    [
        GENESIS_DOMAIN,
        author,
        &genesis.agreement_key,
        &genesis.recovery_key,
        &genesis.recovery_agreement_key,
        &genesis.recovery_wrapped,
        &genesis.salt,
    ]
    .concat()
}

/// Signs a genesis entry with the recovery key it names.
pub fn sign_genesis(author: &DeviceKey, genesis: &Genesis, key: &SigningKey) -> [u8; 64] {
    key.sign(&genesis_message(author.as_bytes(), genesis))
        .to_bytes()
}

/// Verifies the consent of the recovery key. Every part but the salt has its length checked before.
pub(super) fn recovery_key_consents(
    author: &DeviceKey,
    genesis: &Genesis,
    key: &DeviceKey,
) -> bool {
    verify(
        key,
        &genesis_message(author.as_bytes(), genesis),
        &genesis.recovery_signature,
    )
}
