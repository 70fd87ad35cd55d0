//! The journal: an append-only file of records in groups, each synced at once. Synced groups
//! survive a crash. A torn last group is set aside at the next opening. An invalid group followed
//! by a valid one is damage, not a torn write: nothing is dropped then.
//!
//! ```text
//! "graceful-relay journal 1\n" | (length 4 | first 8 bytes of SHA-256(group) | group)…
//! group: (length 4 | record)…
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::ClientError;
use graceful_engine::record::Record;

const MAGIC: &[u8] = b"graceful-relay journal 1\n";
const FRAME_BYTES: usize = 4 + 8;
/// Smaller files are not compacted.
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

/// The result of opening a journal.
#[derive(Debug)]
pub(super) struct Opened {
    /// The journal, ready to append.
    pub(super) journal: Journal,
    /// Its records, in order.
    pub(super) records: Vec<Record>,
    /// Bytes dropped from a torn end.
    pub(super) torn_bytes: u64,
}

impl Journal {
    /// Opens or creates the file and drops a torn end.
    ///
    /// # Errors
    /// [`ClientError::File`], [`ClientError::Damaged`]
    pub(super) fn open(path: &Path) -> Result<Opened, ClientError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let mut file = options
            .open(path)
            .map_err(ClientError::file("open", path))?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(ClientError::file("read", path))?;
        let (records, valid_bytes) = read(path, &content)?;
        let torn_bytes = (content.len() - valid_bytes) as u64;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            bytes: valid_bytes as u64,
            bytes_after_compaction: 0,
            buffer: Vec::new(),
        };
        if torn_bytes > 0 {
            write_atomically(&path.with_extension("torn"), &content[valid_bytes..])?;
        }
        if torn_bytes > 0 || valid_bytes == 0 {
            journal
                .truncate(valid_bytes)
                .map_err(ClientError::file("repair", path))?;
        }
        journal
            .file
            .seek(SeekFrom::Start(journal.bytes))
            .map_err(ClientError::file("read", path))?;
        Ok(Opened {
            journal,
            records,
            torn_bytes,
        })
    }

    fn truncate(&mut self, valid_bytes: usize) -> std::io::Result<()> {
        self.file.set_len(valid_bytes as u64)?;
        if valid_bytes == 0 {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(MAGIC)?;
            self.bytes = MAGIC.len() as u64;
        }
        self.file.sync_all()?;
        sync_parent_dir(&self.path)
    }

    /// Buffers a record until [`Journal::sync`].
    pub(super) fn append(&mut self, record: &Record) {
        put(record, &mut self.buffer);
    }

    /// Syncs all buffered records to disk. After an error the file must not be used further.
    ///
    /// # Errors
    /// [`ClientError::File`]
    pub(super) fn sync(&mut self) -> Result<(), ClientError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let head = head(&self.buffer);
        let written = self
            .file
            .write_all(&head)
            .and_then(|()| self.file.write_all(&self.buffer));
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(ClientError::file("write", &self.path))?;
        self.bytes += (head.len() + self.buffer.len()) as u64;
        self.buffer.clear();
        self.buffer.shrink_to(64 * 1024);
        Ok(())
    }

    /// Returns whether compaction is worth trying.
    pub(super) fn wants_compaction(&self) -> bool {
        self.bytes > COMPACT_BYTES_MIN.max(self.bytes_after_compaction.saturating_mul(3))
    }

    /// Replaces all records if that makes the file much smaller. If the disk is full, the old file
    /// stays in use.
    ///
    /// # Errors
    /// [`ClientError::File`]
    pub(super) fn compact(&mut self, records: &[Record]) -> Result<(), ClientError> {
        let content = content_of(records);
        self.bytes_after_compaction = content.len() as u64;
        if self.wants_compaction() {
            self.replace(&content)
        } else {
            Ok(())
        }
    }

    /// Replaces the file atomically.
    fn replace(&mut self, content: &[u8]) -> Result<(), ClientError> {
        let fresh = self.path.with_extension("new");
        if let Err(error) =
            write_fresh(&fresh, content).and_then(|()| std::fs::rename(&fresh, &self.path))
        {
            tracing::warn!(%error, "cannot compact the journal; it keeps growing");
            let _ = std::fs::remove_file(&fresh);
            self.bytes_after_compaction = self.bytes;
            return Ok(());
        }
        sync_parent_dir(&self.path).map_err(ClientError::file("write", &self.path))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        self.file = options
            .open(&self.path)
            .map_err(ClientError::file("open", &self.path))?;
        self.bytes = content.len() as u64;
        self.file
            .seek(SeekFrom::End(0))
            .map_err(ClientError::file("read", &self.path))?;
        Ok(())
    }
}

