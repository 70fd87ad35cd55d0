//! The journal, a write-ahead log: a commit appends its rows and syncs, which costs the disk one write.
//! Memtable flushes write them to redb later, many at once (`flush.rs`).
//!
//! It has two segments, one file each: while one is flushed to redb, the other is written. `record.rs` has
//! the format.

pub(crate) mod record;

use std::path::PathBuf;

use bytes::Bytes;
use redb::{StorageBackend, StorageError};

use record::{BLOCK_BYTES, HEAD_BYTES, HEADER_BYTES, Hash, RecordHead, SegmentHeader};

use super::memtable::{Memtable, Memtables, SealedMemtable};
use crate::{Identity, StoreError};

/// Bytes by which a file grows. The new blocks are zeroed at once: later writes change only their content,
/// which makes their sync cheap.
const GROWTH_BYTES: usize = 256 * 1024;

/// Bytes of the record buffer that are kept for the next record.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// The file of a segment.
pub(crate) type File = Box<dyn StorageBackend>;

/// The journal, open for writing.
pub(crate) struct Journal {
    files: [File; 2],
    identity: Identity,
    /// The index of the current segment.
    at: usize,
    /// The offset of the next record; 0: the segment is not started.
    end: usize,
    /// The hash of the record before.
    before: Hash,
    /// The number of the next record.
    next: u64,
    buffer: Vec<u8>,
}

/// What was recovered from a segment.
struct RecoveredSegment {
    memtable: Memtable,
    end: usize,
    hash: Hash,
    /// The number of the next record.
    next: u64,
}

impl Journal {
    /// Recovers the records after `flushed_through`, which redb does not have, and continues behind them.
    pub(crate) fn open(
        files: [File; 2],
        identity: Identity,
        flushed_through: u64,
    ) -> Result<(Self, Memtables), StoreError> {
        const FOREIGN: StoreError = StoreError::OtherJournal {
            data_dir: PathBuf::new(),
        };
        let mut headers = Vec::new();
        for (at, file) in files.iter().enumerate() {
            headers.extend(read_header(file)?.map(|header| (at, header)));
        }
        headers.sort_by_key(|(_, header)| header.first);
        let mut journal = Self {
            files,
            identity,
            at: 0,
            end: 0,
            before: Hash::default(),
            next: flushed_through + 1,
            buffer: Vec::new(),
        };
        let mut memtables = Memtables::default();
        let (mut headers, others): (Vec<_>, Vec<_>) = headers
            .into_iter()
            .partition(|(_, header)| header.identity == identity);
        let other = others.last();
        if let Some((at, other)) = other
            && recover_segment(&journal.files[*at], other, flushed_through)?.next > other.first
        {
            return Err(FOREIGN);
        }
        let Some((newer_at, newer)) = headers.pop() else {
            // A closed journal of the epoch before a restore: redb has all of it. The older segment is
            // truncated first: alone, its records would look like lost ones.
            if let Some((at, _)) = other {
                journal.truncate_file(1 - at)?;
                journal.truncate_file(*at)?;
            }
            return Ok((journal, memtables));
        };
        let segment = recover_segment(&journal.files[newer_at], &newer, flushed_through)?;
        if newer.first > flushed_through + 1 {
            let Some((older_at, older)) = headers
                .pop()
                .filter(|(_, older)| older.first <= flushed_through + 1)
            else {
                return Err(FOREIGN);
            };
            let older = recover_segment(&journal.files[older_at], &older, flushed_through)?;
            if older.next != newer.first {
                return Err(FOREIGN);
            }
            memtables.sealed = Some(SealedMemtable {
                memtable: older.memtable.into(),
                last: newer.first - 1,
            });
        }
        if segment.next > flushed_through {
            memtables.active = segment.memtable;
            (journal.at, journal.end) = (newer_at, segment.end);
            (journal.before, journal.next) = (segment.hash, segment.next);
        }
        Ok((journal, memtables))
    }

    /// Returns the number of the last record.
    pub(crate) fn last_record(&self) -> u64 {
        self.next - 1
    }

    /// Returns the bytes of the current segment.
    pub(crate) fn bytes(&self) -> usize {
        self.end
    }

