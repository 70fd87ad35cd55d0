//! Invitations: only their hashes are kept, until they are used or void.

use graceful_rules::RelayTime;
use graceful_rules::command::{InviteHash, Outcome};

use super::StoreError;
use super::commit::Transaction;

impl Transaction<'_> {
    /// Keeps one, and drops those that are void.
    pub(super) fn invite(
        &mut self,
        hash: &InviteHash,
        expires: RelayTime,
    ) -> Result<Outcome, StoreError> {
        let now_ms = self.now.ms();
        self.tables
            .invites
            .retain(.., |expires_ms| expires_ms > now_ms)?;
        self.tables.invites.insert(hash, expires.ms());
        self.dirty = true;
        Ok(Outcome::InviteCreated)
    }

    pub(super) fn is_invited(&self, hash: &InviteHash) -> Result<bool, StoreError> {
        let expires = self.tables.invites.get(hash)?;
        Ok(expires.is_some_and(|expires_ms| expires_ms.value() > self.now.ms()))
    }
}
