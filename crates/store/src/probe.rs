//! Looking whether a store would open, without changing a byte of it.

use std::fs::File;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{DatabaseError, ReadOnlyDatabase, ReadableDatabase};

use super::day_keys::{Keyring, check_cover};
use super::key_slots::Slots;
use super::open::{self, FILE, KEYS, Layout, look_into};
use super::table::Table;
use super::tables::LOG;
use super::{StoreError, folder};

/// What a look at a store that nobody has open found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// There is none.
    Nothing,
    /// It opens, and its keys are those of its envelopes.
    Opens,
    /// It was not closed in an orderly way: the next start repairs it first.
    Unclosed,
}

/// Looks at the store in a folder.
///
/// # Errors
/// [`StoreError`] says why the relay could not start on it.
pub fn probe(folder: &Path) -> Result<Probed, StoreError> {
    let file = folder.join(FILE);
    if !file.exists() {
        return Ok(Probed::Nothing);
    }
    if look_into(&file)? == Layout::Unclosed {
        return Ok(Probed::Unclosed);
    }
    let database = match ReadOnlyDatabase::open(&file) {
        Ok(database) => database,
        Err(DatabaseError::RepairAborted) => return Ok(Probed::Unclosed),
        Err(error) => return Err(open::explain(error, &file)),
    };
    let path = folder.join(KEYS);
    let keyring = match path.exists() {
        false => Keyring::default(),
        true => {
            let keys = File::open(&path).map_err(|error| folder::cannot(&path, error))?;
            let found = Slots::read(FileBackend::new(keys)?, Box::new(|_: &mut [u8]| {}))?;
            Keyring::new(found.keys.into_iter().map(std::sync::Arc::new).collect())
        }
    };
    // What only the journal has is not looked at: to open it may change it.
    let transaction = database.begin_read()?;
    let log = Table::new(LOG, [None, None], &transaction);
    check_cover(&log, &keyring).map_err(|error| error.in_folder(folder))?;
    Ok(Probed::Opens)
}
