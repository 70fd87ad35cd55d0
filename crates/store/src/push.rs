//! Push: envelopes that the rules keep go to the end of the log.

use graceful_rules::command::{Member, Outcome, Pushed};
use graceful_rules::disk_space::check_push;
use graceful_rules::push::{IncomingEnvelope, PushDecision, check_count, push};

use super::StoreError;
use super::commit::{Transaction, not_a_member};
use super::row::LogHead;

impl Transaction<'_> {
    pub(super) fn push(
        &mut self,
        by: Member,
        envelopes: &[IncomingEnvelope],
    ) -> Result<Outcome, StoreError> {
        let (limits, now, low_disk_space) = (&self.options.limits, self.now, self.low_disk_space);
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
                    let head = LogHead {
                        account: by.account,
                        meta,
                        arrived: now,
                        push_number: envelope.push_number,
                        sender_key,
                        chain,
                    };
                    self.append_envelope(&head, &envelope.sealed)?;
                }
                Err(refusal) => {
                    pushed.refusal = Some(refusal);
                    break;
                }
            }
        }
        Ok(Outcome::Pushed(pushed))
    }
}
