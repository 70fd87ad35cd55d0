//! Changes of membership logs, and the recovery keys that lead to them.

use graceful_protocol::wire::SignedEntry;
use graceful_protocol::{AccountId, Code, DeviceKey, Refusal};
use graceful_rules::AccountNumber;
use graceful_rules::command::{Member, Outcome};
use graceful_rules::membership::append;

use super::{Transaction, not_a_member};
use crate::{Rows, StoreError, WriteTxn};

impl<T: WriteTxn> Transaction<'_, T> {
    /// Appends entries for a member.
    pub(crate) fn append_membership(
        &mut self,
        by: Member,
        first: u64,
        entries: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        match self.account(by.account)? {
            Some(cached) if cached.account.device(by.device).is_some() => {
                self.extend_log(by.account, first, entries)
            }
            _ => Ok(not_a_member()),
        }
    }

    /// Appends the entries that a restore of the relay lost, for a device that the relay may not know any
    /// more. The signatures in the entries prove them.
    pub(crate) fn restore_membership(
        &mut self,
        id: &AccountId,
        entries: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        match self.txn.rows().account_number(id)? {
            Some(number) => self.extend_log(number, 0, entries),
            None => Ok(not_a_member()),
        }
    }

    /// Appends entries that a recovery key signed. Needs no device: the rules check the signatures.
    pub(crate) fn recover_account(
        &mut self,
        number: AccountNumber,
        first: u64,
        entries: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        match self.account(number)? {
            Some(_) => self.extend_log(number, first, entries),
            None => Ok(not_a_member()),
        }
    }

    fn extend_log(
        &mut self,
        number: AccountNumber,
        first: u64,
        incoming: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        let log = self.txn.rows().membership(number, 0, usize::MAX)?;
        let limits = self.policy.limits;
        let Some(cached) = self.account(number)? else {
            return Ok(not_a_member());
        };
        let appended = match append(&mut cached.account, &log, first, incoming, limits) {
            Ok(appended) => appended,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if !appended.new.is_empty() {
            cached.mark_refetch();
        }
        for (index, entry) in (log.len() as u64..).zip(&appended.new) {
            self.txn.insert_membership(number, index, entry);
        }
        for seqs in appended.released {
            self.remove_unneeded(number, seqs)?;
        }
        Ok(Outcome::MembershipAppended)
    }

    /// Inserts a recovery key. Refused if another account has the same key.
    pub(crate) fn insert_recovery_key(
        &mut self,
        key: &DeviceKey,
        number: AccountNumber,
    ) -> Result<Result<(), Refusal>, StoreError> {
        if self.txn.rows().recovery_account(key)?.is_some() {
            let message = "another account has this recovery key already; make a new one";
            return Ok(Err(Refusal::new(Code::InvalidMembership, message)));
        }
        self.txn.insert_recovery_key(key, number);
        Ok(Ok(()))
    }
}
