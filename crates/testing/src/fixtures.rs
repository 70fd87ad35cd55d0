//! Fixtures of the store and the rules: numbered keys, signed entries and envelopes.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use graceful_protocol::challenge::Challenge;
use graceful_protocol::membership::{Membership, WRAPPED_BYTES, sign};
use graceful_protocol::recovery::sign_genesis;
use graceful_protocol::wire::membership_entry::Change as EntryChange;
use graceful_protocol::wire::{
    AddDevice, Authenticate, Envelope, Genesis, Greeting, MembershipEntry, RemoveDevice,
    SignedEntry, WrappedSecret,
};
use graceful_protocol::{AccountId, DeviceKey, StoreEpoch, VERSION, envelope};
use graceful_store::{Files, Identity, Options, Store, StoreError};

/// Returns the signing key of device `number`.
pub fn signing_key(number: u8) -> SigningKey {
    let mut seed = [0x11; 32];
    seed[0] = number;
    SigningKey::from_bytes(&seed)
}

/// Returns its public key.
pub fn device_key(number: u8) -> DeviceKey {
    DeviceKey::new(signing_key(number).verifying_key().to_bytes())
}

/// Returns the genesis entry of device `number`.
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

/// Device number whose keys are the recovery key in [`recoverable`].
pub const RECOVERY: u8 = 200;

/// Returns a genesis entry with a recovery key.
pub fn recoverable(number: u8) -> SignedEntry {
    recoverable_agreed(number, RECOVERY)
}

/// Returns a genesis entry that names a recovery key without its consent.
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

/// Returns the entry by which `author` adds `device`.
pub fn adding(log: &Membership, author: u8, device: u8) -> SignedEntry {
    let add = AddDevice {
        device: device_key(device).to_wire(),
        agreement_key: Bytes::from(vec![device; 32]),
    };
    following(log, author, EntryChange::Add(add))
}

/// Returns the entry by which `author` removes `device`.
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

/// Returns bytes of the sealed form, distinguished by `mark`.
pub fn sealed(mark: u64, at_least: usize) -> Bytes {
    let mut bytes = vec![0xa5; envelope::padded_size(at_least.max(envelope::SIZE_MIN))];
    bytes[0] = envelope::FORM;
    bytes[1..9].copy_from_slice(&mark.to_be_bytes());
    bytes.into()
}

/// Returns an envelope to push.
pub fn pushed(push_number: u64, mark: u64, at_least: usize, recipient: Option<u8>) -> Envelope {
    Envelope {
        push_number,
        sealed: sealed(mark, at_least),
        recipient: recipient.map_or_else(Bytes::new, |number| device_key(number).to_wire()),
    }
}

/// Opens a store in memory.
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

/// Returns the id of the account created by device `number`.
pub fn account_id(number: u8) -> AccountId {
    graceful_protocol::membership::account_id(&genesis(number))
}

/// Returns the answer of device `number` to a greeting, signed by `signer`.
///
/// # Panics
/// Panics if the greeting is malformed.
pub fn authenticate(
    greeting: &Greeting,
    account: AccountId,
    number: u8,
    host: &str,
    signer: &SigningKey,
) -> Authenticate {
    let challenge = Challenge {
        nonce: &greeting.nonce,
        epoch: StoreEpoch::try_from(&*greeting.epoch).expect("16 bytes"),
        host,
        account,
        device: device_key(number),
    };
    Authenticate {
        version: VERSION,
        account: account.to_wire(),
        device: challenge.device.to_wire(),
        host: host.to_owned(),
        signature: Bytes::copy_from_slice(&challenge.sign(signer)),
        membership_count: 0,
        entries: Vec::new(),
    }
}
