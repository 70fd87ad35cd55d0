//! The inbox: read position, unapplied deliveries and recent running hashes.

use std::collections::{BTreeMap, VecDeque};

use crate::record::{Applied, Cursor, Sender};
use crate::senders::SenderStates;
use graceful_protocol::{Chain, DeviceKey, StoreEpoch, chain};

/// Number of running hashes kept for comparison with other devices.
const CHAINS_MAX: usize = 4_096;

/// The permanent position of a change. An app that records it in its own transaction applies each
/// change exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The store epoch that `seq` belongs to; new after a restore.
    pub store_epoch: StoreEpoch,
    /// Position in the account's log.
    pub seq: u64,
    /// The sender; all zeros for a gap reported by the relay.
    pub sender: DeviceKey,
    /// The sender's push number; 0 for a gap.
    pub push_number: u64,
}

#[derive(Debug, Clone)]
struct Pending {
    position: Position,
    chain: Option<Chain>,
    bytes: u64,
    done: bool,
}

/// The receiving state.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    store_epoch: Option<StoreEpoch>,
    cursor: u64,
    applied: BTreeMap<DeviceKey, u64>,
    /// Sender of the last applied change.
    last_sender: Option<DeviceKey>,
    delivered_through: BTreeMap<DeviceKey, u64>,
    sender_states: SenderStates,
    received_through: u64,
    latest_chain: Option<(u64, Chain)>,
    recent: VecDeque<(u64, Chain)>,
    /// Own pushes past the known running hash: seq to sender and digest.
    own_ahead: BTreeMap<u64, (DeviceKey, [u8; 32])>,
    pending: VecDeque<Pending>,
    pending_bytes: u64,
    /// Own pushes past the cursor: push number and seq.
    own: VecDeque<(u64, u64)>,
    /// Own pushes through this number are at or before the cursor.
    own_done: u64,
    /// The cursor last recorded in the journal.
    journaled: Cursor,
}

/// The result of comparing running hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainCheck {
    /// Equal, or nothing to compare with.
    Consistent,
    /// Different from the log this device was shown.
    Mismatch,
}

impl Inbox {
    /// Returns the current store epoch.
    pub fn store_epoch(&self) -> Option<StoreEpoch> {
        self.store_epoch
    }

    /// Returns the seq through which everything is done.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Returns the highest received seq.
    pub fn received_through(&self) -> u64 {
        self.received_through
    }

    /// Returns the bytes delivered to the app and not yet applied.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Returns whether everything received is done.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns the highest applied push number of each sender.
    pub fn senders(&self) -> impl Iterator<Item = Sender> {
        // The last sender comes last, so that reading the list restores it.
        let others = self
            .applied
            .iter()
            .filter(|(device, _)| Some(**device) != self.last_sender);
        let last = self
            .last_sender
            .and_then(|device| self.applied.get_key_value(&device));
        let sender = |(device, number): (&DeviceKey, &u64)| Sender {
            device: device.to_wire(),
            push_number: *number,
        };
        others.chain(last).map(sender)
    }

    /// Returns the sender of the last applied change.
    pub fn last_sender(&self) -> Option<DeviceKey> {
        self.last_sender
    }

    /// Returns the per-sender state.
    pub fn sender_states(&self) -> &SenderStates {
        &self.sender_states
    }

    /// Returns the per-sender state for changes.
    pub fn sender_states_mut(&mut self) -> &mut SenderStates {
        &mut self.sender_states
    }

    /// Returns whether a push that names `after` as its predecessor proves that one is missing.
    pub fn is_withheld(&self, sender: &DeviceKey, after: u64) -> bool {
        // Earlier pushes of a new sender may have been delivered and deleted before.
        let highest = self.delivered_through.get(sender);
        highest.is_some_and(|highest| self.sender_states.skips_push(sender, *highest, after))
    }

    /// Marks a reported gap after the latest push of one sender, or of all. Returns what to record.
    pub fn mark_gap(&mut self, sender: Option<&DeviceKey>) -> Vec<Sender> {
        let senders = self
            .delivered_through
            .iter()
            .filter(|(device, _)| sender.is_none_or(|one| one == *device));
        let sender_states = &mut self.sender_states;
        let marked =
            senders.filter(|(device, highest)| sender_states.mark_gap(**device, **highest));
        let record = |(device, highest): (&DeviceKey, &u64)| Sender {
            device: device.to_wire(),
            push_number: *highest,
        };
        marked.map(record).collect()
    }

    /// Returns the highest seq with a known running hash.
    pub fn latest_chain(&self) -> Option<(u64, Chain)> {
        self.latest_chain
    }

    /// Starts reading a store epoch at `cursor`. Unapplied deliveries stay due.
    pub fn start_epoch(&mut self, store_epoch: StoreEpoch, cursor: u64, chain: Option<Chain>) {
        self.store_epoch = Some(store_epoch);
        self.cursor = cursor;
        self.received_through = cursor;
        self.own.clear();
        self.own_done = 0;
        self.recent.clear();
        self.own_ahead.clear();
        self.latest_chain = None;
        if let Some(chain) = chain {
            self.remember(cursor, chain);
        }
        if cursor == 0 {
            self.latest_chain = Some((0, chain::START));
        }
    }

