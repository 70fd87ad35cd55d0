//! The export of a store.

use std::io::{self, Write};

use redb::{Key, ReadTransaction, ReadableTable, ReadableTableMetadata, Value};

use super::{DAY_KEY, END, ERROR, ExportError, HashingWriter, MAGIC, ROW};
use crate::StoreError;
use crate::redb::keys::{KeyBytes, SLOTS};
use crate::redb::schema::{EachTable, SCHEMA_VERSION, each};
use crate::redb::store::Store;
use crate::redb::table::Spec;

impl Store {
    /// Writes everything stored, as of one snapshot, while commits continue. They wait only while the day keys
    /// are read, 160 kB at most. Holds one row in memory. Returns the number of rows.
    ///
    /// Flushes first. Until it ends, redb reuses no page that it frees: the file grows by what changes
    /// meanwhile.
    ///
    /// # Errors
    /// [`ExportError`]. An error of the store is written to the stream as well.
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
        // A key is needed while an envelope of its day is in redb, and it may be overwritten as soon as the
        // memtables have the removal. So the keys from before the flush are exported as well.
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

/// The records of the stream.
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
