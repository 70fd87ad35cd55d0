//! Receiving what comes in parts: on disk first, then done with; to the app when it is whole.

use bytes::Bytes;

use super::super::assembly::Taken;
use super::super::inbox::Position;
use super::super::record::{Parts, PartsRecord, Record};
use super::super::sealed::Part;
use super::receive::{GAP_BYTES, Opened};
use super::{ChangeKind, Engine, Gap, GapReason, Incoming, Output};

impl Engine {
    /// What came says of some changes that they will never be whole: the app hears of that before.
    pub(super) fn give_up_unfinished(&mut self, position: &Position, part: Option<&Part>) {
        // Everything before this one, which itself is still to be applied.
        let before = Position {
            seq: position.seq.saturating_sub(1),
            push_number: 0,
            ..*position
        };
        for (from, through) in self
            .state
            .assemblies
            .interrupted(before, position.push_number, part)
        {
            self.state.inbox.hand_out(before, None, GAP_BYTES);
            self.deliver_unfinished(before, from, through);
        }
    }

    fn deliver_unfinished(&mut self, position: Position, from: u64, through: u64) {
        let gap = Gap {
            position,
            from: from.min(through),
            through,
            reason: GapReason::Unfinished,
        };
        self.outputs.push_back(Output::Deliver(Incoming::Gap(gap)));
    }

    /// Takes one part of a change. It may be acknowledged when it is on disk; the last one, like any
    /// change, when the app has applied it.
    pub(super) fn hand_out_part(
        &mut self,
        opened: Opened,
        part: &Part,
        kind: ChangeKind,
        addressed: bool,
        bytes: u64,
    ) {
        let (position, chain) = (opened.position, opened.chain);
        let taken = self
            .state
            .assemblies
            .take(&position, part, opened.content.clone());
        self.state.inbox.hand_out(position, Some(chain), bytes);
        match taken {
            Taken::Kept(step) | Taken::Broken(step) => {
                self.record_parts(step);
                self.state.inbox.finish(&position);
            }
            Taken::Known => self.state.inbox.finish(&position),
            Taken::Whole(content) => {
                self.deliver_change(Opened { content, ..opened }, kind, addressed)
            }
            Taken::Missing(from, through) => self.deliver_unfinished(position, from, through),
        }
    }

    fn record_parts(&mut self, step: PartsRecord) {
        self.persist(Record::Parts(Parts { step: Some(step) }));
    }

    /// What the app has heard of is no longer known.
    pub(super) fn forget_told(&mut self) {
        let inbox = &self.state.inbox;
        for step in self
            .state
            .assemblies
            .told(|position| inbox.is_due(position))
        {
            self.record_parts(step);
        }
    }

    /// Own changes that are still here, put together again, from this push number on: those that
    /// wait, and the newest of those that are stored. Each with the number that its receipt named.
    pub fn kept_changes(&self, after: u64) -> Vec<(u64, super::Change)> {
        let mut kept = Vec::new();
        let mut parts: Vec<Bytes> = Vec::new();
        for queued in self
            .state
            .outbox
            .changes()
            .filter(|queued| queued.push_number > after)
        {
            let Some(mut change) = super::Change::of(queued) else {
                continue;
            };
            if let Some(part) = &queued.part {
                parts.push(change.content);
                if part.index + 1 < part.count {
                    continue;
                }
                change.content = std::mem::take(&mut parts).concat().into();
            }
            kept.push((queued.push_number, change));
        }
        kept
    }
}
