//! The open store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock};

use graceful_rules::RelayTime;
use redb::Database;

use super::disk_space::DiskSpace;
use super::journal::Journal;
use super::keys::DayKeys;
use super::memtable::Memtables;
use super::options::Options;
use super::snapshot::Snapshot;
use crate::{Identity, StoreError};

/// An open store on redb.
pub struct Store {
    pub(crate) database: Database,
    pub(crate) options: Options,
    pub(crate) keys: DayKeys,
    /// `None`: not in a data directory.
    pub(crate) disk_space: Option<DiskSpace>,
    /// Held by the thread that changes anything.
    pub(crate) journal: Mutex<Journal>,
    pub(crate) memtables: RwLock<Memtables>,
    /// Held by the thread that flushes.
    pub(crate) flushing: Mutex<()>,
    /// A write failed: what the disk has is unknown.
    pub(crate) poisoned: AtomicBool,
    pub(crate) identity: Identity,
    pub(crate) clock: RelayTime,
}

impl Store {
    /// Returns the options that the store was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the number of day keys.
    pub fn day_key_count(&self) -> usize {
        self.keys.ring().len()
    }

    /// Returns a snapshot as of the last commit.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        Snapshot::new(&self.memtables, &self.database, || self.keys.ring())
    }

    /// Locks the journal, and with it the right to change anything.
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().expect("mutex poisoned")
    }

    /// Marks the store poisoned: no commit is accepted any more.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Whether the disk is nearly full and the free pages in the database file are used up as well. Asked
    /// again each time, so that the state ends by itself.
    pub(crate) fn is_disk_low(&self, stored_bytes: u64) -> bool {
        let disk_space = self.disk_space.as_ref();
        disk_space.is_some_and(|disk_space| disk_space.is_low(stored_bytes))
    }
}
