//! What is kept: accounts, membership logs and envelopes, in one redb file.
//!
//! Plain and synchronous. [`Store::commit`] makes many changes in one transaction, each decided by
//! the pure rules inside it, and returns when they are on disk; [`Store::look`] reads. redb is named
//! in this room only, and this room never waits, spawns or talks to anybody.

mod account;
mod ack;
mod close;
mod commit;
mod delete;
mod envelope;
mod error;
mod found;
mod history;
mod invite;
mod look;
mod membership;
mod open;
mod push;
mod room;
mod row;
mod seen;
mod sweep;
mod tables;

pub use commit::{Committed, Stir};
pub use error::StoreError;
pub use look::Totals;
pub use open::{FILE, Identity, Options, Store};
pub use seen::Seen;
