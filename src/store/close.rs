//! Close: no row of an account remains.

use crate::rules::AccountNumber;
use crate::rules::change::{Outcome, Whose};
use crate::rules::membership::recovery_key;

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
        let places = self.places(by.account, 0..=u64::MAX)?;
        for place in &places {
            self.take_away(by.account, place);
        }
        self.forget_recovery(by.account)?;
        let (first, last) = (pair(by.account.0, 0), pair(by.account.0, u64::MAX));
        self.tables.membership.retain(&first..=&last, |_| false)?;
        // As the disk has them: a removal in this same transaction has not come there yet.
        if let Some(stored) = account::load(&self.tables.accounts, by.account)? {
            members::clear(&mut self.tables.members, &stored);
        }
        self.tables.accounts.remove(&by.account.0.to_be_bytes());
        self.tables.account_numbers.remove(id.as_bytes());
        self.drop_account(by.account);
        Ok(Outcome::Closed { envelopes: places.len() as u64 })
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
