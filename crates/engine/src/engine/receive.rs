//! Receiving: check, open, hand out in order; acknowledge what was applied.

use bytes::Bytes;
use prost::Message;

use super::super::assembly::is_part;
use super::super::inbox::{Position, Witnessed};
use super::super::pairing::read_names;
use super::super::record::{Named, Record, Sender, SenderKeyEpoch, Senders};
use super::super::seal::{Binding, key_epoch, open};
use super::super::sealed::{Header, Heads, Kind, Names};
use super::{
    ACK_DELAY_MS, ChangeKind, Distrust, Engine, Event, Gap, Incoming, Output, Received, Unreadable,
};
use graceful_protocol::frame::DeviceFrame;
use graceful_protocol::wire::{self, Delivered};
use graceful_protocol::{Chain, DeviceKey};

/// What a gap counts for until the app has taken it: endless ones are bounded like endless changes.
pub(super) const GAP_BYTES: u64 = 128;

/// An envelope that opened.
pub(super) struct Opened {
    pub(super) position: Position,
    pub(super) chain: Chain,
    pub(super) header: Header,
    pub(super) content: Bytes,
}

impl Engine {
    /// The app has applied this and everything that it was given before it.
    pub fn applied(&mut self, position: &Position, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.state.inbox.apply(position);
        self.settle();
        self.go_on();
    }

    pub(super) fn deliver(&mut self, deliver: wire::Deliver) {
        for delivered in deliver.envelopes {
            if delivered.seq > self.state.inbox.reached() {
                self.receive(&delivered);
            }
        }
        if self.is_over_window() {
            return;
        }
        if deliver.through > self.state.inbox.reached() {
            self.state.inbox.pass(deliver.through, 0);
        }
        self.through = self.through.max(deliver.through);
        self.head = self.head.max(deliver.head);
        self.caught_up = self.through >= self.head;
        self.settle();
    }

    /// What the app has not applied yet is held in memory: more than was agreed is not taken.
    fn is_over_window(&mut self) -> bool {
        let limits = &self.limits;
        let allowed = limits.window_bytes + limits.frame_bytes_max + limits.envelope_bytes_max;
        let over = self.state.inbox.pending_bytes() > allowed;
        if over {
            self.violation("the relay delivered more than its own window");
        }
        over
    }

    fn receive(&mut self, delivered: &Delivered) {
        let (seq, bytes) = (delivered.seq, delivered.sealed.len() as u64);
        match self.open_delivered(delivered) {
            Ok(Some(opened)) => self.hand_out(opened, delivered.addressed, bytes),
            Ok(None) => self.state.inbox.pass(seq, bytes),
            Err(reason) => {
                let sender =
                    DeviceKey::try_from(&*delivered.sender).unwrap_or(DeviceKey::new([0; 32]));
                self.unreadable(seq, sender, reason);
                self.state.inbox.pass(seq, bytes);
            }
        }
    }

    /// That something is missing behind what came of this sender before is told herewith.
    fn unreadable(&mut self, seq: u64, sender: DeviceKey, reason: Unreadable) {
        self.unlink(Some(&sender));
        self.warn(format!("an envelope was passed over: {reason}"), false);
        self.event(Event::Unreadable {
            seq,
            sender,
            reason,
        });
    }

    fn unlink(&mut self, sender: Option<&DeviceKey>) {
        let senders = self.state.inbox.unlink(sender);
        self.record_unlinked(senders);
    }

    pub(super) fn record_unlinked(&mut self, senders: Vec<Sender>) {
        if !senders.is_empty() {
            self.persist(Record::Unlinked(Senders { senders }));
        }
    }

