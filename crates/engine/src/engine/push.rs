//! Pushing. Changes are numbered when queued and sealed when sent.

use bytes::Bytes;

use super::chunking::change_bytes_max;
use super::connect::RETRY_AFTER_MS_MAX;
use super::{Change, Engine, Event, Output, PushError, PushReceipt};
use crate::pairing::wire_names;
use crate::record::{Batch, Queued, Record};
use crate::rng::random;
use crate::seal::{Binding, ID_BYTES_MAX, seal, sealed_size};
use crate::sealed::{Header, Heads, Kind, Names};
use graceful_protocol::frame::DeviceFrame;
use graceful_protocol::wire::{self, Envelope};
use graceful_protocol::{Code, DeviceKey, Refusal};

/// Delay after a refusal without a retry time.
const REFUSED_WAIT_MS: u64 = 30_000;
/// Largest batch: it becomes one journal record.
const BATCH_BYTES_MAX: usize = 1024 * 1024 * 1024;

impl Engine {
    /// Queues changes, all or none. They are durable once the `Persist` outputs are.
    ///
    /// # Errors
    /// [`PushError`]
    pub fn enqueue(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        now_ms: u64,
    ) -> Result<PushReceipt, PushError> {
        self.now_ms = self.now_ms.max(now_ms);
        let changes: Vec<_> = changes.into_iter().collect();
        for change in &changes {
            self.check_change(change)?;
        }
        let bytes = changes.iter().map(|change| change.content.len()).sum();
        if bytes > BATCH_BYTES_MAX {
            return Err(PushError::Batch {
                bytes,
                bytes_max: BATCH_BYTES_MAX,
            });
        }
        let (first, mut numbers) = (
            self.state.outbox.next_number(),
            Vec::with_capacity(changes.len()),
        );
        let mut queued = Vec::with_capacity(changes.len());
        for change in changes {
            queued.extend(self.split(change, first + queued.len() as u64));
            numbers.push(first + queued.len() as u64 - 1);
        }
        self.queue(queued);
        self.drive();
        Ok(PushReceipt {
            first,
            last: self.state.outbox.next_number() - 1,
            numbers,
        })
    }

    fn check_change(&self, change: &Change) -> Result<(), PushError> {
        if let Some((_, message)) = &self.ended {
            return Err(PushError::Ended(message.clone()));
        }
        let bytes_max = change_bytes_max(self.limits.envelope_bytes_max);
        if change.content.len() > bytes_max {
            return Err(PushError::TooLarge {
                bytes: change.content.len(),
                bytes_max,
            });
        }
        if change.transaction_id.len() > ID_BYTES_MAX {
            return Err(PushError::TransactionId(change.transaction_id.len()));
        }
        if change
            .recipient
            .as_ref()
            .is_some_and(|device| !self.is_other_member(device))
        {
            return Err(PushError::Recipient);
        }
        Ok(())
    }

    /// One record per batch, so that a crash or a full disk keeps all or none.
    pub(super) fn queue(&mut self, mut changes: Vec<Queued>) {
        if changes.is_empty() {
            return;
        }
        for change in &mut changes {
            change.after = self.state.outbox.newest_for(&change.recipient);
            let taken = self.state.outbox.add(change.clone());
            assert!(taken, "the next push number is free");
        }
        self.persist(Record::Queued(Batch { changes }));
    }

    /// Sends all device names to every device.
    pub(super) fn queue_names(&mut self) {
        let names: Vec<_> = self
            .state
            .account
            .names()
            .map(|(device, name)| (*device, name.clone()))
            .collect();
        let names = prost::Message::encode_to_vec(&Names {
            names: wire_names(&names),
        });
        let push_number = self.state.outbox.next_number();
        let (kind, content) = (Kind::Names.into(), names.into());
        self.queue(vec![Queued {
            push_number,
            kind,
            content,
            ..Queued::default()
        }]);
    }

    pub(super) fn send_pushes(&mut self) {
        // A missing entry could be a removal, which changes the key epoch to seal in.
        if self.push_hold_ms.is_some() || self.state.account.membership().count() < self.entries_due
        {
            return;
        }
        while let Some(envelopes) = self.seal_batch() {
            let last = envelopes.last().map_or(0, |envelope| envelope.push_number);
            let sealed = envelopes
                .iter()
                .map(|envelope| envelope.sealed.clone())
                .collect();
            if let Some(through) = self.state.outbox.reserve_sending(last) {
                self.persist(Record::Sending(through));
            }
            self.state.outbox.mark_sent(last, sealed);
            self.send(DeviceFrame::Push(wire::Push { envelopes }));
        }
    }

