//! The note of the last backup, which lies in the data folder.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The note that a backup leaves in the data folder, as JSON.
pub const LAST_BACKUP: &str = "last-backup";

/// The last backup, as whoever made it noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// When, as in RFC 3339.
    pub at: String,
    /// Where it is.
    pub file: String,
    /// How large it is.
    pub bytes: u64,
}

impl Backup {
    /// When, in seconds since 1970. `None`: the note does not say.
    pub fn at_s(&self) -> Option<i64> {
        self.at
            .parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_second)
    }
}

/// What the last backup noted of itself.
pub fn last_backup(folder: &Path) -> Option<Backup> {
    let bytes = fs::read(folder.join(LAST_BACKUP)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Notes a backup that is good.
///
/// # Errors
/// What the system says.
pub fn record_backup(folder: &Path, backup: &Backup) -> io::Result<()> {
    graceful_fs_util::atomic_write(&folder.join(LAST_BACKUP), &serde_json::to_vec(backup)?)
}
