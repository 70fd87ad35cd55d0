//! Every table, on one screen. Integers in keys are big-endian, so that ranges are in order.
//!
//! | table | key | value | lives |
//! |---|---|---|---|
//! | `meta` | name | see [`meta`] | as long as the store |
//! | `account_numbers` | account id (32) | account number | found … close |
//! | `members` | SHA-256(account id ‖ device key) (32) | account number | added … removed, close |
//! | `accounts` | account number (8) | row: log head, quota, devices with their cursors | found … close |
//! | `membership` | account number (8), index (8) | signed entry | appended … close |
//! | `recovery` | recovery key (32) | account number | found … close |
//! | `log` | arrival (8), part (2) | part 0: head, sealed payload, tag (16); others: the same without head | push … last ack, expiry |
//! | `index` | account number (8), seq (8) | arrival (8), sender (4), recipient (4), size (4) | as in `log` |
//! | `invites` | SHA-256 of the invitation (32) | relay time when it is void, ms | made … used, void |
//!
//! A row is written to the journal first (`journal.rs`) and lies in a memtable above redb until it is flushed_through
//! in (`fold.rs`); whoever reads sees all of that as one table (`table.rs`).
//!
//! The log is laid down in order of arrival: writing touches its end, sweeping its beginning. Payloads
//! are sealed once more under the key of the day of their arrival, which is not in this file: the file
//! `day-keys` beside it has one in each of its slots (`key_slots.rs`), from the day's first envelope
//! until the day is over and its last one gone.

use redb::{Key, Value};

use super::StoreError;
use super::memtable::Memtable;
use super::snapshot::Snapshot;
use super::table::{Spec, Table};

type Name = &'static [u8];
type Hash = &'static [u8; 32];
type Number = &'static [u8; 8];
type Numbers = &'static [u8; 16];
type LogKey = &'static [u8; 10];
type IndexEntryBytes = &'static [u8; 20];
type Bytes = &'static [u8];

pub(super) type Meta<'a> = Table<'a, Name, Bytes>;
pub(super) type AccountNumbers<'a> = Table<'a, Hash, u64>;
pub(super) type Members<'a> = Table<'a, Hash, u64>;
pub(super) type Accounts<'a> = Table<'a, Number, Bytes>;
pub(super) type Membership<'a> = Table<'a, Numbers, Bytes>;
pub(super) type Recovery<'a> = Table<'a, Hash, u64>;
pub(super) type Log<'a> = Table<'a, LogKey, Bytes>;
pub(super) type Index<'a> = Table<'a, Numbers, IndexEntryBytes>;
pub(super) type Invites<'a> = Table<'a, Hash, u64>;

// The numbers stand in the journal: a table keeps its own.
pub(super) const META: Spec<Name, Bytes> = Spec::new(0, "meta");
pub(super) const ACCOUNT_NUMBERS: Spec<Hash, u64> = Spec::new(1, "account_numbers");
pub(super) const MEMBERS: Spec<Hash, u64> = Spec::new(2, "members");
pub(super) const ACCOUNTS: Spec<Number, Bytes> = Spec::new(3, "accounts");
pub(super) const MEMBERSHIP: Spec<Numbers, Bytes> = Spec::new(4, "membership");
pub(super) const RECOVERY: Spec<Hash, u64> = Spec::new(5, "recovery");
pub(super) const LOG: Spec<LogKey, Bytes> = Spec::new(6, "log");
pub(super) const INDEX: Spec<Numbers, IndexEntryBytes> = Spec::new(7, "index");
pub(super) const INVITES: Spec<Hash, u64> = Spec::new(8, "invites");

/// How many tables there are.
pub(super) const TABLES: usize = 9;

