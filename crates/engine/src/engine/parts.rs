//! Receiving chunks. Each is persisted before it is acknowledged; the app gets the reassembled
//! change.

use bytes::Bytes;

use super::super::inbox::Position;
use super::super::reassembly::ChunkOutcome;
use super::super::record::{ChunkRecord, ChunkStep, Record};
use super::super::sealed::Part;
use super::receive::{GAP_BYTES, Opened};
use super::{ChangeKind, Engine, Gap, GapReason, Incoming, Output};

impl Engine {
    /// Reports changes that this envelope proves will never complete, before delivering it.
    pub(super) fn abandon_unfinished(&mut self, position: &Position, part: Option<&Part>) {
        // The position before this envelope, which is not applied yet.
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

    /// Receives one chunk. It may be acknowledged once persisted; the last one only when the app
    /// has applied the change.
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
            .receive(&position, part, opened.content.clone());
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

    /// Forgets unfinished changes whose gap the app has acknowledged.
    pub(super) fn forget_reported(&mut self) {
        let inbox = &self.state.inbox;
        for step in self
            .state
            .reassembler
            .take_acknowledged(|position| inbox.is_due(position))
        {
            self.record_chunk(step);
        }
    }

    /// Returns own changes still held after a push number: all queued ones and the newest stored
    /// ones, reassembled. Each has the number named in its receipt.
    pub fn retained_changes(&self, after: u64) -> Vec<(u64, super::Change)> {
        let mut kept = Vec::new();
        let mut parts: Vec<Bytes> = Vec::new();
        for queued in self
            .state
            .outbox
            .changes()
            .filter(|queued| queued.push_number > after)
        {
            let Some(mut change) = super::Change::from_queued(queued) else {
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
