//! Delete-through: envelopes go because a device asks for it; the others are told.

use graceful_protocol::wire::gap::Reason;
use graceful_rules::command::{Member, Outcome};
use graceful_rules::delete::delete_through;
use graceful_rules::expiry::mark_lost;

use super::StoreError;
use super::commit::{Transaction, not_a_member};

impl Transaction<'_> {
    pub(super) fn delete_through(
        &mut self,
        by: Member,
        through: u64,
    ) -> Result<Outcome, StoreError> {
        let Some(cached) = self.account(by.account)? else {
            return Ok(not_a_member());
        };
        let seqs = match delete_through(&cached.account, by.device, through) {
            Ok(seqs) => seqs,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let entries = self.index_entries(by.account, seqs)?;
        for entry in &entries {
            if let Some(cached) = self.account(by.account)? {
                mark_lost(&mut cached.account, &entry.meta, Reason::Deleted);
                (cached.dirty, cached.needs_refetch) = (true, true);
            }
            self.remove_envelope(by.account, entry);
        }
        Ok(Outcome::Deleted {
            through,
            envelopes: entries.len() as u64,
        })
    }
}
