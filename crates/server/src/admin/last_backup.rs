//! The record of the last backup in the data directory.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file name of the record, which is JSON.
pub const LAST_BACKUP: &str = "last-backup";

/// The last backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The time, as in RFC 3339.
    pub at: String,
    /// The path.
    pub file: String,
    /// The size.
    pub bytes: u64,
}

impl Backup {
    /// Returns the time in seconds since 1970, if it is valid.
    pub fn at_s(&self) -> Option<i64> {
        self.at
            .parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_second)
    }
}

/// Reads the record of the last backup.
pub fn last_backup(folder: &Path) -> Option<Backup> {
    let bytes = fs::read(folder.join(LAST_BACKUP)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Records a verified backup.
///
/// # Errors
/// The error of the system.
pub fn record_backup(folder: &Path, backup: &Backup) -> io::Result<()> {
    graceful_fs_util::atomic_write(&folder.join(LAST_BACKUP), &serde_json::to_vec(backup)?)
}
