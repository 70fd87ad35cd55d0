//! Reassembly of chunked changes. Chunks are kept until the last one arrives; the app gets only
//! complete changes.
//!
//! A sender's chunks have consecutive push numbers. Anything else from that sender under a later
//! number proves that the change will never complete. The app gets a gap at that point, or when
//! the last chunk arrives and others are missing. The fact is kept until the app has acknowledged it.

use bytes::Bytes;

use crate::inbox::Position;
use crate::record::{Chunk, ChunkRecord, Unfinished};
use crate::sealed::Part;
use graceful_protocol::DeviceKey;

/// Largest change or snapshot.
pub const CHANGE_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Most chunks of a change.
pub const CHANGE_PARTS_MAX: u32 = 8_192;
/// Most bytes of incomplete changes, over all senders.
pub const REASSEMBLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of a chunk group's id.
pub const GROUP_BYTES: usize = 16;

/// Returns whether a chunk's numbers are possible.
pub fn is_valid_chunk(part: &Part) -> bool {
    part.group.len() == GROUP_BYTES && part.index < part.count && part.count <= CHANGE_PARTS_MAX
}

/// The outcome of receiving a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// Stored: record it, then it is done.
    Stored(ChunkRecord),
    /// The change will never complete: record that, then it is done.
    Abandoned(ChunkRecord),
    /// Already known: it is done.
    Duplicate,
    /// The last chunk: the complete payload.
    Complete(Bytes),
    /// The last chunk, with others missing: first and last seq received.
    Incomplete(u64, u64),
}

/// The chunks of one change.
#[derive(Debug, Clone)]
struct Group {
    sender: DeviceKey,
    id: Bytes,
    count: u32,
    /// Push numbers of the newest chunk received, and of the last one expected.
    through: u64,
    last: u64,
    /// Seqs of the first and the newest chunk.
    from_seq: u64,
    through_seq: u64,
    /// In order from the first; empty if one is missing.
    parts: Vec<Bytes>,
    bytes: usize,
    /// The unapplied delivery for this change.
    delivery: Option<Position>,
}

/// All incomplete changes.
#[derive(Debug, Clone, Default)]
pub struct Reassembler {
    groups: Vec<Group>,
}

impl Reassembler {
    /// Handles an envelope of a sender. Returns the changes that it proves incomplete, as first and
    /// last seq. `delivery` is the position at which the app gets the gap.
    pub fn interrupted(
        &mut self,
        delivery: Position,
        push_number: u64,
        part: Option<&Part>,
    ) -> Vec<(u64, u64)> {
        let same = |group: &Group| part.is_some_and(|part| part.group == group.id);
        let over = self.groups.iter_mut().filter(|group| {
            group.sender == delivery.sender
                && group.delivery.is_none()
                && group.through < push_number
                && !same(group)
        });
        over.map(|group| {
            group.abandon();
            group.delivery = Some(delivery);
            group.seqs()
        })
        .collect()
    }

    /// Handles a chunk whose numbers were checked.
    pub fn receive(&mut self, position: &Position, part: &Part, content: Bytes) -> ChunkOutcome {
        let is_last = part.index + 1 == part.count;
        let at = self.find(&position.sender, &part.group);
        if at.is_some_and(|at| position.push_number <= self.groups[at].through) {
            return ChunkOutcome::Duplicate;
        }
        if part.index == 0 && is_last {
            return ChunkOutcome::Complete(content);
        }
        let fits = self.bytes() + content.len() <= REASSEMBLY_BYTES_MAX;
        match at {
            Some(at) if part.index > 0 => self.continue_group(at, position, part, content, fits),
            _ if part.index == 0 && fits => {
                self.start_group(position, part).push(content.clone());
                ChunkOutcome::Stored(ChunkRecord::Received(chunk(position, part, content)))
            }
            _ if is_last => ChunkOutcome::Incomplete(position.seq, position.seq),
            _ => ChunkOutcome::Abandoned(self.start_group(position, part).unfinished(false)),
        }
    }

    /// Starts a group. A sender that renumbered a change sends it again from the first chunk.
    fn start_group(&mut self, position: &Position, part: &Part) -> &mut Group {
        self.groups
            .retain(|group| group.sender != position.sender || group.id != part.group);
        self.groups.push(Group::new(position, part));
        self.groups.last_mut().expect("just pushed")
    }

