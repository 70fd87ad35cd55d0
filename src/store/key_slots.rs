//! The key file: numbered slots, one key in each, every slot in a block of its own so that a write
//! that is cut off can hurt no other.
//!
//! ```text
//! day 8 | first arrival 8 | key 32 | SHA-256 of domain and all before 32 | zeros to 4,096
//! ```
//!
//! A slot of zeros is free. One that is neither free nor whole was being written or overwritten when
//! the power failed, and is free too.

use redb::{StorageBackend, StorageError};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::StoreError;
use super::at_rest::{DayKey, KEY_BYTES};

/// A day for each that an envelope may be kept, the day it comes and the day it goes, and some to spare.
pub(super) const SLOTS: usize = 40;

/// More than any disk writes at once.
const SLOT_BYTES: usize = 4_096;

const DOMAIN: &[u8] = b"graceful-relay/1 day key\0";
const CHECKED_BYTES: usize = 8 + 8 + KEY_BYTES;
const WHOLE_BYTES: usize = CHECKED_BYTES + 32;

/// A block that may hold a key; wiped when dropped.
type Block = Zeroizing<[u8; SLOT_BYTES]>;

/// Where all chance of the store comes from.
pub(super) type Chance = Box<dyn FnMut(&mut [u8]) + Send>;

/// The slots on what keeps them.
pub(super) struct Slots {
    backend: Box<dyn StorageBackend>,
    chance: Chance,
    used: [bool; SLOTS],
}

/// What the slots hold.
pub(super) struct Found {
    pub(super) slots: Slots,
    pub(super) keys: Vec<DayKey>,
    /// Slots that hold what is no key.
    pub(super) torn: Vec<usize>,
}

impl Slots {
    /// Reads all of them, and changes nothing.
    pub(super) fn read(backend: impl StorageBackend, chance: Chance) -> Result<Found, StoreError> {
        let length = backend.len().map_err(failed)?;
        let mut slots = Self { backend: Box::new(backend), chance, used: [false; SLOTS] };
        let (mut keys, mut torn) = (Vec::new(), Vec::new());
        for slot in 0..SLOTS {
            let mut block = Block::new([0; SLOT_BYTES]);
            // A file that was never laid out, or not to its end, has free slots behind it.
            let there = length.saturating_sub(offset(slot)).min(SLOT_BYTES as u64);
            let there = usize::try_from(there).expect("at most a block");
            if there > 0 {
                slots.backend.read(offset(slot), &mut block[..there]).map_err(failed)?;
            }
            slots.used[slot] = block.iter().any(|byte| *byte != 0);
            match parse(slot, &block) {
                Some(key) => keys.push(key),
                None if slots.used[slot] => torn.push(slot),
                None => {}
            }
        }
        Ok(Found { slots, keys, torn })
    }

    /// Gives the file its whole size, in blocks that are really there: a day must be able to begin
    /// on a disk that is full.
    pub(super) fn lay_out(&mut self) -> Result<(), StoreError> {
        let (length, whole) = (self.backend.len().map_err(failed)?, offset(SLOTS));
        if length < whole {
            self.backend.set_len(whole).map_err(failed)?;
            for slot in (0..SLOTS).filter(|slot| !self.used[*slot]) {
                self.backend.write(offset(slot), &[0; SLOT_BYTES]).map_err(failed)?;
            }
            self.backend.sync_data().map_err(failed)?;
        }
        Ok(())
    }

    /// A new key. When this returns it is on the disk.
    pub(super) fn make(&mut self, day: u64, first_arrival: u64) -> Result<DayKey, StoreError> {
        let slot = self.used.iter().position(|used| !used).ok_or(StoreError::Damaged(
            "every slot of the key file is taken by a day whose envelopes should long have expired",
        ))?;
        let mut block = Block::new([0; SLOT_BYTES]);
        block[..8].copy_from_slice(&day.to_be_bytes());
        block[8..16].copy_from_slice(&first_arrival.to_be_bytes());
        (self.chance)(&mut block[16..CHECKED_BYTES]);
        let check = checksum(&block[..CHECKED_BYTES]);
        block[CHECKED_BYTES..WHOLE_BYTES].copy_from_slice(&check);
        self.used[slot] = true;
        self.write(slot, &block)?;
        Ok(parse(slot, &block).expect("it was just made"))
    }

    /// Overwrites a slot, by chance and then by zeros, each on the disk before the next thing happens.
    pub(super) fn erase(&mut self, slot: usize) -> Result<(), StoreError> {
        let mut block = Block::new([0; SLOT_BYTES]);
        (self.chance)(&mut block[..]);
        self.write(slot, &block)?;
        self.write(slot, &Block::new([0; SLOT_BYTES]))?;
        self.used[slot] = false;
        Ok(())
    }

    fn write(&self, slot: usize, block: &Block) -> Result<(), StoreError> {
        self.backend.write(offset(slot), &block[..]).map_err(failed)?;
        self.backend.sync_data().map_err(failed)
    }
}

fn offset(slot: usize) -> u64 {
    (slot * SLOT_BYTES) as u64
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(DOMAIN).chain_update(bytes).finalize().into()
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
    Some(DayKey::new(number(day), number(first_arrival), slot, key.try_into().ok()?))
}

fn failed(error: std::io::Error) -> StoreError {
    StorageError::Io(error).into()
}
