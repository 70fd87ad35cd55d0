//! The rows of the engine in memory, and its write transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use bytes::Bytes;
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::command::InviteHash;
use graceful_rules::{Account, AccountNumber, EnvelopeMeta, RelayTime};
use prost::Message;

use super::overlay::{Changes, Overlay, write};
use crate::{EnvelopeHeader, RowId, Rows, StoreError, Totals, WriteTxn};

/// An account number and a seq or an index.
type Numbered = (AccountNumber, u64);

/// A stored envelope.
#[derive(Clone)]
pub(super) struct Envelope {
    header: EnvelopeHeader,
    sealed: Bytes,
    order: u64,
}

/// Everything stored.
#[derive(Default)]
pub(super) struct State {
    pub(super) numbers: BTreeMap<AccountId, AccountNumber>,
    pub(super) members: BTreeMap<(AccountId, DeviceKey), AccountNumber>,
    pub(super) accounts: BTreeMap<AccountNumber, Account>,
    pub(super) membership: BTreeMap<Numbered, SignedEntry>,
    pub(super) recovery: BTreeMap<DeviceKey, AccountNumber>,
    pub(super) envelopes: BTreeMap<Numbered, Envelope>,
    /// The envelopes in the order in which they were stored.
    pub(super) order: BTreeMap<u64, Numbered>,
    invites: BTreeMap<InviteHash, RelayTime>,
    pub(super) meta: Meta,
}

/// Clock, totals and counters.
#[derive(Clone, Copy, Default)]
pub(super) struct Meta {
    pub(super) clock: RelayTime,
    pub(super) totals: Totals,
    last_account: u64,
    last_order: u64,
}

/// The rows that a transaction wrote.
pub(super) struct Written {
    numbers: Changes<AccountId, AccountNumber>,
    members: Changes<(AccountId, DeviceKey), AccountNumber>,
    accounts: Changes<AccountNumber, Account>,
    membership: Changes<Numbered, SignedEntry>,
    recovery: Changes<DeviceKey, AccountNumber>,
    envelopes: Changes<Numbered, Envelope>,
    order: Changes<u64, Numbered>,
    invites: Changes<InviteHash, RelayTime>,
    meta: Meta,
}

impl State {
    pub(super) fn write(&mut self, written: Written) {
        write(&mut self.numbers, written.numbers);
        write(&mut self.members, written.members);
        write(&mut self.accounts, written.accounts);
        write(&mut self.membership, written.membership);
        write(&mut self.recovery, written.recovery);
        write(&mut self.envelopes, written.envelopes);
        write(&mut self.order, written.order);
        write(&mut self.invites, written.invites);
        self.meta = written.meta;
    }
}

/// The index entry of an envelope.
#[derive(Clone, Copy)]
pub struct MemoryEntry {
    meta: EnvelopeMeta,
    order: u64,
}

impl AsRef<EnvelopeMeta> for MemoryEntry {
    fn as_ref(&self) -> &EnvelopeMeta {
        &self.meta
    }
}

/// Rows in memory, with the writes of a transaction on top.
pub struct MemoryRows<'a> {
    numbers: Overlay<'a, AccountId, AccountNumber>,
    members: Overlay<'a, (AccountId, DeviceKey), AccountNumber>,
    accounts: Overlay<'a, AccountNumber, Account>,
    membership: Overlay<'a, Numbered, SignedEntry>,
    recovery: Overlay<'a, DeviceKey, AccountNumber>,
    envelopes: Overlay<'a, Numbered, Envelope>,
    order: Overlay<'a, u64, Numbered>,
    invites: Overlay<'a, InviteHash, RelayTime>,
    meta: Meta,
    /// The loaded rows; `None`: all.
    fetched: Option<&'a BTreeSet<RowId>>,
}

impl<'a> MemoryRows<'a> {
    pub(super) fn new(state: &'a State, fetched: Option<&'a BTreeSet<RowId>>) -> Self {
        Self {
            numbers: Overlay::new(&state.numbers),
            members: Overlay::new(&state.members),
            accounts: Overlay::new(&state.accounts),
            membership: Overlay::new(&state.membership),
            recovery: Overlay::new(&state.recovery),
            envelopes: Overlay::new(&state.envelopes),
            order: Overlay::new(&state.order),
            invites: Overlay::new(&state.invites),
            meta: state.meta,
            fetched,
        }
    }

