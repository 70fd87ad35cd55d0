//! Why the store cannot go on. Nothing here is an answer to a device: who sees one stops.

use std::path::{Path, PathBuf};

/// Trouble with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data_dir cannot be made or read.
    #[error(
        "cannot use the data directory {data_dir}: {source}; check that it exists and belongs to the user who runs the relay"
    )]
    DataDir {
        /// Where.
        data_dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data_dir holds things that are not ours.
    #[error(
        "the directory {data_dir} holds something else ({found}); give the relay an empty directory of its own"
    )]
    Foreign {
        /// Where.
        data_dir: PathBuf,
        /// One thing found there.
        found: String,
    },
    /// A restore moved the store away and did not come to its end.
    #[error(
        "the restore into {data_dir} was cut off before the store was in its place; run `graceful-relay restore` again"
    )]
    HalfRestored {
        /// Where.
        data_dir: PathBuf,
    },
    /// The file is there, but no relay wrote it.
    #[error(
        "{file} is not a store of this relay ({reason}); move it away, or give the relay another directory"
    )]
    NotAStore {
        /// Where.
        file: PathBuf,
        /// How that is known.
        reason: String,
    },
    /// Another process has it open.
    #[error(
        "{file} is in use by another process; stop that relay first, or give this one another directory"
    )]
    InUse {
        /// Where.
        file: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "{file} was written by {by} of the relay (layout {found}; this one, version {}, knows up to {known}); install that version again, or go back as docs/guide/backup.md says", env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// Where.
        file: PathBuf,
        /// Which, in words.
        by: String,
        /// In the file.
        found: u32,
        /// The newest this code knows.
        known: u32,
    },
    /// An upgrade writes the store a second time.
    #[error(
        "the store in {data_dir} is of an earlier layout, and to upgrade it {needed} bytes must be free on its disk, not {free}; make room, or start the version before again"
    )]
    NoRoomToUpgrade {
        /// Where.
        data_dir: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// What an upgrade made does not hold what was there.
    #[error(
        "the store in {data_dir} could not be upgraded: what came of it is not whole; it was left as it was. Start the version before again, and report this"
    )]
    UpgradeDiffers {
        /// Where.
        data_dir: PathBuf,
    },
    /// Envelopes are there, and the key that opens them is not.
    #[error(
        "{file} has no key for envelopes of day {day} that are in {store} beside it; restore both files together from the same backup, or give the relay an empty directory",
        store = super::FILE
    )]
    KeyMissing {
        /// The key file.
        file: PathBuf,
        /// Their day, of the relay's own time.
        day: u64,
    },
    /// The journal goes on from another state than the store is in.
    #[error(
        "the journal in {data_dir} does not belong to this {store}: it goes on from another state of it; restore all files from the same backup, or, to give up what only the journal has, move journal-0 and journal-1 away",
        store = super::FILE
    )]
    OtherJournal {
        /// Where both are.
        data_dir: PathBuf,
    },
    /// An envelope's bytes are not those that were kept.
    #[error("the disk gave back other bytes of an envelope than were kept; check the disk")]
    Corrupted,
    /// A row does not say what it must.
    #[error("the store is damaged: {0}; check the disk, and restore the latest backup")]
    Damaged(&'static str),
    /// redb failed, mostly because the disk did.
    #[error("the store failed: {0}; check the disk, its free space and its permissions")]
    Engine(#[from] Box<redb::Error>),
}

impl StoreError {
    /// With the whole path, where only a name was known.
    pub(super) fn in_data_dir(self, data_dir: &Path) -> Self {
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

/// Makes an error of this disk_space from each of redb's own.
macro_rules! from_redb {
    ($to:ty, $make:expr; $($error:ty),+) => {$(
        impl From<$error> for $to {
            fn from(error: $error) -> Self {
                ($make)(error)
            }
        }
    )+};
}
pub(super) use from_redb;

from_redb!(
    StoreError, |error| StoreError::Engine(Box::new(redb::Error::from(error)));
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);
