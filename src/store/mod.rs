//! Stand-in for the store, only so that the door can be built and tried alone.

use std::path::{Path, PathBuf};

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of memory that the store may use to cache pages.
    pub cache_bytes: usize,
}

/// The store.
#[derive(Debug)]
pub struct Store;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the data folder {folder}: {error}")]
pub struct StoreError {
    folder: PathBuf,
    error: std::io::Error,
}

impl Store {
    /// Opens the store in `folder`, making both where there are none.
    ///
    /// # Errors
    /// [`StoreError`] where that is not possible.
    pub fn open(folder: &Path, _options: Options) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| StoreError { folder: folder.to_path_buf(), error })?;
        Ok(Self)
    }
}
