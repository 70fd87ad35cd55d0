//! Compaction: every row is copied to a new file, which then replaces the database. So no page of a deleted
//! row is left, which compaction in place would not guarantee. The journal is truncated.

use std::fs;
use std::path::Path;

use redb::{
    Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Value,
    WriteTransaction,
};
use sha2::{Digest, Sha256};

use super::data_dir;
use super::errors::database_error;
use super::files::{COMPACTING, FILE};
use super::layout::{Layout, read_layout};
use super::options::Options;
use super::schema::{EachTable, SCHEMA_VERSION, each};
use super::store::Store;
use super::table::Spec;
use crate::StoreError;

/// The result of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the database before.
    pub bytes_before: u64,
    /// Bytes of the database after.
    pub bytes_after: u64,
    /// Rows of all tables.
    pub rows: u64,
}

/// Compacts the store in a data directory on which no relay runs. `progress` receives the number of rows
/// copied, and of all rows. Cut off at any time, it leaves the store as it was, or compacted.
///
/// # Errors
/// [`StoreError`]: the store is as it was.
pub fn compact(
    data_dir: &Path,
    options: Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Compacted, StoreError> {
    // Open until the end, so that no relay opens the file that is about to be replaced. Opening it removed
    // what an earlier compaction left.
    let store = Store::open(data_dir, options)?;
    store.flush_all()?;
    let (file, fresh) = (data_dir.join(FILE), data_dir.join(COMPACTING));
    let bytes_before = size(&file)?;
    let copied = copy(&store, &fresh, progress);
    let rows = copied.inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    let bytes_after = size(&fresh)?;
    fs::rename(&fresh, &file).map_err(|error| data_dir::cannot(&file, error))?;
    data_dir::sync(data_dir)?;
    store.journal().truncate()?;
    Ok(Compacted {
        bytes_before,
        bytes_after,
        rows,
    })
}

fn size(file: &Path) -> Result<u64, StoreError> {
    Ok(fs::metadata(file)
        .map_err(|error| data_dir::cannot(file, error))?
        .len())
}

/// Copies every row, and verifies the copy. Returns the number of rows.
fn copy(
    store: &Store,
    fresh: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, StoreError> {
    let from = store.database.begin_read()?;
    let mut sum = Sum {
        from: &from,
        rows: 0,
        hash: Sha256::new(),
    };
    each(&mut sum)?;
    let expected = sum.result();
    data_dir::create_private(fresh)?;
    let database = store
        .options
        .database_builder()
        .create(fresh)
        .map_err(|error| database_error(error, fresh))?;
    let mut to = database.begin_write()?;
    to.set_two_phase_commit(true);
    each(&mut Copy {
        from: &from,
        to: &to,
        done: 0,
        rows: expected.0,
        progress,
    })?;
    to.commit()?;
    drop(database);
    graceful_fs_util::sync_file(fresh).map_err(|error| data_dir::cannot(fresh, error))?;
    check(&from, fresh, &expected)?;
    Ok(expected.0)
}

/// Checks that the copy opens as a store of this version and has the same tables and rows.
fn check(
    from: &ReadTransaction,
    fresh: &Path,
    expected: &(u64, [u8; 32]),
) -> Result<(), StoreError> {
    const DIFFERS: StoreError =
        StoreError::Damaged("the compacted copy is not what was copied, and was dropped");
    if read_layout(fresh)? != Layout::Version(SCHEMA_VERSION) {
        return Err(DIFFERS);
    }
    let database =
        redb::ReadOnlyDatabase::open(fresh).map_err(|error| database_error(error, fresh))?;
    let copied = database.begin_read()?;
    let mut sum = Sum {
        from: &copied,
        rows: 0,
        hash: Sha256::new(),
    };
    each(&mut sum)?;
    // Counted as well: a table that the list lacks would be lost without notice.
    let tables = (from.list_tables()?.count(), copied.list_tables()?.count());
    if sum.result() != *expected || tables.0 != tables.1 {
        return Err(DIFFERS);
    }
    Ok(())
}

struct Copy<'a> {
    from: &'a ReadTransaction,
    to: &'a WriteTransaction,
    done: u64,
    rows: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl EachTable for Copy<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        let (old, mut new) = (
            self.from.open_table(spec.definition)?,
            self.to.open_table(spec.definition)?,
        );
        for item in old.iter()? {
            let (key, value) = item?;
            new.insert(key.value(), value.value())?;
            self.done += 1;
            (self.progress)(self.done, self.rows);
        }
        Ok(())
    }
}

/// The number of rows and a hash over all of them.
struct Sum<'a> {
    from: &'a ReadTransaction,
    rows: u64,
    hash: Sha256,
}

impl Sum<'_> {
    fn result(self) -> (u64, [u8; 32]) {
        (self.rows, self.hash.finalize().into())
    }
}

impl EachTable for Sum<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        let table = self.from.open_table(spec.definition)?;
        self.rows += table.len()?;
        self.hash.update(table.len()?.to_be_bytes());
        for item in table.iter()? {
            let (key, value) = item?;
            let (key, value) = (key.value(), value.value());
            for bytes in [K::as_bytes(&key).as_ref(), V::as_bytes(&value).as_ref()] {
                self.hash.update((bytes.len() as u64).to_be_bytes());
                self.hash.update(bytes);
            }
        }
        Ok(())
    }
}
