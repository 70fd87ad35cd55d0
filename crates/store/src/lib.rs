//! The store of a relay: accounts, membership logs and envelopes.
//!
//! Everything that changes goes through [`Engine::commit`]: it applies a batch of commands in one
//! transaction, the pure rules decide each of them, and it returns when the batch is durable. The code that
//! applies commands (`apply/`) and the reads (`read/`) stand on two traits, [`WriteTxn`] and [`Rows`], which
//! each engine implements: [`Store`] on redb with a journal in front of it, [`MemoryStore`] on maps.
//!
//! The crate is synchronous. The only thread that it starts is the flusher of [`RedbEngine`].

mod apply;
mod engine;
mod envelope;
mod error;
mod identity;
mod memory;
mod policy;
mod read;
mod redb;
mod row_id;
mod rows;
mod totals;

pub use self::redb::{
    BEFORE_RESTORE, CheckResult, Compacted, ExportError, FILE, Files, HashingWriter, JOURNALS,
    KEYS, Options, RESTORING, RedbEngine, SCHEMA_VERSION, Store, VisibleMetadata, check, compact,
    import, lock_exclusive,
};
pub use apply::{AccountChange, Committed};
pub use engine::{AccountSummaries, DiskUsage, Engine};
pub use envelope::EnvelopeHeader;
pub use error::StoreError;
pub use identity::Identity;
pub use memory::MemoryStore;
pub use policy::Policy;
pub use row_id::RowId;
pub use rows::{Rows, WriteTxn};
pub use totals::Totals;