    /// `None` for what was handed out before.
    fn open_delivered(&mut self, delivered: &Delivered) -> Result<Option<Opened>, Unreadable> {
        let (seq, push_number) = (delivered.seq, delivered.push_number);
        let sender = DeviceKey::try_from(&*delivered.sender).map_err(|_| Unreadable::Delivery)?;
        let chain = Chain::try_from(&*delivered.chain).map_err(|_| Unreadable::Delivery)?;
        let history = self.state.inbox.history().ok_or(Unreadable::Delivery)?;
        if self
            .state
            .inbox
            .witness(seq, &sender, &delivered.sealed, chain)
            == Witnessed::Different
        {
            self.distrust(Distrust::Chain(seq));
        }
        if self.state.inbox.is_repeat(&sender, push_number) {
            return Ok(None);
        }
        let account = &self.state.account;
        let own = account.keys().device();
        if sender == own || !account.ever_member(&sender) {
            return Err(Unreadable::Sender);
        }
        let key_epoch = key_epoch(&delivered.sealed).unwrap_or(0);
        let keys = account
            .epoch_keys(key_epoch)
            .ok_or(Unreadable::KeyEpoch(key_epoch))?;
        let addressee = delivered.addressed.then_some(own);
        let binding = Binding {
            account: account.account(),
            key_epoch,
            sender,
            addressee,
        };
        let (header, content) = open(keys, &binding, &delivered.sealed)?;
        if header.push_number != push_number || push_number == 0 {
            return Err(Unreadable::PushNumber);
        }
        self.check_key_epoch(&sender, key_epoch, &header)?;
        let position = Position {
            history,
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

    /// Who was removed knows the old secrets, and could seal with them under another device's name:
    /// never again, once that device has been seen to use a newer one.
    fn check_key_epoch(
        &mut self,
        sender: &DeviceKey,
        key_epoch: u32,
        header: &Header,
    ) -> Result<(), Unreadable> {
        let membership_count = header
            .heads
            .as_ref()
            .map_or(0, |heads| heads.membership_count);
        let seen = self.state.account.key_epoch_at(membership_count);
        if membership_count == 0 || seen.is_some_and(|seen| seen != key_epoch) {
            return Err(Unreadable::Heads);
        }
        let (links, push_number) = (self.state.inbox.links_mut(), header.push_number);
        if links.is_old(sender, push_number, key_epoch) {
            return Err(Unreadable::OldKeyEpoch(key_epoch));
        }
        if links.note_key_epoch(*sender, push_number, key_epoch) {
            let device = sender.to_wire();
            self.persist(Record::SenderKeyEpoch(SenderKeyEpoch {
                device,
                push_number,
                key_epoch,
            }));
        }
        Ok(())
    }

    fn hand_out(&mut self, opened: Opened, addressed: bool, bytes: u64) {
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
        if self.state.inbox.lacks(&position.sender, header.after) {
            self.distrust(Distrust::Withheld {
                sender: position.sender,
                push_number: header.after,
            });
        }
        self.give_up_unfinished(&position, header.part.as_ref());
        let kind = match Kind::try_from(header.kind) {
            Ok(Kind::Change) => ChangeKind::Change,
            Ok(Kind::Snapshot) => ChangeKind::Snapshot,
            Ok(Kind::Names) => {
                self.state.inbox.hand_out(position, Some(chain), bytes);
                self.read_names(opened.content);
                // Earlier changes may still be with the app: only this one is done.
                return self.state.inbox.finish(&position);
            }
            Ok(Kind::SnapshotWanted) if addressed => {
                self.state.inbox.hand_out(position, Some(chain), bytes);
                let wanted = Incoming::SnapshotWanted {
                    position,
                    device: position.sender,
                };
                return self.outputs.push_back(Output::Deliver(wanted));
            }
            _ => return self.pass_over(&position, bytes, Unreadable::Kind),
        };
        match header.part.clone() {
            Some(part) if is_part(&part) => {
                self.hand_out_part(opened, &part, kind, addressed, bytes)
            }
            Some(_) => self.pass_over(&position, bytes, Unreadable::Part),
            None => {
                self.state.inbox.hand_out(position, Some(chain), bytes);
                self.deliver_change(opened, kind, addressed);
            }
        }
    }

    fn pass_over(&mut self, position: &Position, bytes: u64, reason: Unreadable) {
        self.unreadable(position.seq, position.sender, reason);
        self.state.inbox.pass(position.seq, bytes);
    }

    pub(super) fn deliver_change(&mut self, opened: Opened, kind: ChangeKind, addressed: bool) {
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
            addressed,
        };
        self.outputs
            .push_back(Output::Deliver(Incoming::Change(received)));
    }

    fn compare_heads(&mut self, seq: u64, heads: &Heads) {
        let different =
            self.state.inbox.compare(heads.log_seq, &heads.log_chain) == Witnessed::Different;
        if heads.log_seq > 0 && (heads.log_seq >= seq || different) {
            self.distrust(Distrust::Witness(heads.log_seq));
        }
        let (seen, shown) = (
            heads.membership_count,
            self.state.account.membership().count(),
        );
        if seen > shown {
            // The relay sends entries before envelopes, and had these before that envelope.
            return self.distrust(Distrust::MembershipHidden { shown, seen });
        }
        let head = self.state.account.head_at(seen);
        if head.is_some_and(|head| *heads.membership_head != *head.as_bytes()) {
            self.distrust(Distrust::Membership(seen));
        }
    }

    fn read_names(&mut self, content: Bytes) {
        let names = Names::decode(content)
            .map(|names| read_names(&names.names))
            .unwrap_or_default();
        for (device, name) in names {
            if self.state.account.ever_member(&device) && self.state.account.rename(device, &name) {
                self.persist(Record::Named(Named {
                    device: device.to_wire(),
                    name,
                }));
                self.event(Event::Named(device));
            }
        }
    }

    pub(super) fn gap(&mut self, gap: &wire::Gap) {
        if gap.through > self.state.inbox.reached() && gap.from <= gap.through {
            self.hand_out_gap(gap.from, gap.through, gap.reason());
        }
    }

    pub(super) fn hand_out_gap(&mut self, from: u64, through: u64, reason: wire::gap::Reason) {
        let Some(history) = self.state.inbox.history() else {
            return;
        };
        self.unlink(None);
        let position = Position {
            history,
            seq: through,
            sender: DeviceKey::new([0; 32]),
            push_number: 0,
        };
        self.state.inbox.hand_out(position, None, GAP_BYTES);
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

    /// What the relay may count as done with is in the journal first: so it shows when another copy of
    /// this profile has acknowledged more.
    pub(super) fn keep_cursor(&mut self) {
        if let Some(cursor) = self.state.inbox.news() {
            self.persist(Record::Cursor(cursor));
        }
    }

    /// Records what is done with; the ack follows the records, never the other way round.
    fn settle(&mut self) {
        let (records, freed_bytes) = self.state.inbox.settle();
        self.freed_bytes += freed_bytes;
        for (sender, record) in records {
            self.state.assemblies.applied(&sender, record.push_number);
            self.persist(Record::Applied(record));
        }
        self.forget_told();
    }

    /// Acknowledges all that is applied, before a goodbye.
    pub fn flush_acks(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.ack_due_ms = Some(0);
        self.go_on();
    }

    /// One ack for many: when all is applied, when a quarter of the window is free, or after a while.
    pub(super) fn acknowledge(&mut self) {
        let cursor = self.state.inbox.cursor();
        if cursor <= self.acked {
            self.ack_due_ms = None;
            return self.keep_cursor();
        }
        let due_ms = *self.ack_due_ms.get_or_insert(self.now_ms + ACK_DELAY_MS);
        let quarter = self.freed_bytes >= self.limits.window_bytes / 4;
        if self.state.inbox.is_idle() || quarter || due_ms <= self.now_ms {
            self.acked = cursor;
            self.freed_bytes = 0;
            self.ack_due_ms = None;
            self.keep_cursor();
            self.send(DeviceFrame::Ack(wire::Ack { through: cursor }));
        }
    }
}
