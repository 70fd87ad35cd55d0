//! redb's errors as errors of the store.

use std::path::Path;

use redb::DatabaseError;

use crate::StoreError;

/// Implements `From` for each of redb's error types.
macro_rules! from_redb {
    ($to:ty, $make:expr; $($error:ty),+) => {$(
        impl From<$error> for $to {
            fn from(error: $error) -> Self {
                ($make)(error)
            }
        }
    )+};
}
pub(crate) use from_redb;

from_redb!(
    StoreError, |error| StoreError::Engine(Box::new(redb::Error::from(error)));
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);

/// Returns why a database file could not be opened.
pub(crate) fn database_error(error: DatabaseError, file: &Path) -> StoreError {
    let file = file.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { file },
        DatabaseError::UpgradeRequired(version) => StoreError::NotAStore {
            file,
            reason: format!("redb file format {version}"),
        },
        DatabaseError::Storage(redb::StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            StoreError::DataDir {
                data_dir: file,
                source,
            }
        }
        DatabaseError::Storage(redb::StorageError::Io(_) | redb::StorageError::Corrupted(_)) => {
            StoreError::NotAStore {
                file,
                reason: "not a redb file, or damaged".into(),
            }
        }
        other => other.into(),
    }
}
