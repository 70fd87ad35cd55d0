//! A consistent read snapshot: both memtables over one redb read transaction.

use std::sync::{RwLock, RwLockReadGuard};

use redb::{Database, Key, ReadTransaction, ReadableDatabase, Value};

use super::keys::Keyring;
use super::memtable::Memtables;
use super::schema::{META, Tables};
use super::table::{MemtableRefs, Spec, Table};
use crate::StoreError;

/// A consistent read snapshot. It blocks the writer, so each is held for a bounded read only.
pub(crate) struct Snapshot<'a> {
    memtables: RwLockReadGuard<'a, Memtables>,
    redb: ReadTransaction,
    pub(crate) keys: Keyring,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(
        memtables: &'a RwLock<Memtables>,
        database: &Database,
        ring: impl FnOnce() -> Keyring,
    ) -> Result<Self, StoreError> {
        // In this order: while the memtables are locked no commit and no flush completes. So redb has what
        // the sealed memtable has not, and the ring has the key of every visible envelope.
        let memtables = memtables.read().expect("lock poisoned");
        let redb = database.begin_read()?;
        Ok(Self {
            memtables,
            redb,
            keys: ring(),
        })
    }

    /// Returns what redb has, and unlocks the memtables.
    pub(crate) fn into_redb(self) -> ReadTransaction {
        self.redb
    }

    /// Returns a number of the `meta` table.
    pub(crate) fn meta_number(&self, name: &[u8]) -> Result<u64, StoreError> {
        const DAMAGED: StoreError = StoreError::Damaged("a number in it cannot be read");
        let value = self.table(META).get(name)?.ok_or(DAMAGED)?;
        value
            .value()
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| DAMAGED)
    }

    #[inline]
    pub(crate) fn tables(&self) -> Tables<'_> {
        Tables::new(self.memtable_refs(), &self.redb)
    }

    pub(crate) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        spec: Spec<K, V>,
    ) -> Table<'_, K, V> {
        Table::new(spec, self.memtable_refs(), &self.redb)
    }

    fn memtable_refs(&self) -> MemtableRefs<'_> {
        let sealed = self.memtables.sealed.as_ref();
        [
            Some(&self.memtables.active),
            sealed.map(|sealed| &*sealed.memtable),
        ]
    }
}
