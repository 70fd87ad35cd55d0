//! Sweep: what has expired leaves from the beginning of the log. The cost is that of what goes.

use graceful_protocol::wire::gap::Reason;
use graceful_rules::command::Outcome;
use graceful_rules::expiry::{is_expired, mark_lost};

use super::StoreError;
use super::commit::Transaction;
use super::row::{IndexEntry, LogHead};
use super::tables::{arrival_of, log_key};

/// Envelopes that one sweep takes at most, so that pushes behind it do not wait long.
const SWEEP_ENVELOPES_MAX: usize = 1_000;

impl Transaction<'_> {
    pub(super) fn sweep(&mut self) -> Result<Outcome, StoreError> {
        let expired = self.expired()?;
        for (head, entry) in &expired {
            if let Some(cached) = self.account(head.account)? {
                mark_lost(&mut cached.account, &head.meta, Reason::Expired);
                (cached.dirty, cached.needs_refetch) = (true, true);
            }
            self.remove_envelope(head.account, entry);
        }
        Ok(Outcome::Swept {
            envelopes: expired.len() as u64,
            more: expired.len() == SWEEP_ENVELOPES_MAX,
        })
    }

    /// The oldest envelopes, as far as they are over.
    fn expired(&self) -> Result<Vec<(LogHead, IndexEntry)>, StoreError> {
        let mut expired = Vec::new();
        for item in self.tables.log.iter()? {
            let (key, row) = item?;
            let arrival = arrival_of(key.value());
            if *key.value() != log_key(arrival, 0) {
                continue;
            }
            let (head, _) = LogHead::decode(row.value())?;
            if expired.len() == SWEEP_ENVELOPES_MAX
                || !is_expired(head.arrived, self.now, &self.options.limits)
            {
                break;
            }
            let entry = IndexEntry {
                arrival,
                meta: head.meta,
            };
            expired.push((head, entry));
        }
        Ok(expired)
    }
}