    /// Follows the relay's cursor over own pushes.
    pub fn skip_to(&mut self, cursor: u64) {
        if self.pending.is_empty() {
            self.cursor = self.cursor.max(cursor);
            self.received_through = self.received_through.max(cursor);
            self.skip_own();
        }
    }

    /// Counts the seqs through the relay's cursor that are neither known here nor own pushes.
    /// Another copy of this profile received them.
    pub fn unaccounted_for(&self, cursor: u64, push_number: u64) -> u64 {
        let beyond = cursor.saturating_sub(self.received_through);
        beyond.saturating_sub(push_number.saturating_sub(self.own_done))
    }

    /// Records the seq of an own push. All earlier own pushes have lower seqs.
    pub fn place_own(&mut self, push_number: u64, seq: u64) {
        if self.cursor.checked_add(1) == Some(seq)
            && self.received_through == self.cursor
            && self.pending.is_empty()
        {
            self.cursor = seq;
            self.received_through = seq;
        }
        self.record_own(push_number, seq);
    }

    /// Records that own pushes through this number are at or before this seq.
    pub fn record_own(&mut self, push_number: u64, seq: u64) {
        if self.own.len() == CHAINS_MAX {
            self.own.pop_front();
        }
        self.own.push_back((push_number, seq));
        self.skip_own();
    }

    fn skip_own(&mut self) {
        while let Some((push_number, _)) = self.own.pop_front_if(|(_, seq)| *seq <= self.cursor) {
            self.own_done = self.own_done.max(push_number);
        }
    }

    /// Returns the cursor to record in the journal.
    pub fn cursor_record(&self) -> Cursor {
        Cursor {
            seq: self.cursor,
            own: self.own_done,
        }
    }

    /// Returns the cursor if the journal does not have it yet.
    pub fn take_unrecorded(&mut self) -> Option<Cursor> {
        let done = self.cursor_record();
        (done != self.journaled).then(|| {
            self.journaled = done.clone();
            done
        })
    }

    /// Restores a recorded cursor.
    pub fn restore_cursor(&mut self, done: &Cursor) {
        self.cursor = self.cursor.max(done.seq);
        self.received_through = self.received_through.max(done.seq);
        self.own_done = self.own_done.max(done.own);
        self.journaled = done.clone();
    }

    /// Restores a position recorded as applied by the journal or the app.
    pub fn restore(&mut self, position: &Position, chain: Option<Chain>) {
        if self.store_epoch == Some(position.store_epoch) && position.seq > self.cursor {
            self.cursor = position.seq;
            self.received_through = self.received_through.max(position.seq);
            self.latest_chain = None;
            if let Some(chain) = chain {
                self.remember(position.seq, chain);
            }
        }
        self.record_sender(position.sender, position.push_number);
    }

    /// Raises the highest applied push number of a sender.
    pub fn record_sender(&mut self, sender: DeviceKey, push_number: u64) {
        if push_number > 0 {
            self.last_sender = Some(sender);
            let highest = self.applied.entry(sender).or_default();
            *highest = push_number.max(*highest);
            let highest = self.delivered_through.entry(sender).or_default();
            *highest = push_number.max(*highest);
        }
    }

    /// Returns whether this push was delivered before, under any seq.
    pub fn is_duplicate(&self, sender: &DeviceKey, push_number: u64) -> bool {
        self.delivered_through
            .get(sender)
            .is_some_and(|highest| push_number <= *highest)
    }

    /// Verifies the running hash of consecutive seqs. Elsewhere the relay's value is taken.
    pub fn check_chain(
        &mut self,
        seq: u64,
        sender: &DeviceKey,
        sealed: &[u8],
        claimed: Chain,
    ) -> ChainCheck {
        let expected = self
            .latest_chain
            .filter(|(known, _)| known.checked_add(1) == Some(seq));
        let expected = expected.map(|(_, before)| chain::extend(&before, seq, sender, sealed));
        self.remember(seq, claimed);
        if expected.is_some_and(|expected| expected != claimed) {
            return ChainCheck::Mismatch;
        }
        ChainCheck::Consistent
    }

    /// Extends the running hash over an own push.
    pub fn extend_own(&mut self, seq: u64, own: &DeviceKey, sealed: &[u8]) {
        if self.own_ahead.len() == CHAINS_MAX {
            self.own_ahead.pop_first();
        }
        self.own_ahead.insert(seq, (*own, chain::digest(sealed)));
        self.extend_over_own();
    }

    /// Envelopes of others may precede own ones that were placed earlier.
    fn extend_over_own(&mut self) {
        while let Some((known, before)) = self.latest_chain
            && let Some(next) = known.checked_add(1)
            && let Some((own, digest)) = self.own_ahead.remove(&next)
        {
            self.push_chain(next, chain::extend_by_digest(&before, next, &own, &digest));
        }
    }