    pub(super) fn into_written(self) -> Written {
        Written {
            numbers: self.numbers.into_changes(),
            members: self.members.into_changes(),
            accounts: self.accounts.into_changes(),
            membership: self.membership.into_changes(),
            recovery: self.recovery.into_changes(),
            envelopes: self.envelopes.into_changes(),
            order: self.order.into_changes(),
            invites: self.invites.into_changes(),
            meta: self.meta,
        }
    }

    /// Fails if a row is not loaded.
    fn need(&self, row: RowId) -> Result<(), StoreError> {
        match self.fetched {
            Some(fetched) if !fetched.contains(&row) => Err(StoreError::NotFetched { row }),
            _ => Ok(()),
        }
    }

    fn stored(&self, account: AccountNumber, seq: u64) -> Result<&Envelope, StoreError> {
        let envelope = self.envelopes.get(&(account, seq));
        envelope.ok_or(StoreError::Damaged("an index entry has no envelope"))
    }
}

fn entry(envelope: &Envelope) -> MemoryEntry {
    MemoryEntry {
        meta: envelope.header.meta,
        order: envelope.order,
    }
}

impl Rows for MemoryRows<'_> {
    type Entry = MemoryEntry;

    fn account_number(&self, id: &AccountId) -> Result<Option<AccountNumber>, StoreError> {
        self.need(RowId::AccountNumber(*id))?;
        Ok(self.numbers.get(id).copied())
    }

    fn member(
        &self,
        id: &AccountId,
        device: &DeviceKey,
    ) -> Result<Option<AccountNumber>, StoreError> {
        self.need(RowId::Member(*id, *device))?;
        Ok(self.members.get(&(*id, *device)).copied())
    }

    fn recovery_account(&self, key: &DeviceKey) -> Result<Option<AccountNumber>, StoreError> {
        self.need(RowId::RecoveryKey(*key))?;
        Ok(self.recovery.get(key).copied())
    }

    fn account(&self, number: AccountNumber) -> Result<Option<Account>, StoreError> {
        self.need(RowId::Account(number))?;
        Ok(self.accounts.get(&number).cloned())
    }

    fn accounts(
        &self,
        from: AccountNumber,
    ) -> Result<impl Iterator<Item = Result<Account, StoreError>>, StoreError> {
        self.need(RowId::AllAccounts)?;
        let accounts = self.accounts.range(from..);
        Ok(accounts.map(|(_, account)| Ok(account.clone())))
    }

    fn account_ids(
        &self,
        range: RangeInclusive<AccountId>,
    ) -> Result<impl Iterator<Item = Result<AccountId, StoreError>>, StoreError> {
        self.need(RowId::AllAccounts)?;
        Ok(self.numbers.range(range).map(|(id, _)| Ok(*id)))
    }

    fn membership(
        &self,
        account: AccountNumber,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<SignedEntry>, StoreError> {
        self.need(RowId::Membership(account))?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        let rows = self.membership.range((account, from)..=(account, u64::MAX));
        for (_, entry) in rows {
            bytes += entry.encoded_len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn entries(
        &self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<impl Iterator<Item = Result<MemoryEntry, StoreError>>, StoreError> {
        let (first, last) = seqs.into_inner();
        self.need(RowId::Entries(account, first, last))?;
        let rows = self.envelopes.range((account, first)..=(account, last));
        Ok(rows.map(|(_, envelope)| Ok(entry(envelope))))
    }

    fn newest_entry(&self, account: &Account) -> Result<Option<MemoryEntry>, StoreError> {
        let entries = self.entries(account.number, 0..=account.head)?;
        entries.last().transpose()
    }

    fn order(&self, entry: &MemoryEntry) -> u64 {
        entry.order
    }

    fn header(
        &self,
        account: AccountNumber,
        entry: &MemoryEntry,
    ) -> Result<EnvelopeHeader, StoreError> {
        Ok(self.envelope(account, entry)?.0)
    }

    fn envelope(
        &self,
        account: AccountNumber,
        entry: &MemoryEntry,
    ) -> Result<(EnvelopeHeader, Bytes), StoreError> {
        let seq = entry.meta.seq;
        self.need(RowId::Envelope(account, seq))?;
        let envelope = self.stored(account, seq)?;
        Ok((envelope.header.clone(), envelope.sealed.clone()))
    }

    fn oldest(
        &self,
    ) -> Result<impl Iterator<Item = Result<(EnvelopeHeader, MemoryEntry), StoreError>>, StoreError>
    {
        self.need(RowId::OldestEnvelopes)?;
        Ok(self.order.range(..).map(|(_, (account, seq))| {
            let envelope = self.stored(*account, *seq)?;
            Ok((envelope.header.clone(), entry(envelope)))
        }))
    }

    fn invite(&self, hash: &InviteHash) -> Result<Option<RelayTime>, StoreError> {
        self.need(RowId::Invite(*hash))?;
        Ok(self.invites.get(hash).copied())
    }

    fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.meta.totals)
    }
}

/// A write transaction.
pub(super) struct MemoryTxn<'a> {
    pub(super) rows: MemoryRows<'a>,
}

