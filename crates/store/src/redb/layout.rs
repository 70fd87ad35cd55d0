//! The schema version of a database file, read without writing to it.

use std::path::Path;

use redb::{DatabaseError, ReadOnlyDatabase, ReadableDatabase, TableError};

use super::errors::database_error;
use super::schema::{META, SCHEMA_VERSION, meta};
use crate::StoreError;

/// The layout of a database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The file has no tables.
    Empty,
    /// A schema version, at most [`SCHEMA_VERSION`].
    Version(u32),
    /// The file was not closed and cannot be read without a repair.
    Unclean,
}

/// Reads the layout of a file.
pub(crate) fn read_layout(file: &Path) -> Result<Layout, StoreError> {
    match ReadOnlyDatabase::open(file) {
        Ok(database) => layout_of(&database, file),
        Err(DatabaseError::RepairAborted) => Ok(Layout::Unclean),
        // A crash while the file was created leaves it empty.
        Err(_) if std::fs::metadata(file).is_ok_and(|file| file.len() == 0) => Ok(Layout::Unclean),
        Err(error) => Err(database_error(error, file)),
    }
}

/// Reads the layout of an open database.
pub(crate) fn layout_of(
    database: &impl ReadableDatabase,
    file: &Path,
) -> Result<Layout, StoreError> {
    let transaction = database.begin_read()?;
    let not_a_store = |reason: &str| StoreError::NotAStore {
        file: file.to_owned(),
        reason: reason.into(),
    };
    let table = match transaction.open_table(META.definition) {
        Ok(table) => table,
        // A crash before the first commit leaves a file without tables.
        Err(TableError::TableDoesNotExist(_)) => {
            return match transaction.list_tables()?.next() {
                None => Ok(Layout::Empty),
                Some(_) => Err(not_a_store("its tables are not those of a relay")),
            };
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(not_a_store("its tables are not those of a relay")),
    };
    let Some(schema) = table.get(meta::SCHEMA)? else {
        return Err(not_a_store("it has no schema version"));
    };
    let found = schema.value().try_into().map(u32::from_be_bytes);
    match found.map_err(|_| StoreError::Damaged("the schema version cannot be read"))? {
        0 => Err(not_a_store(
            "it has schema version 0, which no version wrote",
        )),
        found if found > SCHEMA_VERSION => {
            let writer = table.get(meta::WRITER)?;
            let writer = writer.and_then(|text| String::from_utf8(text.value().to_vec()).ok());
            let by = writer.map_or_else(
                || "a newer version".to_owned(),
                |version| format!("version {version}"),
            );
            Err(StoreError::Newer {
                file: file.to_owned(),
                by,
                found,
                known: SCHEMA_VERSION,
            })
        }
        found => Ok(Layout::Version(found)),
    }
}
