//! Receiving: verify, decrypt, deliver in order, acknowledge what was applied.

use bytes::Bytes;
use prost::Message;

use super::{
    ACK_DELAY_MS, ChangeKind, Engine, Event, Gap, Incoming, Output, Received, RelayMisbehavior,
    UndecryptableReason,
};
use crate::inbox::{ChainCheck, Position};
use crate::pairing::read_names;
use crate::reassembly::is_valid_chunk;
use crate::record::{Named, Record, Sender, SenderKeyEpoch, Senders};
use crate::seal::{Binding, key_epoch, open};
use crate::sealed::{Header, Heads, Kind, Names};
use graceful_protocol::frame::DeviceFrame;
use graceful_protocol::wire::{self, Delivered};
use graceful_protocol::{Chain, DeviceKey};

/// Charge of a gap against the window until applied. It bounds endless gaps.
pub(super) const GAP_BYTES: u64 = 128;

/// A decrypted envelope.
pub(super) struct Opened {
    pub(super) position: Position,
    pub(super) chain: Chain,
    pub(super) header: Header,
    pub(super) content: Bytes,
}

impl Engine {
    /// Acknowledges this position and every earlier one.
    pub fn applied(&mut self, position: &Position, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.state.inbox.apply(position);
        self.settle();
        self.drive();
    }

    pub(super) fn handle_deliver(&mut self, deliver: wire::Deliver) {
        for delivered in deliver.envelopes {
            if delivered.seq > self.state.inbox.received_through() {
                self.receive(&delivered);
            }
        }
        if self.is_over_window() {
            return;
        }
        if deliver.through > self.state.inbox.received_through() {
            self.state.inbox.skip(deliver.through, 0);
        }
        self.through = self.through.max(deliver.through);
        self.head = self.head.max(deliver.head);
        self.caught_up = self.through >= self.head;
        self.settle();
    }

    /// Unapplied changes are held in memory, so the relay must respect its own window.
    fn is_over_window(&mut self) -> bool {
        let limits = &self.limits;
        let allowed = limits.window_bytes + limits.frame_bytes_max + limits.envelope_bytes_max;
        let over = self.state.inbox.pending_bytes() > allowed;
        if over {
            self.report_violation("delivery exceeds the relay's own window");
        }
        over
    }

    fn receive(&mut self, delivered: &Delivered) {
        let (seq, bytes) = (delivered.seq, delivered.sealed.len() as u64);
        match self.open_delivered(delivered) {
            Ok(Some(opened)) => self.deliver_to_app(opened, delivered.targeted, bytes),
            Ok(None) => self.state.inbox.skip(seq, bytes),
            Err(reason) => {
                let sender =
                    DeviceKey::try_from(&*delivered.sender).unwrap_or(DeviceKey::new([0; 32]));
                self.report_undecryptable(seq, sender, reason);
                self.state.inbox.skip(seq, bytes);
            }
        }
    }

    /// Reporting this envelope also reports a gap after the sender's earlier changes.
    fn report_undecryptable(&mut self, seq: u64, sender: DeviceKey, reason: UndecryptableReason) {
        self.mark_gap(Some(&sender));
        self.alert(format!("an envelope was skipped: {reason}"), false);
        self.event(Event::UndecryptableEnvelope {
            seq,
            sender,
            reason,
        });
    }

    fn mark_gap(&mut self, sender: Option<&DeviceKey>) {
        let senders = self.state.inbox.mark_gap(sender);
        self.record_sender_gaps(senders);
    }

    pub(super) fn record_sender_gaps(&mut self, senders: Vec<Sender>) {
        if !senders.is_empty() {
            self.persist(Record::SenderGaps(Senders { senders }));
        }
    }

