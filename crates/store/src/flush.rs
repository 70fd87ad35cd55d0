//! Folding: what the journal has goes into redb, much of it in one commit, and what lay in the memtables
//! lies there from then on. The writer goes on meanwhile, in the journal's other file. A commit of large
//! rows spares itself the journal.

use std::sync::atomic::Ordering;

use redb::{Key, Value, WriteTransaction};

use super::commit::WriteSet;
use super::journal::Journal;
use super::memtable::Memtable;
use super::snapshot::SealedMemtable;
use super::table::Spec;
use super::tables::{EachTable, META, each, meta};
use super::{Store, StoreError};

/// Rows that the least commit may have that goes straight into redb.
const DIRECT_WRITE_ROWS_MAX: usize = 64;

/// How many times as much the store may have as a commit that goes straight into redb. With quick repair
/// redb writes 0.2 parts in a thousand of its file at every commit.
const DIRECT_WRITE_SHARE_MAX: u64 = 4_096;

impl Store {
    /// Whether something waits to be flushed.
    pub fn needs_flush(&self) -> bool {
        self.memtables
            .read()
            .expect("nobody panics holding it")
            .sealed
            .is_some()
    }

    /// Folds in what waits for it, if anything does. For a thread of its own: it takes a while, and the
    /// writer waits for it only when the journal's other file is full, too.
    ///
    /// # Errors
    /// [`StoreError`]: nobody knows what is on the disk, and the process has to end.
    pub fn flush(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.flushing.lock().expect("nobody panics holding it");
        let sealed = self
            .memtables
            .read()
            .expect("nobody panics holding it")
            .sealed
            .clone();
        let Some(sealed) = sealed else { return Ok(()) };
        self.write_to_redb(&sealed.memtable, sealed.last)
            .inspect_err(|_| self.poisoned.store(true, Ordering::Relaxed))?;
        self.memtables
            .write()
            .expect("nobody panics holding it")
            .sealed = None;
        Ok(())
    }

    /// Folds in all there is, so that the file of redb has it.
    ///
    /// # Errors
    /// As [`Store::fold`].
    pub fn flush_all(&self) -> Result<(), StoreError> {
        self.flush()?;
        {
            let mut journal = self.journal();
            // Another full file may have come meanwhile.
            self.flush()?;
            self.seal_memtable(&mut journal);
        }
        self.flush()
    }

    /// Whether this goes into redb at once: its rows are large, what lies in the memtable below, which has to
    /// go first, is not much, and neither is what redb writes of itself with every commit.
    pub(super) fn bypasses_journal(&self, changed: &WriteSet) -> bool {
        let (bytes, least) = (changed.rows.bytes(), self.options.direct_write_min_bytes);
        let below = || {
            self.memtables
                .read()
                .expect("nobody panics holding it")
                .active
                .bytes()
        };
        bytes >= least
            && bytes / changed.rows.count().max(1) >= least / DIRECT_WRITE_ROWS_MAX
            && bytes as u64 >= changed.stored_bytes / DIRECT_WRITE_SHARE_MAX
            && below() <= bytes / 4
    }

    /// Writes rows into redb without the journal. When this returns they are on the disk.
    pub(super) fn write_direct(
        &self,
        journal: &mut Journal,
        changed: &Memtable,
    ) -> Result<(), StoreError> {
        self.flush()?;
        self.seal_memtable(journal);
        self.flush()?;
        // Nothing lies above redb now, so that whoever reads has all of this commit or nothing.
        self.write_to_redb(changed, journal.reserve_record())
    }

    /// Sets the active memtable aside to be flushed, and turns the journal to its other file, which has
    /// nothing left that is not in redb.
    pub(super) fn seal_memtable(&self, journal: &mut Journal) {
        let mut memtables = self.memtables.write().expect("nobody panics holding it");
        assert!(
            memtables.sealed.is_none(),
            "what was set aside before is flushed"
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

    fn write_to_redb(&self, memtable: &Memtable, last: u64) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write()?;
        // Pages hold bytes that strangers chose, and redb's checksum is not cryptographic. And a file that
        // was not closed opens at once, for a little more that is written here: seldom enough.
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        each(&mut Flush {
            memtable,
            to: &transaction,
        })?;
        let last = last.to_be_bytes();
        transaction
            .open_table(META.definition)?
            .insert(meta::FLUSHED_THROUGH, last.as_slice())?;
        transaction.commit()?;
        Ok(())
    }

    /// Leaves everything in redb, and a journal that nobody has to read. Dropping the store does it, too.
    ///
    /// # Errors
    /// As [`Store::fold`].
    pub fn close(&self) -> Result<(), StoreError> {
        self.flush_all()?;
        self.journal().start_segment()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.poisoned.load(Ordering::Relaxed)
            && let Err(error) = self.close()
        {
            tracing::warn!(%error, "the journal could not be flushed; the next start reads it");
        }
    }
}

struct Flush<'a> {
    memtable: &'a Memtable,
    to: &'a WriteTransaction,
}

impl EachTable for Flush<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        let rows = self.memtable.rows(spec.number);
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