    fn seal_batch(&mut self) -> Option<Vec<Envelope>> {
        let heads = self.heads();
        let account = &self.state.account;
        let batch = self.state.outbox.next_batch(&self.limits);
        if batch.is_empty() {
            return None;
        }
        let key_epoch = account.membership().key_epoch();
        let Some(keys) = account.epoch_keys(key_epoch) else {
            self.push_hold_ms = Some(self.now_ms + REFUSED_WAIT_MS);
            self.event(Event::KeyMissing(key_epoch));
            return None;
        };
        let mut envelopes = Vec::with_capacity(batch.len());
        for (push_number, change) in batch {
            // An empty filler takes the number of a lost or dropped change.
            let filler = Queued {
                kind: Kind::Names.into(),
                ..Queued::default()
            };
            let change = change.unwrap_or(&filler);
            let recipient = DeviceKey::try_from(&*change.recipient).ok();
            let binding = Binding {
                account: account.account(),
                key_epoch,
                sender: account.keys().device(),
                recipient,
            };
            let header = Header {
                device_id: self.state.device_id.clone(),
                transaction_id: change.transaction_id.clone(),
                push_number,
                heads: Some(heads.clone()),
                part: change.part.clone(),
                kind: change.kind,
                after: change.after,
            };
            let salt = random(&mut *self.rng);
            let sealed = seal(keys, &binding, &header, &change.content, &salt)
                .expect("the size was checked when the change was queued");
            envelopes.push(Envelope {
                push_number,
                sealed,
                recipient: change.recipient.clone(),
            });
        }
        Some(envelopes)
    }

    fn heads(&self) -> Heads {
        let log = self.state.account.membership();
        let (log_seq, log_chain) = match self.state.inbox.latest_chain() {
            Some((seq, chain)) if seq > 0 => (seq, chain.to_wire()),
            _ => (0, Bytes::new()),
        };
        let membership_head = log.head().to_wire();
        Heads {
            log_seq,
            log_chain,
            membership_count: log.count(),
            membership_head,
        }
    }

    pub(super) fn handle_stored(&mut self, stored: &wire::Stored) {
        if stored.push_number > self.state.outbox.sent_through() {
            return self.report_violation("acknowledgement of a push that was never sent");
        }
        let own = self.state.account.keys().device();
        for placement in &stored.placements {
            for step in 0..u64::from(placement.count) {
                let number = placement.push_number.saturating_add(step);
                let Some(sealed) = self.state.outbox.sealed(number).cloned() else {
                    break;
                };
                let seq = placement.seq.saturating_add(step);
                self.state.inbox.extend_own(seq, &own, &sealed);
                // The relay may move its cursor over an own push at the head. An ack may have been
                // in flight, so this one is acknowledged like any other.
                self.state.inbox.place_own(number, seq);
            }
        }
        self.state.outbox.complete_through(stored.push_number);
        self.record_stored(stored.push_number);
        self.record_cursor();
    }

    pub(super) fn record_stored(&mut self, number: u64) {
        if self.state.outbox.mark_stored(number) {
            self.persist(Record::Stored(number));
            self.outputs.push_back(Output::Event(Event::Stored(number)));
        }
    }

    pub(super) fn handle_push_refusal(&mut self, refusal: Refusal) {
        let number = refusal.push_number;
        match refusal.code {
            Code::PushOutOfOrder => self.state.outbox.handle_refusal(refusal.expected.max(1)),
            Code::UnknownRecipient if self.recipient_is_gone(number) => {
                self.state.outbox.handle_refusal(number);
                self.state.outbox.drop_content(number);
            }
            Code::EnvelopeTooLarge if self.is_too_large(number) => {
                self.state.outbox.handle_refusal(number);
                self.drop_too_large(number);
            }
            code => {
                self.state.outbox.handle_refusal(number);
                let wait_ms = match refusal.retry_after_ms {
                    0 => REFUSED_WAIT_MS,
                    wait_ms => wait_ms.min(RETRY_AFTER_MS_MAX),
                };
                self.push_hold_ms = Some(self.now_ms.saturating_add(wait_ms));
                self.event(Event::PushRefused {
                    push_number: number,
                    code,
                    message: refusal.message,
                });
            }
        }
    }

    /// A refusal alone does not drop a change: the membership log must confirm it.
    fn recipient_is_gone(&self, number: u64) -> bool {
        let recipient = self
            .state
            .outbox
            .change(number)
            .map(|change| &*change.recipient);
        let recipient = recipient.and_then(|recipient| DeviceKey::try_from(recipient).ok());
        recipient.is_some_and(|device| self.state.account.membership().member(&device).is_none())
    }

    fn sealed_bytes(&self, number: u64) -> u64 {
        self.state
            .outbox
            .change(number)
            .map_or(0, |change| sealed_size(change.content.len()) as u64)
    }

    /// A refusal alone does not drop a change: the greeting must confirm the limit.
    fn is_too_large(&self, number: u64) -> bool {
        self.sealed_bytes(number) > self.limits.envelope_bytes_max
    }

    /// A change queued under a larger limit would block all later ones forever.
    fn drop_too_large(&mut self, number: u64) {
        let (bytes, bytes_max) = (self.sealed_bytes(number), self.limits.envelope_bytes_max);
        let Some(change) = self.state.outbox.change(number) else {
            return;
        };
        let (push_number, transaction_id) = (
            self.state.outbox.first_part(number),
            change.transaction_id.clone(),
        );
        self.state.outbox.drop_content(number);
        self.event(Event::ChangeDropped {
            push_number,
            transaction_id,
            bytes,
            bytes_max,
        });
    }
}
