//! Creation, deletion and quotas of accounts, and the invitations to create one.

use graceful_protocol::membership::account_id;
use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::command::{InviteHash, Member, Outcome};
use graceful_rules::disk_space::refuse_create_account;
use graceful_rules::membership::{create_account, recovery_key};
use graceful_rules::{AccountNumber, Quota, RelayTime};

use super::{Transaction, not_a_member};
use crate::{Rows, StoreError, WriteTxn};

impl<T: WriteTxn> Transaction<'_, T> {
    /// Creates an account, if registration allows it. A device that repeats its request gets the same
    /// answer.
    pub(crate) fn create_account(
        &mut self,
        entry: &SignedEntry,
        by: &DeviceKey,
        invite: Option<&InviteHash>,
    ) -> Result<Outcome, StoreError> {
        let id = account_id(entry);
        if let Some(number) = self.txn.rows().account_number(&id)? {
            let is_member = self
                .account(number)?
                .is_some_and(|cached| cached.account.device_by_key(by).is_some());
            return Ok(if is_member {
                Outcome::AccountCreated
            } else {
                not_a_member()
            });
        }
        if self.low_disk_space {
            return Ok(Outcome::Refused(refuse_create_account()));
        }
        let invited = match invite {
            Some(hash) => self.is_invited(hash)?,
            None => false,
        };
        let number = self.txn.next_account_number();
        let new = match create_account(number, entry, by, self.policy.registration, invited) {
            Ok(account) => account,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if let Some(key) = recovery_key(entry)
            && let Err(refusal) = self.insert_recovery_key(&key, number)?
        {
            return Ok(Outcome::Refused(refusal));
        }
        if let Some(hash) = invite {
            self.txn.remove_invite(hash);
        }
        self.txn.insert_account_number(&id, number);
        self.txn.insert_membership(number, 0, entry);
        self.add_account(new);
        Ok(Outcome::AccountCreated)
    }

    /// Deletes an account for one of its devices.
    pub(crate) fn delete_account(&mut self, by: Member) -> Result<Outcome, StoreError> {
        match self.account(by.account)? {
            Some(cached) if cached.account.device(by.device).is_some() => {
                let id = cached.account.id;
                self.delete_rows(by.account, &id)
            }
            _ => Ok(not_a_member()),
        }
    }

    /// Deletes an account for the operator.
    pub(crate) fn delete_account_by_operator(
        &mut self,
        id: &AccountId,
    ) -> Result<Outcome, StoreError> {
        match self.txn.rows().account_number(id)? {
            Some(number) => self.delete_rows(number, id),
            None => Ok(not_a_member()),
        }
    }

    /// Removes every row of an account.
    fn delete_rows(
        &mut self,
        number: AccountNumber,
        id: &AccountId,
    ) -> Result<Outcome, StoreError> {
        // Cached even if nothing changes it: `drop_account` subtracts its share from the totals.
        self.account(number)?;
        let entries = self.entries(number, 0..=u64::MAX)?;
        for entry in &entries {
            self.txn.remove_envelope(number, entry);
        }
        let genesis = self.txn.rows().membership(number, 0, 0)?;
        if let Some(key) = genesis.first().and_then(recovery_key) {
            self.txn.remove_recovery_key(&key);
        }
        // The stored row, not the cached one: a device removed in this batch still has its member row.
        let before = self.txn.rows().account(number)?;
        self.txn.delete_account(number, id, before.as_ref())?;
        self.drop_account(number);
        Ok(Outcome::AccountDeleted {
            envelopes: entries.len() as u64,
        })
    }

    /// Sets or resets the quota of an account.
    pub(crate) fn set_quota(
        &mut self,
        id: &AccountId,
        quota: Quota,
    ) -> Result<Outcome, StoreError> {
        let Some(number) = self.txn.rows().account_number(id)? else {
            return Ok(not_a_member());
        };
        let Some(cached) = self.account(number)? else {
            return Ok(not_a_member());
        };
        cached.dirty |= cached.account.quota != quota;
        cached.account.quota = quota;
        Ok(Outcome::QuotaSet)
    }

    /// Stores the hash of an invitation, and removes those that have expired.
    pub(crate) fn create_invite(
        &mut self,
        hash: &InviteHash,
        expires: RelayTime,
    ) -> Result<Outcome, StoreError> {
        self.txn.remove_expired_invites(self.now)?;
        self.txn.insert_invite(hash, expires);
        self.dirty = true;
        Ok(Outcome::InviteCreated)
    }

    fn is_invited(&self, hash: &InviteHash) -> Result<bool, StoreError> {
        let expires = self.txn.rows().invite(hash)?;
        Ok(expires.is_some_and(|expires| expires > self.now))
    }
}
