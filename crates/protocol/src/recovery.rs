//! What the recovery key signs beside entries of the log: that an account is its own, and that who
//! comes to a relay with nothing but words has them.

use ed25519_dalek::{Signer, SigningKey};

use super::challenge::verify;
use super::wire::Genesis;
use super::{DeviceKey, StoreEpoch};

const RECOVER_DOMAIN: &[u8] = b"graceful-relay/1 recover\0";
const GENESIS_DOMAIN: &[u8] = b"graceful-relay/1 recovery founding\0";

/// What is signed to open a conversation as the recovery key: as a device's challenge, but for the
/// account, which who has only the words does not know.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryChallenge<'a> {
    /// From the greeting.
    pub nonce: &'a [u8],
    /// From the greeting.
    pub epoch: StoreEpoch,
    /// The host name or address that was dialled, without port, in lower case.
    pub host: &'a str,
    /// The recovery key itself.
    pub key: DeviceKey,
}

impl RecoveryChallenge<'_> {
    /// domain ‖ nonce (32) ‖ epoch (16) ‖ recovery key (32) ‖ host.
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

    /// The answer of who has the words.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.message()).to_bytes()
    }

    /// Whether `signature` is that answer (RFC 8032, strict: no small-order keys).
    pub fn verify(&self, signature: &[u8]) -> bool {
        verify(&self.key, &self.message(), signature)
    }
}

/// domain ‖ author (32) ‖ agreement key (32) ‖ recovery key (32) ‖ recovery agreement key (32) ‖
/// wrapped (80) ‖ salt. Without it, whoever has seen the recovery key (the relay, a removed device)
/// could found an account in its name, and have the words lead there.
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

/// Signs a genesis with the recovery key that it names.
pub fn sign_genesis(author: &DeviceKey, genesis: &Genesis, key: &SigningKey) -> [u8; 64] {
    key.sign(&genesis_message(author.as_bytes(), genesis))
        .to_bytes()
}

/// Whether the recovery key recovery_key_consents to this genesis. Every part but the salt has its length by now.
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
