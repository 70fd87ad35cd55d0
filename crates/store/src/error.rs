//! Errors of the store. None of them is an answer to a device: all but [`StoreError::NotFetched`] stop the
//! process.

use std::path::{Path, PathBuf};

use crate::RowId;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory cannot be created or read.
    #[error(
        "cannot use {data_dir}: {source}; check that it exists and that the relay's user owns it"
    )]
    DataDir {
        /// The directory, or a file in it.
        data_dir: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The data directory has foreign files.
    #[error("{data_dir} has other files in it ({found}); use an empty directory")]
    Foreign {
        /// The directory.
        data_dir: PathBuf,
        /// One of the files.
        found: String,
    },
    /// A restore was cut off after it moved the store away.
    #[error("the restore into {data_dir} was cut off; run `graceful-relay restore` again")]
    HalfRestored {
        /// The directory.
        data_dir: PathBuf,
    },
    /// The file is not a relay's.
    #[error(
        "{file} is not the store of a relay ({reason}); move it away or use another --data-dir"
    )]
    NotAStore {
        /// The file.
        file: PathBuf,
        /// How that is known.
        reason: String,
    },
    /// Another process has the file open.
    #[error("{file} is locked by another process; stop it or use another --data-dir")]
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// A later version wrote the file.
    #[error(
        "{file} was written by {by} of the relay (schema version {found}; version {} knows up to {known}); \
         install that version again, or go back as docs/guide/backup.md says",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The version that wrote it.
        by: String,
        /// Its schema version.
        found: u32,
        /// The newest schema version that this program knows.
        known: u32,
    },
    /// An upgrade writes the store a second time, and the disk has not enough space.
    #[error(
        "cannot upgrade the store in {data_dir}: {needed} bytes must be free on its disk, and {free} are; free \
         some, or start the version before again"
    )]
    NoRoomToUpgrade {
        /// The directory.
        data_dir: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// The upgraded copy lacks something that the store has.
    #[error(
        "cannot upgrade the store in {data_dir}: the copy is incomplete, and the store was not changed; start \
         the version before again, and report this"
    )]
    UpgradeDiffers {
        /// The directory.
        data_dir: PathBuf,
    },
    /// Envelopes have no key.
    #[error(
        "{file} has no key for the envelopes of day {day} in relay.redb; restore both files from the same \
         backup, or use an empty --data-dir"
    )]
    KeyMissing {
        /// The key file.
        file: PathBuf,
        /// The day, in relay time.
        day: u64,
    },
    /// The journal continues another database.
    #[error(
        "the journal in {data_dir} does not continue this relay.redb; restore all files from the same backup, \
         or, to give up what only the journal has, move journal-0 and journal-1 away"
    )]
    OtherJournal {
        /// The directory.
        data_dir: PathBuf,
    },
    /// A row is not loaded: the engine fetches it, and the batch is applied again.
    #[error("the row {row:?} was not fetched")]
    NotFetched {
        /// The row to fetch.
        row: RowId,
    },
    /// The bytes of an envelope are not those that were stored.
    #[error("an envelope failed its integrity check; the disk may be failing")]
    Corrupted,
    /// A row or file cannot be read.
    #[error("the store is damaged: {0}; check the disk, and restore the latest backup")]
    Damaged(&'static str),
    /// A write failed before: what the disk has is unknown.
    #[error("the store is poisoned: a write failed before; start the relay again")]
    Poisoned,
    /// The engine failed, mostly because the disk did.
    #[error("the store failed: {0}; check the disk, its free space and its permissions")]
    Engine(Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Completes the path of an error that knows a file name only.
    pub(crate) fn in_data_dir(self, data_dir: &Path) -> Self {
        match self {
            Self::KeyMissing { file, day } => Self::KeyMissing {
                file: data_dir.join(file),
                day,
            },
            Self::OtherJournal { .. } => Self::OtherJournal {
                data_dir: data_dir.to_owned(),
            },
            other => other,
        }
    }
}
