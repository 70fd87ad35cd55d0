//! The inbox: how far this device has read, what was handed out and not yet applied, and which
//! running hashes it has seen.

use std::collections::{BTreeMap, VecDeque};

use super::record::{Applied, Cursor, Sender};
use super::senders::SenderStates;
use graceful_protocol::{Chain, DeviceKey, StoreEpoch, chain};

/// Running hashes that are remembered, to compare with what others witness.
const CHAINS_MAX: usize = 4_096;

/// Which change, for good: an app that records it in its own transaction applies each exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The relay's history that `seq` belongs to; new after a restore.
    pub store_epoch: StoreEpoch,
    /// Place in the account's log.
    pub seq: u64,
    /// Who sent it; zeros for a gap that the relay told.
    pub sender: DeviceKey,
    /// The sender's number for it; 0 for a gap.
    pub push_number: u64,
}

#[derive(Debug, Clone)]
struct Pending {
    position: Position,
    chain: Option<Chain>,
    bytes: u64,
    done: bool,
}

/// State of receiving.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    store_epoch: Option<StoreEpoch>,
    cursor: u64,
    applied: BTreeMap<DeviceKey, u64>,
    /// Whose change was applied last.
    last_sender: Option<DeviceKey>,
    delivered_through: BTreeMap<DeviceKey, u64>,
    sender_states: SenderStates,
    reached: u64,
    known: Option<(u64, Chain)>,
    recent: VecDeque<(u64, Chain)>,
    /// Own pushes beyond what the running hash is known for: seq, and what stands for them in it.
    own_ahead: BTreeMap<u64, (DeviceKey, [u8; 32])>,
    pending: VecDeque<Pending>,
    pending_bytes: u64,
    /// Own pushes beyond the cursor: number and seq.
    own: VecDeque<(u64, u64)>,
    /// Own pushes up to this number have their places at or before the cursor.
    own_done: u64,
    /// What the journal says of the two.
    journaled: Cursor,
}

/// What running hashes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainCheck {
    /// Checked, or nothing to compare with.
    Consistent,
    /// Another history than the one this device was shown.
    Mismatch,
}

impl Inbox {
    /// The history being read.
    pub fn store_epoch(&self) -> Option<StoreEpoch> {
        self.store_epoch
    }

