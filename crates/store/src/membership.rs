//! Append: new entries of a membership log, and what a removal releases.

use prost::Message;

use graceful_protocol::AccountId;
use graceful_protocol::wire::SignedEntry;
use graceful_rules::AccountNumber;
use graceful_rules::command::{Member, Outcome};
use graceful_rules::membership::append;

use super::commit::{Transaction, not_a_member};
use super::tables::{Membership, pair};
use super::{StoreError, account};

/// The entries of a log from an index on, as many as fit into `bytes_max` (one at least).
pub(super) fn entries(
    membership: &Membership<'_>,
    number: AccountNumber,
    from: u64,
    bytes_max: usize,
) -> Result<Vec<SignedEntry>, StoreError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for item in membership.range(&pair(number.0, from)..=&pair(number.0, u64::MAX))? {
        let (_, value) = item?;
        bytes += value.value().len();
        if bytes > bytes_max && !entries.is_empty() {
            break;
        }
        let entry = SignedEntry::decode(value.value())
            .map_err(|_| StoreError::Damaged("a membership entry cannot be read"))?;
        entries.push(entry);
    }
    Ok(entries)
}

impl Transaction<'_> {
    pub(super) fn append(
        &mut self,
        by: Member,
        first: u64,
        entries: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        match self.account(by.account)? {
            Some(cached) if cached.account.device(by.device).is_some() => {
                self.extend_log(by.account, first, entries)
            }
            _ => Ok(not_a_member()),
        }
    }

    /// From a device that the relay may have forgotten: the entries themselves have to prove it.
    pub(super) fn regain(
        &mut self,
        id: &AccountId,
        entries: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        match account::number(&self.tables.account_numbers, id)? {
            Some(number) => self.extend_log(number, 0, entries),
            None => Ok(not_a_member()),
        }
    }

    pub(super) fn extend_log(
        &mut self,
        number: AccountNumber,
        first: u64,
        offered: &[SignedEntry],
    ) -> Result<Outcome, StoreError> {
        let log = entries(&self.tables.membership, number, 0, usize::MAX)?;
        let limits = &self.options.limits;
        let Some(cached) = self.account(number)? else {
            return Ok(not_a_member());
        };
        let appended = match append(&mut cached.account, &log, first, offered, limits) {
            Ok(appended) => appended,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        cached.dirty |= !appended.new.is_empty();
        cached.needs_refetch |= !appended.new.is_empty();
        for (index, entry) in (log.len() as u64..).zip(&appended.new) {
            self.tables
                .membership
                .insert(&pair(number.0, index), entry.encode_to_vec().as_slice());
        }
        for released in appended.released {
            self.remove_unawaited(number, released)?;
        }
        Ok(Outcome::MembershipAppended)
    }
}
