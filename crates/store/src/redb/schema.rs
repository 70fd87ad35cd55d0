//! The tables. Integers in keys are big-endian, so that ranges are in order.
//!
//! | table | key | value | lifetime |
//! |---|---|---|---|
//! | `meta` | name | see [`meta`] | that of the store |
//! | `account_numbers` | account id (32) | account number | created … deleted |
//! | `members` | SHA-256(account id ‖ device key) (32) | account number | added … removed, deleted |
//! | `accounts` | account number (8) | head, quota, devices with their cursors | created … deleted |
//! | `membership` | account number (8), index (8) | signed entry | appended … deleted |
//! | `recovery` | recovery key (32) | account number | created … deleted |
//! | `log` | arrival (8), part (2) | part 0: header, sealed payload, tag (16); others: without header | push … last ack, expiry |
//! | `index` | account number (8), seq (8) | arrival (8), sender (4), recipient (4), size (4) | as in `log` |
//! | `invites` | SHA-256 of the invitation (32) | relay time of its expiry, ms | created … used, expired |
//!
//! A row is written to the journal first (`journal/`) and is in a memtable above redb until it is flushed
//! (`flush.rs`). Reads merge the three (`table.rs`).
//!
//! The log is in order of arrival: writes touch its end, sweeps its beginning. Payloads are sealed once more
//! under the key of the day on which they arrived. The day keys are not in this file but in slots of the file
//! `day-keys` beside it (`keys/slots.rs`), from the day's first envelope until the day is over and its last
//! envelope removed.

use redb::{Key, ReadTransaction, Value};

use super::memtable::{Memtable, TABLES};
use super::table::{MemtableRefs, Spec, Table};
use crate::{StoreError, Totals};

type Name = &'static [u8];
type Hash = &'static [u8; 32];
type Number = &'static [u8; 8];
type Numbers = &'static [u8; 16];
type LogKey = &'static [u8; 10];
type IndexEntryBytes = &'static [u8; 20];
type Bytes = &'static [u8];

pub(crate) type Meta<'a> = Table<'a, Name, Bytes>;
pub(crate) type AccountNumbers<'a> = Table<'a, Hash, u64>;
pub(crate) type Members<'a> = Table<'a, Hash, u64>;
pub(crate) type Accounts<'a> = Table<'a, Number, Bytes>;
pub(crate) type Membership<'a> = Table<'a, Numbers, Bytes>;
pub(crate) type RecoveryKeys<'a> = Table<'a, Hash, u64>;
pub(crate) type Log<'a> = Table<'a, LogKey, Bytes>;
pub(crate) type Index<'a> = Table<'a, Numbers, IndexEntryBytes>;
pub(crate) type Invites<'a> = Table<'a, Hash, u64>;

// The numbers are in journal records: no table ever changes its own.
pub(crate) const META: Spec<Name, Bytes> = Spec::new(0, "meta");
pub(crate) const ACCOUNT_NUMBERS: Spec<Hash, u64> = Spec::new(1, "account_numbers");
pub(crate) const MEMBERS: Spec<Hash, u64> = Spec::new(2, "members");
pub(crate) const ACCOUNTS: Spec<Number, Bytes> = Spec::new(3, "accounts");
pub(crate) const MEMBERSHIP: Spec<Numbers, Bytes> = Spec::new(4, "membership");
pub(crate) const RECOVERY: Spec<Hash, u64> = Spec::new(5, "recovery");
pub(crate) const LOG: Spec<LogKey, Bytes> = Spec::new(6, "log");
pub(crate) const INDEX: Spec<Numbers, IndexEntryBytes> = Spec::new(7, "index");
pub(crate) const INVITES: Spec<Hash, u64> = Spec::new(8, "invites");

const _: () = assert!(INVITES.number + 1 == TABLES, "memtables have every table");

/// Names in the `meta` table.
pub(crate) mod meta {
    /// u32: the schema version.
    pub(crate) const SCHEMA: &[u8] = b"schema_version";
    /// Text: the program version that wrote this schema version.
    pub(crate) const WRITER: &[u8] = b"written_by";
    /// u64, ms: the relay time of the upgrade to this schema version; 0: never upgraded.
    pub(crate) const UPGRADED: &[u8] = b"upgraded_ms";
    /// 16 bytes.
    pub(crate) const RELAY_ID: &[u8] = b"relay_id";
    /// 16 bytes.
    pub(crate) const EPOCH: &[u8] = b"store_epoch";
    /// u64, ms: the relay time of the last commit.
    pub(crate) const CLOCK: &[u8] = b"clock_ms";
    /// u64: the next arrival and the next account number. Never used twice.
    pub(crate) const NEXT_ARRIVAL: &[u8] = b"next_arrival";
    pub(crate) const NEXT_ACCOUNT: &[u8] = b"next_account";
    /// u64 each: accounts, stored envelopes, and bytes as counted against quotas.
    pub(crate) const TOTALS: &[u8] = b"totals";
    /// u64: the last journal record that was flushed.
    pub(crate) const FLUSHED_THROUGH: &[u8] = b"folded";
}

