//! Folding: what the journal has goes into redb, much of it in one commit, and what lay in the layers
//! lies there from then on. The writer goes on meanwhile, in the journal's other file. A commit of large
//! rows spares itself the journal.

use std::sync::atomic::Ordering;

use redb::{Key, Value, WriteTransaction};

use super::commit::Changed;
use super::journal::Journal;
use super::layer::Layer;
use super::moment::Frozen;
use super::table::Spec;
use super::tables::{EachTable, META, each, meta};
use super::{Store, StoreError};

/// Rows that the least commit may have that goes straight into redb.
const STRAIGHT_ROWS_MAX: usize = 64;

/// How many times as much the store may have as a commit that goes straight into redb. With quick repair
/// redb writes 0.2 parts in a thousand of its file at every commit.
const STRAIGHT_SHARE_MAX: u64 = 4_096;

impl Store {
    /// Whether something waits to be folded in.
    pub fn has_to_fold(&self) -> bool {
        self.layers
            .read()
            .expect("nobody panics holding it")
            .frozen
            .is_some()
    }

    /// Folds in what waits for it, if anything does. For a thread of its own: it takes a while, and the
    /// writer waits for it only when the journal's other file is full, too.
    ///
    /// # Errors
    /// [`StoreError`]: nobody knows what is on the disk, and the process has to end.
    pub fn fold(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.folding.lock().expect("nobody panics holding it");
        let frozen = self
            .layers
            .read()
            .expect("nobody panics holding it")
            .frozen
            .clone();
        let Some(frozen) = frozen else { return Ok(()) };
        self.write_down(&frozen.layer, frozen.last)
            .inspect_err(|_| self.broken.store(true, Ordering::Relaxed))?;
        self.layers
            .write()
            .expect("nobody panics holding it")
            .frozen = None;
        Ok(())
    }

    /// Folds in all there is, so that the file of redb has it.
    ///
    /// # Errors
    /// As [`Store::fold`].
    pub fn fold_all(&self) -> Result<(), StoreError> {
        self.fold()?;
        {
            let mut journal = self.journal();
            // Another full file may have come meanwhile.
            self.fold()?;
            self.freeze(&mut journal);
        }
        self.fold()
    }

    /// Whether this goes into redb at once: its rows are large, what lies in the layer below, which has to
    /// go first, is not much, and neither is what redb writes of itself with every commit.
    pub(super) fn goes_straight(&self, changed: &Changed) -> bool {
        let (bytes, least) = (changed.rows.bytes(), self.options.straight_bytes);
        let below = || {
            self.layers
                .read()
                .expect("nobody panics holding it")
                .active
                .bytes()
        };
        bytes >= least
            && bytes / changed.rows.count().max(1) >= least / STRAIGHT_ROWS_MAX
            && bytes as u64 >= changed.stored_bytes / STRAIGHT_SHARE_MAX
            && below() <= bytes / 4
    }

    /// Writes rows into redb without the journal. When this returns they are on the disk.
    pub(super) fn fold_straight(
        &self,
        journal: &mut Journal,
        changed: &Layer,
    ) -> Result<(), StoreError> {
        self.fold()?;
        self.freeze(journal);
        self.fold()?;
        // Nothing lies above redb now, so that whoever reads has all of this commit or nothing.
        self.write_down(changed, journal.skip())
    }

    /// Sets the active layer aside to be folded in, and turns the journal to its other file, which has
    /// nothing left that is not in redb.
    pub(super) fn freeze(&self, journal: &mut Journal) {
        let mut layers = self.layers.write().expect("nobody panics holding it");
        assert!(
            layers.frozen.is_none(),
            "what was set aside before is folded in"
        );
        if !layers.active.is_empty() {
            let layer = std::mem::take(&mut layers.active).into();
            layers.frozen = Some(Frozen {
                layer,
                last: journal.last(),
            });
            journal.turn();
        }
    }

    fn write_down(&self, layer: &Layer, last: u64) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write()?;
        // Pages hold bytes that strangers chose, and redb's checksum is not cryptographic. And a file that
        // was not closed opens at once, for a little more that is written here: seldom enough.
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        each(&mut Fold {
            layer,
            to: &transaction,
        })?;
        let last = last.to_be_bytes();
        transaction
            .open_table(META.definition)?
            .insert(meta::FOLDED, last.as_slice())?;
        transaction.commit()?;
        Ok(())
    }

    /// Leaves everything in redb, and a journal that nobody has to read. Dropping the store does it, too.
    ///
    /// # Errors
    /// As [`Store::fold`].
    pub fn close(&self) -> Result<(), StoreError> {
        self.fold_all()?;
        self.journal().begin()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.broken.load(Ordering::Relaxed)
            && let Err(error) = self.close()
        {
            tracing::warn!(%error, "the journal could not be folded in; the next start reads it");
        }
    }
}

struct Fold<'a> {
    layer: &'a Layer,
    to: &'a WriteTransaction,
}

impl EachTable for Fold<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        let rows = self.layer.rows(spec.number);
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
