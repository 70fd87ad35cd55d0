//! The data data_dir: one of the relay's own, that only its owner sees into.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use redb::{DatabaseError, ReadOnlyDatabase};

use super::StoreError;
use super::disk_space::BALLAST;
use super::open::{COMPACTING, FILE, JOURNALS, KEYS, database_error};
use super::upgrade::{BEFORE_UPGRADE, UPGRADING};

/// What else may lie in the data data_dir: `client` is the profile of a device of the same user, `tls` has
/// the relay's certificates.
const NEIGHBOURS: [&str; 15] = [
    "admin.sock",
    "lost+found",
    "config.toml",
    "client",
    "tls",
    "sla",
    "last-backup",
    "last-backup.new",
    BALLAST,
    KEYS,
    COMPACTING,
    UPGRADING,
    BEFORE_UPGRADE,
    JOURNALS[0],
    JOURNALS[1],
];

/// What a restore unpacks, in the data data_dir.
pub const RESTORING: &str = "restoring";

/// How the folders begin in which a restore leaves what was there before.
pub const BEFORE_RESTORE: &str = "before-restore-";

/// Only a data_dir of the relay's own is taken: one that is empty or has the store in it.
pub(super) fn prepare(data_dir: &Path) -> Result<(), StoreError> {
    let cannot = |source| StoreError::DataDir {
        data_dir: data_dir.to_owned(),
        source,
    };
    if !data_dir.is_dir() {
        graceful_fs_util::create_dir_all_private(data_dir).map_err(cannot)?;
    }
    if data_dir.join(FILE).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(data_dir).map_err(cannot)? {
        let found = entry
            .map_err(cannot)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if found == RESTORING {
            return Err(StoreError::HalfRestored {
                data_dir: data_dir.to_owned(),
            });
        }
        if !NEIGHBOURS.contains(&found.as_str()) && !found.starts_with(BEFORE_RESTORE) {
            return Err(StoreError::Foreign {
                data_dir: data_dir.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

/// An empty file that only its owner can read, whatever the data_dir allows.
pub(super) fn create_private(file: &Path) -> Result<(), StoreError> {
    graceful_fs_util::create_private(file).map_err(|error| cannot(file, error))?;
    Ok(())
}

/// A file that is there already, to read and write.
pub(super) fn open_file(file: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .map_err(|error| cannot(file, error))
}

/// Holds a store that nobody has open: as long as what this gives is there, nobody else opens it to write.
///
/// # Errors
/// [`StoreError::InUse`] where somebody has it open.
pub fn lock_exclusive(file: &Path) -> Result<Box<dyn Send>, StoreError> {
    match ReadOnlyDatabase::open(file) {
        Ok(database) => return Ok(Box::new(database)),
        Err(error @ DatabaseError::DatabaseAlreadyOpen) => return Err(database_error(error, file)),
        // It was not closed, or is damaged.
        Err(_) => {}
    }
    let held = File::open(file).map_err(|error| cannot(file, error))?;
    match held.try_lock() {
        Ok(()) => Ok(Box::new(held)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            file: file.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(cannot(file, error)),
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(file, error)),
        _ => Ok(()),
    }
}

/// Makes names last that were made or changed in it.
pub(super) fn sync(data_dir: &Path) -> Result<(), StoreError> {
    graceful_fs_util::sync_dir(data_dir).map_err(|error| cannot(data_dir, error))
}

/// The trouble with a file of the data_dir.
pub(super) fn cannot(file: &Path, source: io::Error) -> StoreError {
    StoreError::DataDir {
        data_dir: file.to_owned(),
        source,
    }
}