    fn continue_group(
        &mut self,
        at: usize,
        position: &Position,
        part: &Part,
        content: Bytes,
        fits: bool,
    ) -> ChunkOutcome {
        let group = &mut self.groups[at];
        let follows = group.follows(position.push_number, part)
            && group.bytes + content.len() <= CHANGE_BYTES_MAX;
        let is_last = part.index + 1 == part.count;
        if follows && is_last {
            group.extend_to(position);
            group.delivery = Some(*position);
            return ChunkOutcome::Complete(group.assemble(&content));
        }
        group.extend_to(position);
        if follows && fits {
            group.push(content.clone());
            return ChunkOutcome::Stored(ChunkRecord::Received(chunk(position, part, content)));
        }
        let was_broken = group.parts.is_empty();
        group.abandon();
        if is_last {
            group.delivery = Some(*position);
            let (from, through) = group.seqs();
            return ChunkOutcome::Incomplete(from, through);
        }
        if was_broken {
            ChunkOutcome::Duplicate
        } else {
            ChunkOutcome::Abandoned(group.unfinished(false))
        }
    }

    /// Handles an applied change of a sender.
    pub fn applied(&mut self, sender: &DeviceKey, push_number: u64) {
        self.groups
            .retain(|group| group.sender != *sender || push_number < group.last);
    }

    /// Removes incomplete changes whose gap the app has acknowledged, and returns what to record.
    /// `is_due` tells whether the delivery at a position is unapplied.
    pub fn take_acknowledged(&mut self, is_due: impl Fn(&Position) -> bool) -> Vec<ChunkRecord> {
        let heard = |group: &mut Group| {
            group
                .delivery
                .is_some_and(|delivery| delivery.push_number == 0 && !is_due(&delivery))
        };
        let heard = self.groups.extract_if(.., heard);
        heard.map(|group| group.unfinished(true)).collect()
    }

    /// Handles a position recorded by the app. Earlier changes of this sender were delivered or
    /// reported.
    pub fn applied_by_app(&mut self, position: &Position) {
        let Position {
            seq,
            sender,
            push_number,
            ..
        } = *position;
        let before = |group: &Group| match push_number {
            0 => group.through_seq <= seq,
            number => group.through < number,
        };
        self.groups
            .retain(|group| group.sender != sender || !before(group));
    }

    /// Restores a recorded chunk. Returns whether it follows the ones before.
    pub fn restore(&mut self, position: &Position, part: &Part, content: Bytes) -> bool {
        if !is_valid_chunk(part) || part.index + 1 == part.count {
            return false;
        }
        if part.index == 0 {
            self.start_group(position, part).push(content);
            return true;
        }
        let Some(at) = self.find(&position.sender, &part.group) else {
            return false;
        };
        let group = &mut self.groups[at];
        let follows = group.follows(position.push_number, part);
        if follows {
            group.extend_to(position);
            group.push(content);
        }
        follows
    }

    /// Restores the record of an incomplete change.
    pub fn restore_unfinished(&mut self, sender: DeviceKey, unfinished: &Unfinished) {
        let known = |group: &Group| group.sender == sender && group.id == unfinished.group;
        self.groups.retain(|group| !known(group));
        if !unfinished.reported {
            self.groups.push(Group {
                sender,
                id: unfinished.group.clone(),
                count: 0,
                through: unfinished.through,
                last: unfinished.last,
                from_seq: unfinished.from_seq,
                through_seq: unfinished.through_seq,
                parts: Vec::new(),
                bytes: 0,
                delivery: None,
            });
        }
    }

    /// Returns the records for compaction.
    pub fn records(&self) -> impl Iterator<Item = ChunkRecord> + '_ {
        self.groups.iter().flat_map(|group| {
            let unfinished = group.parts.is_empty().then(|| group.unfinished(false));
            unfinished.into_iter().chain(group.chunks())
        })
    }

    /// Returns the bytes of all chunks held.
    pub fn bytes(&self) -> usize {
        self.groups.iter().map(|group| group.bytes).sum()
    }

    fn find(&self, sender: &DeviceKey, id: &Bytes) -> Option<usize> {
        self.groups
            .iter()
            .position(|group| group.sender == *sender && group.id == *id)
    }
}