fn content_of(records: &[Record]) -> Vec<u8> {
    let (mut content, mut group) = (MAGIC.to_vec(), Vec::new());
    for record in records {
        group.clear();
        put(record, &mut group);
        content.extend_from_slice(&head(&group));
        content.extend_from_slice(&group);
    }
    content
}

/// Reads the records without changing the file, while another program may have it open.
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

/// Returns the complete records and their size in bytes.
fn read(path: &Path, content: &[u8]) -> Result<(Vec<Record>, usize), ClientError> {
    if content.len() < MAGIC.len() && MAGIC.starts_with(content) {
        return Ok((Vec::new(), 0));
    }
    let mut rest = content
        .strip_prefix(MAGIC)
        .ok_or_else(|| ClientError::damaged(path, "not a journal"))?;
    let mut records = Vec::new();
    while let Some((group, after)) = next(rest) {
        let group =
            records_of(group).ok_or_else(|| ClientError::damaged(path, "unknown record"))?;
        records.extend(group);
        rest = after;
    }
    let valid_bytes = content.len() - rest.len();
    if (1..rest.len()).any(|at| begins_whole_group(&rest[at..])) {
        return Err(ClientError::damaged(
            path,
            format!("bytes at offset {valid_bytes} changed after they were written"),
        ));
    }
    Ok((records, valid_bytes))
}

fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, group, rest) = split(bytes)?;
    (Sha256::digest(group)[..8] == *head).then_some((group, rest))
}

/// Returns the claimed hash, the group, and the rest.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(FRAME_BYTES)?;
    let length = u32::from_be_bytes(head[..4].try_into().ok()?) as usize;
    let (group, rest) = rest.split_at_checked(length)?;
    Some((&head[4..], group, rest))
}

/// Parsing fails early where hashing would not: this runs at every byte.
fn begins_whole_group(bytes: &[u8]) -> bool {
    let group = split(bytes).map(|(_, group, _)| group);
    let readable = group
        .and_then(records_of)
        .is_some_and(|records| !records.is_empty());
    readable && next(bytes).is_some()
}

fn records_of(mut group: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !group.is_empty() {
        let (length, rest) = group.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let (record, rest) = rest.split_at_checked(length)?;
        records.push(Record::from_bytes(record)?);
        group = rest;
    }
    Some(records)
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len())
        .expect("a batch is far smaller than 4 GiB")
        .to_be_bytes()
}

fn put(record: &Record, into: &mut Vec<u8>) {
    let start = into.len();
    into.reserve(4 + record.encoded_len());
    into.extend_from_slice(&[0; 4]);
    record.encode(into);
    let length = length(&into[start + 4..]);
    into[start..start + 4].copy_from_slice(&length);
}

fn head(group: &[u8]) -> [u8; FRAME_BYTES] {
    let mut head = [0; FRAME_BYTES];
    head[..4].copy_from_slice(&length(group));
    head[4..].copy_from_slice(&Sha256::digest(group)[..8]);
    head
}

/// Writes a file atomically: complete or not at all.
///
/// # Errors
/// [`ClientError::File`]
pub(super) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), ClientError> {
    let fresh = path.with_extension("new");
    let write = || {
        write_fresh(&fresh, content)?;
        std::fs::rename(&fresh, path)?;
        sync_parent_dir(path)
    };
    write().map_err(ClientError::file("write", path))
}