    /// Appends a record. It is durable when this returns.
    pub(crate) fn append(&mut self, memtable: &Memtable) -> Result<(), StoreError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if self.end == 0 {
            self.before = SegmentHeader::encode(&mut buffer, &self.identity, self.next);
        }
        self.before = record::encode(&mut buffer, &self.before, self.next, memtable);
        self.write(&mut buffer)?;
        self.next += 1;
        if buffer.capacity() <= BUFFER_BYTES_MAX {
            self.buffer = buffer;
        }
        Ok(())
    }

    /// Reserves a record number for a commit that is written to redb directly, when redb has all records before.
    /// So a database from before that commit does not match the records that follow.
    pub(crate) fn reserve_record(&mut self) -> u64 {
        if self.end > 0 {
            self.rotate();
        }
        self.next += 1;
        self.last_record()
    }

    /// Rotates to the other segment, whose records redb has.
    pub(crate) fn rotate(&mut self) {
        (self.at, self.end) = (1 - self.at, 0);
    }

    /// Truncates both segments, whose records redb has.
    pub(crate) fn truncate(&mut self) -> Result<(), StoreError> {
        self.truncate_file(0)?;
        self.truncate_file(1)?;
        self.end = 0;
        Ok(())
    }

    fn truncate_file(&self, at: usize) -> Result<(), StoreError> {
        self.files[at].set_len(0).map_err(failed)?;
        self.files[at].sync_data().map_err(failed)
    }

    /// Starts the current segment without a record, so that a later recovery reads no further.
    pub(crate) fn start_segment(&mut self) -> Result<(), StoreError> {
        if self.end > 0 {
            return Ok(());
        }
        let mut buffer = Vec::with_capacity(BLOCK_BYTES);
        self.before = SegmentHeader::encode(&mut buffer, &self.identity, self.next);
        self.write(&mut buffer)
    }

    /// Writes blocks at the end, and syncs.
    fn write(&mut self, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let file = &self.files[self.at];
        let (start, end) = (self.end, self.end + buffer.len());
        if file.len().map_err(failed)? < end as u64 {
            let grown = end.next_multiple_of(GROWTH_BYTES);
            file.set_len(grown as u64).map_err(failed)?;
            buffer.resize(grown - start, 0);
        }
        file.write(start as u64, buffer).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        self.end = end;
        Ok(())
    }
}

/// Reads the header of a segment. `None`: it was never started.
fn read_header(file: &File) -> Result<Option<SegmentHeader>, StoreError> {
    let mut bytes = [0; HEADER_BYTES];
    if file.len().map_err(failed)? < BLOCK_BYTES as u64 {
        return Ok(None);
    }
    file.read(0, &mut bytes).map_err(failed)?;
    Ok(SegmentHeader::parse(&bytes))
}

/// Reads a segment to its end, and recovers the records after `flushed_through`.
fn recover_segment(
    file: &File,
    header: &SegmentHeader,
    flushed_through: u64,
) -> Result<RecoveredSegment, StoreError> {
    let length = file.len().map_err(failed)?;
    let mut found = RecoveredSegment {
        memtable: Memtable::default(),
        end: BLOCK_BYTES,
        hash: header.hash,
        next: header.first,
    };
    while let Some((hash, body)) = next_record(file, &found, length)? {
        found.end = end_of(found.end, &body);
        if found.next > flushed_through {
            record::decode(body, &mut found.memtable)?;
        }
        (found.hash, found.next) = (hash, found.next + 1);
    }
    Ok(found)
}

/// Returns the record behind those recovered so far, if there is one.
fn next_record(
    file: &File,
    found: &RecoveredSegment,
    length: u64,
) -> Result<Option<(Hash, Bytes)>, StoreError> {
    let Some((head, body)) = read_record(file, found.end, found.next, length)? else {
        return Ok(None);
    };
    if head.fits(&found.hash, &body) {
        return Ok(Some((head.hash, body)));
    }
    // Only the last record can be torn. A record that another one continues was whole once.
    match read_record(file, end_of(found.end, &body), found.next + 1, length)? {
        Some((later, body)) if later.fits(&head.hash, &body) => Err(StoreError::Damaged(
            "a record of its journal is not as it was written",
        )),
        _ => Ok(None),
    }
}

/// Reads what may be the record with this number.
fn read_record(
    file: &File,
    at: usize,
    number: u64,
    length: u64,
) -> Result<Option<(RecordHead, Bytes)>, StoreError> {
    let left = length.saturating_sub(at as u64);
    if left < BLOCK_BYTES as u64 {
        return Ok(None);
    }
    let mut head = [0; HEAD_BYTES];
    file.read(at as u64, &mut head).map_err(failed)?;
    let head = RecordHead::parse(&head);
    // The length is untrusted until the hash is checked.
    if head.number != number || head.length > left - HEAD_BYTES as u64 {
        return Ok(None);
    }
    let mut body = vec![0; usize::try_from(head.length).expect("less than the file has")];
    file.read((at + HEAD_BYTES) as u64, &mut body)
        .map_err(failed)?;
    Ok(Some((head, body.into())))
}

/// Returns the end of a record that begins at `at`.
fn end_of(at: usize, body: &Bytes) -> usize {
    (at + HEAD_BYTES + body.len()).next_multiple_of(BLOCK_BYTES)
}

fn failed(error: std::io::Error) -> StoreError {
    StorageError::Io(error).into()
}

#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod tests;
