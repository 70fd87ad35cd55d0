//! Membership logs: entries from strangers, and invalid entries signed by a member.

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use graceful_protocol::DeviceKey;
use graceful_protocol::membership::{Membership, sign};
use graceful_protocol::recovery::sign_genesis;
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{Genesis, MembershipEntry, SignedEntry};

use super::script::Script;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn genesis() -> SignedEntry {
    let mut found = Genesis {
        agreement_key: Bytes::from_static(&[9; 32]),
        recovery_key: Bytes::copy_from_slice(key(3).verifying_key().as_bytes()),
        recovery_agreement_key: Bytes::from_static(&[9; 32]),
        salt: Bytes::from_static(&[5; 32]),
        recovery_wrapped: Bytes::from_static(&[7; 80]),
        recovery_signature: Bytes::new(),
    };
    let device = DeviceKey::new(key(1).verifying_key().to_bytes());
    found.recovery_signature = Bytes::copy_from_slice(&sign_genesis(&device, &found, &key(3)));
    let author = device.to_wire();
    let entry = MembershipEntry {
        index: 0,
        previous: Bytes::new(),
        author,
        change: Some(Change::Genesis(found)),
    };
    sign(&entry, &key(1))
}

/// A body signed by one of a few keys: beyond the signature the checks must hold too.
fn signed(body: Bytes, by: u8) -> SignedEntry {
    let message = [b"graceful-relay/1 membership\0", &*body].concat();
    let signature = key(by % 4).sign(&message).to_bytes();
    SignedEntry {
        body,
        signature: Bytes::copy_from_slice(&signature),
    }
}

/// The fuzzer cannot guess a hash: it may leave index, author and head to be filled in.
fn fitting(log: &Membership, body: Bytes, by: u8) -> SignedEntry {
    use prost::Message;
    let mut entry = MembershipEntry::decode(body).unwrap_or_default();
    entry.index = log.count();
    entry.previous = log.head().to_wire();
    entry.author = Bytes::copy_from_slice(key(by % 4).verifying_key().as_bytes());
    sign(&entry, &key(by % 4))
}

/// A log takes in what is valid, and an invalid entry changes nothing.
pub fn membership_log(data: &[u8]) {
    let mut script = Script::new(data);
    let mut entries = vec![genesis()];
    let mut log = Membership::from_genesis(&entries[0]).expect("the genesis entry is valid");
    while !script.is_empty() {
        let (how, by, body) = (script.byte(), script.byte(), script.piece());
        let entry = match how % 4 {
            0 => SignedEntry {
                body,
                signature: script.piece(),
            },
            1 => signed(body, by),
            2 => fitting(&log, body, by),
            _ => {
                let _ = Membership::from_genesis(&signed(body, by));
                continue;
            }
        };
        let before = log.clone();
        match log.append(&entry) {
            Ok(_) => entries.push(entry),
            Err(_) => assert_eq!(log, before, "an invalid entry left a trace"),
        }
    }
    assert_eq!(Membership::replay(&entries).as_ref(), Ok(&log));
    assert_eq!(Membership::replay_trusted(&entries).as_ref(), Ok(&log));
    let keys: std::collections::BTreeSet<_> =
        log.members().iter().map(|member| member.device).collect();
    assert_eq!(
        keys.len(),
        log.members().len(),
        "no device is a member twice"
    );
    assert!(
        log.removed().iter().all(|device| !keys.contains(device)),
        "who was removed stays removed"
    );
    assert!(!keys.is_empty(), "an account has a member");
}
