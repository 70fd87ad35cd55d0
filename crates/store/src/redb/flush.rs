//! Memtable flushes: what a journal segment has is written to redb in one commit. The writer continues
//! meanwhile in the other segment. A commit of large rows bypasses the journal.

use redb::{Key, Value, WriteTransaction};

use super::journal::Journal;
use super::memtable::{Memtable, SealedMemtable};
use super::schema::{EachTable, META, each, meta};
use super::store::Store;
use super::table::Spec;
use crate::StoreError;

/// Rows of the smallest commit that is written directly.
const DIRECT_WRITE_ROWS_MAX: usize = 64;

/// The largest ratio of the store's size to that of a commit that is written directly. With quick repair
/// redb writes 0.02 % of its file at every commit.
const DIRECT_WRITE_SHARE_MAX: u64 = 4_096;

impl Store {
    /// Returns whether a memtable is sealed and not flushed yet.
    pub fn needs_flush(&self) -> bool {
        let memtables = self.memtables.read().expect("lock poisoned");
        memtables.sealed.is_some()
    }

    /// Flushes the sealed memtable, if there is one. Meant for a thread of its own: the writer waits for it
    /// only if the journal's other segment is full as well.
    ///
    /// # Errors
    /// [`StoreError`]: the store is poisoned, and the process has to end.
    pub fn flush(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.flushing.lock().expect("mutex poisoned");
        let sealed = {
            let memtables = self.memtables.read().expect("lock poisoned");
            memtables.sealed.clone()
        };
        let Some(sealed) = sealed else { return Ok(()) };
        self.write_to_redb(&sealed.memtable, sealed.last)
            .inspect_err(|_| self.poison())?;
        self.memtables.write().expect("lock poisoned").sealed = None;
        Ok(())
    }

    /// Flushes everything, so that the database file has it.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn flush_all(&self) -> Result<(), StoreError> {
        self.flush()?;
        {
            let mut journal = self.journal();
            // The writer may have sealed another memtable since.
            self.flush()?;
            self.seal_memtable(&mut journal);
        }
        self.flush()
    }

    /// Whether a commit is written to redb directly: its rows are large, the memtable that would have to be
    /// flushed first is small, and so is what redb itself writes at every commit.
    pub(crate) fn bypasses_journal(&self, rows: &Memtable, stored_bytes: u64) -> bool {
        let (bytes, least) = (rows.bytes(), self.options.direct_write_min_bytes);
        let active_bytes = || {
            let memtables = self.memtables.read().expect("lock poisoned");
            memtables.active.bytes()
        };
        bytes >= least
            && bytes / rows.count().max(1) >= least / DIRECT_WRITE_ROWS_MAX
            && bytes as u64 >= stored_bytes / DIRECT_WRITE_SHARE_MAX
            && active_bytes() <= bytes / 4
    }

    /// Writes rows to redb without the journal. They are durable when this returns.
    pub(crate) fn write_direct(
        &self,
        journal: &mut Journal,
        rows: &Memtable,
    ) -> Result<(), StoreError> {
        self.flush()?;
        self.seal_memtable(journal);
        self.flush()?;
        // Both memtables are empty now, so that a read sees all of this commit or nothing of it.
        self.write_to_redb(rows, journal.reserve_record())
    }

    /// Seals the active memtable, and rotates the journal to its other segment, whose records redb has.
    pub(crate) fn seal_memtable(&self, journal: &mut Journal) {
        let mut memtables = self.memtables.write().expect("lock poisoned");
        assert!(
            memtables.sealed.is_none(),
            "the memtable sealed before is flushed"
        );
        if !memtables.active.is_empty() {
            let memtable = std::mem::take(&mut memtables.active).into();
            memtables.sealed = Some(SealedMemtable {
                memtable,
                last: journal.last_record(),
            });
            journal.rotate();
        }
    }

    fn write_to_redb(&self, rows: &Memtable, last_record: u64) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write()?;
        // Pages hold bytes that devices chose, and redb's checksum is not cryptographic: hence two phases.
        // Quick repair opens a file that was not closed at once, and costs little at this rate.
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        each(&mut FlushRows {
            rows,
            to: &transaction,
        })?;
        let last_record = last_record.to_be_bytes();
        transaction
            .open_table(META.definition)?
            .insert(meta::FLUSHED_THROUGH, last_record.as_slice())?;
        transaction.commit()?;
        Ok(())
    }

    /// Flushes everything and leaves an empty journal. Dropping the store does the same.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn close(&self) -> Result<(), StoreError> {
        self.flush_all()?;
        self.journal().start_segment()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.is_poisoned()
            && let Err(error) = self.close()
        {
            tracing::warn!(%error, "could not flush the journal; it will be recovered at the next start");
        }
    }
}

struct FlushRows<'a> {
    rows: &'a Memtable,
    to: &'a WriteTransaction,
}

impl EachTable for FlushRows<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        let rows = self.rows.rows(spec.number);
        if rows.is_empty() {
            return Ok(());
        }
        let mut table = self.to.open_table(spec.definition)?;
        for (key, value) in rows {
            let key = K::from_bytes(key.as_bytes());
            match value {
                Some(value) => drop(table.insert(key, V::from_bytes(value))?),
                None => drop(table.remove(key)?),
            }
        }
        Ok(())
    }
}
