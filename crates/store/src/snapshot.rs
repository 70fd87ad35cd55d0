//! A snapshot of the store: what whoever reads it sees, and goes on seeing while it holds it.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use redb::{Database, Key, ReadTransaction, ReadableDatabase, Value};

use super::day_keys::Keyring;
use super::memtable::Memtable;
use super::table::{Spec, Table};
use super::tables::META;
use super::{Store, StoreError};

/// The memtables above redb.
#[derive(Default)]
pub(super) struct Memtables {
    /// What the journal got since it last needs_refetch to its other file.
    pub(super) active: Memtable,
    /// What it had before, which is being flushed.
    pub(super) sealed: Option<SealedMemtable>,
}

/// A memtable that nothing is written to any more.
#[derive(Clone)]
pub(super) struct SealedMemtable {
    pub(super) memtable: Arc<Memtable>,
    /// The last record of the journal that is in it.
    pub(super) last: u64,
}

/// A snapshot. The writer cannot go on past it while it is held, so it is held for a bounded look only.
pub(super) struct Snapshot<'a> {
    memtables: RwLockReadGuard<'a, Memtables>,
    redb: ReadTransaction,
    pub(super) keys: Keyring,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(
        memtables: &'a RwLock<Memtables>,
        database: &Database,
        ring: impl FnOnce() -> Keyring,
    ) -> Result<Self, StoreError> {
        // In this order: while the memtables are held no commit and no fold comes to its end. So redb
        // has what the sealed memtable has not, and the ring has the key of all that is to be seen.
        let memtables = memtables.read().expect("nobody panics holding it");
        let redb = database.begin_read()?;
        Ok(Self {
            memtables,
            redb,
            keys: ring(),
        })
    }

    /// What is in redb at this snapshot, which nobody has to wait for from then on.
    pub(super) fn into_redb(self) -> ReadTransaction {
        self.redb
    }

    /// A number that the `meta` table has.
    pub(super) fn meta_number(&self, name: &[u8]) -> Result<u64, StoreError> {
        const DAMAGED: StoreError = StoreError::Damaged("a number in it cannot be read");
        let value = self.table(META).get(name)?.ok_or(DAMAGED)?;
        value
            .value()
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| DAMAGED)
    }

    pub(super) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        spec: Spec<K, V>,
    ) -> Table<'_, K, V> {
        Table::new(
            spec,
            [
                Some(&self.memtables.active),
                self.memtables
                    .sealed
                    .as_ref()
                    .map(|sealed| &*sealed.memtable),
            ],
            &self.redb,
        )
    }
}

impl Store {
    /// This snapshot, as of the last commit.
    pub(super) fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        Snapshot::new(&self.memtables, &self.database, || self.keys.ring())
    }
}
