//! A temporary directory that is deleted on drop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;

/// Attempts to delete: a device's thread may still write its last file.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

/// Deleted on drop, unless `keep` is set.
#[derive(Debug)]
pub(super) struct TempDir {
    path: PathBuf,
    keep: bool,
}

impl TempDir {
    /// Creates one with mode 0700 and a random name.
    pub(super) fn new(purpose: &str, keep: bool) -> anyhow::Result<Self> {
        Self::new_in(&std::env::temp_dir(), purpose, keep)
    }

    /// Creates one inside `parent`.
    pub(super) fn new_in(parent: &Path, purpose: &str, keep: bool) -> anyhow::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).context("the system provides no randomness")?;
        let path = parent.join(format!(
            "graceful-relay-{purpose}-{}",
            HEXLOWER.encode(&random)
        ));
        graceful_fs_util::create_dir_private(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, keep })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        for _ in 0..ATTEMPTS {
            if std::fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        eprintln!(
            "cannot delete the temporary directory {}",
            self.path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_directory_is_refused() {
        let there = tempfile::tempdir().unwrap();
        assert!(graceful_fs_util::create_dir_private(there.path()).is_err());
        assert!(graceful_fs_util::create_dir_private(&there.path().join("no/parent")).is_err());
    }

    #[test]
    fn drop_deletes_the_directory_and_its_files() {
        let folder = TempDir::new("test", false).unwrap();
        let path = folder.path().to_owned();
        std::fs::create_dir(path.join("inside")).unwrap();
        std::fs::write(path.join("inside/file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
