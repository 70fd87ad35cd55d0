//! The format of journal segments.
//!
//! ```text
//! block 0   magic 16 | relay id 16 | store epoch 16 | number of the first record 8 | SHA-256 of all before 32
//! record    length of the body 8 | number 8 | SHA-256 of the hash before, number and body 32 | body
//! body      of each row: table 1 | length of the key 1 | key | 1 + length of the value 4, or 0: removed | value
//! ```
//!
//! Integers are big-endian. Header and records begin at a block boundary and are padded with zeros, so that no
//! write touches a block that was acknowledged before. The hash before is that of the record before, and for
//! the first record that of block 0: bytes behind the end, of an earlier use or a torn write, are no record.

use bytes::{Buf, BufMut, Bytes};
use sha2::{Digest, Sha256};

use graceful_protocol::{RelayId, StoreEpoch};

use crate::redb::memtable::{Memtable, RowKey, TABLES};
use crate::{Identity, StoreError};

/// Bytes that disks and file systems write at once.
pub(crate) const BLOCK_BYTES: usize = 4_096;

const MAGIC: &[u8; 16] = b"graceful journal";

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 16 + 16 + 16 + 8 + 32;

/// Bytes of a record before its body.
pub(crate) const HEAD_BYTES: usize = 8 + 8 + 32;

pub(crate) type Hash = [u8; 32];

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: Identity,
    /// The number of its first record.
    pub(crate) first: u64,
    pub(crate) hash: Hash,
}

/// The header of a record.
pub(crate) struct RecordHead {
    pub(crate) length: u64,
    pub(crate) number: u64,
    pub(crate) hash: Hash,
}

impl SegmentHeader {
    /// Encodes the header of a segment whose first record has this number. Returns its hash.
    pub(crate) fn encode(buffer: &mut Vec<u8>, identity: &Identity, first: u64) -> Hash {
        let start = buffer.len();
        buffer.put_slice(MAGIC);
        buffer.put_slice(identity.relay_id.as_bytes());
        buffer.put_slice(identity.epoch.as_bytes());
        buffer.put_u64(first);
        let hash = Hash::from(Sha256::digest(&buffer[start..]));
        buffer.put_slice(&hash);
        fill_block(buffer);
        hash
    }

    /// Returns `None` if the header was never written as a whole.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (mut checked, hash) = bytes.split_last_chunk::<32>()?;
        if !checked.starts_with(MAGIC) || Hash::from(Sha256::digest(checked)) != *hash {
            return None;
        }
        checked.advance(MAGIC.len());
        let (mut relay_id, mut epoch) = ([0; 16], [0; 16]);
        checked.copy_to_slice(&mut relay_id);
        checked.copy_to_slice(&mut epoch);
        let identity = Identity {
            relay_id: RelayId::new(relay_id),
            epoch: StoreEpoch::new(epoch),
        };
        Some(Self {
            identity,
            first: checked.get_u64(),
            hash: *hash,
        })
    }
}

impl RecordHead {
    pub(crate) fn parse(bytes: &[u8; HEAD_BYTES]) -> Self {
        let bytes: &mut &[u8] = &mut bytes.as_slice();
        let (length, number) = (bytes.get_u64(), bytes.get_u64());
        let mut hash = Hash::default();
        bytes.copy_to_slice(&mut hash);
        Self {
            length,
            number,
            hash,
        }
    }

    /// Returns whether it belongs to this body and to the record before with this hash.
    pub(crate) fn fits(&self, before: &Hash, body: &[u8]) -> bool {
        self.hash == hash(before, self.number, body)
    }
}

/// Encodes the rows of a memtable as a record. Returns its hash.
pub(crate) fn encode(
    buffer: &mut Vec<u8>,
    before: &Hash,
    number: u64,
    memtable: &Memtable,
) -> Hash {
    let start = buffer.len();
    buffer.resize(start + HEAD_BYTES, 0);
    for table in 0..TABLES {
        for (key, value) in memtable.rows(table) {
            buffer.put_u8(u8::try_from(table).expect("few tables"));
            buffer.put_u8(u8::try_from(key.as_bytes().len()).expect("short keys"));
            buffer.put_slice(key.as_bytes());
            let length = value.as_ref().map_or(0, |value| 1 + value.len());
            buffer.put_u32(u32::try_from(length).expect("rows are short"));
            buffer.put_slice(value.as_deref().unwrap_or_default());
        }
    }
    let body = &buffer[start + HEAD_BYTES..];
    let (length, hash) = (body.len() as u64, hash(before, number, body));
    let mut head = &mut buffer[start..start + HEAD_BYTES];
    head.put_u64(length);
    head.put_u64(number);
    head.put_slice(&hash);
    fill_block(buffer);
    hash
}

/// Decodes the body of a record into a memtable.
pub(crate) fn decode(mut body: Bytes, memtable: &mut Memtable) -> Result<(), StoreError> {
    while body.has_remaining() {
        take_row(&mut body, memtable).ok_or(StoreError::Damaged(
            "a record of its journal cannot be read",
        ))?;
    }
    Ok(())
}

fn take_row(body: &mut Bytes, memtable: &mut Memtable) -> Option<()> {
    let table = usize::from(body.try_get_u8().ok()?);
    let length = usize::from(body.try_get_u8().ok()?);
    let key = RowKey::parse(&take_bytes(body, length)?)?;
    let length = usize::try_from(body.try_get_u32().ok()?).ok()?;
    let value = match length.checked_sub(1) {
        Some(length) => Some(take_bytes(body, length)?),
        None => None,
    };
    (table < TABLES).then(|| memtable.set(table, key, value))
}

fn take_bytes(body: &mut Bytes, length: usize) -> Option<Bytes> {
    (body.len() >= length).then(|| body.split_to(length))
}

/// The body implies its own length.
fn hash(before: &Hash, number: u64, body: &[u8]) -> Hash {
    let hash = Sha256::new()
        .chain_update(before)
        .chain_update(number.to_be_bytes());
    hash.chain_update(body).finalize().into()
}

fn fill_block(buffer: &mut Vec<u8>) {
    buffer.resize(buffer.len().next_multiple_of(BLOCK_BYTES), 0);
}
