//! What is kept: accounts, membership logs and envelopes, in one redb file; beside it the journal that
//! everything goes to first, and the keys under which the envelopes lie there.
//!
//! Plain and synchronous. [`Store::commit`] makes many changes in one transaction, each decided by
//! the pure rules inside it, and returns when they are on disk; [`Store::look`] reads. redb is named
//! in this disk_space only, and this disk_space never waits, spawns or talks to anybody.

mod account;
mod account_list;
mod ack;
mod at_rest;
mod audit;
mod check;
mod close;
mod commit;
mod compact;
mod corrupted;
mod data_dir;
mod day_keys;
mod delete;
mod disk_space;
mod envelope;
mod envelope_scan;
mod epoch;
mod error;
mod export;
mod flush;
mod found;
mod hashing;
mod import;
mod invite;
mod journal;
mod key_slots;
mod members;
mod membership;
mod memtable;
mod merge;
mod open;
mod operator;
mod push;
mod read;
mod record;
mod recover;
mod row;
mod snapshot;
mod start;
mod sweep;
mod table;
mod tables;
mod upgrade;

pub use account_list::DiskUsage;
pub use check::{CheckResult, check};
pub use commit::{AccountChange, Committed};
pub use compact::{Compacted, compact};
pub use data_dir::{BEFORE_RESTORE, RESTORING, lock_exclusive};
pub use envelope_scan::VisibleMetadata;
pub use error::StoreError;
pub use export::ExportError;
pub use hashing::HashingWriter;
pub use import::import;
pub use open::{FILE, Files, Identity, JOURNALS, KEYS, Options, Store};
pub use read::Totals;
pub use tables::SCHEMA_VERSION;
