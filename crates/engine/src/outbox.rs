//! The outbox: changes with their push numbers until the relay has stored them. Recent ones are
//! retained longer, because a relay restored from a backup may have lost them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::recipients::Recipients;
use crate::record::{Numbering, Queued};
use crate::seal::sealed_size;
use graceful_protocol::Limits;

/// Most bytes of stored changes that are retained.
pub const RETAINED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Overhead of each envelope in a Push: tags, lengths, push number, recipient.
const ENVELOPE_EXTRA_BYTES: u64 = 64;
/// Overhead of a frame.
const FRAME_EXTRA_BYTES: u64 = 64;

/// What follows from the push number in the relay's welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushReconciliation {
    /// Both sides agree.
    InSync,
    /// The relay stored pushes whose answer was lost.
    Stored(u64),
    /// The relay lost pushes that are still here. They are sent again.
    Resend {
        /// First push number.
        from: u64,
        /// Last push number.
        through: u64,
    },
    /// The relay lost pushes that are no longer here. Empty fillers take their numbers.
    Lost {
        /// First push number.
        from: u64,
        /// Last push number.
        through: u64,
    },
    /// The relay has numbers that this profile never sent, so the profile is a copy. Queued changes
    /// get later numbers.
    Renumber {
        /// New push number of the first queued change.
        first: u64,
    },
}

/// One envelope to seal: its number, and its change unless that is lost.
pub type Slot<'a> = (u64, Option<&'a Queued>);

#[derive(Debug, Clone)]
struct InFlight {
    last: u64,
    sealed: Vec<Bytes>,
}

/// Queued and retained changes in push order, and the pushes in flight.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// The relay has stored everything through here at some time.
    stored: u64,
    /// The part of `stored` confirmed in the current store epoch.
    confirmed: u64,
    /// The relay has everything through here now. Less than `stored` after a restore.
    stored_through: u64,
    next: u64,
    changes: VecDeque<Queued>,
    retained_bytes: usize,
    /// Changes through here may have been sent, on any connection.
    sending: u64,
    sent: u64,
    in_flight: VecDeque<InFlight>,
    /// After a refusal: the number to resume after, once no push is in flight.
    rewind_to: Option<u64>,
    recipients: Recipients,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            stored: 0,
            confirmed: 0,
            stored_through: 0,
            next: 1,
            changes: VecDeque::new(),
            retained_bytes: 0,
            sending: 0,
            sent: 0,
            in_flight: VecDeque::new(),
            rewind_to: None,
            recipients: Recipients::default(),
        }
    }
}

impl Outbox {
    /// Returns the push number of the next change.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Returns the number through which the relay ever stored. After a restore it may have less.
    pub fn ever_stored_through(&self) -> u64 {
        self.stored
    }

    /// Returns the number through which the relay has stored in the current store epoch.
    pub fn confirmed_through(&self) -> u64 {
        self.confirmed
    }

    /// Starts a store epoch: confirmations of the old one do not count.
    pub fn start_epoch(&mut self) {
        self.confirmed = 0;
    }

    /// Returns the number through which the relay has stored, as far as known.
    pub fn stored_through(&self) -> u64 {
        self.stored_through
    }

    /// Returns the highest number sent on this connection.
    pub fn sent_through(&self) -> u64 {
        self.sent
    }

    /// Returns how many changes the relay has not stored.
    pub fn waiting(&self) -> u64 {
        (self.next - 1).saturating_sub(self.stored_through)
    }

    /// Iterates over all changes held, stored ones first.
    pub fn changes(&self) -> impl Iterator<Item = &Queued> {
        self.changes.iter()
    }

    /// Returns whether pushes of this connection are in flight.
    pub fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Returns the predecessor of a change for this recipient (empty: all devices), which its
    /// receivers should have.
    pub fn newest_for(&self, recipient: &Bytes) -> u64 {
        self.recipients.newest_for(recipient)
    }

    /// Returns the newest push for all devices.
    pub fn shared(&self) -> u64 {
        self.recipients.shared
    }

