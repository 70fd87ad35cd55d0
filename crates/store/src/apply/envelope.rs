//! Envelopes: pushed, acknowledged, deleted, expired, corrupted.

use std::ops::RangeInclusive;

use graceful_protocol::wire::gap::Reason;
use graceful_rules::AccountNumber;
use graceful_rules::ack::ack;
use graceful_rules::command::{Member, Outcome, Pushed};
use graceful_rules::delete::delete_through;
use graceful_rules::disk_space::check_push;
use graceful_rules::expiry::{is_expired, mark_lost};
use graceful_rules::push::{IncomingEnvelope, PushDecision, check_count, push};

use super::{Transaction, not_a_member};
use crate::{EnvelopeHeader, Rows, StoreError, WriteTxn};

/// Envelopes that one sweep removes at most, so that the pushes behind it do not wait long.
const SWEEP_ENVELOPES_MAX: usize = 1_000;

type Entry<T> = <<T as WriteTxn>::Rows as Rows>::Entry;

impl<T: WriteTxn> Transaction<'_, T> {
    /// Stores the envelopes that the rules accept, up to the first that they refuse.
    pub(crate) fn push(
        &mut self,
        by: Member,
        envelopes: &[IncomingEnvelope],
    ) -> Result<Outcome, StoreError> {
        let (limits, now, low_disk_space) = (self.policy.limits, self.now, self.low_disk_space);
        let mut pushed = Pushed::default();
        if let Err(refusal) = check_count(envelopes, limits) {
            pushed.refusal = Some(refusal);
            return Ok(Outcome::Pushed(pushed));
        }
        for incoming in envelopes {
            let envelope = &incoming.envelope;
            let Some(cached) = self.account(by.account)? else {
                return Ok(not_a_member());
            };
            let Some(sender_key) = cached.account.device(by.device).map(|device| device.key) else {
                return Ok(not_a_member());
            };
            if low_disk_space && let Err(refusal) = check_push(&cached.account, by.device, envelope)
            {
                pushed.refusal = Some(refusal);
                break;
            }
            match push(&mut cached.account, by.device, incoming, limits) {
                Ok(PushDecision::Duplicate) => pushed.record_duplicate(envelope.push_number),
                Ok(PushDecision::Accept { meta, chain }) => {
                    cached.dirty = true;
                    pushed.record_stored(envelope.push_number, meta.seq);
                    let header = EnvelopeHeader {
                        account: by.account,
                        meta,
                        arrived: now,
                        push_number: envelope.push_number,
                        sender_key,
                        chain,
                    };
                    self.txn.append_envelope(&header, &envelope.sealed)?;
                }
                Err(refusal) => {
                    pushed.refusal = Some(refusal);
                    break;
                }
            }
        }
        Ok(Outcome::Pushed(pushed))
    }

    /// Moves a cursor and removes what no device needs any more.
    pub(crate) fn ack(&mut self, by: Member, through: u64) -> Result<Outcome, StoreError> {
        let Some(cached) = self.account(by.account)? else {
            return Ok(not_a_member());
        };
        let cursor_before = cached.account.device(by.device).map(|device| device.cursor);
        match ack(&mut cached.account, by.device, through) {
            Ok(released) => {
                cached.dirty |= cursor_before < Some(through);
                self.remove_unneeded(by.account, released)?;
                Ok(Outcome::Acked)
            }
            Err(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }

    /// Deletes envelopes for a device, and marks them lost for those that still need them.
    pub(crate) fn delete_through(
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
        let entries = self.entries(by.account, seqs)?;
        for entry in &entries {
            self.remove_lost(by.account, entry, Reason::Deleted)?;
        }
        Ok(Outcome::Deleted {
            through,
            envelopes: entries.len() as u64,
        })
    }

    /// Removes an envelope whose bytes the disk has lost. Reads it once more: one that opens stays.
    pub(crate) fn drop_corrupted(
        &mut self,
        account: AccountNumber,
        seq: u64,
    ) -> Result<Outcome, StoreError> {
        let mut dropped = 0;
        for entry in self.entries(account, seq..=seq)? {
            match self.txn.rows().envelope(account, &entry) {
                Err(StoreError::Corrupted) => {}
                Err(error) => return Err(error),
                Ok(_) => continue,
            }
            self.remove_lost(account, &entry, Reason::Damaged)?;
            dropped += 1;
            tracing::error!(
                bytes = entry.as_ref().size,
                "an envelope failed its integrity check and was removed; its devices are notified. The disk may \
                 be failing: check it, and run `graceful-relay verify`"
            );
        }
        Ok(Outcome::Swept {
            envelopes: dropped,
            more: false,
        })
    }

    /// Removes expired envelopes, the oldest first.
    pub(crate) fn sweep(&mut self) -> Result<Outcome, StoreError> {
        let mut expired = Vec::new();
        for item in self.txn.rows().oldest()? {
            let (header, entry) = item?;
            if expired.len() == SWEEP_ENVELOPES_MAX
                || !is_expired(header.arrived, self.now, self.policy.limits)
            {
                break;
            }
            expired.push((header.account, entry));
        }
        for (account, entry) in &expired {
            self.remove_lost(*account, entry, Reason::Expired)?;
        }
        Ok(Outcome::Swept {
            envelopes: expired.len() as u64,
            more: expired.len() == SWEEP_ENVELOPES_MAX,
        })
    }

    /// Removes the envelopes between two seqs that no device needs any more.
    pub(crate) fn remove_unneeded(
        &mut self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<(), StoreError> {
        for entry in self.entries(account, seqs)? {
            let Some(cached) = self.account(account)? else {
                return Ok(());
            };
            if !cached.account.needs(entry.as_ref()) {
                cached.account.remove(entry.as_ref());
                self.txn.remove_envelope(account, &entry);
            }
        }
        Ok(())
    }

    /// Returns the index entries between two seqs.
    pub(crate) fn entries(
        &self,
        account: AccountNumber,
        seqs: RangeInclusive<u64>,
    ) -> Result<Vec<Entry<T>>, StoreError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        self.txn.rows().entries(account, seqs)?.collect()
    }

    /// Removes an envelope, and marks it lost for the devices that still need it.
    fn remove_lost(
        &mut self,
        account: AccountNumber,
        entry: &Entry<T>,
        reason: Reason,
    ) -> Result<(), StoreError> {
        if let Some(cached) = self.account(account)? {
            mark_lost(&mut cached.account, entry.as_ref(), reason);
            cached.mark_refetch();
        }
        self.txn.remove_envelope(account, entry);
        Ok(())
    }
}