impl<'a> WriteTxn for MemoryTxn<'a> {
    type Rows = MemoryRows<'a>;

    fn rows(&self) -> &MemoryRows<'a> {
        &self.rows
    }

    fn next_account_number(&mut self) -> AccountNumber {
        self.rows.meta.last_account += 1;
        AccountNumber(self.rows.meta.last_account)
    }

    fn insert_account_number(&mut self, id: &AccountId, number: AccountNumber) {
        self.rows.numbers.insert(*id, number);
    }

    fn save_account(&mut self, account: &Account) {
        self.rows.accounts.insert(account.number, account.clone());
    }

    fn replace_members(&mut self, before: Option<&Account>, after: &Account) {
        for device in before.iter().flat_map(|before| &before.devices) {
            self.rows.members.remove(&(after.id, device.key));
        }
        for device in &after.devices {
            let key = (after.id, device.key);
            self.rows.members.insert(key, after.number);
        }
    }

    fn delete_account(
        &mut self,
        number: AccountNumber,
        id: &AccountId,
        before: Option<&Account>,
    ) -> Result<(), StoreError> {
        let entries = (number, 0)..=(number, u64::MAX);
        self.rows.membership.remove_range(entries);
        for device in before.iter().flat_map(|before| &before.devices) {
            self.rows.members.remove(&(*id, device.key));
        }
        self.rows.accounts.remove(&number);
        self.rows.numbers.remove(id);
        Ok(())
    }

    fn insert_membership(&mut self, account: AccountNumber, index: u64, entry: &SignedEntry) {
        let key = (account, index);
        self.rows.membership.insert(key, entry.clone());
    }

    fn insert_recovery_key(&mut self, key: &DeviceKey, account: AccountNumber) {
        self.rows.recovery.insert(*key, account);
    }

    fn remove_recovery_key(&mut self, key: &DeviceKey) {
        self.rows.recovery.remove(key);
    }

    fn append_envelope(
        &mut self,
        header: &EnvelopeHeader,
        sealed: &Bytes,
    ) -> Result<(), StoreError> {
        self.rows.meta.last_order += 1;
        let (order, key) = (self.rows.meta.last_order, (header.account, header.meta.seq));
        let envelope = Envelope {
            header: header.clone(),
            sealed: sealed.clone(),
            order,
        };
        self.rows.envelopes.insert(key, envelope);
        self.rows.order.insert(order, key);
        Ok(())
    }

    fn remove_envelope(&mut self, account: AccountNumber, entry: &MemoryEntry) {
        self.rows.envelopes.remove(&(account, entry.meta.seq));
        self.rows.order.remove(&entry.order);
    }

    fn insert_invite(&mut self, hash: &InviteHash, expires: RelayTime) {
        self.rows.invites.insert(*hash, expires);
    }

    fn remove_invite(&mut self, hash: &InviteHash) {
        self.rows.invites.remove(hash);
    }

    fn remove_expired_invites(&mut self, now: RelayTime) -> Result<(), StoreError> {
        let invites = self.rows.invites.range(..);
        let expired = invites.filter(|(_, expires)| **expires <= now);
        let expired = expired.map(|(hash, _)| *hash).collect::<Vec<_>>();
        expired
            .iter()
            .for_each(|hash| self.rows.invites.remove(hash));
        Ok(())
    }

    fn save_meta(&mut self, now: RelayTime, totals: &Totals) {
        self.rows.meta.clock = now;
        self.rows.meta.totals = *totals;
    }
}