    /// Adds a change under its number, which must be the next or a later one. Returns whether it
    /// was added.
    pub fn add(&mut self, change: Queued) -> bool {
        if change.push_number < self.next {
            return false;
        }
        self.next = change.push_number + 1;
        self.recipients.record(&change);
        if change.push_number <= self.stored {
            self.retained_bytes += change.content.len();
        }
        self.changes.push_back(change);
        true
    }

    /// Restores the numbering written by compaction.
    pub fn set_numbering(&mut self, numbering: &Numbering) {
        self.stored = numbering.stored;
        self.stored_through = numbering.stored;
        self.next = numbering.next.max(1);
        self.sending = numbering.sending;
        self.confirmed = numbering.confirmed;
        self.recipients.shared = numbering.shared;
    }

    /// Records that the relay stored everything through `number`. Returns whether that is new.
    pub fn mark_stored(&mut self, number: u64) -> bool {
        let number = number.min(self.next - 1);
        self.stored_through = self.stored_through.max(number);
        self.confirmed = self.confirmed.max(number);
        if number <= self.stored {
            return false;
        }
        let newly = self
            .changes
            .iter()
            .filter(|change| change.push_number > self.stored);
        let newly = newly.take_while(|change| change.push_number <= number);
        self.retained_bytes += newly.map(|change| change.content.len()).sum::<usize>();
        self.stored = number;
        self.evict_oldest();
        true
    }

    /// A chunked change is evicted whole, and only when all chunks are stored: a part of it is
    /// useless.
    fn evict_oldest(&mut self) {
        while self.retained_bytes > RETAINED_BYTES_MAX {
            let oldest = 0..self.group_end(0);
            let stored = |change: &Queued| change.push_number <= self.stored;
            if oldest.is_empty() || !self.changes.range(oldest.clone()).all(stored) {
                return;
            }
            let forgotten = self.changes.drain(oldest);
            self.retained_bytes -= forgotten.map(|change| change.content.len()).sum::<usize>();
        }
    }

    /// Returns the end of the chunks that belong to the change at `position`.
    fn group_end(&self, position: usize) -> usize {
        let Some(change) = self.changes.get(position) else {
            return position;
        };
        let behind = self.changes.range(position + 1..);
        position
            + 1
            + behind
                .take_while(|other| is_same_change(change, other))
                .count()
    }

    /// Returns the start of the chunks that belong to the change at `position`.
    fn group_start(&self, position: usize) -> usize {
        let Some(change) = self.changes.get(position) else {
            return position;
        };
        let before = self.changes.range(..position).rev();
        position
            - before
                .take_while(|other| is_same_change(change, other))
                .count()
    }

    /// Renumbers queued changes from `first`, because the relay's numbering is ahead. A partly
    /// stored chunked change is sent again whole: its numbers must be consecutive.
    pub fn renumber(&mut self, first: u64) {
        let waiting = self
            .changes
            .partition_point(|change| change.push_number <= self.stored);
        let start = self.group_start(waiting);
        let again = self
            .changes
            .range(start..waiting)
            .map(|change| change.content.len());
        self.retained_bytes -= again.sum::<usize>();
        let mut number = first;
        // The other copy's pushes are unknown, so no predecessor is claimed.
        self.recipients = Recipients::default();
        for change in self.changes.range_mut(start..) {
            change.push_number = number;
            change.after = self.recipients.newest_for(&change.recipient);
            self.recipients.record(change);
            number += 1;
        }
        self.stored = first.saturating_sub(1);
        self.stored_through = self.stored;
        self.sending = self.stored;
        self.next = number;
    }

    /// Returns the number through which changes may have been sent.
    pub fn sending_through(&self) -> u64 {
        self.sending
    }

    /// Restores the number through which changes may have been sent.
    pub fn restore_sending(&mut self, number: u64) {
        self.sending = self.sending.max(number);
    }

    /// Returns the number to persist before `last` is sent, if any. It covers everything queued, so
    /// that a later copy of the profile has the same changes under these numbers.
    pub fn reserve_sending(&mut self, last: u64) -> Option<u64> {
        if last <= self.sending {
            return None;
        }
        self.sending = self.next - 1;
        Some(self.sending)
    }

