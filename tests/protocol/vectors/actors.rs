//! The devices of the examples, their account, and fixed "random" bytes.

use bytes::Bytes;
use graceful_client::{AgreementSecret, DeviceKeys, EpochSecret, RecoveryKey};
use graceful_engine::FnRng;
use graceful_engine::wrap::{Wrapping, wrap};
use graceful_protocol::AccountId;
use graceful_protocol::membership::{Membership, WRAPPED_BYTES, sign};
use graceful_protocol::recovery::sign_genesis;
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{
    AddDevice, Genesis, MembershipEntry, RemoveDevice, SignedEntry, WrappedSecret,
};

/// Gives out these bytes, once.
pub fn given(mut random: Vec<u8>) -> FnRng<impl FnMut(&mut [u8])> {
    FnRng(move |bytes: &mut [u8]| {
        assert!(
            bytes.len() <= random.len(),
            "more randomness is requested than the vector names"
        );
        let rest = random.split_off(bytes.len());
        bytes.copy_from_slice(&random);
        random = rest;
    })
}

/// A device of the examples: the seed of its Ed25519 key and its X25519 private key.
pub struct Actor {
    pub seed: [u8; 32],
    pub agreement: [u8; 32],
}

/// Counted up from a first byte: 32 bytes that are easy to know again.
pub const fn counted<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        bytes[index] = first.wrapping_add(index as u8);
        index += 1;
    }
    bytes
}

const fn actor(first: u8) -> Actor {
    Actor {
        seed: counted(first),
        agreement: counted(first + 0x20),
    }
}

pub const DESK: Actor = actor(0x00);
pub const PHONE: Actor = actor(0x40);
pub const TABLET: Actor = actor(0x80);
/// The entropy of the recovery phrase.
pub const ENTROPY: [u8; 16] = counted(0xc0);

/// The keys that follow from it.
pub fn recovery() -> Actor {
    let keys = RecoveryKey::from_entropy(ENTROPY).keys();
    Actor {
        seed: keys.signing().to_bytes(),
        agreement: *keys.agreement().expose(),
    }
}

/// Secrets of the key epochs 0 and 1.
pub const SECRETS: [[u8; 32]; 2] = [[0xe0; 32], [0xe1; 32]];

impl Actor {
    pub fn keys(&self) -> DeviceKeys {
        DeviceKeys::new(&self.seed, AgreementSecret::new(self.agreement))
    }
}

/// What the examples wrap: `ikm` is the only randomness in it.
pub fn wrapped(
    account: Option<&AccountId>,
    key_epoch: u32,
    to: &Actor,
    ikm: u8,
) -> [u8; WRAPPED_BYTES] {
    let keys = to.keys();
    let secret = EpochSecret::new(SECRETS[key_epoch as usize]);
    let wrapping = Wrapping {
        account,
        key_epoch,
        recipient: &keys.device(),
    };
    let mut chance = given(vec![ikm; 32]);
    wrap(&secret, &wrapping, &keys.agreement().public(), &mut chance).expect("the keys are good")
}

fn entry(log: Option<&Membership>, author: &Actor, change: Change) -> SignedEntry {
    let keys = author.keys();
    let entry = MembershipEntry {
        index: log.map_or(0, Membership::count),
        previous: log.map_or_else(Bytes::new, |log| log.head().to_wire()),
        author: keys.device().to_wire(),
        change: Some(change),
    };
    sign(&entry, keys.signing())
}

/// What the desk says, and the recovery key has agreed to.
pub fn genesis() -> Genesis {
    let (desk, keys) = (DESK.keys(), recovery().keys());
    let mut found = Genesis {
        agreement_key: desk.agreement().public().to_wire(),
        recovery_key: keys.device().to_wire(),
        recovery_agreement_key: keys.agreement().public().to_wire(),
        salt: Bytes::from(vec![0x5a; 32]),
        recovery_wrapped: Bytes::copy_from_slice(&wrapped(None, 0, &recovery(), 0x90)),
        recovery_signature: Bytes::new(),
    };
    let agreed = sign_genesis(&desk.device(), &found, keys.signing());
    found.recovery_signature = Bytes::copy_from_slice(&agreed);
    found
}

/// The desk creates an account with a recovery key and adds the phone; the phone adds the tablet;
/// the desk removes the tablet.
pub fn entries() -> Vec<SignedEntry> {
    let mut entries = vec![entry(None, &DESK, Change::Genesis(genesis()))];
    let mut log = Membership::from_genesis(&entries[0]).expect("the genesis entry is valid");
    let add = |actor: &Actor| {
        let keys = actor.keys();
        Change::Add(AddDevice {
            device: keys.device().to_wire(),
            agreement_key: keys.agreement().public().to_wire(),
        })
    };
    let account = log.account();
    let to = |actor: &Actor, ikm| WrappedSecret {
        device: actor.keys().device().to_wire(),
        wrapped: Bytes::copy_from_slice(&wrapped(Some(&account), 1, actor, ikm)),
    };
    let remove = Change::Remove(RemoveDevice {
        device: TABLET.keys().device().to_wire(),
        secrets: vec![to(&DESK, 0x91), to(&PHONE, 0x92)],
        recovery_wrapped: Bytes::copy_from_slice(&wrapped(Some(&account), 1, &recovery(), 0x93)),
    });
    for (author, change) in [
        (&DESK, add(&PHONE)),
        (&PHONE, add(&TABLET)),
        (&DESK, remove),
    ] {
        entries.push(entry(Some(&log), author, change));
        log.append(entries.last().expect("one was pushed"))
            .expect("the entry is valid");
    }
    entries
}

/// Returns the account of the examples.
pub fn account() -> AccountId {
    graceful_protocol::membership::account_id(&entries()[0])
}