    /// Everything up to here is done with.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Received up to here, done with or not.
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// Bytes handed out and not yet applied.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Whether all that was received is done with.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// How far each sender's changes were applied.
    pub fn senders(&self) -> impl Iterator<Item = Sender> {
        // Whoever was heard last comes last, so that this is known again when they are read.
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

    /// Whose change was applied last.
    pub fn last_sender(&self) -> Option<DeviceKey> {
        self.last_sender
    }

    /// What else is known of each sender.
    pub fn sender_states(&self) -> &SenderStates {
        &self.sender_states
    }

    /// The same, to change.
    pub fn sender_states_mut(&mut self) -> &mut SenderStates {
        &mut self.sender_states
    }

    /// Whether a push that comes after `after` shows that this one never came.
    pub fn is_withheld(&self, sender: &DeviceKey, after: u64) -> bool {
        // Of a sender that is new here, earlier pushes may have been deleted: others had them.
        let highest = self.delivered_through.get(sender);
        highest.is_some_and(|highest| self.sender_states.skips_push(sender, *highest, after))
    }

    /// Behind what came of these (`None`: all) senders some may be missing, and that is told. Gives
    /// what to record.
    pub fn mark_gap(&mut self, sender: Option<&DeviceKey>) -> Vec<Sender> {
        let senders = self
            .delivered_through
            .iter()
            .filter(|(device, _)| sender.is_none_or(|one| one == *device));
        let sender_states = &mut self.sender_states;
        let news = senders.filter(|(device, highest)| sender_states.mark_gap(**device, **highest));
        let record = |(device, highest): (&DeviceKey, &u64)| Sender {
            device: device.to_wire(),
            push_number: *highest,
        };
        news.map(record).collect()
    }

    /// The highest seq whose running hash is known.
    pub fn known(&self) -> Option<(u64, Chain)> {
        self.known
    }

    /// Reads another history from `cursor` on. What is handed out stays due.
    pub fn start_epoch(&mut self, store_epoch: StoreEpoch, cursor: u64, chain: Option<Chain>) {
        self.store_epoch = Some(store_epoch);
        self.cursor = cursor;
        self.reached = cursor;
        self.own.clear();
        self.own_done = 0;
        self.recent.clear();
        self.own_ahead.clear();
        self.known = None;
        if let Some(chain) = chain {
            self.remember(cursor, chain);
        }
        if cursor == 0 {
            self.known = Some((0, chain::START));
        }
    }

    /// The relay's cursor has moved on over this device's own pushes.
    pub fn skip_to(&mut self, cursor: u64) {
        if self.pending.is_empty() {
            self.cursor = self.cursor.max(cursor);
            self.reached = self.reached.max(cursor);
            self.skip_own();
        }
    }

    /// How many seqs up to the relay's cursor are neither known here nor this device's own pushes, of
    /// which the relay has `push_number`: another copy of the profile was given them.
    pub fn unaccounted_for(&self, cursor: u64, push_number: u64) -> u64 {
        let beyond = cursor.saturating_sub(self.reached);
        beyond.saturating_sub(push_number.saturating_sub(self.own_done))
    }

    /// An own push has its place; so have all before it, at lower seqs.
    pub fn place_own(&mut self, push_number: u64, seq: u64) {
        if self.cursor.checked_add(1) == Some(seq)
            && self.reached == self.cursor
            && self.pending.is_empty()
        {
            self.cursor = seq;
            self.reached = seq;
        }
        self.note_own(push_number, seq);
    }

    /// Own pushes up to this number have places at or before this seq.
    pub fn note_own(&mut self, push_number: u64, seq: u64) {
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

    /// How far this device is done, as the journal is to know it.
    pub fn done(&self) -> Cursor {
        Cursor {
            seq: self.cursor,
            own: self.own_done,
        }
    }

    /// The same if the journal does not know it yet.
    pub fn take_unrecorded(&mut self) -> Option<Cursor> {
        let done = self.done();
        (done != self.journaled).then(|| {
            self.journaled = done.clone();
            done
        })
    }

    /// Takes up what a journal recorded.
    pub fn restore_cursor(&mut self, done: &Cursor) {
        self.cursor = self.cursor.max(done.seq);
        self.reached = self.reached.max(done.seq);
        self.own_done = self.own_done.max(done.own);
        self.journaled = done.clone();
    }

    /// Takes up what a journal, or the app itself, recorded as applied.
    pub fn restore(&mut self, position: &Position, chain: Option<Chain>) {
        if self.store_epoch == Some(position.store_epoch) && position.seq > self.cursor {
            self.cursor = position.seq;
            self.reached = self.reached.max(position.seq);
            self.known = None;
            if let Some(chain) = chain {
                self.remember(position.seq, chain);
            }
        }
        self.note_sender(position.sender, position.push_number);
    }

    /// The highest push number applied of a sender.
    pub fn note_sender(&mut self, sender: DeviceKey, push_number: u64) {
        if push_number > 0 {
            self.last_sender = Some(sender);
            let highest = self.applied.entry(sender).or_default();
            *highest = push_number.max(*highest);
            let highest = self.delivered_through.entry(sender).or_default();
            *highest = push_number.max(*highest);
        }
    }

    /// Whether this push was handed out before, under this seq or another.
    pub fn is_duplicate(&self, sender: &DeviceKey, push_number: u64) -> bool {
        self.delivered_through
            .get(sender)
            .is_some_and(|highest| push_number <= *highest)
    }

    /// Checks the running hash where seqs follow each other; elsewhere takes the relay's word.
    pub fn check_chain(
        &mut self,
        seq: u64,
        sender: &DeviceKey,
        sealed: &[u8],
        claimed: Chain,
    ) -> ChainCheck {
        let expected = self
            .known
            .filter(|(known, _)| known.checked_add(1) == Some(seq));
        let expected = expected.map(|(_, before)| chain::extend(&before, seq, sender, sealed));
        self.remember(seq, claimed);
        if expected.is_some_and(|expected| expected != claimed) {
            return ChainCheck::Mismatch;
        }
        ChainCheck::Consistent
    }

    /// This device's own push was given a seq: the running hash goes on through it.
    pub fn extend_own(&mut self, seq: u64, own: &DeviceKey, sealed: &[u8]) {
        if self.own_ahead.len() == CHAINS_MAX {
            self.own_ahead.pop_first();
        }
        self.own_ahead.insert(seq, (*own, chain::digest(sealed)));
        self.extend_over_own();
    }

    /// Others' envelopes may lie before own ones that were placed earlier.
    fn extend_over_own(&mut self) {
        while let Some((known, before)) = self.known
            && let Some(next) = known.checked_add(1)
            && let Some((own, digest)) = self.own_ahead.remove(&next)
        {
            self.note(next, chain::extend_by_digest(&before, next, &own, &digest));
        }
    }

    /// Compares with what another device saw.
    pub fn compare(&self, seq: u64, seen: &[u8]) -> ChainCheck {
        let known = self.recent.iter().rev().find(|(known, _)| *known == seq);
        match known {
            Some((_, chain)) if seen != chain.as_bytes() => ChainCheck::Mismatch,
            _ => ChainCheck::Consistent,
        }
    }

    fn remember(&mut self, seq: u64, chain: Chain) {
        self.note(seq, chain);
        while self
            .own_ahead
            .first_key_value()
            .is_some_and(|(own, _)| *own <= seq)
        {
            self.own_ahead.pop_first();
        }
        self.extend_over_own();
    }

    fn note(&mut self, seq: u64, chain: Chain) {
        self.known = Some((seq, chain));
        if self.recent.len() == CHAINS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((seq, chain));
    }

    /// Something was handed out: due until the app has applied it.
    pub fn deliver_to_app(&mut self, position: Position, chain: Option<Chain>, bytes: u64) {
        if position.push_number > 0 {
            self.delivered_through
                .insert(position.sender, position.push_number);
        }
        self.reached = self.reached.max(position.seq);
        self.pending_bytes += bytes;
        self.pending.push_back(Pending {
            position,
            chain,
            bytes,
            done: false,
        });
    }

    /// Everything up to `seq` that is not due is done with.
    pub fn skip(&mut self, seq: u64, bytes: u64) {
        self.reached = self.reached.max(seq);
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

    /// The app has applied this and everything handed out before it.
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

    /// Whether the app still has to apply what it was given at this position.
    pub fn is_due(&self, position: &Position) -> bool {
        self.pending
            .iter()
            .any(|pending| pending.position == *position)
    }

    /// This one alone is done with.
    pub fn finish(&mut self, position: &Position) {
        for pending in self
            .pending
            .iter_mut()
            .filter(|pending| pending.position == *position)
        {
            pending.done = true;
        }
    }

    /// Moves the cursor over all that is done with. Gives what to record, and the bytes freed.
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
                self.note_sender(position.sender, position.push_number);
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
        /// Deliveries of two senders with repeats; acknowledged through random positions.
        #[test]
        fn exactly_the_repeats_are_dropped_and_the_cursor_never_passes_what_is_due(
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
