//! The key file: numbered slots with one day key each. Every slot has a block of its own, so that a write
//! that is cut off damages no other.
//!
//! ```text
//! day 8 | first arrival 8 | key 32 | SHA-256 of domain and all before 32 | zeros to 4,096
//! ```
//!
//! A slot of zeros is free. A slot that is neither zeros nor whole was being written when the power failed,
//! and is free as well.

use redb::{StorageBackend, StorageError};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::StoreError;
use crate::redb::payload::{DayKey, KEY_BYTES};

/// One for each day of the longest retention, its first and last day, and some to spare.
pub(crate) const SLOTS: usize = 40;

/// At least the block size of any disk.
const SLOT_BYTES: usize = 4_096;

const DOMAIN: &[u8] = b"graceful-relay/1 day key\0";
/// Day, first arrival and key.
pub(crate) const CHECKED_BYTES: usize = 8 + 8 + KEY_BYTES;
const WHOLE_BYTES: usize = CHECKED_BYTES + 32;

/// A block that may have a key; wiped when dropped.
type Block = Zeroizing<[u8; SLOT_BYTES]>;

/// The source of the store's randomness.
pub(crate) type FillRandom = Box<dyn FnMut(&mut [u8]) + Send>;

/// A day key as its slot has it; wiped when dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; CHECKED_BYTES]>;

/// Fills from the operating system's randomness.
///
/// # Panics
/// If the operating system has no randomness.
pub(crate) fn fill_from_os(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system gives randomness");
}

/// The slots on their backend.
pub(crate) struct Slots {
    backend: Box<dyn StorageBackend>,
    fill_random: FillRandom,
    used: [bool; SLOTS],
}

/// What the slots contain.
pub(crate) struct SlotContents {
    pub(crate) slots: Slots,
    pub(crate) keys: Vec<DayKey>,
    /// Slots with bytes that are no key.
    pub(crate) torn: Vec<usize>,
}

impl Slots {
    /// Reads all slots and changes nothing.
    pub(crate) fn read(
        backend: impl StorageBackend,
        fill_random: FillRandom,
    ) -> Result<SlotContents, StoreError> {
        let length = backend.len().map_err(failed)?;
        let mut slots = Self {
            backend: Box::new(backend),
            fill_random,
            used: [false; SLOTS],
        };
        let (mut keys, mut torn) = (Vec::new(), Vec::new());
        for slot in 0..SLOTS {
            let mut block = Block::new([0; SLOT_BYTES]);
            // A file that is too short has free slots behind its end.
            let there = length.saturating_sub(offset(slot)).min(SLOT_BYTES as u64);
            let there = usize::try_from(there).expect("at most a block");
            if there > 0 {
                slots
                    .backend
                    .read(offset(slot), &mut block[..there])
                    .map_err(failed)?;
            }
            slots.used[slot] = block.iter().any(|byte| *byte != 0);
            match parse(slot, &block) {
                Some(key) => keys.push(key),
                None if slots.used[slot] => torn.push(slot),
                None => {}
            }
        }
        Ok(SlotContents { slots, keys, torn })
    }

    /// Allocates the whole file, in blocks without holes: a new day needs a key on a full disk as well.
    pub(crate) fn allocate(&mut self) -> Result<(), StoreError> {
        let (length, whole) = (self.backend.len().map_err(failed)?, offset(SLOTS));
        if length < whole {
            self.backend.set_len(whole).map_err(failed)?;
            for slot in (0..SLOTS).filter(|slot| !self.used[*slot]) {
                self.backend
                    .write(offset(slot), &[0; SLOT_BYTES])
                    .map_err(failed)?;
            }
            self.backend.sync_data().map_err(failed)?;
        }
        Ok(())
    }

    /// Creates a key. It is durable when this returns.
    pub(crate) fn create(&mut self, day: u64, first_arrival: u64) -> Result<DayKey, StoreError> {
        let mut key = Zeroizing::new([0; CHECKED_BYTES]);
        key[..8].copy_from_slice(&day.to_be_bytes());
        key[8..16].copy_from_slice(&first_arrival.to_be_bytes());
        (self.fill_random)(&mut key[16..]);
        self.put(&key)
    }

    /// Writes a key to a free slot. It is durable when this returns.
    pub(crate) fn put(&mut self, key: &[u8; CHECKED_BYTES]) -> Result<DayKey, StoreError> {
        let slot = self.used.iter().position(|used| !used).ok_or(StoreError::Damaged(
            "every slot of the key file is taken by a day whose envelopes should long have expired",
        ))?;
        let mut block = Block::new([0; SLOT_BYTES]);
        block[..CHECKED_BYTES].copy_from_slice(key);
        block[CHECKED_BYTES..WHOLE_BYTES].copy_from_slice(&checksum(key));
        self.used[slot] = true;
        self.write(slot, &block)?;
        Ok(parse(slot, &block).expect("it was just made"))
    }

    /// Returns the key of a slot.
    pub(crate) fn bytes(&self, slot: usize) -> Result<KeyBytes, StoreError> {
        let mut block = Block::new([0; SLOT_BYTES]);
        self.backend
            .read(offset(slot), &mut block[..])
            .map_err(failed)?;
        parse(slot, &block).ok_or(StoreError::Damaged("the key of a day cannot be read"))?;
        let mut key = Zeroizing::new([0; CHECKED_BYTES]);
        key.copy_from_slice(&block[..CHECKED_BYTES]);
        Ok(key)
    }

