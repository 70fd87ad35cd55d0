//! The outbox: changes with their push numbers, until the relay has them on disk; and for a while
//! longer, because a relay restored from a backup may have lost what it had stored.

use std::collections::VecDeque;

use bytes::Bytes;

use super::recipients::Recipients;
use super::record::{Numbering, Queued};
use super::seal::sealed_size;
use graceful_protocol::Limits;

/// Bytes of content of stored changes that are kept in case the relay loses them.
pub const RETAINED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a Push around each envelope: tags, lengths, push number, recipient.
const ENVELOPE_EXTRA_BYTES: u64 = 64;
/// Bytes of a frame around its envelopes.
const FRAME_EXTRA_BYTES: u64 = 64;

/// What follows from where the relay says this device's pushes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushReconciliation {
    /// As expected.
    InSync,
    /// Some pushes were stored whose answer never arrived.
    Stored(u64),
    /// The relay lost pushes; all are still here and go again.
    Resend {
        /// First and last number.
        from: u64,
        /// First and last number.
        through: u64,
    },
    /// The relay lost pushes, and these are no longer here. Empty fillers take their numbers.
    Lost {
        /// First and last number.
        from: u64,
        /// First and last number.
        through: u64,
    },
    /// The relay has numbers that this profile never sent: the profile is a copy. What waits goes
    /// on behind them.
    Renumber {
        /// The number of the first waiting change now.
        first: u64,
    },
}

/// One envelope to seal: a number, and the change behind it unless that is lost.
pub type Slot<'a> = (u64, Option<&'a Queued>);

#[derive(Debug, Clone)]
struct InFlight {
    last: u64,
    sealed: Vec<Bytes>,
}

