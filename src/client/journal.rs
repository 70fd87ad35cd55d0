//! The journal: one append-only file of records. What was synced survives a crash; what was torn by
//! one is dropped at the next opening.
//!
//! ```text
//! "graceful-relay journal 1\n" | (length 4 | first 8 bytes of SHA-256(record) | record)…
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::ClientError;
use super::record::Record;

const MAGIC: &[u8] = b"graceful-relay journal 1\n";
const FRAME_BYTES: usize = 4 + 8;
/// Below this size nothing is won by rewriting.
const COMPACT_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_after_compaction: u64,
    buffer: Vec<u8>,
}

/// What opening found.
#[derive(Debug)]
pub(super) struct Opened {
    /// The journal, ready to append.
    pub(super) journal: Journal,
    /// Its records, in order.
    pub(super) records: Vec<Record>,
    /// Bytes of a torn end that were dropped.
    pub(super) torn_bytes: u64,
}

impl Journal {
    /// Opens or makes the file, and drops a torn end.
    ///
    /// # Errors
    /// [`ClientError::File`], [`ClientError::Damaged`]
    pub(super) fn open(path: &Path) -> Result<Opened, ClientError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let mut file = options.open(path).map_err(ClientError::file("open", path))?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(ClientError::file("read", path))?;
        let (records, kept) = read(path, &content)?;
        let torn_bytes = (content.len() - kept) as u64;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            bytes: kept as u64,
            bytes_after_compaction: 0,
            buffer: Vec::new(),
        };
        if torn_bytes > 0 || kept == 0 {
            journal.cut(kept).map_err(ClientError::file("repair", path))?;
        }
        journal.file.seek(SeekFrom::Start(journal.bytes)).map_err(ClientError::file("read", path))?;
        Ok(Opened { journal, records, torn_bytes })
    }

    fn cut(&mut self, kept: usize) -> std::io::Result<()> {
        self.file.set_len(kept as u64)?;
        if kept == 0 {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(MAGIC)?;
            self.bytes = MAGIC.len() as u64;
        }
        self.file.sync_all()?;
        sync_folder(&self.path)
    }

    /// Takes a record into memory; [`Journal::sync`] puts it on disk.
    pub(super) fn append(&mut self, record: &Record) {
        frame(record, &mut self.buffer);
    }

    /// Puts every record appended so far on disk. After an error the file is not to be used further.
    ///
    /// # Errors
    /// [`ClientError::File`]
    pub(super) fn sync(&mut self) -> Result<(), ClientError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.sync_data());
        written.map_err(ClientError::file("write", &self.path))?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(64 * 1024);
        Ok(())
    }

    /// Whether most of the file may be dead, so that compaction is worth trying.
    pub(super) fn wants_compaction(&self) -> bool {
        self.bytes > COMPACT_BYTES_MIN.max(self.bytes_after_compaction.saturating_mul(3))
    }

    /// Replaces all records, in one step that a crash cannot halve.
    ///
    /// # Errors
    /// [`ClientError::File`]
    pub(super) fn compact(&mut self, records: &[Record]) -> Result<(), ClientError> {
        let mut content = MAGIC.to_vec();
        for record in records {
            frame(record, &mut content);
        }
        write_atomically(&self.path, &content)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        self.file = options.open(&self.path).map_err(ClientError::file("open", &self.path))?;
        self.bytes = content.len() as u64;
        self.bytes_after_compaction = self.bytes;
        self.file.seek(SeekFrom::End(0)).map_err(ClientError::file("read", &self.path))?;
        Ok(())
    }
}

/// The records of a journal without touching it: for looking while another program has it open.
///
/// # Errors
/// [`ClientError::File`], [`ClientError::Damaged`]
pub(super) fn peek(path: &Path) -> Result<Vec<Record>, ClientError> {
    match std::fs::read(path) {
        Ok(content) => Ok(read(path, &content)?.0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(ClientError::file("read", path)(error)),
    }
}

/// Whole records, and how many bytes they take.
fn read(path: &Path, content: &[u8]) -> Result<(Vec<Record>, usize), ClientError> {
    if content.len() < MAGIC.len() && MAGIC.starts_with(content) {
        return Ok((Vec::new(), 0));
    }
    let mut rest =
        content.strip_prefix(MAGIC).ok_or_else(|| ClientError::damaged(path, "it is not a journal"))?;
    let mut records = Vec::new();
    while let Some((record, after)) = next(rest) {
        let record = Record::from_bytes(record)
            .ok_or_else(|| ClientError::damaged(path, "a record of an unknown kind"))?;
        records.push(record);
        rest = after;
    }
    Ok((records, content.len() - rest.len()))
}

fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(FRAME_BYTES)?;
    let length = u32::from_be_bytes(head[..4].try_into().ok()?) as usize;
    let (record, rest) = rest.split_at_checked(length)?;
    (Sha256::digest(record)[..8] == head[4..]).then_some((record, rest))
}

fn frame(record: &Record, into: &mut Vec<u8>) {
    let bytes = record.to_bytes();
    let length = u32::try_from(bytes.len()).expect("a record is far below 4 GiB");
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(&Sha256::digest(&bytes)[..8]);
    into.extend_from_slice(&bytes);
}

/// A new file in the place of the old: whole, or not at all.
///
/// # Errors
/// [`ClientError::File`]
pub(super) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), ClientError> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        private(&mut options);
        let mut file = options.open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&fresh, path)?;
        sync_folder(path)
    };
    write().map_err(ClientError::file("write", path))
}

/// Readable for the owner alone: the files hold secrets and changes that are not sealed yet.
pub(super) fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::record::{Batch, Queued};

    fn record(push_number: u64) -> Record {
        let content = vec![u8::try_from(push_number).unwrap(); 5].into();
        Record::Queued(Batch { changes: vec![Queued { push_number, content, ..Queued::default() }] })
    }

    fn written(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap().journal;
        for record in records {
            journal.append(record);
        }
        journal.sync().unwrap();
        (folder, path)
    }

    #[test]
    fn cut_anywhere_it_gives_the_records_before() {
        let records = [record(1), record(2), Record::Stored(1), record(3)];
        let (_folder, path) = written(&records);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let opened = Journal::open(&path).unwrap();
            assert!(records.starts_with(&opened.records), "length {length}");
            let mut journal = opened.journal;
            journal.append(&record(9));
            journal.sync().unwrap();
            let again = Journal::open(&path).unwrap();
            assert_eq!(again.torn_bytes, 0);
            assert_eq!(again.records.last(), Some(&record(9)), "length {length}");
            assert_eq!(again.records.len(), opened.records.len() + 1);
        }
    }

    #[test]
    fn compaction_replaces_all() {
        let (_folder, path) = written(&[record(1), record(2)]);
        let mut journal = Journal::open(&path).unwrap().journal;
        journal.compact(&[record(2)]).unwrap();
        journal.append(&record(3));
        journal.sync().unwrap();
        assert_eq!(Journal::open(&path).unwrap().records, [record(2), record(3)]);
        assert_eq!(peek(&path).unwrap(), [record(2), record(3)]);
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let (_folder, path) = written(&[]);
        std::fs::write(&path, "a letter to somebody, not a journal").unwrap();
        assert!(matches!(Journal::open(&path), Err(ClientError::Damaged { .. })));
        assert!(std::fs::read(&path).unwrap().starts_with(b"a letter"));
    }
}
