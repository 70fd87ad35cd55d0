//! The journal: what a commit changes goes to its end and is synced, so that a commit costs the disk one
//! write. redb gets it later, much of it at once (`fold.rs`).
//!
//! Two files take turns: while what one has is flushed_through into redb, the other is written. `record.rs` has
//! their form.

pub(crate) mod record;

use std::path::PathBuf;

use bytes::Bytes;
use redb::{StorageBackend, StorageError};

use record::{BLOCK_BYTES, HEAD_BYTES, HEADER_BYTES, Hash, RecordHead, SegmentHeader};

use super::memtable::{Memtable, Memtables, SealedMemtable};
use crate::{Identity, StoreError};

/// By how much a file grows. The new blocks are written with zeros right then: later writes change no
/// more than their content, which is what makes their sync cheap.
const GROWTH_BYTES: usize = 256 * 1024;

/// Bytes that the buffer for a record may keep when it is done.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// A file of the journal, wherever it is.
pub(crate) type File = Box<dyn StorageBackend>;

/// The journal, open for writing.
pub(crate) struct Journal {
    files: [File; 2],
    identity: Identity,
    /// Which of the files is written.
    at: usize,
    /// Where its next record goes, in bytes; 0: it has to be begun.
    end: usize,
    /// The hash before that record.
    before: Hash,
    /// That record's number.
    next: u64,
    buffer: Vec<u8>,
}

/// What a file had in it.
struct RecoveredSegment {
    memtable: Memtable,
    end: usize,
    hash: Hash,
    /// The number after that of its last record.
    next: u64,
}

impl Journal {
    /// Reads what redb has not got yet, which is all after record `flushed_through`, and goes on behind it.
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
            // Of the history before a restore, which was closed: there is nothing left in it. The older
            // file goes first: alone, its records would look like some that nobody has.
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

    /// The number of the last record.
    pub(crate) fn last_record(&self) -> u64 {
        self.next - 1
    }

    /// Bytes of the file that is written.
    pub(crate) fn bytes(&self) -> usize {
        self.end
    }

    /// Puts what changed at the end. When this returns it is on the disk.
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

    /// Gives a number to a commit that goes into redb without it, when redb has all there was before. So a
    /// file of redb from before that commit does not fit what the journal gets next.
    pub(crate) fn reserve_record(&mut self) -> u64 {
        if self.end > 0 {
            self.rotate();
        }
        self.next += 1;
        self.last_record()
    }

    /// From now on the other file is written, from its beginning. Nobody may need what it had.
    pub(crate) fn rotate(&mut self) {
        (self.at, self.end) = (1 - self.at, 0);
    }

    /// Takes everything out of both files. Nobody may need what they had.
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

    /// Begins the file that is written although there is no record for it: who opens it reads no further.
    pub(crate) fn start_segment(&mut self) -> Result<(), StoreError> {
        if self.end > 0 {
            return Ok(());
        }
        let mut buffer = Vec::with_capacity(BLOCK_BYTES);
        self.before = SegmentHeader::encode(&mut buffer, &self.identity, self.next);
        self.write(&mut buffer)
    }

    /// Writes blocks at the end, and waits until the disk has them.
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

/// What a file begins with. `None`: it was never begun.
fn read_header(file: &File) -> Result<Option<SegmentHeader>, StoreError> {
    let mut bytes = [0; HEADER_BYTES];
    if file.len().map_err(failed)? < BLOCK_BYTES as u64 {
        return Ok(None);
    }
    file.read(0, &mut bytes).map_err(failed)?;
    Ok(SegmentHeader::parse(&bytes))
}

/// Reads a file to its end, and keeps what its records after number `flushed_through` say.
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

/// The record behind those that were found so far, if there is one.
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
    // A write that was cut off is the last there is. What another record goes on from was there whole.
    match read_record(file, end_of(found.end, &body), found.next + 1, length)? {
        Some((later, body)) if later.fits(&head.hash, &body) => Err(StoreError::Damaged(
            "a record of its journal is not as it was written",
        )),
        _ => Ok(None),
    }
}

/// What may be the record of this number, at this place of a file of this length.
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
    // Read only what can be there: these bytes may be those of anything.
    if head.number != number || head.length > left - HEAD_BYTES as u64 {
        return Ok(None);
    }
    let mut body = vec![0; usize::try_from(head.length).expect("less than the file has")];
    file.read((at + HEAD_BYTES) as u64, &mut body)
        .map_err(failed)?;
    Ok(Some((head, body.into())))
}

/// Where the record ends that begins here and has this body.
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
