//! Receiving what comes in parts: on disk first, then done with; to the app when it is whole.

use bytes::Bytes;

use super::super::inbox::Position;
use super::super::reassembly::ChunkOutcome;
use super::super::record::{ChunkRecord, ChunkStep, Record};
use super::super::sealed::Part;
use super::receive::{GAP_BYTES, Opened};
use super::{ChangeKind, Engine, Gap, GapReason, Incoming, Output};

impl Engine {
    /// What came says of some changes that they will never be whole: the app hears of that before.
    pub(super) fn abandon_unfinished(&mut self, position: &Position, part: Option<&Part>) {
        // Everything before this one, which itself is still to be applied.
        let before = Position {
            seq: position.seq.saturating_sub(1),
            push_number: 0,
            ..*position
        };
        for (from, through) in
            self.state
                .reassembler
                .interrupted(before, position.push_number, part)
        {
            self.state.inbox.deliver_to_app(before, None, GAP_BYTES);
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
    pub(super) fn deliver_chunk(
        &mut self,
        opened: Opened,
        part: &Part,
        kind: ChangeKind,
        targeted: bool,
        bytes: u64,
    ) {
        let (position, chain) = (opened.position, opened.chain);
        let taken = self
            .state
            .reassembler
            .take(&position, part, opened.content.clone());
        self.state
            .inbox
            .deliver_to_app(position, Some(chain), bytes);
        match taken {
            ChunkOutcome::Stored(step) | ChunkOutcome::Abandoned(step) => {
                self.record_chunk(step);
                self.state.inbox.finish(&position);
            }
            ChunkOutcome::Duplicate => self.state.inbox.finish(&position),
            ChunkOutcome::Complete(content) => {
                self.deliver_change(Opened { content, ..opened }, kind, targeted)
            }
            ChunkOutcome::Incomplete(from, through) => {
                self.deliver_unfinished(position, from, through)
            }
        }
    }

    fn record_chunk(&mut self, step: ChunkRecord) {
        self.persist(Record::Chunk(ChunkStep { step: Some(step) }));
    }

    /// What the app has heard of is no longer known.
    pub(super) fn forget_reported(&mut self) {
        let inbox = &self.state.inbox;
        for step in self
            .state
            .reassembler
            .reported(|position| inbox.is_due(position))
        {
            self.record_chunk(step);
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
