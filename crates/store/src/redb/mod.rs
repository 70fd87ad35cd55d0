//! The engine for a relay on one machine: redb, with a journal and memtables in front of it.
//!
//! In this order, each file stands on those before it: `files`, `options`, `errors`, `memtable`, `merge`,
//! `table`, `schema`, `codec`, `payload`, `keys`, `log`, `snapshot`, `rows`, `journal`, `disk_space`,
//! `data_dir`, `layout`, `store`, `flush`, `commit`, `audit`, `maintenance`, `recovery`, `upgrade`, `open`,
//! `compact`, `check`, `backup`, `flusher`.

mod audit;
mod backup;
mod check;
mod codec;
mod commit;
mod compact;
mod data_dir;
mod disk_space;
mod envelope_scan;
mod errors;
mod files;
mod flush;
mod flusher;
mod journal;
mod keys;
mod layout;
mod log;
mod maintenance;
mod memtable;
mod merge;
mod open;
mod options;
mod payload;
mod recovery;
mod rows;
mod schema;
mod snapshot;
mod store;
mod table;
mod upgrade;

use graceful_rules::RelayTime;
use graceful_rules::audit::{ScanPage, ScanRange};
use graceful_rules::command::Command;

pub use backup::{ExportError, HashingWriter, import};
pub use check::{CheckResult, check};
pub use compact::{Compacted, compact};
pub use data_dir::lock_exclusive;
pub use envelope_scan::VisibleMetadata;
pub use files::{BEFORE_RESTORE, FILE, JOURNALS, KEYS, RESTORING};
pub use flusher::RedbEngine;
pub use open::Files;
pub use options::Options;
pub use schema::SCHEMA_VERSION;
pub use store::Store;

use crate::{Committed, DiskUsage, Engine, Identity, Policy, Rows, StoreError};
use rows::RedbRows;

impl Engine for Store {
    type Rows<'a> = RedbRows<'a>;

    fn read<R>(
        &self,
        read: impl FnOnce(&RedbRows<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        read(&RedbRows::new(&self.snapshot()?))
    }

    fn commit(&self, commands: &[Command], now: RelayTime) -> Result<Committed, StoreError> {
        self.commit_batch(commands, now)
    }

    fn policy(&self) -> Policy<'_> {
        self.options.policy()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn clock_at_open(&self) -> RelayTime {
        self.clock
    }

    fn has_low_disk_space(&self) -> Result<bool, StoreError> {
        Ok(self.is_disk_low(self.totals()?.bytes))
    }

    fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let (stored_bytes, oldest) = self.read(|rows| {
            let oldest = rows.oldest()?.next().transpose()?;
            Ok((
                rows.totals()?.bytes,
                oldest.map(|(header, _)| header.arrived),
            ))
        })?;
        let disk = self.disk_space.as_ref();
        Ok(DiskUsage {
            stored_bytes,
            file_bytes: disk.map_or(0, |disk| disk.file_bytes()),
            free_bytes: disk.and_then(|disk| disk.free_bytes()),
            free_bytes_min: disk.map_or(0, |disk| disk.free_bytes_min),
            low_disk_space: self.is_disk_low(stored_bytes),
            oldest,
        })
    }

    fn audit(&self, range: &ScanRange) -> Result<ScanPage, StoreError> {
        audit::audit(&self.snapshot()?, range)
    }

    fn account_row_count(&self) -> Result<u64, StoreError> {
        self.snapshot()?.tables().account_row_count()
    }
}