impl Group {
    fn new(position: &Position, part: &Part) -> Self {
        let behind = u64::from(part.count.saturating_sub(part.index + 1));
        Self {
            sender: position.sender,
            id: part.group.clone(),
            count: part.count,
            through: position.push_number,
            last: position.push_number.saturating_add(behind),
            from_seq: position.seq,
            through_seq: position.seq,
            parts: Vec::new(),
            bytes: 0,
            delivery: None,
        }
    }

    fn follows(&self, push_number: u64, part: &Part) -> bool {
        let next = self.through.checked_add(1) == Some(push_number);
        next && !self.parts.is_empty()
            && part.index as usize == self.parts.len()
            && part.count == self.count
    }

    fn push(&mut self, content: Bytes) {
        self.bytes += content.len();
        self.parts.push(content);
    }

    fn extend_to(&mut self, position: &Position) {
        self.through = position.push_number;
        // Seqs restart in a new store epoch.
        self.from_seq = self.from_seq.min(position.seq);
        self.through_seq = position.seq;
    }

    fn abandon(&mut self) {
        self.parts = Vec::new();
        self.bytes = 0;
    }

    fn assemble(&self, last: &Bytes) -> Bytes {
        let mut whole = Vec::with_capacity(self.bytes + last.len());
        for part in self.parts.iter().chain([last]) {
            whole.extend_from_slice(part);
        }
        whole.into()
    }

    fn seqs(&self) -> (u64, u64) {
        (self.from_seq, self.through_seq)
    }

    fn unfinished(&self, reported: bool) -> ChunkRecord {
        ChunkRecord::Unfinished(Unfinished {
            sender: self.sender.to_wire(),
            group: self.id.clone(),
            through: self.through,
            last: self.last,
            from_seq: self.from_seq,
            through_seq: self.through_seq,
            reported,
        })
    }

    /// The chunks as recorded.
    fn chunks(&self) -> impl Iterator<Item = ChunkRecord> + '_ {
        (0..).zip(&self.parts).map(|(index, content): (u32, _)| {
            let behind = u64::from(self.count.saturating_sub(index + 1));
            ChunkRecord::Received(Chunk {
                sender: self.sender.to_wire(),
                push_number: self.last.saturating_sub(behind),
                seq: if index == 0 {
                    self.from_seq
                } else {
                    self.through_seq
                },
                part: Some(Part {
                    group: self.id.clone(),
                    index,
                    count: self.count,
                }),
                content: content.clone(),
            })
        })
    }
}

