//! The rows of a store, as every engine shows them to the code above it.
//!
//! All methods are synchronous and none waits for another machine. An engine whose rows are elsewhere
//! fetches them beforehand. It answers a read of a row that it did not fetch with
//! [`StoreError::NotFetched`], fetches the row that the error names, and applies the batch again.

use std::ops::RangeInclusive;

use bytes::Bytes;
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::command::InviteHash;
use graceful_rules::{Account, AccountNumber, EnvelopeMeta, RelayTime};

use crate::{EnvelopeHeader, StoreError, Totals};

/// Rows of one consistent state of a store.
pub trait Rows {
    /// An entry of the envelope index: where the engine keeps an envelope, and what the rules read of it.
    type Entry: Copy + AsRef<EnvelopeMeta>;

    /// Returns the number of an account.
    ///
    /// # Errors
    /// [`StoreError`]
    fn account_number(&self, id: &AccountId) -> Result<Option<AccountNumber>, StoreError>;

    /// Returns the number of an account if `device` is a member of it. One lookup, which takes the same
    /// time whether the account exists or not.
    ///
    /// # Errors
    /// [`StoreError`]
    fn member(
        &self,
        id: &AccountId,
        device: &DeviceKey,
    ) -> Result<Option<AccountNumber>, StoreError>;

    /// Returns the account of a recovery key.
    ///
    /// # Errors
    /// [`StoreError`]
    fn recovery_account(&self, key: &DeviceKey) -> Result<Option<AccountNumber>, StoreError>;

    /// Returns an account. In a write transaction: as it was when the transaction began.
    ///
    /// # Errors
    /// [`StoreError`]
    fn account(&self, number: AccountNumber) -> Result<Option<Account>, StoreError>;

    /// Returns all accounts from a number on, in order.
    ///
    /// # Errors
    /// [`StoreError`]
    fn accounts(
        &self,
        from: AccountNumber,
    ) -> Result<impl Iterator<Item = Result<Account, StoreError>>, StoreError>;

    /// Returns the account ids in a range, in order.
    ///
    /// # Errors
    /// [`StoreError`]
    fn account_ids(
        &self,
        range: RangeInclusive<AccountId>,
    ) -> Result<impl Iterator<Item = Result<AccountId, StoreError>>, StoreError>;

    /// Returns the membership log of an account from an index on: as many entries as fit into
    /// `bytes_max`, at least one.
    ///
    /// # Errors
    /// [`StoreError`]
    fn membership(
        &self,
        account: AccountNumber,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<SignedEntry>, StoreError>;

    /// Returns the index entries of an account between two seqs, in order.
    ///
    /// # Errors
    /// [`StoreError`]
    fn entries(
        &self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<impl Iterator<Item = Result<Self::Entry, StoreError>>, StoreError>;

    /// Returns the newest index entry of an account.
    ///
    /// # Errors
    /// [`StoreError`]
    fn newest_entry(&self, account: &Account) -> Result<Option<Self::Entry>, StoreError>;

    /// Returns a number that is greater for an envelope that was stored later.
    fn order(&self, entry: &Self::Entry) -> u64;

    /// Returns the header of an envelope.
    ///
    /// # Errors
    /// [`StoreError`]
    fn header(
        &self,
        account: AccountNumber,
        entry: &Self::Entry,
    ) -> Result<EnvelopeHeader, StoreError>;

    /// Returns the header and payload of an envelope.
    ///
    /// # Errors
    /// [`StoreError::Corrupted`] if the bytes read back are not the bytes stored.
    fn envelope(
        &self,
        account: AccountNumber,
        entry: &Self::Entry,
    ) -> Result<(EnvelopeHeader, Bytes), StoreError>;

    /// Returns the envelopes of all accounts, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn oldest(
        &self,
    ) -> Result<impl Iterator<Item = Result<(EnvelopeHeader, Self::Entry), StoreError>>, StoreError>;

    /// Returns when an invitation expires.
    ///
    /// # Errors
    /// [`StoreError`]
    fn invite(&self, hash: &InviteHash) -> Result<Option<RelayTime>, StoreError>;

    /// Returns the totals over all accounts.
    ///
    /// # Errors
    /// [`StoreError`]
    fn totals(&self) -> Result<Totals, StoreError>;
}

/// A write transaction of an engine: it reads its own writes, and nothing is visible before the engine
/// commits it.
pub trait WriteTxn {
    /// What it reads.
    type Rows: Rows;

    /// Returns the rows with the transaction's own writes.
    fn rows(&self) -> &Self::Rows;

    /// Returns an account number that was never used.
    fn next_account_number(&mut self) -> AccountNumber;

    /// Inserts the number of an account id.
    fn insert_account_number(&mut self, id: &AccountId, number: AccountNumber);

    /// Inserts or replaces an account's row.
    fn save_account(&mut self, account: &Account);

    /// Replaces the member rows of an account. `before` is the account as it was when the transaction
    /// began; `None`: it is new.
    fn replace_members(&mut self, before: Option<&Account>, after: &Account);

    /// Removes an account's row, number, members and membership log. `before` as in
    /// [`WriteTxn::replace_members`]. Envelopes and the recovery key are removed one by one.
    ///
    /// # Errors
    /// [`StoreError`]
    fn delete_account(
        &mut self,
        number: AccountNumber,
        id: &AccountId,
        before: Option<&Account>,
    ) -> Result<(), StoreError>;

    /// Inserts an entry of a membership log.
    fn insert_membership(&mut self, account: AccountNumber, index: u64, entry: &SignedEntry);

    /// Inserts a recovery key.
    fn insert_recovery_key(&mut self, key: &DeviceKey, account: AccountNumber);

    /// Removes a recovery key.
    fn remove_recovery_key(&mut self, key: &DeviceKey);

    /// Appends an envelope.
    ///
    /// # Errors
    /// [`StoreError`]
    fn append_envelope(
        &mut self,
        header: &EnvelopeHeader,
        sealed: &Bytes,
    ) -> Result<(), StoreError>;

    /// Removes an envelope.
    fn remove_envelope(&mut self, account: AccountNumber, entry: &<Self::Rows as Rows>::Entry);

    /// Inserts an invitation.
    fn insert_invite(&mut self, hash: &InviteHash, expires: RelayTime);

    /// Removes an invitation.
    fn remove_invite(&mut self, hash: &InviteHash);

    /// Removes the invitations that have expired.
    ///
    /// # Errors
    /// [`StoreError`]
    fn remove_expired_invites(&mut self, now: RelayTime) -> Result<(), StoreError>;

    /// Saves the relay's time and the totals. Called last, and only if something changed.
    fn save_meta(&mut self, now: RelayTime, totals: &Totals);
}
