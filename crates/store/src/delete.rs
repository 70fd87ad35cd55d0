//! Delete-through: envelopes go because a device asks for it; the others are told.

use graceful_protocol::wire::gap::Reason;
use graceful_rules::change::{Outcome, Whose};
use graceful_rules::delete::delete_through;
use graceful_rules::expiry::lose;

use super::StoreError;
use super::commit::{Turn, not_a_member};

impl Turn<'_> {
    pub(super) fn delete_through(
        &mut self,
        by: Whose,
        through: u64,
    ) -> Result<Outcome, StoreError> {
        let Some(open) = self.account(by.account)? else {
            return Ok(not_a_member());
        };
        let seqs = match delete_through(&open.account, by.device, through) {
            Ok(seqs) => seqs,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let places = self.places(by.account, seqs)?;
        for place in &places {
            if let Some(open) = self.account(by.account)? {
                lose(&mut open.account, &place.kept, Reason::Deleted);
                (open.dirty, open.turned) = (true, true);
            }
            self.take_away(by.account, place);
        }
        Ok(Outcome::Deleted {
            through,
            envelopes: places.len() as u64,
        })
    }
}