fn chunk(position: &Position, part: &Part, content: Bytes) -> Chunk {
    Chunk {
        sender: position.sender.to_wire(),
        push_number: position.push_number,
        seq: position.seq,
        part: Some(part.clone()),
        content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_protocol::StoreEpoch;

    const MIB: usize = 1024 * 1024;

    fn position(sender: u8, push_number: u64) -> Position {
        let (store_epoch, sender) = (StoreEpoch::new([1; 16]), DeviceKey::new([sender; 32]));
        Position {
            store_epoch,
            seq: push_number,
            sender,
            push_number,
        }
    }

    fn part(group: u8, index: u32, count: u32) -> Part {
        Part {
            group: vec![group; GROUP_BYTES].into(),
            index,
            count,
        }
    }

    /// Chunks that share one MiB of memory.
    fn mib() -> Bytes {
        vec![7; MIB].into()
    }

    #[test]
    fn unfinished_change_memory_is_bounded() {
        let (mut reassembler, content) = (Reassembler::default(), mib());
        let limit = (CHANGE_BYTES_MAX / MIB) as u32;
        for index in 0..limit {
            let number = u64::from(index) + 1;
            let taken = reassembler.receive(
                &position(1, number),
                &part(1, index, 8_000),
                content.clone(),
            );
            assert!(
                matches!(taken, ChunkOutcome::Stored(_)),
                "part {index}: {taken:?}"
            );
        }
        assert_eq!(reassembler.bytes(), CHANGE_BYTES_MAX);
        let number = u64::from(limit) + 1;
        let taken = reassembler.receive(&position(1, number), &part(1, limit, 8_000), content);
        assert!(matches!(taken, ChunkOutcome::Abandoned(_)), "{taken:?}");
        assert_eq!(reassembler.bytes(), 0);
    }

    #[test]
    fn reassembly_memory_of_all_senders_is_bounded() {
        let (mut reassembler, content) = (Reassembler::default(), mib());
        let mut broken = 0;
        for index in 0..60 {
            for sender in 1..=8 {
                let at = position(sender, u64::from(index) + 1);
                let taken = reassembler.receive(&at, &part(sender, index, 8_000), content.clone());
                broken += usize::from(matches!(taken, ChunkOutcome::Abandoned(_)));
                assert!(reassembler.bytes() <= REASSEMBLY_BYTES_MAX);
            }
        }
        assert!(
            broken > 0 && reassembler.bytes() > REASSEMBLY_BYTES_MAX / 2,
            "{broken}"
        );
    }

    #[test]
    fn chunk_with_impossible_numbers_is_invalid() {
        assert!(
            is_valid_chunk(&part(1, 0, 1))
                && is_valid_chunk(&part(1, CHANGE_PARTS_MAX - 1, CHANGE_PARTS_MAX))
        );
        for wrong in [
            part(1, 0, 0),
            part(1, 2, 2),
            part(1, 0, CHANGE_PARTS_MAX + 1),
        ] {
            assert!(!is_valid_chunk(&wrong), "{wrong:?}");
        }
        assert!(!is_valid_chunk(&Part {
            group: Bytes::new(),
            ..part(1, 0, 2)
        }));
    }

    /// Each of these after chunk 0 of 4 makes the change incomplete.
    #[test]
    fn chunk_out_of_order_abandons_the_change() {
        let strange = [
            (2, part(1, 2, 4)),
            (2, part(1, 1, 5)),
            (3, part(1, 1, 4)),
            (3, part(1, 2, 4)),
        ];
        for (number, strange) in strange {
            let mut reassembler = Reassembler::default();
            let first = reassembler.receive(&position(1, 1), &part(1, 0, 4), mib());
            assert!(matches!(first, ChunkOutcome::Stored(_)));
            let taken = reassembler.receive(&position(1, number), &strange, mib());
            assert!(
                matches!(taken, ChunkOutcome::Abandoned(_)),
                "{strange:?}: {taken:?}"
            );
            let taken = reassembler.receive(&position(1, number + 1), &part(1, 2, 4), mib());
            assert_eq!(taken, ChunkOutcome::Duplicate);
            let last = reassembler.receive(&position(1, number + 2), &part(1, 3, 4), mib());
            assert_eq!(last, ChunkOutcome::Incomplete(1, number + 2));
            assert_eq!(reassembler.bytes(), 0);
        }
    }

    #[test]
    fn reassembler_records_rebuild_its_state() {
        let mut reassembler = Reassembler::default();
        for index in 0..3 {
            let number = u64::from(index) + 5;
            reassembler.receive(&position(1, number), &part(1, index, 4), mib());
            reassembler.receive(&position(2, number), &part(2, index + 1, 5), mib());
        }
        let mut again = Reassembler::default();
        for record in reassembler.records() {
            match record {
                ChunkRecord::Received(piece) => {
                    let at = Position {
                        seq: piece.seq,
                        ..position(1, piece.push_number)
                    };
                    assert!(again.restore(&at, &piece.part.unwrap(), piece.content));
                }
                ChunkRecord::Unfinished(unfinished) => {
                    again.restore_unfinished(DeviceKey::new([2; 32]), &unfinished);
                }
            }
        }
        assert!(again.records().eq(reassembler.records()));
        assert_eq!(
            again.receive(&position(1, 6), &part(1, 1, 4), mib()),
            ChunkOutcome::Duplicate
        );
        let whole = again.receive(&position(1, 8), &part(1, 3, 4), mib());
        assert!(matches!(whole, ChunkOutcome::Complete(content) if content.len() == 4 * MIB));
        assert_eq!(
            again.receive(&position(2, 8), &part(2, 4, 5), mib()),
            ChunkOutcome::Incomplete(5, 8)
        );
    }
}
