//! The data directory: private to its owner, and to the relay.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use redb::{DatabaseError, ReadOnlyDatabase};

use super::errors::database_error;
use super::files::{
    BALLAST, BEFORE_RESTORE, BEFORE_UPGRADE, COMPACTING, FILE, JOURNALS, KEYS, RESTORING, UPGRADING,
};
use crate::StoreError;

/// Other files that a data directory may have: `client` is the profile of a device of the same user, `tls`
/// has the relay's certificates.
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

/// Checks that a directory is empty or has a store in it, and creates it if it does not exist.
pub(crate) fn prepare(data_dir: &Path) -> Result<(), StoreError> {
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

/// Creates an empty file that only its owner can read.
pub(crate) fn create_private(file: &Path) -> Result<(), StoreError> {
    graceful_fs_util::create_private(file).map_err(|error| cannot(file, error))?;
    Ok(())
}

/// Opens an existing file to read and write.
pub(crate) fn open_file(file: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .map_err(|error| cannot(file, error))
}

/// Locks a database file that no process has open. No other process opens it for writing until the guard is
/// dropped.
///
/// # Errors
/// [`StoreError::InUse`] if a process has it open.
pub fn lock_exclusive(file: &Path) -> Result<Box<dyn Send>, StoreError> {
    match ReadOnlyDatabase::open(file) {
        Ok(database) => return Ok(Box::new(database)),
        Err(error @ DatabaseError::DatabaseAlreadyOpen) => return Err(database_error(error, file)),
        // Not closed, or damaged.
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

/// Removes a file, if it exists.
pub(crate) fn remove(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(file, error)),
        _ => Ok(()),
    }
}

/// Makes changes of names in a directory durable.
pub(crate) fn sync(data_dir: &Path) -> Result<(), StoreError> {
    graceful_fs_util::sync_dir(data_dir).map_err(|error| cannot(data_dir, error))
}

/// Returns the error for a file of the data directory.
pub(crate) fn cannot(file: &Path, source: io::Error) -> StoreError {
    StoreError::DataDir {
        data_dir: file.to_owned(),
        source,
    }
}
