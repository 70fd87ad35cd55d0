//! Chunking: splits large changes when pushing, and reassembles them when receiving. A received
//! chunk is persisted before it is acknowledged; the app gets only complete changes.

use bytes::Bytes;

use super::receive::{GAP_BYTES, Opened};
use super::{Change, ChangeKind, Engine, Gap, GapReason, Incoming, Output};
use crate::inbox::Position;
use crate::reassembly::{CHANGE_BYTES_MAX, CHANGE_PARTS_MAX, ChunkOutcome, GROUP_BYTES};
use crate::record::{ChunkRecord, ChunkStep, Queued, Record};
use crate::rng::random;
use crate::seal::content_bytes_max;
use crate::sealed::{Kind, Part};

/// Returns the largest change that fits envelopes of at most `envelope_bytes_max`.
pub(super) fn change_bytes_max(envelope_bytes_max: u64) -> usize {
    let part = content_bytes_max(envelope_bytes_max).unwrap_or(0);
    part.saturating_mul(CHANGE_PARTS_MAX as usize)
        .min(CHANGE_BYTES_MAX)
}

impl Engine {
    /// Splits a change into queued chunks, numbered from `first`. The caller has checked its size.
    /// The chunks are slices of the same buffer.
    pub(super) fn split(&mut self, change: Change, first: u64) -> Vec<Queued> {
        let part_bytes = content_bytes_max(self.limits.envelope_bytes_max).unwrap_or(0);
        let whole = Queued {
            push_number: first,
            kind: Kind::from(change.kind).into(),
            transaction_id: change.transaction_id,
            content: change.content,
            recipient: change
                .recipient
                .map(|device| device.to_wire())
                .unwrap_or_default(),
            ..Queued::default()
        };
        if whole.content.len() <= part_bytes {
            return vec![whole];
        }
        let group = random::<GROUP_BYTES>(&mut *self.rng);
        let count = whole.content.len().div_ceil(part_bytes);
        let count = u32::try_from(count).expect("a change has at most CHANGE_PARTS_MAX chunks");
        let part = |index: u32| {
            let from = index as usize * part_bytes;
            let through = whole.content.len().min(from + part_bytes);
            let part = Part {
                group: group.to_vec().into(),
                index,
                count,
            };
            Queued {
                push_number: first + u64::from(index),
                content: whole.content.slice(from..through),
                part: Some(part),
                ..whole.clone()
            }
        };
        (0..count).map(part).collect()
    }

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
    pub fn retained_changes(&self, after: u64) -> Vec<(u64, Change)> {
        let mut retained = Vec::new();
        let mut parts: Vec<Bytes> = Vec::new();
        for queued in self
            .state
            .outbox
            .changes()
            .filter(|queued| queued.push_number > after)
        {
            let Some(mut change) = Change::from_queued(queued) else {
                continue;
            };
            if let Some(part) = &queued.part {
                parts.push(change.content);
                if part.index + 1 < part.count {
                    continue;
                }
                change.content = std::mem::take(&mut parts).concat().into();
            }
            retained.push((queued.push_number, change));
        }
        retained
    }
}