    /// Returns `None` for a duplicate.
    fn open_delivered(
        &mut self,
        delivered: &Delivered,
    ) -> Result<Option<Opened>, UndecryptableReason> {
        let (seq, push_number) = (delivered.seq, delivered.push_number);
        let sender =
            DeviceKey::try_from(&*delivered.sender).map_err(|_| UndecryptableReason::Delivery)?;
        let chain =
            Chain::try_from(&*delivered.chain).map_err(|_| UndecryptableReason::Delivery)?;
        let store_epoch = self
            .state
            .inbox
            .store_epoch()
            .ok_or(UndecryptableReason::Delivery)?;
        if self
            .state
            .inbox
            .check_chain(seq, &sender, &delivered.sealed, chain)
            == ChainCheck::Mismatch
        {
            self.report_misbehavior(RelayMisbehavior::ChainMismatch(seq));
        }
        if self.state.inbox.is_duplicate(&sender, push_number) {
            return Ok(None);
        }
        let account = &self.state.account;
        let own = account.keys().device();
        if sender == own || !account.was_member(&sender) {
            return Err(UndecryptableReason::Sender);
        }
        let key_epoch = key_epoch(&delivered.sealed).unwrap_or(0);
        let keys = account
            .epoch_keys(key_epoch)
            .ok_or(UndecryptableReason::KeyEpoch(key_epoch))?;
        let recipient = delivered.targeted.then_some(own);
        let binding = Binding {
            account: account.account(),
            key_epoch,
            sender,
            recipient,
        };
        let (header, content) = open(keys, &binding, &delivered.sealed)?;
        if header.push_number != push_number || push_number == 0 {
            return Err(UndecryptableReason::PushNumber);
        }
        self.check_key_epoch(&sender, key_epoch, &header)?;
        let position = Position {
            store_epoch,
            seq,
            sender,
            push_number,
        };
        Ok(Some(Opened {
            position,
            chain,
            header,
            content,
        }))
    }

    /// A removed device knows old secrets and could seal under another device's name. It cannot
    /// once that device has used a newer epoch.
    fn check_key_epoch(
        &mut self,
        sender: &DeviceKey,
        key_epoch: u32,
        header: &Header,
    ) -> Result<(), UndecryptableReason> {
        let membership_count = header
            .heads
            .as_ref()
            .map_or(0, |heads| heads.membership_count);
        let seen = self.state.account.key_epoch_at(membership_count);
        if membership_count == 0 || seen.is_some_and(|seen| seen != key_epoch) {
            return Err(UndecryptableReason::Heads);
        }
        let (sender_states, push_number) =
            (self.state.inbox.sender_states_mut(), header.push_number);
        if sender_states.is_stale_key_epoch(sender, push_number, key_epoch) {
            return Err(UndecryptableReason::OldKeyEpoch(key_epoch));
        }
        if sender_states.record_key_epoch(*sender, push_number, key_epoch) {
            let device = sender.to_wire();
            self.persist(Record::SenderKeyEpoch(SenderKeyEpoch {
                device,
                push_number,
                key_epoch,
            }));
        }
        Ok(())
    }

    fn deliver_to_app(&mut self, opened: Opened, targeted: bool, bytes: u64) {
        let Opened {
            position,
            chain,
            header,
            ..
        } = &opened;
        let (position, chain) = (*position, *chain);
        if let Some(heads) = &header.heads {
            self.compare_heads(position.seq, heads);
        }
        if self.state.inbox.is_withheld(&position.sender, header.after) {
            self.report_misbehavior(RelayMisbehavior::Withheld {
                sender: position.sender,
                push_number: header.after,
            });
        }
        self.abandon_unfinished(&position, header.part.as_ref());
        let kind = match Kind::try_from(header.kind) {
            Ok(Kind::Change) => ChangeKind::Change,
            Ok(Kind::Snapshot) => ChangeKind::Snapshot,
            Ok(Kind::Names) => {
                self.state
                    .inbox
                    .deliver_to_app(position, Some(chain), bytes);
                self.read_names(opened.content);
                // Earlier changes may be unapplied: only this one is done.
                return self.state.inbox.finish(&position);
            }
            Ok(Kind::SnapshotRequest) if targeted => {
                self.state
                    .inbox
                    .deliver_to_app(position, Some(chain), bytes);
                let wanted = Incoming::SnapshotRequest {
                    position,
                    device: position.sender,
                };
                return self.outputs.push_back(Output::Deliver(wanted));
            }
            _ => return self.skip_undecryptable(&position, bytes, UndecryptableReason::Kind),
        };
        match header.part.clone() {
            Some(part) if is_valid_chunk(&part) => {
                self.deliver_chunk(opened, &part, kind, targeted, bytes)
            }
            Some(_) => self.skip_undecryptable(&position, bytes, UndecryptableReason::Part),
            None => {
                self.state
                    .inbox
                    .deliver_to_app(position, Some(chain), bytes);
                self.deliver_change(opened, kind, targeted);
            }
        }
    }

    fn skip_undecryptable(&mut self, position: &Position, bytes: u64, reason: UndecryptableReason) {
        self.report_undecryptable(position.seq, position.sender, reason);
        self.state.inbox.skip(position.seq, bytes);
    }

