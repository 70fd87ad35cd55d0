//! A table in a transaction: the transaction's own writes, over the memtables, over redb.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use redb::{AccessGuard, Key, ReadOnlyTable, ReadTransaction, TableDefinition, TableError, Value};

use super::memtable::{Memtable, RowKey, Rows};
use super::merge::{Merge, Source};
use crate::StoreError;

/// The memtables above redb, the newer first.
pub(crate) type MemtableRefs<'a> = [Option<&'a Memtable>; 2];

/// A table's number in memtables and journal, and its definition in redb.
pub(crate) struct Spec<K: Key + 'static, V: Value + 'static> {
    pub(crate) number: usize,
    pub(crate) definition: TableDefinition<'static, K, V>,
}

impl<K: Key + 'static, V: Value + 'static> Clone for Spec<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Key + 'static, V: Value + 'static> Copy for Spec<K, V> {}

impl<K: Key + 'static, V: Value + 'static> Spec<K, V> {
    pub(crate) const fn new(number: usize, name: &'static str) -> Self {
        Self {
            number,
            definition: TableDefinition::new(name),
        }
    }
}

/// A table in a transaction.
pub(crate) struct Table<'a, K: Key + 'static, V: Value + 'static> {
    spec: Spec<K, V>,
    /// `None` before the first write: reads create and drop many tables.
    own: Option<Rows>,
    memtables: MemtableRefs<'a>,
    redb: &'a ReadTransaction,
    /// Opened when a memtable miss needs it. `None`: an older store lacks it.
    table: OnceCell<Option<ReadOnlyTable<K, V>>>,
}

/// The key of a row.
pub(crate) struct FoundKey<K> {
    key: RowKey,
    kind: PhantomData<K>,
}

impl<K: Key + 'static> FoundKey<K> {
    pub(crate) fn value(&self) -> K::SelfType<'_> {
        K::from_bytes(self.key.as_bytes())
    }
}

/// The value of a row.
pub(crate) enum Row<V: Value + 'static> {
    /// In redb.
    Redb(AccessGuard<'static, V>),
    /// In a memtable.
    Memtable(Bytes),
}

impl<V: Value + 'static> Row<V> {
    pub(crate) fn value(&self) -> V::SelfType<'_> {
        match self {
            Self::Redb(guard) => guard.value(),
            Self::Memtable(bytes) => V::from_bytes(bytes),
        }
    }
}

/// A key and its row.
pub(crate) type Pair<K, V> = (FoundKey<K>, Row<V>);

impl<'a, K: Key + 'static, V: Value + 'static> Table<'a, K, V> {
    #[inline]
    pub(crate) fn new(
        spec: Spec<K, V>,
        memtables: MemtableRefs<'a>,
        redb: &'a ReadTransaction,
    ) -> Self {
        Self {
            spec,
            own: None,
            memtables,
            redb,
            table: OnceCell::new(),
        }
    }

    /// Returns the rows that this transaction wrote.
    pub(crate) fn into_own_rows(self) -> Rows {
        self.own.unwrap_or_default()
    }

    fn memtable_rows(&self) -> impl Iterator<Item = &Rows> {
        let number = self.spec.number;
        let memtables = self
            .memtables
            .iter()
            .flatten()
            .map(move |memtable| memtable.rows(number));
        self.own.iter().chain(memtables)
    }

    fn table(&self) -> Result<Option<&ReadOnlyTable<K, V>>, StoreError> {
        if self.table.get().is_none() {
            let opened = match self.redb.open_table(self.spec.definition) {
                Err(TableError::TableDoesNotExist(_)) => None,
                opened => Some(opened?),
            };
            let _ = self.table.set(opened);
        }
        Ok(self.table.get().and_then(Option::as_ref))
    }

