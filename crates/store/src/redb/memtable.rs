//! Memtables: rows that the journal has and redb does not have yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

/// The number of tables. The journal and every memtable name a table by its number below this.
pub(crate) const TABLES: usize = 9;

/// Bytes of the longest key of any table.
const KEY_BYTES_MAX: usize = 32;

/// Estimated bytes of memory that a row takes beside its value: key, pointers, its share of a node.
const ROW_BYTES: usize = 96;

/// The encoded key of a row. Keys are ordered by their bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    /// Padded with zeros, so that a key comes before those that it is a prefix of.
    bytes: [u8; KEY_BYTES_MAX],
    length: u8,
}

impl RowKey {
    /// # Panics
    /// If it is longer than the longest key of any table.
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes[..key.len()].copy_from_slice(key);
        Self {
            bytes,
            length: u8::try_from(key.len()).expect("at most 32"),
        }
    }

    /// Returns `None` if the key is longer than the longest key of any table.
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        (key.len() <= KEY_BYTES_MAX).then(|| Self::new(key))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Changed rows of one table; `None`: removed.
pub(crate) type Rows = BTreeMap<RowKey, Option<Bytes>>;

/// Changed rows of every table, by the table's number.
#[derive(Default)]
pub(crate) struct Memtable {
    rows: [Rows; TABLES],
    /// An estimate of the memory it takes.
    bytes: usize,
}

/// The memtables above redb.
#[derive(Default)]
pub(crate) struct Memtables {
    /// The records of the journal's current segment.
    pub(crate) active: Memtable,
    /// The records of the other segment, while they are flushed.
    pub(crate) sealed: Option<SealedMemtable>,
}

/// A memtable that accepts no more writes.
#[derive(Clone)]
pub(crate) struct SealedMemtable {
    pub(crate) memtable: Arc<Memtable>,
    /// The number of the last record in it.
    pub(crate) last: u64,
}

impl Memtable {
    pub(crate) fn from_rows(rows: [Rows; TABLES]) -> Self {
        let bytes = rows.iter().flat_map(Rows::values).map(cost).sum();
        Self { rows, bytes }
    }

    pub(crate) fn rows(&self, table: usize) -> &Rows {
        &self.rows[table]
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of rows of all tables.
    pub(crate) fn count(&self) -> usize {
        self.rows.iter().map(Rows::len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.iter().all(Rows::is_empty)
    }

    pub(crate) fn set(&mut self, table: usize, key: RowKey, value: Option<Bytes>) {
        self.bytes += cost(&value);
        if let Some(before) = self.rows[table].insert(key, value) {
            self.bytes -= cost(&before);
        }
    }

    /// Adds the rows of a newer memtable.
    pub(crate) fn merge_newer(&mut self, above: Self) {
        for (table, rows) in above.rows.into_iter().enumerate() {
            rows.into_iter()
                .for_each(|(key, value)| self.set(table, key, value));
        }
    }
}

/// Returns the estimated memory of a row.
fn cost(value: &Option<Bytes>) -> usize {
    ROW_BYTES + value.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_their_bytes() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"\0\x01", b"a", b"a\0", b"b"];
        let mut sorted = keys.map(RowKey::new);
        sorted.sort();
        assert!(sorted.iter().map(RowKey::as_bytes).eq(keys));
        assert!(RowKey::parse(&[1; 33]).is_none());
    }

    #[test]
    fn newer_rows_win_and_count_once() {
        let mut memtable = Memtable::default();
        let row =
            |byte: u8, size: usize| (RowKey::new(&[byte]), Some(Bytes::from(vec![byte; size])));
        for (key, value) in [row(1, 100), row(2, 200), row(1, 300)] {
            memtable.set(0, key, value);
        }
        assert_eq!(memtable.bytes(), 2 * ROW_BYTES + 500);
        let mut above = Memtable::default();
        above.set(0, RowKey::new(&[2]), None);
        memtable.merge_newer(above);
        assert_eq!(memtable.bytes(), 2 * ROW_BYTES + 300);
        assert_eq!(memtable.rows(0).get(&RowKey::new(&[2])), Some(&None));
    }
}
