//! A store as one stream: exported while the relay runs, imported into an empty directory.
//!
//! ```text
//! "graceful-relay store 1\n\0" 24 | schema version 4 | rows 8 | records
//! 1 | table 1 | key length 4 | value length 4 | key | value      a row
//! 2 | day 8 | first arrival 8 | key 32                           a day key
//! 3 | length 4 | text                                            an error: the stream is worthless
//! 0 | SHA-256 of all before 32                                   the end
//! ```

mod export;
mod hashing;
mod import;

use std::io;

pub use hashing::HashingWriter;
pub use import::import;

use super::errors::from_redb;
use crate::StoreError;

const MAGIC: &[u8; 24] = b"graceful-relay store 1\n\0";
const ROW: u8 = 1;
const DAY_KEY: u8 = 2;
const ERROR: u8 = 3;
const END: u8 = 0;

/// Why a store could not be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream broke.
    #[error("the stream of the store broke: {0}")]
    Stream(#[from] io::Error),
    /// The exporting relay sent an error.
    #[error("the relay could not read its store: {0}")]
    Remote(String),
    /// The stream is not that of a store.
    #[error("the stream is not that of a store: {0}")]
    Malformed(&'static str),
}

from_redb!(
    ExportError, |error| ExportError::Store(StoreError::from(error));
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::DatabaseError
);