/// Changes in the order of their numbers, and what is on its way of them.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// The relay had everything up to here at some time.
    stored: u64,
    /// What it had of that in the history that it tells now, at least.
    confirmed: u64,
    /// The relay has everything up to here: less than `stored` when it went back to a backup.
    stored_through: u64,
    next: u64,
    changes: VecDeque<Queued>,
    retained_bytes: usize,
    /// Changes up to here may have been sent, on this connection or before.
    sending: u64,
    sent: u64,
    in_flight: VecDeque<InFlight>,
    /// After a refusal: the number before the refused one, once all answers are in.
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
    /// The number that the next change gets.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The relay had everything up to here; a relay that was restored may have less.
    pub fn ever_stored_through(&self) -> u64 {
        self.stored
    }

    /// The relay said that it has everything up to here, in the history that it tells now.
    pub fn confirmed_through(&self) -> u64 {
        self.confirmed
    }

    /// The relay tells another history: what it had in the old one says nothing about this one.
    pub fn start_epoch(&mut self) {
        self.confirmed = 0;
    }

    /// The relay has everything up to here, as far as is known.
    pub fn stored_through(&self) -> u64 {
        self.stored_through
    }

    /// The highest number that is on its way, or was answered, on this connection.
    pub fn sent_through(&self) -> u64 {
        self.sent
    }

    /// Changes that the relay does not have yet.
    pub fn waiting(&self) -> u64 {
        (self.next - 1).saturating_sub(self.stored_through)
    }

    /// Every change kept, stored ones first.
    pub fn changes(&self) -> impl Iterator<Item = &Queued> {
        self.changes.iter()
    }

    /// Whether answers to pushes of this connection are outstanding.
    pub fn awaits_answers(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// What a change for this recipient (empty: for all) follows: its readers should have that one.
    pub fn newest_for(&self, recipient: &Bytes) -> u64 {
        self.recipients.newest_for(recipient)
    }

    /// The newest push that is for every device.
    pub fn shared(&self) -> u64 {
        self.recipients.shared
    }

    /// Takes a change that has its number: the next one, or a later one. Whether it was taken.
    pub fn add(&mut self, change: Queued) -> bool {
        if change.push_number < self.next {
            return false;
        }
        self.next = change.push_number + 1;
        self.recipients.note(&change);
        if change.push_number <= self.stored {
            self.retained_bytes += change.content.len();
        }
        self.changes.push_back(change);
        true
    }

    /// Where numbering stands, as compaction wrote it down.
    pub fn set_numbering(&mut self, numbering: &Numbering) {
        self.stored = numbering.stored;
        self.stored_through = numbering.stored;
        self.next = numbering.next.max(1);
        self.sending = numbering.sending;
        self.confirmed = numbering.confirmed;
        self.recipients.shared = numbering.shared;
    }

    /// The relay has everything up to `number`. Whether that is news.
    pub fn stored(&mut self, number: u64) -> bool {
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

    /// A change that was cut goes whole, and not before all of it is stored: half of it would be of no
    /// use to anybody.
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

    /// Where the parts end that belong to the change at a position.
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

    /// Where the parts begin that belong to the change at a position.
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

    /// The relay's own numbering is ahead: what waits is numbered from `first` on. Of a change that
    /// was cut and is stored in part, all parts go again: their numbers must follow each other.
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
        // What the other copy pushed is not known: nothing is said to follow it.
        self.recipients = Recipients::default();
        for change in self.changes.range_mut(start..) {
            change.push_number = number;
            change.after = self.recipients.newest_for(&change.recipient);
            self.recipients.note(change);
            number += 1;
        }
        self.stored = first.saturating_sub(1);
        self.stored_through = self.stored;
        self.sending = self.stored;
        self.next = number;
    }

    /// Changes up to here may have been sent.
    pub fn sending_through(&self) -> u64 {
        self.sending
    }

    /// Changes up to here may have been sent, as a journal says.
    pub fn restore_sending(&mut self, number: u64) {
        self.sending = self.sending.max(number);
    }

    /// What is to be on disk before `last` is sent, if it is not there yet. All that is queued by now
    /// is named at once: a copy of the profile made later has the same changes under these numbers.
    pub fn reserve_sending(&mut self, last: u64) -> Option<u64> {
        if last <= self.sending {
            return None;
        }
        self.sending = self.next - 1;
        Some(self.sending)
    }

    /// Compares with what a welcome says. Changes nothing: the caller records, then applies.
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
        let kept = self
            .changes
            .iter()
            .find(|change| change.push_number > relay_number);
        let first = kept.map_or(self.next, |change| change.push_number);
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

    /// A connection begins: the next push is the one after what the relay has.
    pub fn restart(&mut self, relay_number: u64) {
        self.sent = relay_number;
        self.stored_through = relay_number;
        self.in_flight.clear();
        self.rewind_to = None;
    }

    /// What to push next within the relay's limits; empty when there is nothing, or answers must
    /// come first.
    pub fn next_batch(&self, limits: &Limits) -> Vec<Slot<'_>> {
        // Two stay free for requests that are not pushes.
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

    /// A batch is on its way.
    pub fn sent(&mut self, last: u64, sealed: Vec<Bytes>) {
        self.sent = last;
        self.in_flight.push_back(InFlight { last, sealed });
    }

    /// The relay answered `Stored`; gives the sealed form of `number` while it is still known.
    pub fn sealed(&self, number: u64) -> Option<&Bytes> {
        let sent = self.in_flight.iter().find(|sent| number <= sent.last)?;
        let first = sent.last + 1 - sent.sealed.len() as u64;
        sent.sealed
            .get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// `Stored` answers every push up to this number.
    pub fn answered(&mut self, number: u64) {
        while self
            .in_flight
            .front()
            .is_some_and(|sent| sent.last <= number)
        {
            self.in_flight.pop_front();
        }
        self.rewind();
    }

    /// A push was refused: go back to `number` when the answers to those behind it are in.
    pub fn refused(&mut self, number: u64) {
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

    /// Lets a change go that the relay can no longer take, with all its parts: fillers take their
    /// numbers.
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

    /// The number of the first part of the change behind a number.
    pub fn first_part(&self, number: u64) -> u64 {
        let first = self
            .position(number)
            .map(|position| self.group_start(position));
        first
            .and_then(|first| self.changes.get(first))
            .map_or(number, |change| change.push_number)
    }

    /// The change behind a number.
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

    use super::super::sealed::Part;
    use super::*;

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

    /// The content of each number, so that a renumbering would show.
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

    /// What the relay has, by number from 1 on, and the batches on their way to it.
    #[derive(Default)]
    struct Model {
        kept: Vec<Bytes>,
        wire: VecDeque<Vec<(u64, Bytes)>>,
    }

    impl Model {
        fn answer(&mut self, outbox: &mut Outbox, refuse: bool) {
            let Some(batch) = self.wire.pop_front() else {
                return;
            };
            let next = self.kept.len() as u64 + 1;
            if refuse || batch[0].0 > next {
                return outbox.refused(next.min(batch[0].0));
            }
            for (number, content) in batch {
                if number == self.kept.len() as u64 + 1 {
                    self.kept.push(content);
                }
            }
            outbox.answered(self.kept.len() as u64);
            outbox.stored(self.kept.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_reordered_or_renumbered(steps in steps()) {
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
                            outbox.sent(*last, vec![Bytes::new(); batch.len()]);
                            model.wire.push_back(batch);
                        }
                        prop_assert!(model.wire.len() <= 3, "two frames stay free for other requests");
                    }
                    Step::Answer => model.answer(&mut outbox, false),
                    Step::Refuse => model.answer(&mut outbox, true),
                    Step::Reconnect => {
                        model.wire.clear();
                        outbox.restart(model.kept.len() as u64);
                    }
                }
                prop_assert!(outbox.ever_stored_through() <= model.kept.len() as u64);
            }
            let rest = contents(&outbox.next_batch(&Limits::default()));
            model.kept.extend(rest.into_iter().map(|(_, content)| content));
            let all: Vec<_> = (1..=made).map(|number| change(number).content).collect();
            prop_assert_eq!(model.kept, all);
        }
    }

    #[test]
    fn what_a_restored_relay_lost_goes_again_or_is_told() {
        let mut outbox = Outbox::default();
        for number in 1..=4 {
            outbox.add(change(number));
        }
        outbox.stored(3);
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
        outbox.stored(2);
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

    /// Parts of one change under these numbers.
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
    fn a_cut_change_is_forgotten_whole_or_not_at_all() {
        let mut outbox = Outbox::default();
        let cut = parts(1..=5, RETAINED_BYTES_MAX / 2 - 1);
        for change in cut.into_iter().chain([change(6)]) {
            outbox.add(change);
        }
        outbox.stored(4);
        assert_eq!(
            numbers(&outbox),
            [1, 2, 3, 4, 5, 6],
            "it is not stored whole"
        );
        outbox.stored(5);
        assert_eq!(numbers(&outbox), [6]);
        outbox.stored(6);
        assert_eq!(numbers(&outbox), [6], "what fits is kept");
    }

    #[test]
    fn a_cut_change_is_let_go_whole() {
        let mut outbox = Outbox::default();
        for change in [change(1)]
            .into_iter()
            .chain(parts(2..=4, 9))
            .chain([change(5)])
        {
            outbox.add(change);
        }
        outbox.stored(2);
        assert_eq!(outbox.first_part(4), 2);
        outbox.drop_content(3);
        assert_eq!(numbers(&outbox), [1, 5]);
        assert_eq!(outbox.retained_bytes, 8);
    }

    #[test]
    fn a_cut_change_is_numbered_anew_whole() {
        let mut outbox = Outbox::default();
        for change in [change(1)]
            .into_iter()
            .chain(parts(2..=4, 9))
            .chain([change(5)])
        {
            outbox.add(change);
        }
        outbox.stored(3);
        outbox.renumber(20);
        assert_eq!(numbers(&outbox), [1, 20, 21, 22, 23]);
        assert_eq!((outbox.retained_bytes, outbox.waiting()), (8, 4));
    }
}
