//! Close: no row of an account remains.

use graceful_protocol::AccountId;
use graceful_rules::AccountNumber;
use graceful_rules::change::{Outcome, Whose};
use graceful_rules::membership::recovery_key;

use super::StoreError;
use super::commit::{Turn, not_a_member};
use super::membership::entries;
use super::tables::pair;
use super::{account, members};

impl Turn<'_> {
    pub(super) fn close_account(&mut self, by: Whose) -> Result<Outcome, StoreError> {
        let Some(open) = self.account(by.account)? else {
            return Ok(not_a_member());
        };
        if open.account.device(by.device).is_none() {
            return Ok(not_a_member());
        }
        let id = open.account.id;
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
        let places = self.places(number, 0..=u64::MAX)?;
        for place in &places {
            self.take_away(number, place);
        }
        self.forget_recovery(number)?;
        let (first, last) = (pair(number.0, 0), pair(number.0, u64::MAX));
        self.tables.membership.retain(&first..=&last, |_| false)?;
        // As the disk has them: a removal in this same transaction has not come there yet.
        if let Some(stored) = account::load(&self.tables.accounts, number)? {
            members::clear(&mut self.tables.members, &stored);
        }
        self.tables.accounts.remove(&number.0.to_be_bytes());
        self.tables.account_numbers.remove(id.as_bytes());
        self.drop_account(number);
        Ok(Outcome::Closed {
            envelopes: places.len() as u64,
        })
    }

    /// The founding entry says which key leads here.
    fn forget_recovery(&mut self, account: AccountNumber) -> Result<(), StoreError> {
        let founding = entries(&self.tables.membership, account, 0, 0)?;
        if let Some(key) = founding.first().and_then(recovery_key) {
            self.tables.recovery.remove(key.as_bytes());
        }
        Ok(())
    }
}
