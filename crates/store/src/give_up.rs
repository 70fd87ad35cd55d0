//! Give up: an envelope of which the disk gives back other bytes than were kept. Its devices are told
//! that it is gone, and everybody else goes on.

use graceful_protocol::wire::gap::Reason;
use graceful_rules::AccountNumber;
use graceful_rules::change::Outcome;
use graceful_rules::expiry::lose;

use super::commit::Turn;
use super::{StoreError, envelope};

impl Turn<'_> {
    /// Reads it once more: what opens after all stays.
    pub(super) fn give_up(
        &mut self,
        account: AccountNumber,
        seq: u64,
    ) -> Result<Outcome, StoreError> {
        let mut given_up = 0;
        for place in self.places(account, seq..=seq)? {
            match envelope::read(&self.tables.log, &self.keys.ring(), &place) {
                Err(StoreError::Altered) => {}
                Err(error) => return Err(error),
                Ok(_) => continue,
            }
            if let Some(open) = self.account(account)? {
                lose(&mut open.account, &place.kept, Reason::Damaged);
                (open.dirty, open.turned) = (true, true);
            }
            self.take_away(account, &place);
            given_up += 1;
            tracing::error!(
                bytes = place.kept.size,
                "the disk gave back other bytes of an envelope than were kept; it is given up, and the devices \
                 that it was for are told; check the disk, and see with `graceful-relay verify` what else it holds"
            );
        }
        Ok(Outcome::Swept {
            envelopes: given_up,
            more: false,
        })
    }
}