    pub(crate) fn get<'k>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<Row<V>>, StoreError> {
        let row_key = key_of::<K>(key.borrow());
        if let Some(value) = self.memtable_rows().find_map(|rows| rows.get(&row_key)) {
            return Ok(value.clone().map(Row::Memtable));
        }
        let Some(table) = self.table()? else {
            return Ok(None);
        };
        Ok(table.get(key)?.map(Row::Redb))
    }

    pub(crate) fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) {
        let value = Bytes::copy_from_slice(V::as_bytes(value.borrow()).as_ref());
        self.put(key, value);
    }

    /// Inserts an encoded value, which is not copied.
    pub(crate) fn put<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>, value: Bytes) {
        let own = self.own.get_or_insert_default();
        own.insert(key_of::<K>(key.borrow()), Some(value));
    }

    pub(crate) fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) {
        let own = self.own.get_or_insert_default();
        own.insert(key_of::<K>(key.borrow()), None);
    }

    /// Removes the rows in a range for which `stays` is false.
    pub(crate) fn retain<'k>(
        &mut self,
        range: impl RangeBounds<K::SelfType<'k>>,
        stays: impl Fn(V::SelfType<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for item in self.range(range)? {
            let (key, value) = item?;
            if !stays(value.value()) {
                gone.push(key.key);
            }
        }
        let own = self.own.get_or_insert_default();
        own.extend(gone.into_iter().map(|key| (key, None)));
        Ok(())
    }

    /// Returns every row, in order.
    pub(crate) fn iter(
        &self,
    ) -> Result<impl Iterator<Item = Result<Pair<K, V>, StoreError>>, StoreError> {
        self.rows((Bound::Unbounded, Bound::Unbounded), false)
    }

    /// Returns the rows in a range, in order.
    pub(crate) fn range<'k>(
        &self,
        range: impl RangeBounds<K::SelfType<'k>>,
    ) -> Result<impl Iterator<Item = Result<Pair<K, V>, StoreError>>, StoreError> {
        self.rows(bounds::<K>(&range), false)
    }

    /// Returns the rows between two keys, both included, in order. Does not borrow the keys.
    pub(crate) fn between<'k>(
        &self,
        first: K::SelfType<'k>,
        last: K::SelfType<'k>,
    ) -> Result<impl Iterator<Item = Result<Pair<K, V>, StoreError>> + use<'_, 'a, K, V>, StoreError>
    {
        let (first, last) = (key_of::<K>(&first), key_of::<K>(&last));
        self.rows((Bound::Included(first), Bound::Included(last)), false)
    }

    /// Returns the last row in a range.
    pub(crate) fn last_in<'k>(
        &self,
        range: impl RangeBounds<K::SelfType<'k>>,
    ) -> Result<Option<Pair<K, V>>, StoreError> {
        self.rows(bounds::<K>(&range), true)?.next().transpose()
    }

    /// Returns the last row.
    pub(crate) fn last(&self) -> Result<Option<Pair<K, V>>, StoreError> {
        self.rows((Bound::Unbounded, Bound::Unbounded), true)?
            .next()
            .transpose()
    }

    fn rows(
        &self,
        bounds: (Bound<RowKey>, Bound<RowKey>),
        backwards: bool,
    ) -> Result<impl Iterator<Item = Result<Pair<K, V>, StoreError>>, StoreError> {
        let mut sources = Vec::<Source<'_, Row<V>>>::with_capacity(4);
        if !is_empty(&bounds) {
            for rows in self.memtable_rows().filter(|rows| !rows.is_empty()) {
                let rows = rows.range((bounds.0, bounds.1));
                let rows = rows.map(|(key, value)| Ok((*key, value.clone().map(Row::Memtable))));
                sources.push(if backwards {
                    Source::new(rows.rev())
                } else {
                    Source::new(rows)
                });
            }
            if let Some(table) = self.table()? {
                let rows = table
                    .range::<K::SelfType<'_>>(borrowed::<K>(&bounds))?
                    .map(|item| {
                        let (key, value) = item?;
                        Ok((key_of::<K>(&key.value()), Some(Row::Redb(value))))
                    });
                sources.push(if backwards {
                    Source::new(rows.rev())
                } else {
                    Source::new(rows)
                });
            }
        }
        let found = |item: Result<(RowKey, Row<V>), StoreError>| {
            item.map(|(key, value)| {
                (
                    FoundKey {
                        key,
                        kind: PhantomData,
                    },
                    value,
                )
            })
        };
        Ok(Merge::new(sources, backwards).map(found))
    }
}

fn key_of<K: Key + 'static>(key: &K::SelfType<'_>) -> RowKey {
    RowKey::new(K::as_bytes(key).as_ref())
}

fn bounds<'k, K: Key + 'static>(
    range: &impl RangeBounds<K::SelfType<'k>>,
) -> (Bound<RowKey>, Bound<RowKey>) {
    let bound = |bound: Bound<&K::SelfType<'k>>| bound.map(|key| key_of::<K>(key));
    (bound(range.start_bound()), bound(range.end_bound()))
}

fn borrowed<'b, K: Key + 'static>(
    bounds: &'b (Bound<RowKey>, Bound<RowKey>),
) -> (Bound<K::SelfType<'b>>, Bound<K::SelfType<'b>>) {
    let bound = |bound: &'b Bound<RowKey>| bound.as_ref().map(|key| K::from_bytes(key.as_bytes()));
    (bound(&bounds.0), bound(&bounds.1))
}

/// Whether a range is empty: `BTreeMap::range` panics on some of them.
fn is_empty(bounds: &(Bound<RowKey>, Bound<RowKey>)) -> bool {
    match bounds {
        (Bound::Included(first), Bound::Included(last)) => first > last,
        (
            Bound::Included(first) | Bound::Excluded(first),
            Bound::Included(last) | Bound::Excluded(last),
        ) => first >= last,
        _ => false,
    }
}
