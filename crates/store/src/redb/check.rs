//! A check whether a store would open, which changes no byte of it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{DatabaseError, ReadOnlyDatabase, ReadableDatabase};

use super::data_dir;
use super::errors::database_error;
use super::files::{FILE, KEYS};
use super::keys::{Keyring, Slots};
use super::layout::{Layout, read_layout};
use super::schema::LOG;
use super::table::Table;
use crate::StoreError;

/// The result of a check of a store that no process has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// There is no store.
    Missing,
    /// The store opens, and every envelope has its day key.
    Clean,
    /// The store was not closed: the next start repairs it first.
    Unclean,
}

/// Checks the store in a data directory.
///
/// # Errors
/// [`StoreError`] names why a relay could not start on it.
pub fn check(data_dir: &Path) -> Result<CheckResult, StoreError> {
    let file = data_dir.join(FILE);
    if !file.exists() {
        return Ok(CheckResult::Missing);
    }
    if read_layout(&file)? == Layout::Unclean {
        return Ok(CheckResult::Unclean);
    }
    let database = match ReadOnlyDatabase::open(&file) {
        Ok(database) => database,
        Err(DatabaseError::RepairAborted) => return Ok(CheckResult::Unclean),
        Err(error) => return Err(database_error(error, &file)),
    };
    let path = data_dir.join(KEYS);
    let keyring = match path.exists() {
        false => Keyring::default(),
        true => {
            let keys = File::open(&path).map_err(|error| data_dir::cannot(&path, error))?;
            let found = Slots::read(FileBackend::new(keys)?, Box::new(|_: &mut [u8]| {}))?;
            Keyring::new(found.keys.into_iter().map(Arc::new).collect())
        }
    };
    // The journal is not read: opening it may change it.
    let transaction = database.begin_read()?;
    let log = Table::new(LOG, [None, None], &transaction);
    keyring
        .check_covers(&log)
        .map_err(|error| error.in_data_dir(data_dir))?;
    Ok(CheckResult::Clean)
}
