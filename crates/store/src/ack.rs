//! Ack: a cursor moves, and what nobody awaits any more goes in the same transaction.

use graceful_rules::ack::ack;
use graceful_rules::change::{Outcome, Whose};

use super::StoreError;
use super::commit::{Turn, not_a_member};

impl Turn<'_> {
    pub(super) fn ack(&mut self, by: Whose, through: u64) -> Result<Outcome, StoreError> {
        let Some(open) = self.account(by.account)? else {
            return Ok(not_a_member());
        };
        let cursor_before = open.account.device(by.device).map(|device| device.cursor);
        match ack(&mut open.account, by.device, through) {
            Ok(released) => {
                open.dirty |= cursor_before < Some(through);
                self.release(by.account, released)?;
                Ok(Outcome::Acked)
            }
            Err(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }
}
