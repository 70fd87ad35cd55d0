//! Close: no row of an account remains.

use graceful_protocol::AccountId;
use graceful_rules::AccountNumber;
use graceful_rules::command::{Member, Outcome};
use graceful_rules::membership::recovery_key;

use super::StoreError;
use super::commit::{Transaction, not_a_member};
use super::membership::entries;
use super::tables::pair;
use super::{account, members};

impl Transaction<'_> {
    pub(super) fn delete_account(&mut self, by: Member) -> Result<Outcome, StoreError> {
        let Some(cached) = self.account(by.account)? else {
            return Ok(not_a_member());
        };
        if cached.account.device(by.device).is_none() {
            return Ok(not_a_member());
        }
        let id = cached.account.id;
        self.close(by.account, &id)
    }

    /// Whoever asks for it may.
    pub(super) fn close(
        &mut self,
        number: AccountNumber,
        id: &AccountId,
    ) -> Result<Outcome, StoreError> {
        // Read once at least: the totals go down by what it had.
        self.account(number)?;
        let entries = self.index_entries(number, 0..=u64::MAX)?;
        for entry in &entries {
            self.remove_envelope(number, entry);
        }
        self.remove_recovery_key(number)?;
        let (first, last) = (pair(number.0, 0), pair(number.0, u64::MAX));
        self.tables.membership.retain(&first..=&last, |_| false)?;
        // As the disk has them: a removal in this same transaction has not come there yet.
        if let Some(stored) = account::load(&self.tables.accounts, number)? {
            members::remove_all(&mut self.tables.members, &stored);
        }
        self.tables.accounts.remove(&number.0.to_be_bytes());
        self.tables.account_numbers.remove(id.as_bytes());
        self.drop_account(number);
        Ok(Outcome::AccountDeleted {
            envelopes: entries.len() as u64,
        })
    }

    /// The genesis entry says which key leads here.
    fn remove_recovery_key(&mut self, account: AccountNumber) -> Result<(), StoreError> {
        let genesis = entries(&self.tables.membership, account, 0, 0)?;
        if let Some(key) = genesis.first().and_then(recovery_key) {
            self.tables.recovery.remove(key.as_bytes());
        }
        Ok(())
    }
}
