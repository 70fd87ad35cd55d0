//! The data folder: one of the relay's own, that only its owner sees into.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use redb::{DatabaseError, ReadOnlyDatabase};

use super::StoreError;
use super::open::{COMPACTING, FILE, JOURNALS, KEYS, explain};
use super::room::BALLAST;
use super::upgrade::{BEFORE_UPGRADE, UPGRADING};

/// What else may lie in the data folder: `client` is the profile of a device of the same user, `tls` has
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

/// What a restore unpacks, in the data folder.
pub const RESTORING: &str = "restoring";

/// How the folders begin in which a restore leaves what was there before.
pub const BEFORE_RESTORE: &str = "before-restore-";

/// Only a folder of the relay's own is taken: one that is empty or has the store in it.
pub(super) fn prepare(folder: &Path) -> Result<(), StoreError> {
    let cannot = |source| StoreError::Folder {
        folder: folder.to_owned(),
        source,
    };
    if !folder.is_dir() {
        graceful_fs_util::create_dir_all_private(folder).map_err(cannot)?;
    }
    if folder.join(FILE).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let found = entry
            .map_err(cannot)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if found == RESTORING {
            return Err(StoreError::HalfRestored {
                folder: folder.to_owned(),
            });
        }
        if !NEIGHBOURS.contains(&found.as_str()) && !found.starts_with(BEFORE_RESTORE) {
            return Err(StoreError::Foreign {
                folder: folder.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

/// An empty file that only its owner can read, whatever the folder allows.
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
pub fn hold(file: &Path) -> Result<Box<dyn Send>, StoreError> {
    match ReadOnlyDatabase::open(file) {
        Ok(database) => return Ok(Box::new(database)),
        Err(error @ DatabaseError::DatabaseAlreadyOpen) => return Err(explain(error, file)),
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
pub(super) fn sync(folder: &Path) -> Result<(), StoreError> {
    graceful_fs_util::sync_dir(folder).map_err(|error| cannot(folder, error))
}

/// The trouble with a file of the folder.
pub(super) fn cannot(file: &Path, source: io::Error) -> StoreError {
    StoreError::Folder {
        folder: file.to_owned(),
        source,
    }
}
