//! Commits: a batch of commands in one transaction, durable in the journal before any is answered.

use graceful_rules::RelayTime;
use graceful_rules::command::Command;

use super::journal::Journal;
use super::memtable::Memtable;
use super::rows::RedbTxn;
use super::store::Store;
use crate::apply::{Transaction, apply_all};
use crate::{Committed, Rows, StoreError, WriteTxn};

/// The rows that a transaction wrote.
struct WriteSet {
    rows: Memtable,
    /// Bytes of payload in the store with them.
    stored_bytes: u64,
}

impl Store {
    /// Applies commands in one transaction. See [`crate::Engine::commit`].
    pub(crate) fn commit_batch(
        &self,
        commands: &[Command],
        now: RelayTime,
    ) -> Result<Committed, StoreError> {
        let mut journal = self.journal();
        if self.is_poisoned() {
            return Err(StoreError::Poisoned);
        }
        let committed = self.decide(commands, now).and_then(|(committed, changed)| {
            if let Some(changed) = changed {
                self.persist(&mut journal, changed)?;
            }
            Ok(committed)
        });
        committed.inspect_err(|_| self.poison())
    }

    /// Returns the outcomes, and the rows to write, if any.
    fn decide(
        &self,
        commands: &[Command],
        now: RelayTime,
    ) -> Result<(Committed, Option<WriteSet>), StoreError> {
        let snapshot = self.snapshot()?;
        let txn = RedbTxn::new(&snapshot, &self.keys)?;
        let totals = txn.rows().totals()?;
        let low_disk_space = self.is_disk_low(totals.bytes);
        let transaction = Transaction::new(txn, self.options.policy(), now, totals, low_disk_space);
        let (outcomes, finished) = apply_all(transaction, commands)?;
        let committed = Committed {
            outcomes,
            changed_accounts: finished.changed_accounts,
        };
        let changed = finished.dirty.then(|| WriteSet {
            rows: finished.txn.into_memtable(),
            stored_bytes: finished.totals.bytes,
        });
        Ok((committed, changed))
    }

    /// Makes rows durable, and then visible to reads.
    fn persist(&self, journal: &mut Journal, changed: WriteSet) -> Result<(), StoreError> {
        if self.bypasses_journal(&changed.rows, changed.stored_bytes) {
            return self.write_direct(journal, &changed.rows);
        }
        journal.append(&changed.rows)?;
        let in_memory = {
            let mut memtables = self.memtables.write().expect("lock poisoned");
            memtables.active.merge_newer(changed.rows);
            memtables.active.bytes()
        };
        if journal.bytes().max(in_memory) as u64 >= self.options.journal_bytes {
            // Usually a no-op: the flusher thread has flushed the other segment long ago.
            self.flush()?;
            self.seal_memtable(journal);
        }
        Ok(())
    }
}