fn write_fresh(fresh: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    private(&mut options);
    let mut file = options.open(fresh)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Restricts access to the owner: the files hold secrets and plaintext changes.
pub(super) fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

fn sync_parent_dir(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_engine::record::{Batch, Queued};

    fn record(push_number: u64) -> Record {
        let content = vec![u8::try_from(push_number).unwrap(); 5].into();
        Record::Queued(Batch {
            changes: vec![Queued {
                push_number,
                content,
                ..Queued::default()
            }],
        })
    }

    fn written(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap().journal;
        for record in records {
            journal.append(record);
            journal.sync().unwrap();
        }
        (dir, path)
    }

    #[test]
    fn journal_truncated_anywhere_keeps_earlier_records() {
        let records = [record(1), record(2), Record::Stored(1), record(3)];
        let (_folder, path) = written(&records);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let opened = Journal::open(&path).unwrap();
            assert!(records.starts_with(&opened.records), "length {length}");
            if opened.torn_bytes > 0 {
                let torn = std::fs::read(path.with_extension("torn")).unwrap();
                assert!(whole[..length].ends_with(&torn) && torn.len() as u64 == opened.torn_bytes);
            }
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
    fn journal_flipped_bit_is_damage_and_nothing_is_dropped() {
        let (_folder, path) = written(&[record(1), record(2), record(3)]);
        let whole = std::fs::read(&path).unwrap();
        let last = (whole.len() - MAGIC.len()) / 3;
        for at in MAGIC.len()..whole.len() - last {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let error = Journal::open(&path).unwrap_err();
            assert!(
                matches!(error, ClientError::Damaged { .. }),
                "at {at}: {error}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), changed);
        }
    }

    #[test]
    fn journal_group_is_atomic() {
        let (_folder, path) = written(&[record(1)]);
        let mut journal = Journal::open(&path).unwrap().journal;
        let before = std::fs::read(&path).unwrap().len();
        journal.append(&record(2));
        journal.append(&record(3));
        journal.sync().unwrap();
        let mut torn = std::fs::read(&path).unwrap();
        // The first block of the write was lost, the second was not.
        torn[before + 20] ^= 1;
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(Journal::open(&path).unwrap().records, [record(1)]);
    }

    #[test]
    fn journal_compaction_replaces_all_records() {
        let (_folder, path) = written(&[record(1), record(2)]);
        let mut journal = Journal::open(&path).unwrap().journal;
        journal.replace(&content_of(&[record(2)])).unwrap();
        journal.append(&record(3));
        journal.sync().unwrap();
        assert_eq!(
            Journal::open(&path).unwrap().records,
            [record(2), record(3)]
        );
        assert_eq!(peek(&path).unwrap(), [record(2), record(3)]);
    }

    fn large(push_number: u64) -> Record {
        let content = vec![1; 5 << 20].into();
        Record::Queued(Batch {
            changes: vec![Queued {
                push_number,
                content,
                ..Queued::default()
            }],
        })
    }

    #[test]
    fn journal_all_live_is_not_compacted() {
        let (_folder, path) = written(&[large(1), record(2)]);
        let mut journal = Journal::open(&path).unwrap().journal;
        let before = std::fs::read(&path).unwrap().len();
        assert!(journal.wants_compaction());
        journal.compact(&[large(1)]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), before);
        assert!(!journal.wants_compaction());
    }

    #[test]
    fn journal_failed_compaction_keeps_old_file() {
        let (dir, path) = written(&[large(1)]);
        std::fs::create_dir(dir.path().join("journal.new")).unwrap();
        let mut journal = Journal::open(&path).unwrap().journal;
        journal.compact(&[record(2)]).unwrap();
        journal.append(&record(2));
        journal.sync().unwrap();
        assert_eq!(Journal::open(&path).unwrap().records, [large(1), record(2)]);
    }

    #[test]
    fn journal_foreign_file_is_not_overwritten() {
        let (_folder, path) = written(&[]);
        std::fs::write(&path, "not a journal").unwrap();
        assert!(matches!(
            Journal::open(&path),
            Err(ClientError::Damaged { .. })
        ));
        assert!(std::fs::read(&path).unwrap().starts_with(b"not a journal"));
    }
}
