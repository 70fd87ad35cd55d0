//! Ack: a cursor moves, and what nobody awaits any more goes in the same transaction.

use graceful_rules::ack::ack;
use graceful_rules::command::{Member, Outcome};

use super::StoreError;
use super::commit::{Transaction, not_a_member};

impl Transaction<'_> {
    pub(super) fn ack(&mut self, by: Member, through: u64) -> Result<Outcome, StoreError> {
        let Some(cached) = self.account(by.account)? else {
            return Ok(not_a_member());
        };
        let cursor_before = cached.account.device(by.device).map(|device| device.cursor);
        match ack(&mut cached.account, by.device, through) {
            Ok(released) => {
                cached.dirty |= cursor_before < Some(through);
                self.remove_unawaited(by.account, released)?;
                Ok(Outcome::Acked)
            }
            Err(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }
}