    /// Overwrites a slot with random bytes and then with zeros, and syncs after each.
    pub(crate) fn erase(&mut self, slot: usize) -> Result<(), StoreError> {
        let mut block = Block::new([0; SLOT_BYTES]);
        (self.fill_random)(&mut block[..]);
        self.write(slot, &block)?;
        self.write(slot, &Block::new([0; SLOT_BYTES]))?;
        self.used[slot] = false;
        Ok(())
    }

    fn write(&self, slot: usize, block: &Block) -> Result<(), StoreError> {
        self.backend
            .write(offset(slot), &block[..])
            .map_err(failed)?;
        self.backend.sync_data().map_err(failed)
    }
}

fn offset(slot: usize) -> u64 {
    (slot * SLOT_BYTES) as u64
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(bytes)
        .finalize()
        .into()
}

fn parse(slot: usize, block: &Block) -> Option<DayKey> {
    let (checked, check) = block[..WHOLE_BYTES].split_at(CHECKED_BYTES);
    let zeros = block[WHOLE_BYTES..].iter().all(|byte| *byte == 0);
    if !zeros || checksum(checked) != *check {
        return None;
    }
    let (day, rest) = checked.split_first_chunk::<8>()?;
    let (first_arrival, key) = rest.split_first_chunk::<8>()?;
    let number = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
    Some(DayKey::new(
        number(day),
        number(first_arrival),
        slot,
        key.try_into().ok()?,
    ))
}

fn failed(error: std::io::Error) -> StoreError {
    StorageError::Io(error).into()
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use std::sync::Arc;

    use super::*;

    /// A backend that outlives the slots on it.
    #[derive(Debug, Clone, Default)]
    struct SharedBackend(Arc<InMemoryBackend>);

    impl StorageBackend for SharedBackend {
        fn len(&self) -> std::io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, length: u64) -> std::io::Result<()> {
            self.0.set_len(length)
        }
        fn sync_data(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            self.0.write(offset, data)
        }
    }

    fn read(backend: &SharedBackend) -> SlotContents {
        let mut next = 1_u8;
        let fill_random = move |bytes: &mut [u8]| {
            for byte in bytes {
                (*byte, next) = (next, next.wrapping_add(1));
            }
        };
        Slots::read(backend.clone(), Box::new(fill_random)).expect("reads")
    }

    fn bytes(backend: &SharedBackend) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(backend.len().expect("there")).expect("small")];
        backend.read(0, &mut bytes).expect("reads");
        bytes
    }

    /// A whole file with two keys.
    fn two() -> SharedBackend {
        let backend = SharedBackend::default();
        let mut slots = read(&backend).slots;
        slots.allocate().expect("writes");
        slots.create(5, 100).expect("writes");
        slots.create(7, 200).expect("writes");
        backend
    }

    fn days(found: &SlotContents) -> Vec<(u64, u64, usize)> {
        found
            .keys
            .iter()
            .map(|key| (key.day, key.first_arrival, key.slot))
            .collect()
    }

    #[test]
    fn keys_read_back_equal_created_keys() {
        let backend = two();
        assert_eq!(bytes(&backend).len(), SLOTS * SLOT_BYTES);
        let found = read(&backend);
        assert_eq!(days(&found), [(5, 100, 0), (7, 200, 1)]);
        assert!(found.torn.is_empty());
    }

    #[test]
    fn torn_slot_has_no_key_and_damages_no_other() {
        let whole = bytes(&two());
        for at in (0..WHOLE_BYTES).chain([WHOLE_BYTES, SLOT_BYTES - 1]) {
            let backend = two();
            backend.write(at as u64, &[whole[at] ^ 1]).expect("writes");
            let found = read(&backend);
            assert_eq!(
                (days(&found), &found.torn[..]),
                (vec![(7, 200, 1)], &[0][..]),
                "byte {at}"
            );
        }
        let short = two();
        short.set_len((SLOT_BYTES + 40) as u64).expect("shortened");
        assert_eq!(days(&read(&short)), [(5, 100, 0)]);
    }

    #[test]
    fn erased_key_leaves_zeros_and_a_free_slot() {
        let backend = two();
        let mut slots = read(&backend).slots;
        slots.erase(0).expect("writes");
        assert!(bytes(&backend)[..SLOT_BYTES].iter().all(|byte| *byte == 0));
        assert_eq!(slots.create(9, 300).expect("writes").slot, 0);
        assert_eq!(days(&read(&backend)), [(9, 300, 0), (7, 200, 1)]);
    }

    #[test]
    fn key_without_free_slot_is_refused() {
        let backend = two();
        let mut slots = read(&backend).slots;
        for day in 2..SLOTS as u64 {
            slots.create(day, day).expect("there is a slot");
        }
        assert!(matches!(slots.create(99, 99), Err(StoreError::Damaged(_))));
        assert_eq!(bytes(&backend).len(), SLOTS * SLOT_BYTES);
    }
}
