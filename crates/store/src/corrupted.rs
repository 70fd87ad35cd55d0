//! Give up: an envelope of which the disk gives back other bytes than were kept. Its devices are told
//! that it is gone, and everybody else goes on.

use graceful_protocol::wire::gap::Reason;
use graceful_rules::AccountNumber;
use graceful_rules::command::Outcome;
use graceful_rules::expiry::mark_lost;

use super::commit::Transaction;
use super::{StoreError, envelope};

impl Transaction<'_> {
    /// Reads it once more: what opens after all stays.
    pub(super) fn drop_corrupted(
        &mut self,
        account: AccountNumber,
        seq: u64,
    ) -> Result<Outcome, StoreError> {
        let mut dropped = 0;
        for entry in self.index_entries(account, seq..=seq)? {
            match envelope::read(&self.tables.log, &self.keys.ring(), &entry) {
                Err(StoreError::Corrupted) => {}
                Err(error) => return Err(error),
                Ok(_) => continue,
            }
            if let Some(cached) = self.account(account)? {
                mark_lost(&mut cached.account, &entry.meta, Reason::Damaged);
                (cached.dirty, cached.needs_refetch) = (true, true);
            }
            self.remove_envelope(account, &entry);
            dropped += 1;
            tracing::error!(
                bytes = entry.meta.size,
                "the disk gave back other bytes of an envelope than were kept; it is given up, and the devices \
                 that it was for are told; check the disk, and see with `graceful-relay verify` what else it holds"
            );
        }
        Ok(Outcome::Swept {
            envelopes: dropped,
            more: false,
        })
    }
}
