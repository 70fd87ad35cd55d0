//! Every table, on one screen. Integers in keys are big-endian, so that ranges are in order.
//!
//! | table | key | value | lives |
//! |---|---|---|---|
//! | `meta` | name | see [`meta`] | as long as the store |
//! | `account_numbers` | account id (32) | account number | found … close |
//! | `members` | SHA-256(account id ‖ device key) (32) | account number | added … removed, close |
//! | `accounts` | account number | row: log head, quota, devices with their cursors | found … close |
//! | `membership` | account number (8), index (8) | signed entry | appended … close |
//! | `recovery` | recovery key (32) | account number | found … close |
//! | `log` | arrival (8), part (2) | part 0: head, sealed payload, tag (16); others: the same without head | push … last ack, expiry |
//! | `index` | account number (8), seq (8) | arrival (8), sender (4), addressee (4), size (4) | as in `log` |
//! | `invites` | SHA-256 of the invitation (32) | relay time when it is void, ms | made … used, void |
//!
//! The log is laid down in order of arrival: writing touches its end, sweeping its beginning. Payloads
//! are sealed once more under the key of the day of their arrival, which is not in this file: the file
//! `day-keys` beside it has one in each of its slots (`key_slots.rs`), from the day's first envelope
//! until the day is over and its last one gone.

use redb::{Key, Table, TableDefinition, Value, WriteTransaction};

use super::StoreError;

pub(super) const META: TableDefinition<&[u8], &[u8]> = TableDefinition::new("meta");
pub(super) const ACCOUNT_NUMBERS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("account_numbers");
pub(super) const MEMBERS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("members");
pub(super) const ACCOUNTS: TableDefinition<u64, &[u8]> = TableDefinition::new("accounts");
pub(super) const MEMBERSHIP: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("membership");
pub(super) const RECOVERY: TableDefinition<&[u8; 32], u64> = TableDefinition::new("recovery");
pub(super) const LOG: TableDefinition<&[u8; 10], &[u8]> = TableDefinition::new("log");
pub(super) const INDEX: TableDefinition<&[u8; 16], &[u8; 20]> = TableDefinition::new("index");
pub(super) const INVITES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("invites");

/// Names in the `meta` table.
pub(super) mod meta {
    /// u32: which layout this file has.
    pub(in super::super) const SCHEMA: &[u8] = b"schema_version";
    /// 16 bytes.
    pub(in super::super) const RELAY_ID: &[u8] = b"relay_id";
    /// 16 bytes.
    pub(in super::super) const EPOCH: &[u8] = b"store_epoch";
    /// u64, ms: the relay's own time at the last commit.
    pub(in super::super) const CLOCK: &[u8] = b"clock_ms";
    /// u64: the next arrival, the next account. Never given twice.
    pub(in super::super) const NEXT_ARRIVAL: &[u8] = b"next_arrival";
    pub(in super::super) const NEXT_ACCOUNT: &[u8] = b"next_account";
}

/// The layout this code writes.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// All tables, open for one transaction.
pub(super) struct Tables<'txn> {
    pub(super) meta: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) account_numbers: Table<'txn, &'static [u8; 32], u64>,
    pub(super) members: Table<'txn, &'static [u8; 32], u64>,
    pub(super) accounts: Table<'txn, u64, &'static [u8]>,
    pub(super) membership: Table<'txn, &'static [u8; 16], &'static [u8]>,
    pub(super) recovery: Table<'txn, &'static [u8; 32], u64>,
    pub(super) log: Table<'txn, &'static [u8; 10], &'static [u8]>,
    pub(super) index: Table<'txn, &'static [u8; 16], &'static [u8; 20]>,
    pub(super) invites: Table<'txn, &'static [u8; 32], u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            account_numbers: transaction.open_table(ACCOUNT_NUMBERS)?,
            members: transaction.open_table(MEMBERS)?,
            accounts: transaction.open_table(ACCOUNTS)?,
            membership: transaction.open_table(MEMBERSHIP)?,
            recovery: transaction.open_table(RECOVERY)?,
            log: transaction.open_table(LOG)?,
            index: transaction.open_table(INDEX)?,
            invites: transaction.open_table(INVITES)?,
        })
    }
}

/// Something done to every table.
pub(super) trait EachTable {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
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
