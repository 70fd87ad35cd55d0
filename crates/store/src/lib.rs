//! What is kept: accounts, membership logs and envelopes, in one redb file; beside it the journal that
//! everything goes to first, and the keys under which the envelopes lie there.
//!
//! Plain and synchronous. [`Store::commit`] makes many changes in one transaction, each decided by
//! the pure rules inside it, and returns when they are on disk; [`Store::look`] reads. redb is named
//! in this room only, and this room never waits, spawns or talks to anybody.

mod account;
mod ack;
mod at_rest;
mod close;
mod commit;
mod compact;
mod day_keys;
mod delete;
mod dump;
mod envelope;
mod error;
mod fold;
mod folder;
mod found;
mod give_up;
mod hashing;
mod history;
mod inspect;
mod invite;
mod journal;
mod key_slots;
mod layer;
mod look;
mod members;
mod membership;
mod merge;
mod moment;
mod open;
mod operator;
mod probe;
mod push;
mod record;
mod recover;
mod roll;
mod room;
mod row;
mod seen;
mod start;
mod sweep;
mod table;
mod tables;
mod take_in;
mod upgrade;

pub use commit::{Committed, Stir};
pub use compact::{Compacted, compact};
pub use dump::DumpError;
pub use error::StoreError;
pub use folder::{BEFORE_RESTORE, RESTORING, hold};
pub use hashing::Hashing;
pub use look::Totals;
pub use open::{FILE, Files, Identity, JOURNALS, KEYS, Options, Store};
pub use probe::{Probed, probe};
pub use roll::Holdings;
pub use seen::Seen;
pub use tables::SCHEMA_VERSION;
pub use take_in::take_in;