    /// Compares the numbering with a welcome. Changes nothing: the caller records first.
    pub fn reconcile(&self, relay_number: u64) -> PushReconciliation {
        if relay_number > self.sending.max(self.stored) {
            return PushReconciliation::Renumber {
                first: relay_number.saturating_add(1),
            };
        }
        if relay_number > self.stored {
            return PushReconciliation::Stored(relay_number);
        }
        if relay_number == self.stored {
            return PushReconciliation::InSync;
        }
        let retained = self
            .changes
            .iter()
            .find(|change| change.push_number > relay_number);
        let first = retained.map_or(self.next, |change| change.push_number);
        if first > relay_number + 1 {
            PushReconciliation::Lost {
                from: relay_number + 1,
                through: (first - 1).min(self.stored),
            }
        } else {
            PushReconciliation::Resend {
                from: relay_number + 1,
                through: self.stored,
            }
        }
    }

    /// Starts a connection: the next push follows what the relay has.
    pub fn restart(&mut self, relay_number: u64) {
        self.sent = relay_number;
        self.stored_through = relay_number;
        self.in_flight.clear();
        self.rewind_to = None;
    }

    /// Returns the next changes to push within the relay's limits, or nothing while answers must
    /// come first.
    pub fn next_batch(&self, limits: &Limits) -> Vec<Slot<'_>> {
        // Two frames stay available for other requests.
        let ahead = (limits.in_flight_frames_max as usize)
            .saturating_sub(2)
            .max(1);
        if self.rewind_to.is_some() || self.in_flight.len() >= ahead {
            return Vec::new();
        }
        let mut bytes = FRAME_EXTRA_BYTES;
        let mut batch = Vec::new();
        let mut position = self
            .changes
            .partition_point(|change| change.push_number <= self.sent);
        for number in self.sent + 1..self.next {
            let change = self
                .changes
                .get(position)
                .filter(|change| change.push_number == number);
            position += usize::from(change.is_some());
            let content = change.map_or(0, |change| change.content.len());
            bytes += sealed_size(content) as u64 + ENVELOPE_EXTRA_BYTES;
            let full = batch.len() >= limits.push_envelopes_max.max(1) as usize;
            if !batch.is_empty() && (full || bytes > limits.frame_bytes_max) {
                break;
            }
            batch.push((number, change));
        }
        batch
    }

    /// Records a batch as in flight.
    pub fn mark_sent(&mut self, last: u64, sealed: Vec<Bytes>) {
        self.sent = last;
        self.in_flight.push_back(InFlight { last, sealed });
    }

    /// Returns the sealed bytes of `number` while it is in flight.
    pub fn sealed(&self, number: u64) -> Option<&Bytes> {
        let sent = self.in_flight.iter().find(|sent| number <= sent.last)?;
        let first = sent.last + 1 - sent.sealed.len() as u64;
        sent.sealed
            .get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// Completes all pushes through this number.
    pub fn complete_through(&mut self, number: u64) {
        while self
            .in_flight
            .front()
            .is_some_and(|sent| sent.last <= number)
        {
            self.in_flight.pop_front();
        }
        self.rewind();
    }

    /// Handles a refused push: resumes at `number` when no later push is in flight.
    pub fn handle_refusal(&mut self, number: u64) {
        self.in_flight.pop_front();
        let before = number.saturating_sub(1).min(self.sent);
        self.rewind_to = Some(
            self.rewind_to
                .map_or(before, |rewind_to| rewind_to.min(before)),
        );
        self.rewind();
    }

    fn rewind(&mut self) {
        if self.in_flight.is_empty()
            && let Some(rewind_to) = self.rewind_to.take()
        {
            self.sent = rewind_to;
        }
    }

    /// Drops a change with all its chunks. Fillers take their numbers.
    pub fn drop_content(&mut self, number: u64) {
        let Some(position) = self.position(number) else {
            return;
        };
        let parts = self.group_start(position)..self.group_end(position);
        for change in self.changes.drain(parts) {
            if change.push_number <= self.stored {
                self.retained_bytes -= change.content.len();
            }
        }
    }

    /// Returns the push number of the first chunk of a change.
    pub fn first_part(&self, number: u64) -> u64 {
        let first = self
            .position(number)
            .map(|position| self.group_start(position));
        first
            .and_then(|first| self.changes.get(first))
            .map_or(number, |change| change.push_number)
    }

    /// Returns the change with this number.
    pub fn change(&self, number: u64) -> Option<&Queued> {
        self.changes.get(self.position(number)?)
    }

    fn position(&self, number: u64) -> Option<usize> {
        let position = self
            .changes
            .partition_point(|change| change.push_number < number);
        let known = self
            .changes
            .get(position)
            .is_some_and(|change| change.push_number == number);
        known.then_some(position)
    }
}

