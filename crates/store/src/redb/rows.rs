//! The rows of a snapshot, and the write transaction on top of them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::command::InviteHash;
use graceful_rules::{Account, AccountNumber, RelayTime};
use prost::Message;

use super::codec::{IndexEntry, decode_account, decode_header, encode_account, member_key};
use super::keys::{DayKeys, Keyring};
use super::log;
use super::memtable::Memtable;
use super::payload::DayKey;
use super::schema::{Tables, arrival_of, log_key, meta, pair, read_totals, second, totals_bytes};
use super::snapshot::Snapshot;
use crate::{EnvelopeHeader, Rows, StoreError, Totals, WriteTxn};

/// The rows of a snapshot.
pub struct RedbRows<'a> {
    pub(crate) tables: Tables<'a>,
    pub(crate) keys: Keyring,
}

impl<'a> RedbRows<'a> {
    #[inline]
    pub(crate) fn new(snapshot: &'a Snapshot<'_>) -> Self {
        Self {
            tables: snapshot.tables(),
            keys: snapshot.keys.clone(),
        }
    }
}

impl Rows for RedbRows<'_> {
    type Entry = IndexEntry;

    fn account_number(&self, id: &AccountId) -> Result<Option<AccountNumber>, StoreError> {
        let number = self.tables.account_numbers.get(id.as_bytes())?;
        Ok(number.map(|number| AccountNumber(number.value())))
    }

    fn member(
        &self,
        id: &AccountId,
        device: &DeviceKey,
    ) -> Result<Option<AccountNumber>, StoreError> {
        let number = self.tables.members.get(&member_key(id, device))?;
        Ok(number.map(|number| AccountNumber(number.value())))
    }

    fn recovery_account(&self, key: &DeviceKey) -> Result<Option<AccountNumber>, StoreError> {
        let number = self.tables.recovery.get(key.as_bytes())?;
        Ok(number.map(|number| AccountNumber(number.value())))
    }

    fn account(&self, number: AccountNumber) -> Result<Option<Account>, StoreError> {
        let Some(bytes) = self.tables.accounts.get(&number.0.to_be_bytes())? else {
            return Ok(None);
        };
        decode_account(number, bytes.value()).map(Some)
    }

    fn accounts(
        &self,
        from: AccountNumber,
    ) -> Result<impl Iterator<Item = Result<Account, StoreError>>, StoreError> {
        let rows = self
            .tables
            .accounts
            .between(&from.0.to_be_bytes(), &u64::MAX.to_be_bytes())?;
        Ok(rows.map(|item| {
            let (number, bytes) = item?;
            let number = AccountNumber(u64::from_be_bytes(*number.value()));
            decode_account(number, bytes.value())
        }))
    }

    fn account_ids(
        &self,
        range: RangeInclusive<AccountId>,
    ) -> Result<impl Iterator<Item = Result<AccountId, StoreError>>, StoreError> {
        let (first, last) = range.into_inner();
        let numbers = &self.tables.account_numbers;
        let rows = numbers.between(first.as_bytes(), last.as_bytes())?;
        Ok(rows.map(|item| Ok(AccountId::new(*item?.0.value()))))
    }

    fn membership(
        &self,
        account: AccountNumber,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<SignedEntry>, StoreError> {
        let (first, last) = (pair(account.0, from), pair(account.0, u64::MAX));
        let mut entries = Vec::new();
        let mut bytes = 0;
        for item in self.tables.membership.range(&first..=&last)? {
            let (_, value) = item?;
            bytes += value.value().len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            let entry = SignedEntry::decode(value.value())
                .map_err(|_| StoreError::Damaged("a membership entry cannot be read"))?;
            entries.push(entry);
        }
        Ok(entries)
    }

    fn entries(
        &self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<impl Iterator<Item = Result<IndexEntry, StoreError>>, StoreError> {
        let (first, last) = (pair(account.0, *seqs.start()), pair(account.0, *seqs.end()));
        let rows = self.tables.index.between(&first, &last)?;
        Ok(rows.map(|item| {
            let (key, value) = item?;
            Ok(IndexEntry::from_bytes(second(key.value()), value.value()))
        }))
    }

    fn newest_entry(&self, account: &Account) -> Result<Option<IndexEntry>, StoreError> {
        let number = account.number.0;
        let (first, last) = (pair(number, 0), pair(number, account.head));
        let last = self.tables.index.last_in(&first..=&last)?;
        Ok(last.map(|(key, value)| IndexEntry::from_bytes(second(key.value()), value.value())))
    }

    fn order(&self, entry: &IndexEntry) -> u64 {
        entry.arrival
    }

    fn header(&self, _: AccountNumber, entry: &IndexEntry) -> Result<EnvelopeHeader, StoreError> {
        log::read_header(&self.tables.log, entry)
    }

    fn envelope(
        &self,
        _: AccountNumber,
        entry: &IndexEntry,
    ) -> Result<(EnvelopeHeader, Bytes), StoreError> {
        log::read(&self.tables.log, &self.keys, entry)
    }

    fn oldest(
        &self,
    ) -> Result<impl Iterator<Item = Result<(EnvelopeHeader, IndexEntry), StoreError>>, StoreError>
    {
        let rows = self.tables.log.iter()?;
        Ok(rows.filter_map(|item| {
            let (key, row) = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            let arrival = arrival_of(key.value());
            if *key.value() != log_key(arrival, 0) {
                return None;
            }
            Some(decode_header(row.value()).map(|(header, _)| {
                let meta = header.meta;
                (header, IndexEntry { arrival, meta })
            }))
        }))
    }

    fn invite(&self, hash: &InviteHash) -> Result<Option<RelayTime>, StoreError> {
        let expires = self.tables.invites.get(hash)?;
        Ok(expires.map(|expires_ms| RelayTime::from_ms(expires_ms.value())))
    }

    fn totals(&self) -> Result<Totals, StoreError> {
        read_totals(&self.tables.meta)
    }
}

/// A number that is never used twice.
struct Sequence {
    next: u64,
    used: bool,
}

impl Sequence {
    fn next(&mut self) -> u64 {
        self.used = true;
        self.next += 1;
        self.next - 1
    }
}

/// A write transaction.
pub(crate) struct RedbTxn<'a> {
    rows: RedbRows<'a>,
    keys: &'a DayKeys,
    /// Looked up once in a transaction, and within it: that keeps the key from being retired.
    current_day_key: Option<Arc<DayKey>>,
    next_arrival: Sequence,
    next_account: Sequence,
}

