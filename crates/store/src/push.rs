//! Push: envelopes that the rules keep go to the end of the log.

use graceful_rules::change::{Outcome, Pushed, Whose};
use graceful_rules::push::{Offered, Verdict, check_count, push};
use graceful_rules::room::check_push;

use super::StoreError;
use super::commit::{Turn, not_a_member};
use super::row::LogHead;

impl Turn<'_> {
    pub(super) fn push(&mut self, by: Whose, envelopes: &[Offered]) -> Result<Outcome, StoreError> {
        let (limits, now, short_of_room) = (&self.options.limits, self.now, self.short_of_room);
        let mut pushed = Pushed::default();
        if let Err(refusal) = check_count(envelopes, limits) {
            pushed.refusal = Some(refusal);
            return Ok(Outcome::Pushed(pushed));
        }
        for offered in envelopes {
            let envelope = &offered.envelope;
            let Some(open) = self.account(by.account)? else {
                return Ok(not_a_member());
            };
            let Some(sender_key) = open.account.device(by.device).map(|device| device.key) else {
                return Ok(not_a_member());
            };
            if short_of_room && let Err(refusal) = check_push(&open.account, by.device, envelope) {
                pushed.refusal = Some(refusal);
                break;
            }
            match push(&mut open.account, by.device, offered, limits) {
                Ok(Verdict::Repeat) => pushed.repeated(envelope.push_number),
                Ok(Verdict::Keep { kept, chain }) => {
                    open.dirty = true;
                    pushed.kept(envelope.push_number, kept.seq);
                    let head = LogHead {
                        account: by.account,
                        kept,
                        arrived: now,
                        push_number: envelope.push_number,
                        sender_key,
                        chain,
                    };
                    self.lay_down(&head, &envelope.sealed)?;
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