/// Names in the `meta` table.
pub(super) mod meta {
    /// u32: which layout this file has.
    pub(in super::super) const SCHEMA: &[u8] = b"schema_version";
    /// Text: the version of the program that gave it this layout.
    pub(in super::super) const WRITER: &[u8] = b"written_by";
    /// u64, ms: the relay's own time when it was given this layout, if it had another before.
    pub(in super::super) const UPGRADED: &[u8] = b"upgraded_ms";
    /// 16 bytes.
    pub(in super::super) const RELAY_ID: &[u8] = b"relay_id";
    /// 16 bytes.
    pub(in super::super) const EPOCH: &[u8] = b"store_epoch";
    /// u64, ms: the relay's own time at the last commit.
    pub(in super::super) const CLOCK: &[u8] = b"clock_ms";
    /// u64: the next arrival, the next account. Never given twice.
    pub(in super::super) const NEXT_ARRIVAL: &[u8] = b"next_arrival";
    pub(in super::super) const NEXT_ACCOUNT: &[u8] = b"next_account";
    /// u64 each: accounts, envelopes kept, and what these count against quotas, in bytes.
    pub(in super::super) const TOTALS: &[u8] = b"totals";
    /// u64: the last record of the journal that is in this file.
    pub(in super::super) const FLUSHED_THROUGH: &[u8] = b"folded";
}

/// The layout this code writes.
pub const SCHEMA_VERSION: u32 = 2;

/// All tables, in one transaction.
pub(super) struct Tables<'a> {
    pub(super) meta: Meta<'a>,
    pub(super) account_numbers: AccountNumbers<'a>,
    pub(super) members: Members<'a>,
    pub(super) accounts: Accounts<'a>,
    pub(super) membership: Membership<'a>,
    pub(super) recovery: Recovery<'a>,
    pub(super) log: Log<'a>,
    pub(super) index: Index<'a>,
    pub(super) invites: Invites<'a>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(snapshot: &'a Snapshot<'_>) -> Self {
        Self {
            meta: snapshot.table(META),
            account_numbers: snapshot.table(ACCOUNT_NUMBERS),
            members: snapshot.table(MEMBERS),
            accounts: snapshot.table(ACCOUNTS),
            membership: snapshot.table(MEMBERSHIP),
            recovery: snapshot.table(RECOVERY),
            log: snapshot.table(LOG),
            index: snapshot.table(INDEX),
            invites: snapshot.table(INVITES),
        }
    }

    /// What was written into them, in the order of their numbers.
    pub(super) fn into_memtable(self) -> Memtable {
        Memtable::from_rows([
            self.meta.into_own_rows(),
            self.account_numbers.into_own_rows(),
            self.members.into_own_rows(),
            self.accounts.into_own_rows(),
            self.membership.into_own_rows(),
            self.recovery.into_own_rows(),
            self.log.into_own_rows(),
            self.index.into_own_rows(),
            self.invites.into_own_rows(),
        ])
    }
}

/// Something done to every table.
pub(super) trait EachTable {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError>;
}

/// Does it.
pub(super) fn each(doing: &mut impl EachTable) -> Result<(), StoreError> {
    doing.table(META)?;
    doing.table(ACCOUNT_NUMBERS)?;
    doing.table(MEMBERS)?;
    doing.table(ACCOUNTS)?;
    doing.table(MEMBERSHIP)?;
    doing.table(RECOVERY)?;
    doing.table(LOG)?;
    doing.table(INDEX)?;
    doing.table(INVITES)
}

/// A key of two numbers, in order of the first and then the second.
pub(super) fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

/// The second number of such a key.
pub(super) fn second(key: &[u8; 16]) -> u64 {
    u64::from_be_bytes(*key.last_chunk().expect("16 bytes hold 8"))
}

/// The arrival in a key of the log.
pub(super) fn arrival_of(key: &[u8; 10]) -> u64 {
    u64::from_be_bytes(*key.first_chunk().expect("10 bytes hold 8"))
}

/// A key in the log.
pub(super) fn log_key(arrival: u64, part: u16) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&arrival.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}