impl<'a> RedbTxn<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot<'_>, keys: &'a DayKeys) -> Result<Self, StoreError> {
        let sequence = |name| {
            Ok::<_, StoreError>(Sequence {
                next: snapshot.meta_number(name)?,
                used: false,
            })
        };
        Ok(Self {
            next_arrival: sequence(meta::NEXT_ARRIVAL)?,
            next_account: sequence(meta::NEXT_ACCOUNT)?,
            rows: RedbRows::new(snapshot),
            keys,
            current_day_key: None,
        })
    }

    /// Returns the rows that the transaction wrote.
    pub(crate) fn into_memtable(self) -> Memtable {
        self.rows.tables.into_memtable()
    }

    fn current_day_key(&mut self, arrival: u64, now: RelayTime) -> Result<Arc<DayKey>, StoreError> {
        if let Some(key) = &self.current_day_key {
            return Ok(key.clone());
        }
        let key = self.keys.for_arrival(arrival, now)?;
        // The ring of the snapshot lacks a key that is new, and the transaction reads its own writes.
        self.rows.keys = self.keys.ring();
        self.current_day_key = Some(key.clone());
        Ok(key)
    }
}

impl<'a> WriteTxn for RedbTxn<'a> {
    type Rows = RedbRows<'a>;

    fn rows(&self) -> &RedbRows<'a> {
        &self.rows
    }

    fn next_account_number(&mut self) -> AccountNumber {
        AccountNumber(self.next_account.next())
    }

    fn insert_account_number(&mut self, id: &AccountId, number: AccountNumber) {
        let table = &mut self.rows.tables.account_numbers;
        table.insert(id.as_bytes(), number.0);
    }

    fn save_account(&mut self, account: &Account) {
        let key = account.number.0.to_be_bytes();
        let table = &mut self.rows.tables.accounts;
        table.put(&key, encode_account(account).into());
    }

    fn replace_members(&mut self, before: Option<&Account>, after: &Account) {
        let table = &mut self.rows.tables.members;
        for device in before.iter().flat_map(|before| &before.devices) {
            table.remove(&member_key(&after.id, &device.key));
        }
        for device in &after.devices {
            table.insert(&member_key(&after.id, &device.key), after.number.0);
        }
    }

    fn delete_account(
        &mut self,
        number: AccountNumber,
        id: &AccountId,
        before: Option<&Account>,
    ) -> Result<(), StoreError> {
        let tables = &mut self.rows.tables;
        let (first, last) = (pair(number.0, 0), pair(number.0, u64::MAX));
        tables.membership.retain(&first..=&last, |_| false)?;
        for device in before.iter().flat_map(|before| &before.devices) {
            tables.members.remove(&member_key(id, &device.key));
        }
        tables.accounts.remove(&number.0.to_be_bytes());
        tables.account_numbers.remove(id.as_bytes());
        Ok(())
    }

    fn insert_membership(&mut self, account: AccountNumber, index: u64, entry: &SignedEntry) {
        let table = &mut self.rows.tables.membership;
        table.put(&pair(account.0, index), entry.encode_to_vec().into());
    }

    fn insert_recovery_key(&mut self, key: &DeviceKey, account: AccountNumber) {
        let table = &mut self.rows.tables.recovery;
        table.insert(key.as_bytes(), account.0);
    }

    fn remove_recovery_key(&mut self, key: &DeviceKey) {
        self.rows.tables.recovery.remove(key.as_bytes());
    }

    fn append_envelope(
        &mut self,
        header: &EnvelopeHeader,
        sealed: &Bytes,
    ) -> Result<(), StoreError> {
        let arrival = self.next_arrival.next();
        let key = self.current_day_key(arrival, header.arrived)?;
        let tables = &mut self.rows.tables;
        log::append(&mut tables.log, &key, arrival, header, sealed);
        let meta = header.meta;
        let entry = IndexEntry { arrival, meta };
        let index_key = pair(header.account.0, meta.seq);
        tables.index.insert(&index_key, &entry.to_bytes());
        Ok(())
    }

    fn remove_envelope(&mut self, account: AccountNumber, entry: &IndexEntry) {
        let tables = &mut self.rows.tables;
        log::remove(&mut tables.log, entry);
        tables.index.remove(&pair(account.0, entry.meta.seq));
    }

    fn insert_invite(&mut self, hash: &InviteHash, expires: RelayTime) {
        self.rows.tables.invites.insert(hash, expires.ms());
    }

    fn remove_invite(&mut self, hash: &InviteHash) {
        self.rows.tables.invites.remove(hash);
    }

    fn remove_expired_invites(&mut self, now: RelayTime) -> Result<(), StoreError> {
        let invites = &mut self.rows.tables.invites;
        invites.retain(.., |expires_ms| expires_ms > now.ms())
    }

    fn save_meta(&mut self, now: RelayTime, totals: &Totals) {
        let table = &mut self.rows.tables.meta;
        table.insert(meta::CLOCK, now.ms().to_be_bytes().as_slice());
        table.insert(meta::TOTALS, totals_bytes(totals).as_slice());
        for (name, sequence) in [
            (meta::NEXT_ARRIVAL, &self.next_arrival),
            (meta::NEXT_ACCOUNT, &self.next_account),
        ] {
            if sequence.used {
                table.insert(name, sequence.next.to_be_bytes().as_slice());
            }
        }
    }
}
