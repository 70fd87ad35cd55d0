//! Looking whether a store would open, without changing a byte of it.

use std::fs::File;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{DatabaseError, ReadOnlyDatabase, ReadableDatabase};

use super::day_keys::{Keyring, check_keys_cover_log};
use super::key_slots::Slots;
use super::open::{self, FILE, KEYS, Layout, read_layout};
use super::table::Table;
use super::tables::LOG;
use super::{StoreError, data_dir};

/// What a look at a store that nobody has open found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// There is none.
    Missing,
    /// It opens, and its keys are those of its envelopes.
    Clean,
    /// It was not closed in an orderly way: the next start repairs it first.
    Unclean,
}

/// Looks at the store in a data_dir.
///
/// # Errors
/// [`StoreError`] says why the relay could not start on it.
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
        Err(error) => return Err(open::database_error(error, &file)),
    };
    let path = data_dir.join(KEYS);
    let keyring = match path.exists() {
        false => Keyring::default(),
        true => {
            let keys = File::open(&path).map_err(|error| data_dir::cannot(&path, error))?;
            let found = Slots::read(FileBackend::new(keys)?, Box::new(|_: &mut [u8]| {}))?;
            Keyring::new(found.keys.into_iter().map(std::sync::Arc::new).collect())
        }
    };
    // What only the journal has is not looked at: to open it may change it.
    let transaction = database.begin_read()?;
    let log = Table::new(LOG, [None, None], &transaction);
    check_keys_cover_log(&log, &keyring).map_err(|error| error.in_data_dir(data_dir))?;
    Ok(CheckResult::Clean)
}
