//! A temporary folder that is gone when what needs it is, however that ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;

/// Removing is tried again this often: a device's thread may just be writing its last file.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

/// Removed when dropped, unless it is to be kept.
#[derive(Debug)]
pub(super) struct TempDir {
    path: PathBuf,
    keep: bool,
}

impl TempDir {
    /// A new one, for its owner alone, whose name nobody can guess.
    pub(super) fn new(purpose: &str, keep: bool) -> anyhow::Result<Self> {
        Self::new_in(&std::env::temp_dir(), purpose, keep)
    }

    /// The same inside another folder.
    pub(super) fn new_in(parent: &Path, purpose: &str, keep: bool) -> anyhow::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).context("the system gives no randomness")?;
        let path = parent.join(format!(
            "graceful-relay-{purpose}-{}",
            HEXLOWER.encode(&random)
        ));
        graceful_fs_util::create_dir_private(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path, keep })
    }

    /// Where it is.
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
            "the temporary folder {} could not be removed",
            self.path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_not_taken_for_it() {
        let there = tempfile::tempdir().unwrap();
        assert!(graceful_fs_util::create_dir_private(there.path()).is_err());
        assert!(graceful_fs_util::create_dir_private(&there.path().join("no/parent")).is_err());
    }

    #[test]
    fn it_is_gone_with_all_that_is_in_it() {
        let folder = TempDir::new("test", false).unwrap();
        let path = folder.path().to_owned();
        std::fs::create_dir(path.join("inside")).unwrap();
        std::fs::write(path.join("inside/file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
