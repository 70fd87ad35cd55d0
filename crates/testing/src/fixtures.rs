//! What tests of the store and the rules need: keys from a number, signed entries, envelopes.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_protocol::membership::{Membership, WRAPPED_BYTES, sign};
use graceful_protocol::recovery::sign_genesis;
use graceful_protocol::wire::membership_entry::Change as EntryChange;
use graceful_protocol::wire::{
    AddDevice, Envelope, Genesis, MembershipEntry, RemoveDevice, SignedEntry, WrappedSecret,
};
use graceful_protocol::{AccountId, DeviceKey, envelope};
use graceful_store::{Files, Identity, Options, Store, StoreError};

/// The signing key of device `number`.
pub fn signing_key(number: u8) -> SigningKey {
    let mut seed = [0x11; 32];
    seed[0] = number;
    SigningKey::from_bytes(&seed)
}

/// Its public key.
pub fn device_key(number: u8) -> DeviceKey {
    DeviceKey::new(signing_key(number).verifying_key().to_bytes())
}

/// The entry with which device `number` founds an account.
pub fn genesis(number: u8) -> SignedEntry {
    let entry = MembershipEntry {
        index: 0,
        previous: Bytes::new(),
        author: device_key(number).to_wire(),
        change: Some(EntryChange::Genesis(Genesis {
            agreement_key: Bytes::from(vec![number; 32]),
            salt: Bytes::from(vec![0x5a; 32]),
            ..Genesis::default()
        })),
    };
    sign(&entry, &signing_key(number))
}

/// The number whose keys are the recovery key of an account founded by [`recoverable`].
pub const RECOVERY: u8 = 200;

/// As [`genesis`], of an account with a recovery key.
pub fn recoverable(number: u8) -> SignedEntry {
    recoverable_agreed(number, RECOVERY)
}

/// The same, by somebody who knows the recovery key and cannot sign for it.
pub fn recoverable_without_consent(number: u8) -> SignedEntry {
    recoverable_agreed(number, number)
}

fn recoverable_agreed(number: u8, signer: u8) -> SignedEntry {
    let mut found = Genesis {
        agreement_key: Bytes::from(vec![number; 32]),
        recovery_key: device_key(RECOVERY).to_wire(),
        recovery_agreement_key: Bytes::from(vec![RECOVERY; 32]),
        salt: Bytes::from(vec![0x5a; 32]),
        recovery_wrapped: Bytes::from(vec![0x77; WRAPPED_BYTES]),
        recovery_signature: Bytes::new(),
    };
    let agreed = sign_genesis(&device_key(number), &found, &signing_key(signer));
    found.recovery_signature = Bytes::copy_from_slice(&agreed);
    let entry = MembershipEntry {
        index: 0,
        previous: Bytes::new(),
        author: device_key(number).to_wire(),
        change: Some(EntryChange::Genesis(found)),
    };
    sign(&entry, &signing_key(number))
}

/// The entry with which `author` adds `device`.
pub fn adding(log: &Membership, author: u8, device: u8) -> SignedEntry {
    let add = AddDevice {
        device: device_key(device).to_wire(),
        agreement_key: Bytes::from(vec![device; 32]),
    };
    following(log, author, EntryChange::Add(add))
}

/// The entry with which `author` removes `device`.
pub fn removing(log: &Membership, author: u8, device: u8) -> SignedEntry {
    let remaining = log
        .members()
        .iter()
        .filter(|member| member.device != device_key(device));
    let secrets = remaining.map(|member| WrappedSecret {
        device: member.device.to_wire(),
        wrapped: Bytes::from(vec![0x77; WRAPPED_BYTES]),
    });
    let wrapped = Bytes::from(vec![0x77; WRAPPED_BYTES]);
    let remove = RemoveDevice {
        device: device_key(device).to_wire(),
        secrets: secrets.collect(),
        recovery_wrapped: log.recovery().map(|_| wrapped).unwrap_or_default(),
    };
    following(log, author, EntryChange::Remove(remove))
}

fn following(log: &Membership, author: u8, change: EntryChange) -> SignedEntry {
    let entry = MembershipEntry {
        index: log.count(),
        previous: Bytes::copy_from_slice(log.head().as_bytes()),
        author: device_key(author).to_wire(),
        change: Some(change),
    };
    sign(&entry, &signing_key(author))
}

/// Bytes with the form of a sealed envelope, told apart by `mark`.
pub fn sealed(mark: u64, at_least: usize) -> Bytes {
    let mut bytes = vec![0xa5; envelope::padded_size(at_least.max(envelope::SIZE_MIN))];
    bytes[0] = envelope::FORM;
    bytes[1..9].copy_from_slice(&mark.to_be_bytes());
    bytes.into()
}

/// An envelope to push.
pub fn pushed(push_number: u64, mark: u64, at_least: usize, recipient: Option<u8>) -> Envelope {
    Envelope {
        push_number,
        sealed: sealed(mark, at_least),
        recipient: recipient.map_or_else(Bytes::new, |number| device_key(number).to_wire()),
    }
}

/// A store in memory.
pub fn store(options: Options) -> Result<Store, StoreError> {
    let identity = Identity {
        relay_id: graceful_protocol::RelayId::new([1; 16]),
        epoch: graceful_protocol::StoreEpoch::new([2; 16]),
    };
    let file = redb::backends::InMemoryBackend::new;
    let files = Files {
        store: file(),
        keys: file(),
        journals: [file(), file()],
    };
    let mut next = 0_u8;
    let chance = move |bytes: &mut [u8]| {
        for byte in bytes {
            (*byte, next) = (next, next.wrapping_add(1));
        }
    };
    Store::open_on(files, options, identity, chance)
}

/// The id of the account that device `number` founds.
pub fn account_id(number: u8) -> AccountId {
    graceful_protocol::membership::account_id(&genesis(number))
}