/// The schema version that this code writes.
pub const SCHEMA_VERSION: u32 = 2;

/// All tables in one transaction.
pub(crate) struct Tables<'a> {
    pub(crate) meta: Meta<'a>,
    pub(crate) account_numbers: AccountNumbers<'a>,
    pub(crate) members: Members<'a>,
    pub(crate) accounts: Accounts<'a>,
    pub(crate) membership: Membership<'a>,
    pub(crate) recovery: RecoveryKeys<'a>,
    pub(crate) log: Log<'a>,
    pub(crate) index: Index<'a>,
    pub(crate) invites: Invites<'a>,
}

impl<'a> Tables<'a> {
    #[inline]
    pub(crate) fn new(memtables: MemtableRefs<'a>, redb: &'a ReadTransaction) -> Self {
        Self {
            meta: Table::new(META, memtables, redb),
            account_numbers: Table::new(ACCOUNT_NUMBERS, memtables, redb),
            members: Table::new(MEMBERS, memtables, redb),
            accounts: Table::new(ACCOUNTS, memtables, redb),
            membership: Table::new(MEMBERSHIP, memtables, redb),
            recovery: Table::new(RECOVERY, memtables, redb),
            log: Table::new(LOG, memtables, redb),
            index: Table::new(INDEX, memtables, redb),
            invites: Table::new(INVITES, memtables, redb),
        }
    }

    /// Returns the number of rows of all accounts.
    pub(crate) fn account_row_count(&self) -> Result<u64, StoreError> {
        let rows = self.account_numbers.iter()?.count()
            + self.members.iter()?.count()
            + self.accounts.iter()?.count()
            + self.membership.iter()?.count()
            + self.recovery.iter()?.count()
            + self.index.iter()?.count()
            + self.log.iter()?.count();
        Ok(rows as u64)
    }

    /// Returns the rows that were written into them.
    pub(crate) fn into_memtable(self) -> Memtable {
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

/// An operation on every table.
pub(crate) trait EachTable {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError>;
}

/// Runs an operation on every table.
pub(crate) fn each(operation: &mut impl EachTable) -> Result<(), StoreError> {
    operation.table(META)?;
    operation.table(ACCOUNT_NUMBERS)?;
    operation.table(MEMBERS)?;
    operation.table(ACCOUNTS)?;
    operation.table(MEMBERSHIP)?;
    operation.table(RECOVERY)?;
    operation.table(LOG)?;
    operation.table(INDEX)?;
    operation.table(INVITES)
}

/// Returns a key of two numbers, ordered by the first, then the second.
pub(crate) fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

/// Returns the second number of such a key.
pub(crate) fn second(key: &[u8; 16]) -> u64 {
    u64::from_be_bytes(*key.last_chunk().expect("16 bytes hold 8"))
}

/// Returns the arrival in a key of the log.
pub(crate) fn arrival_of(key: &[u8; 10]) -> u64 {
    u64::from_be_bytes(*key.first_chunk().expect("10 bytes hold 8"))
}

/// Returns a key of the log.
pub(crate) fn log_key(arrival: u64, part: u16) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&arrival.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Reads the totals from the `meta` table.
pub(crate) fn read_totals(table: &Meta<'_>) -> Result<Totals, StoreError> {
    const DAMAGED: StoreError = StoreError::Damaged("its totals cannot be read");
    let row = table.get(meta::TOTALS)?.ok_or(DAMAGED)?;
    let (numbers, rest) = row.value().as_chunks::<8>();
    match (numbers, rest) {
        ([accounts, envelopes, bytes], []) => Ok(Totals {
            accounts: u64::from_be_bytes(*accounts),
            envelopes: u64::from_be_bytes(*envelopes),
            bytes: u64::from_be_bytes(*bytes),
        }),
        _ => Err(DAMAGED),
    }
}

/// Returns the totals as the `meta` table has them.
pub(crate) fn totals_bytes(totals: &Totals) -> [u8; 24] {
    let mut bytes = [0; 24];
    let numbers = [totals.accounts, totals.envelopes, totals.bytes];
    for (chunk, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
        *chunk = number.to_be_bytes();
    }
    bytes
}