    pub(super) fn deliver_change(&mut self, opened: Opened, kind: ChangeKind, targeted: bool) {
        let Opened {
            position,
            header,
            content,
            ..
        } = opened;
        let received = Received {
            position,
            sender_name: self.state.account.name(&position.sender).map(str::to_owned),
            device_id: header.device_id,
            transaction_id: header.transaction_id,
            kind,
            content,
            targeted,
        };
        self.outputs
            .push_back(Output::Deliver(Incoming::Change(received)));
    }

    fn compare_heads(&mut self, seq: u64, heads: &Heads) {
        let different =
            self.state.inbox.compare(heads.log_seq, &heads.log_chain) == ChainCheck::Mismatch;
        if heads.log_seq > 0 && (heads.log_seq >= seq || different) {
            self.report_misbehavior(RelayMisbehavior::DivergentLog(heads.log_seq));
        }
        let (seen, shown) = (
            heads.membership_count,
            self.state.account.membership().count(),
        );
        if seen > shown {
            // The relay sends entries before the envelopes that follow them.
            return self.report_misbehavior(RelayMisbehavior::MembershipHidden { shown, seen });
        }
        let head = self.state.account.head_at(seen);
        if head.is_some_and(|head| *heads.membership_head != *head.as_bytes()) {
            self.report_misbehavior(RelayMisbehavior::DivergentMembership(seen));
        }
    }

    fn read_names(&mut self, content: Bytes) {
        let names = Names::decode(content)
            .map(|names| read_names(&names.names))
            .unwrap_or_default();
        for (device, name) in names {
            if self.state.account.was_member(&device) && self.state.account.rename(device, &name) {
                self.persist(Record::Named(Named {
                    device: device.to_wire(),
                    name,
                }));
                self.event(Event::Named(device));
            }
        }
    }

    pub(super) fn handle_gap(&mut self, gap: &wire::Gap) {
        if gap.through > self.state.inbox.received_through() && gap.from <= gap.through {
            self.deliver_gap(gap.from, gap.through, gap.reason());
        }
    }

    pub(super) fn deliver_gap(&mut self, from: u64, through: u64, reason: wire::gap::Reason) {
        let Some(store_epoch) = self.state.inbox.store_epoch() else {
            return;
        };
        self.mark_gap(None);
        let position = Position {
            store_epoch,
            seq: through,
            sender: DeviceKey::new([0; 32]),
            push_number: 0,
        };
        self.state.inbox.deliver_to_app(position, None, GAP_BYTES);
        if !self.is_over_window() {
            let reason = reason.into();
            self.outputs.push_back(Output::Deliver(Incoming::Gap(Gap {
                position,
                from,
                through,
                reason,
            })));
        }
    }

    /// The journal records the cursor before the ack is sent. It reveals when another copy of this
    /// profile has acknowledged more.
    pub(super) fn record_cursor(&mut self) {
        if let Some(cursor) = self.state.inbox.take_unrecorded() {
            self.persist(Record::Cursor(cursor));
        }
    }

    /// Records what was applied. Acks always follow the records.
    fn settle(&mut self) {
        let (records, freed_bytes) = self.state.inbox.settle();
        self.freed_bytes += freed_bytes;
        for (sender, record) in records {
            self.state.reassembler.applied(&sender, record.push_number);
            self.persist(Record::Applied(record));
        }
        self.forget_reported();
    }

    /// Acknowledges everything applied, before disconnecting.
    pub fn flush_acks(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.ack_due_ms = Some(0);
        self.drive();
    }

    /// Coalesces acks: sends one when all is applied, a quarter of the window is free, or the delay
    /// is over.
    pub(super) fn acknowledge(&mut self) {
        let cursor = self.state.inbox.cursor();
        if cursor <= self.acked {
            self.ack_due_ms = None;
            return self.record_cursor();
        }
        let due_ms = *self.ack_due_ms.get_or_insert(self.now_ms + ACK_DELAY_MS);
        let quarter = self.freed_bytes >= self.limits.window_bytes / 4;
        if self.state.inbox.is_idle() || quarter || due_ms <= self.now_ms {
            self.acked = cursor;
            self.freed_bytes = 0;
            self.ack_due_ms = None;
            self.record_cursor();
            self.send(DeviceFrame::Ack(wire::Ack { through: cursor }));
        }
    }
}
