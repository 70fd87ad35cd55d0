//! The staging directory beside the destination, deleted at the end. The next backup deletes those of killed
//! ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::temp_dir::TempDir;

/// Prefix of the name; random characters follow.
const PURPOSE: &str = "backup";
const PREFIX: &str = "graceful-relay-backup-";

/// Locked while in use.
const LOCK: &str = "lock";

pub(super) struct Staging {
    folder: TempDir,
    _lock: File,
}

impl Staging {
    pub(super) fn new(parent: &Path) -> anyhow::Result<Self> {
        remove_stale(parent);
        let folder = TempDir::new_in(parent, PURPOSE, false)?;
        let lock = File::create(folder.path().join(LOCK))
            .context("cannot write to the backup directory")?;
        lock.try_lock()
            .context("cannot lock a file in the backup directory")?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Creates an empty directory in it.
    pub(super) fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir(&path).context("cannot write to the backup directory")?;
        Ok(path)
    }
}

/// Errors are ignored: leftovers must not prevent a backup.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_one = name.starts_with(PREFIX) && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_one {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
