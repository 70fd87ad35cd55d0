//! The whole store as one stream, while it goes on: every row of one moment, and the keys of days that
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
use super::hashing::Hashing;
use super::key_slots::{CHECKED_BYTES, SLOTS};
use super::table::Spec;
use super::tables::{EachTable, SCHEMA_VERSION, each};
use super::{Store, StoreError};

pub(super) const MAGIC: &[u8; 24] = b"graceful-relay store 1\n\0";
pub(super) const ROW: u8 = 1;
pub(super) const DAY_KEY: u8 = 2;
pub(super) const TROUBLE: u8 = 3;
pub(super) const END: u8 = 0;

/// A day's key as it stands in its slot.
pub(super) type KeyBytes = Zeroizing<[u8; CHECKED_BYTES]>;

/// Why a store could not be sent, or taken in.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other end.
    #[error("the stream between the store and its copy broke: {0}")]
    Stream(#[from] io::Error),
    /// The other end says why it cannot go on.
    #[error("the relay could not read its store: {0}")]
    Trouble(String),
    /// What came is no store.
    #[error("what came is not the store as it was sent: {0}")]
    Garbled(&'static str),
}

from_redb!(
    DumpError, |error| DumpError::Store(StoreError::from(error));
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::DatabaseError
);

impl Store {
    /// Sends all that is kept, as it is at one moment, and goes on meanwhile. Pushes wait only while the
    /// keys of days are read, 160 kB at most. Holds one row in memory. Returns how many rows there are.
    ///
    /// What the journal has is folded in first. Until the end, redb uses no page again that it frees: the
    /// file grows by what changes meanwhile.
    ///
    /// # Errors
    /// [`DumpError`], which the other end is told, too, where it still listens.
    pub fn dump(&self, out: &mut dyn Write) -> Result<u64, DumpError> {
        let mut out = Hashing::new(out);
        let sent = self.send(&mut out);
        if let Err(DumpError::Store(error)) = &sent {
            out.write_all(&[TROUBLE])?;
            out.lengthy(error.to_string().as_bytes())?;
            out.flush()?;
        }
        sent
    }

    fn send(&self, out: &mut Hashing<&mut dyn Write>) -> Result<u64, DumpError> {
        // A key is needed as long as an envelope of its day is in redb, and it may be overwritten as soon
        // as the layers above know better. So those from before the fold belong to what it leaves.
        let mut keys = self.key_bytes()?;
        self.fold_all()?;
        let (redb, later) = {
            let _no_key_goes = self.journal();
            let redb = self.moment()?.into_folded();
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
            broken: None,
        };
        let sent = each(&mut send);
        if let Some(error) = send.broken {
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
impl Hashing<&mut dyn Write> {
    fn length(&mut self, length: usize) -> io::Result<()> {
        let length =
            u32::try_from(length).map_err(|_| io::Error::other("a row of more than 4 GiB"))?;
        self.write_all(&length.to_be_bytes())
    }

    fn lengthy(&mut self, bytes: &[u8]) -> io::Result<()> {
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
    out: &'a mut Hashing<&'o mut dyn Write>,
    broken: Option<io::Error>,
}

impl EachTable for Send<'_, '_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        if self.broken.is_some() {
            return Ok(());
        }
        for item in self.from.open_table(spec.definition)?.iter()? {
            let (key, value) = item?;
            let (key, value) = (key.value(), value.value());
            let (key, value) = (K::as_bytes(&key), V::as_bytes(&value));
            if let Err(error) = self.out.row(spec.number, key.as_ref(), value.as_ref()) {
                self.broken = Some(error);
                return Ok(());
            }
        }
        Ok(())
    }
}