fn is_same_change(one: &Queued, other: &Queued) -> bool {
    match (&one.part, &other.part) {
        (Some(one), Some(other)) => one.group == other.group,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sealed::Part;

    #[derive(Debug, Clone)]
    enum Step {
        Add,
        Send,
        Answer,
        Refuse,
        Reconnect,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Add),
            4 => Just(Step::Send),
            3 => Just(Step::Answer),
            1 => Just(Step::Refuse),
            1 => Just(Step::Reconnect),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// A change whose payload is its number, so that a renumbering shows.
    fn change(push_number: u64) -> Queued {
        let content = push_number.to_be_bytes().to_vec().into();
        Queued {
            push_number,
            content,
            ..Queued::default()
        }
    }

    fn contents(batch: &[Slot<'_>]) -> Vec<(u64, Bytes)> {
        batch
            .iter()
            .map(|(number, change)| (*number, change.unwrap().content.clone()))
            .collect()
    }

    /// The relay's stored pushes by number, and the batches in flight.
    #[derive(Default)]
    struct Model {
        stored: Vec<Bytes>,
        wire: VecDeque<Vec<(u64, Bytes)>>,
    }

    impl Model {
        fn answer(&mut self, outbox: &mut Outbox, refuse: bool) {
            let Some(batch) = self.wire.pop_front() else {
                return;
            };
            let next = self.stored.len() as u64 + 1;
            if refuse || batch[0].0 > next {
                return outbox.handle_refusal(next.min(batch[0].0));
            }
            for (number, content) in batch {
                if number == self.stored.len() as u64 + 1 {
                    self.stored.push(content);
                }
            }
            outbox.complete_through(self.stored.len() as u64);
            outbox.mark_stored(self.stored.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn outbox_loses_reorders_and_renumbers_nothing(steps in steps()) {
            let limits = Limits { push_envelopes_max: 3, in_flight_frames_max: 5, ..Limits::default() };
            let (mut outbox, mut model, mut made) = (Outbox::default(), Model::default(), 0);
            for step in steps.into_iter().chain([Step::Reconnect]) {
                match step {
                    Step::Add => {
                        made += 1;
                        prop_assert_eq!(outbox.next_number(), made);
                        prop_assert!(outbox.add(change(made)) && !outbox.add(change(made)));
                    }
                    Step::Send => {
                        let batch = contents(&outbox.next_batch(&limits));
                        if let Some((last, _)) = batch.last() {
                            prop_assert!(batch.len() <= 3);
                            outbox.mark_sent(*last, vec![Bytes::new(); batch.len()]);
                            model.wire.push_back(batch);
                        }
                        prop_assert!(model.wire.len() <= 3, "two frames stay free for other requests");
                    }
                    Step::Answer => model.answer(&mut outbox, false),
                    Step::Refuse => model.answer(&mut outbox, true),
                    Step::Reconnect => {
                        model.wire.clear();
                        outbox.restart(model.stored.len() as u64);
                    }
                }
                prop_assert!(outbox.ever_stored_through() <= model.stored.len() as u64);
            }
            let rest = contents(&outbox.next_batch(&Limits::default()));
            model.stored.extend(rest.into_iter().map(|(_, content)| content));
            let all: Vec<_> = (1..=made).map(|number| change(number).content).collect();
            prop_assert_eq!(model.stored, all);
        }
    }

    #[test]
    fn outbox_reconciles_with_restored_relay() {
        let mut outbox = Outbox::default();
        for number in 1..=4 {
            outbox.add(change(number));
        }
        outbox.mark_stored(3);
        assert_eq!(outbox.reconcile(3), PushReconciliation::InSync);
        assert_eq!(
            outbox.reconcile(4),
            PushReconciliation::Renumber { first: 5 },
            "it was never sent from here"
        );
        assert_eq!(
            (outbox.reserve_sending(4), outbox.reserve_sending(4)),
            (Some(4), None)
        );
        assert_eq!(outbox.reconcile(4), PushReconciliation::Stored(4));
        assert_eq!(
            outbox.reconcile(1),
            PushReconciliation::Resend {
                from: 2,
                through: 3
            }
        );
        assert_eq!(
            outbox.reconcile(9),
            PushReconciliation::Renumber { first: 10 }
        );
        outbox.drop_content(1);
        assert_eq!(
            outbox.reconcile(0),
            PushReconciliation::Lost {
                from: 1,
                through: 1
            }
        );
        assert_eq!(outbox.waiting(), 1);
        outbox.restart(0);
        assert_eq!(outbox.waiting(), 4, "what goes again is waited for");
        outbox.mark_stored(2);
        assert_eq!((outbox.waiting(), outbox.ever_stored_through()), (2, 3));
        outbox.restart(0);
        let batch = outbox.next_batch(&Limits::default());
        let batch: Vec<_> = batch
            .iter()
            .map(|(number, change)| (*number, change.is_some()))
            .collect();
        assert_eq!(batch, [(1, false), (2, true), (3, true), (4, true)]);
        outbox.renumber(10);
        assert_eq!((outbox.waiting(), outbox.next_number()), (1, 11));
        assert!(outbox.change(10).is_some());
    }

    /// The chunks of one change under these numbers.
    fn parts(numbers: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<Queued> {
        let (group, count) = (
            Bytes::from(vec![7; 16]),
            (numbers.end() + 1 - numbers.start()) as u32,
        );
        let part = |(index, push_number)| Queued {
            push_number,
            content: vec![0; bytes].into(),
            part: Some(Part {
                group: group.clone(),
                index,
                count,
            }),
            ..Queued::default()
        };
        (0..).zip(numbers).map(part).collect()
    }

    fn numbers(outbox: &Outbox) -> Vec<u64> {
        outbox.changes().map(|change| change.push_number).collect()
    }

    #[test]
    fn chunked_change_is_evicted_whole() {
        let mut outbox = Outbox::default();
        let cut = parts(1..=5, RETAINED_BYTES_MAX / 2 - 1);
        for change in cut.into_iter().chain([change(6)]) {
            outbox.add(change);
        }
        outbox.mark_stored(4);
        assert_eq!(
            numbers(&outbox),
            [1, 2, 3, 4, 5, 6],
            "it is not stored whole"
        );
        outbox.mark_stored(5);
        assert_eq!(numbers(&outbox), [6]);
        outbox.mark_stored(6);
        assert_eq!(numbers(&outbox), [6], "what fits is retained");
    }

    #[test]
    fn chunked_change_is_dropped_whole() {
        let mut outbox = Outbox::default();
        for change in [change(1)]
            .into_iter()
            .chain(parts(2..=4, 9))
            .chain([change(5)])
        {
            outbox.add(change);
        }
        outbox.mark_stored(2);
        assert_eq!(outbox.first_part(4), 2);
        outbox.drop_content(3);
        assert_eq!(numbers(&outbox), [1, 5]);
        assert_eq!(outbox.retained_bytes, 8);
    }

    #[test]
    fn chunked_change_is_renumbered_whole() {
        let mut outbox = Outbox::default();
        for change in [change(1)]
            .into_iter()
            .chain(parts(2..=4, 9))
            .chain([change(5)])
        {
            outbox.add(change);
        }
        outbox.mark_stored(3);
        outbox.renumber(20);
        assert_eq!(numbers(&outbox), [1, 20, 21, 22, 23]);
        assert_eq!((outbox.retained_bytes, outbox.waiting()), (8, 4));
    }
}
