//! What an operator has done to an account: it goes, or may keep more or less than others.

use graceful_protocol::AccountId;
use graceful_rules::Quota;
use graceful_rules::command::Outcome;

use super::StoreError;
use super::account;
use super::commit::{Transaction, not_a_member};

impl Transaction<'_> {
    pub(super) fn evict(&mut self, id: &AccountId) -> Result<Outcome, StoreError> {
        match account::number(&self.tables.account_numbers, id)? {
            Some(number) => self.close(number, id),
            None => Ok(not_a_member()),
        }
    }

    pub(super) fn set_quota(
        &mut self,
        id: &AccountId,
        quota: Quota,
    ) -> Result<Outcome, StoreError> {
        let Some(number) = account::number(&self.tables.account_numbers, id)? else {
            return Ok(not_a_member());
        };
        let Some(cached) = self.account(number)? else {
            return Ok(not_a_member());
        };
        cached.dirty |= cached.account.quota != quota;
        cached.account.quota = quota;
        Ok(Outcome::QuotaSet)
    }
}
