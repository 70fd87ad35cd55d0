//! What an operator has done to an account: it goes, or may keep more or less than others.

use graceful_protocol::AccountId;
use graceful_rules::Quota;
use graceful_rules::change::Outcome;

use super::StoreError;
use super::account;
use super::commit::{Turn, not_a_member};

impl Turn<'_> {
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
        let Some(open) = self.account(number)? else {
            return Ok(not_a_member());
        };
        open.dirty |= open.account.quota != quota;
        open.account.quota = quota;
        Ok(Outcome::QuotaSet)
    }
}
