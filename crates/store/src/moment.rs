//! A moment of the store: what whoever reads it sees, and goes on seeing while it holds it.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use redb::{Database, Key, ReadTransaction, ReadableDatabase, Value};

use super::day_keys::Keyring;
use super::layer::Layer;
use super::table::{Spec, Table};
use super::tables::META;
use super::{Store, StoreError};

/// The layers above redb.
#[derive(Default)]
pub(super) struct Layers {
    /// What the journal got since it last turned to its other file.
    pub(super) active: Layer,
    /// What it had before, which is being folded in.
    pub(super) frozen: Option<Frozen>,
}

/// A layer that nothing is written to any more.
#[derive(Clone)]
pub(super) struct Frozen {
    pub(super) layer: Arc<Layer>,
    /// The last record of the journal that is in it.
    pub(super) last: u64,
}

/// A moment. The writer cannot go on past it while it is held, so it is held for a bounded look only.
pub(super) struct Moment<'a> {
    layers: RwLockReadGuard<'a, Layers>,
    redb: ReadTransaction,
    pub(super) keys: Keyring,
}

impl<'a> Moment<'a> {
    pub(super) fn of(
        layers: &'a RwLock<Layers>,
        database: &Database,
        ring: impl FnOnce() -> Keyring,
    ) -> Result<Self, StoreError> {
        // In this order: while the layers are held no commit and no fold comes to its end. So redb
        // has what the frozen layer has not, and the ring has the key of all that is to be seen.
        let layers = layers.read().expect("nobody panics holding it");
        let redb = database.begin_read()?;
        Ok(Self {
            layers,
            redb,
            keys: ring(),
        })
    }

    /// What is in redb at this moment, which nobody has to wait for from then on.
    pub(super) fn into_folded(self) -> ReadTransaction {
        self.redb
    }

    /// A number that the `meta` table has.
    pub(super) fn number(&self, name: &[u8]) -> Result<u64, StoreError> {
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
                Some(&self.layers.active),
                self.layers.frozen.as_ref().map(|frozen| &*frozen.layer),
            ],
            &self.redb,
        )
    }
}

impl Store {
    /// This moment, as of the last commit.
    pub(super) fn moment(&self) -> Result<Moment<'_>, StoreError> {
        Moment::of(&self.layers, &self.database, || self.keys.ring())
    }
}