    /// Compares a running hash with the one another device saw.
    pub fn compare(&self, seq: u64, seen: &[u8]) -> ChainCheck {
        let known = self.recent.iter().rev().find(|(known, _)| *known == seq);
        match known {
            Some((_, chain)) if seen != chain.as_bytes() => ChainCheck::Mismatch,
            _ => ChainCheck::Consistent,
        }
    }

    fn remember(&mut self, seq: u64, chain: Chain) {
        self.push_chain(seq, chain);
        while self
            .own_ahead
            .first_key_value()
            .is_some_and(|(own, _)| *own <= seq)
        {
            self.own_ahead.pop_first();
        }
        self.extend_over_own();
    }

    fn push_chain(&mut self, seq: u64, chain: Chain) {
        self.latest_chain = Some((seq, chain));
        if self.recent.len() == CHAINS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((seq, chain));
    }

    /// Adds a delivery, due until the app has applied it.
    pub fn deliver_to_app(&mut self, position: Position, chain: Option<Chain>, bytes: u64) {
        if position.push_number > 0 {
            self.delivered_through
                .insert(position.sender, position.push_number);
        }
        self.received_through = self.received_through.max(position.seq);
        self.pending_bytes += bytes;
        self.pending.push_back(Pending {
            position,
            chain,
            bytes,
            done: false,
        });
    }

    /// Marks everything through `seq` as done, except due deliveries.
    pub fn skip(&mut self, seq: u64, bytes: u64) {
        self.received_through = self.received_through.max(seq);
        let Some(store_epoch) = self.store_epoch else {
            return;
        };
        let position = Position {
            store_epoch,
            seq,
            sender: DeviceKey::new([0; 32]),
            push_number: 0,
        };
        self.pending_bytes += bytes;
        match self.pending.back_mut() {
            Some(last) if last.done && last.position.push_number == 0 => {
                last.position = position;
                last.bytes += bytes;
            }
            _ => self.pending.push_back(Pending {
                position,
                chain: None,
                bytes,
                done: true,
            }),
        }
    }

    /// Marks this delivery and all earlier ones as applied.
    pub fn apply(&mut self, position: &Position) {
        if let Some(at) = self
            .pending
            .iter()
            .rposition(|pending| pending.position == *position)
        {
            for pending in self.pending.range_mut(..=at) {
                pending.done = true;
            }
        }
    }

    /// Returns whether the delivery at this position is unapplied.
    pub fn is_due(&self, position: &Position) -> bool {
        self.pending
            .iter()
            .any(|pending| pending.position == *position)
    }

    /// Marks only this delivery as done.
    pub fn finish(&mut self, position: &Position) {
        for pending in self
            .pending
            .iter_mut()
            .filter(|pending| pending.position == *position)
        {
            pending.done = true;
        }
    }

    /// Advances the cursor over done deliveries. Returns what to record and the bytes freed.
    pub fn settle(&mut self) -> (Vec<(DeviceKey, Applied)>, u64) {
        let (mut records, mut freed) = (Vec::new(), 0);
        while self.pending.front().is_some_and(|pending| pending.done)
            && let Some(pending) = self.pending.pop_front()
        {
            freed += pending.bytes;
            self.pending_bytes -= pending.bytes;
            let position = pending.position;
            if self.store_epoch == Some(position.store_epoch) {
                self.cursor = self.cursor.max(position.seq);
            }
            if position.push_number > 0 {
                self.record_sender(position.sender, position.push_number);
                let applied = Applied {
                    store_epoch: position.store_epoch.to_wire(),
                    seq: position.seq,
                    sender: position.sender.to_wire(),
                    push_number: position.push_number,
                    chain: pending
                        .chain
                        .map(|chain| chain.to_wire())
                        .unwrap_or_default(),
                };
                records.push((position.sender, applied));
            }
        }
        self.skip_own();
        (records, freed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Deliveries of two senders with repeats, acknowledged at random positions.
        #[test]
        fn inbox_drops_duplicates_and_keeps_due_items(
            deliveries in prop::collection::vec((0_u8..2, 1_u64..20, any::<bool>()), 0..100),
        ) {
            let store_epoch = StoreEpoch::new([1; 16]);
            let mut inbox = Inbox::default();
            inbox.start_epoch(store_epoch, 0, None);
            let mut highest = [0; 2];
            let mut due = Vec::new();
            for (seq, (sender, push_number, apply)) in (1..).zip(deliveries) {
                let device = DeviceKey::new([sender + 1; 32]);
                let known = highest[usize::from(sender)] >= push_number;
                prop_assert_eq!(inbox.is_duplicate(&device, push_number), known);
                if known {
                    inbox.skip(seq, 1);
                } else {
                    highest[usize::from(sender)] = push_number;
                    let position = Position { store_epoch, seq, sender: device, push_number };
                    inbox.deliver_to_app(position, None, 1);
                    due.push(position);
                }
                if apply && let Some(last) = due.pop() {
                    due.clear();
                    inbox.apply(&last);
                }
                inbox.settle();
                let first_due = due.first().map_or(seq + 1, |position| position.seq);
                prop_assert_eq!(inbox.cursor(), first_due - 1);
                prop_assert_eq!(inbox.is_idle(), due.is_empty());
            }
        }
    }
}
