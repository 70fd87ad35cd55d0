//! The whole store as one stream, while it goes on: every row of one snapshot, and the keys of days that
//! these rows need. `take_in.rs` makes a store of it again.
//!
//! ```text
//! "graceful-relay store 1\n\0" 24 | schema 4 | rows 8 | records
//! 1 | table 1 | key length 4 | value length 4 | key | value      a row
//! 2 | day 8 | first arrival 8 | key 32                           the key of a day
//! 3 | length 4 | text                                            trouble: what was sent is worth nothing
//! 0 | SHA-256 of all before 32                                   the end
//! ```

use std::io::{self, Write};

use redb::{Key, ReadTransaction, ReadableTable, ReadableTableMetadata, Value};
use zeroize::Zeroizing;

use super::error::from_redb;
use super::hashing::HashingWriter;
use super::key_slots::{CHECKED_BYTES, SLOTS};
use super::table::Spec;
use super::tables::{EachTable, SCHEMA_VERSION, each};
use super::{Store, StoreError};

pub(super) const MAGIC: &[u8; 24] = b"graceful-relay store 1\n\0";
pub(super) const ROW: u8 = 1;
pub(super) const DAY_KEY: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const END: u8 = 0;

/// A day's key as it stands in its slot.
pub(super) type KeyBytes = Zeroizing<[u8; CHECKED_BYTES]>;

/// Why a store could not be sent, or imported in.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other end.
    #[error("the stream between the store and its copy broke: {0}")]
    Stream(#[from] io::Error),
    /// The other end says why it cannot go on.
    #[error("the relay could not read its store: {0}")]
    Remote(String),
    /// What came is no store.
    #[error("what came is not the store as it was sent: {0}")]
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

impl Store {
    /// Sends all that is kept, as it is in one snapshot, and goes on meanwhile. Pushes wait only while the
    /// keys of days are read, 160 kB at most. Holds one row in memory. Returns how many rows there are.
    ///
    /// What the journal has is flushed first. Until the end, redb uses no page again that it frees: the
    /// file grows by what changes meanwhile.
    ///
    /// # Errors
    /// [`ExportError`], which the other end is told, too, where it still listens.
    pub fn export(&self, out: &mut dyn Write) -> Result<u64, ExportError> {
        let mut out = HashingWriter::new(out);
        let sent = self.send(&mut out);
        if let Err(ExportError::Store(error)) = &sent {
            out.write_all(&[ERROR])?;
            out.length_prefixed(error.to_string().as_bytes())?;
            out.flush()?;
        }
        sent
    }

    fn send(&self, out: &mut HashingWriter<&mut dyn Write>) -> Result<u64, ExportError> {
        // A key is needed as long as an envelope of its day is in redb, and it may be overwritten as soon
        // as the memtables above know better. So those from before the fold belong to what it leaves.
        let mut keys = self.key_bytes()?;
        self.flush_all()?;
        let (redb, later) = {
            let _no_key_goes = self.journal();
            let redb = self.snapshot()?.into_redb();
            (redb, self.keys.bytes()?)
        };
        keys.extend(later);
        keys.sort_unstable_by(|one, other| one[..].cmp(&other[..]));
        keys.dedup_by(|one, other| one[..] == other[..]);
        if keys.len() > SLOTS {
            return Err(StoreError::Damaged("there are more days' keys than days").into());
        }
        let mut count = Count {
            from: &redb,
            rows: 0,
        };
        each(&mut count)?;
        let rows = count.rows;
        out.write_all(MAGIC)?;
        out.write_all(&SCHEMA_VERSION.to_be_bytes())?;
        out.write_all(&rows.to_be_bytes())?;
        for key in &keys {
            out.write_all(&[DAY_KEY])?;
            out.write_all(&key[..])?;
        }
        let mut send = Send {
            from: &redb,
            out,
            poisoned: None,
        };
        let sent = each(&mut send);
        if let Some(error) = send.poisoned {
            return Err(error.into());
        }
        sent?;
        out.write_all(&[END])?;
        let sum = out.sum();
        out.write_all(&sum)?;
        out.flush()?;
        Ok(rows)
    }

    fn key_bytes(&self) -> Result<Vec<KeyBytes>, StoreError> {
        let _no_key_goes = self.journal();
        self.keys.bytes()
    }
}

/// The pieces that the stream has.
impl HashingWriter<&mut dyn Write> {
    fn length(&mut self, length: usize) -> io::Result<()> {
        let length =
            u32::try_from(length).map_err(|_| io::Error::other("a row of more than 4 GiB"))?;
        self.write_all(&length.to_be_bytes())
    }

    fn length_prefixed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length(bytes.len())?;
        self.write_all(bytes)
    }

    fn row(&mut self, table: usize, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.write_all(&[ROW, u8::try_from(table).expect("there are nine tables")])?;
        self.length(key.len())?;
        self.length(value.len())?;
        self.write_all(key)?;
        self.write_all(value)
    }
}

struct Count<'a> {
    from: &'a ReadTransaction,
    rows: u64,
}

impl EachTable for Count<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        self.rows += self.from.open_table(spec.definition)?.len()?;
        Ok(())
    }
}

struct Send<'a, 'o> {
    from: &'a ReadTransaction,
    out: &'a mut HashingWriter<&'o mut dyn Write>,
    poisoned: Option<io::Error>,
}

impl EachTable for Send<'_, '_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        if self.poisoned.is_some() {
            return Ok(());
        }
        for item in self.from.open_table(spec.definition)?.iter()? {
            let (key, value) = item?;
            let (key, value) = (key.value(), value.value());
            let (key, value) = (K::as_bytes(&key), V::as_bytes(&value));
            if let Err(error) = self.out.row(spec.number, key.as_ref(), value.as_ref()) {
                self.poisoned = Some(error);
                return Ok(());
            }
        }
        Ok(())
    }
}
