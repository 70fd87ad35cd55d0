//! Sweep: what has expired leaves from the beginning of the log. The cost is that of what goes.

use graceful_protocol::wire::gap::Reason;
use graceful_rules::change::Outcome;
use graceful_rules::expiry::{is_expired, lose};

use super::StoreError;
use super::commit::Turn;
use super::row::{LogHead, Place};
use super::tables::{arrival_of, log_key};

/// Envelopes that one sweep takes at most, so that pushes behind it do not wait long.
const SWEEP_ENVELOPES_MAX: usize = 1_000;

impl Turn<'_> {
    pub(super) fn sweep(&mut self) -> Result<Outcome, StoreError> {
        let expired = self.expired()?;
        for (head, place) in &expired {
            if let Some(open) = self.account(head.account)? {
                lose(&mut open.account, &head.kept, Reason::Expired);
                (open.dirty, open.turned) = (true, true);
            }
            self.take_away(head.account, place);
        }
        Ok(Outcome::Swept {
            envelopes: expired.len() as u64,
            more: expired.len() == SWEEP_ENVELOPES_MAX,
        })
    }

    /// The oldest envelopes, as far as they are over.
    fn expired(&self) -> Result<Vec<(LogHead, Place)>, StoreError> {
        let mut expired = Vec::new();
        for item in self.tables.log.iter()? {
            let (key, row) = item?;
            let arrival = arrival_of(key.value());
            if *key.value() != log_key(arrival, 0) {
                continue;
            }
            let (head, _) = LogHead::read(row.value())?;
            if expired.len() == SWEEP_ENVELOPES_MAX
                || !is_expired(head.arrived, self.now, &self.options.limits)
            {
                break;
            }
            let place = Place {
                arrival,
                kept: head.kept,
            };
            expired.push((head, place));
        }
        Ok(expired)
    }
}
