//! The journal: what a commit changes goes to its end and is synced, so that a commit costs the disk one
//! write. redb gets it later, much of it at once (`fold.rs`).
//!
//! Two files take turns: while what one has is folded into redb, the other is written. `record.rs` has
//! their form.

use std::path::PathBuf;

use bytes::Bytes;
use redb::{StorageBackend, StorageError};

use super::StoreError;
use super::layer::Layer;
use super::moment::{Frozen, Layers};
use super::open::Identity;
use super::record::{self, BLOCK_BYTES, HEAD_BYTES, HEADER_BYTES, Hash, Head, Header};

/// By how much a file grows. The new blocks are written with zeros right then: later writes change no
/// more than their content, which is what makes their sync cheap.
const GROWTH_BYTES: usize = 256 * 1024;

/// Bytes that the buffer for a record may keep when it is done.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// A file of the journal, wherever it is.
pub(super) type File = Box<dyn StorageBackend>;

/// The journal, open for writing.
pub(super) struct Journal {
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
struct Stretch {
    layer: Layer,
    end: usize,
    hash: Hash,
    /// The number after that of its last record.
    next: u64,
}

impl Journal {
    /// Reads what redb has not got yet, which is all after record `folded`, and goes on behind it.
    pub(super) fn open(
        files: [File; 2],
        identity: Identity,
        folded: u64,
    ) -> Result<(Self, Layers), StoreError> {
        const OTHER: StoreError = StoreError::OtherJournal { folder: PathBuf::new() };
        let mut headers = Vec::new();
        for (at, file) in files.iter().enumerate() {
            headers.extend(header(file)?.map(|header| (at, header)));
        }
        headers.sort_by_key(|(_, header)| header.first);
        let (mut own, foreign) =
            headers.into_iter().partition::<Vec<_>, _>(|(_, header)| header.identity == identity);
        let (at, end, before) = (0, 0, Hash::default());
        let mut journal = Self { files, identity, at, end, before, next: folded + 1, buffer: Vec::new() };
        let mut layers = Layers::default();
        let Some((newer_at, newer)) = own.pop() else {
            // Of the history before a restore, if of any: then it was closed, and has nothing left.
            let closed = match foreign.last() {
                Some((at, header)) => read(&journal.files[*at], header, u64::MAX)?.next == header.first,
                None => true,
            };
            return if closed { Ok((journal, layers)) } else { Err(OTHER) };
        };
        let stretch = read(&journal.files[newer_at], &newer, folded)?;
        if newer.first > folded + 1 {
            let older = own.pop().filter(|(_, older)| older.first <= folded + 1);
            let Some((older_at, older)) = older else { return Err(OTHER) };
            let older = read(&journal.files[older_at], &older, folded)?;
            if older.next != newer.first {
                return Err(OTHER);
            }
            layers.frozen = Some(Frozen { layer: older.layer.into(), last: newer.first - 1 });
        }
        if stretch.next > folded {
            layers.active = stretch.layer;
            (journal.at, journal.end) = (newer_at, stretch.end);
            (journal.before, journal.next) = (stretch.hash, stretch.next);
        }
        Ok((journal, layers))
    }

    /// The number of the last record.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Bytes of the file that is written.
    pub(super) fn bytes(&self) -> usize {
        self.end
    }

    /// Puts what changed at the end. When this returns it is on the disk.
    pub(super) fn append(&mut self, layer: &Layer) -> Result<(), StoreError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if self.end == 0 {
            self.before = Header::put(&mut buffer, &self.identity, self.next);
        }
        self.before = record::put(&mut buffer, &self.before, self.next, layer);
        self.write(&mut buffer)?;
        self.next += 1;
        if buffer.capacity() <= BUFFER_BYTES_MAX {
            self.buffer = buffer;
        }
        Ok(())
    }

    /// From now on the other file is written, from its beginning. Nobody may need what it had.
    pub(super) fn turn(&mut self) {
        (self.at, self.end) = (1 - self.at, 0);
    }

    /// Takes everything out of both files. Nobody may need what they had.
    pub(super) fn wipe(&mut self) -> Result<(), StoreError> {
        for file in &self.files {
            file.set_len(0).map_err(failed)?;
            file.sync_data().map_err(failed)?;
        }
        self.end = 0;
        Ok(())
    }

    /// Begins the file that is written although there is no record for it: who opens it reads no further.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        if self.end > 0 {
            return Ok(());
        }
        let mut buffer = Vec::with_capacity(BLOCK_BYTES);
        self.before = Header::put(&mut buffer, &self.identity, self.next);
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
fn header(file: &File) -> Result<Option<Header>, StoreError> {
    let mut bytes = [0; HEADER_BYTES];
    if file.len().map_err(failed)? < BLOCK_BYTES as u64 {
        return Ok(None);
    }
    file.read(0, &mut bytes).map_err(failed)?;
    Ok(Header::parse(&bytes))
}

/// Reads a file to its end, and keeps what its records after number `folded` say.
fn read(file: &File, header: &Header, folded: u64) -> Result<Stretch, StoreError> {
    let length = file.len().map_err(failed)?;
    let mut found =
        Stretch { layer: Layer::default(), end: BLOCK_BYTES, hash: header.hash, next: header.first };
    while let Some((hash, body)) = next(file, &found, length)? {
        found.end = (found.end + HEAD_BYTES + body.len()).next_multiple_of(BLOCK_BYTES);
        if found.next > folded {
            record::take(body, &mut found.layer)?;
        }
        (found.hash, found.next) = (hash, found.next + 1);
    }
    Ok(found)
}

/// The record behind those that were found so far, if there is one.
fn next(file: &File, found: &Stretch, length: u64) -> Result<Option<(Hash, Bytes)>, StoreError> {
    let left = length.saturating_sub(found.end as u64);
    if left < BLOCK_BYTES as u64 {
        return Ok(None);
    }
    let mut head = [0; HEAD_BYTES];
    file.read(found.end as u64, &mut head).map_err(failed)?;
    let head = Head::parse(&head);
    // Read only what can be there: these bytes may be those of anything.
    if head.number != found.next || head.length > left - HEAD_BYTES as u64 {
        return Ok(None);
    }
    let mut body = vec![0; usize::try_from(head.length).expect("less than the file has")];
    file.read((found.end + HEAD_BYTES) as u64, &mut body).map_err(failed)?;
    Ok(head.fits(&found.hash, &body).then(|| (head.hash, body.into())))
}

fn failed(error: std::io::Error) -> StoreError {
    StorageError::Io(error).into()
}

#[cfg(test)]
mod tests;
