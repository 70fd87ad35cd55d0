//! Changes that come in parts: kept until the last part is there, and never handed out before.
//!
//! A sender's parts have consecutive push numbers. So whatever comes from it under a later number
//! and is not the next part says that the change will never be whole; the app is told then, or when
//! the last part comes and others are missing. What was told stays known until the app has heard it.

use bytes::Bytes;

use super::inbox::Position;
use super::record::{Chunk, ChunkRecord, Unfinished};
use super::sealed::Part;
use graceful_protocol::DeviceKey;

/// Bytes of one change or snapshot, whole.
pub const CHANGE_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Parts of one change.
pub const CHANGE_PARTS_MAX: u32 = 8_192;
/// Bytes of parts that wait for their last one, of all senders together.
pub const REASSEMBLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of a group's name.
pub const GROUP_BYTES: usize = 16;

/// Whether these numbers can be of a part at all.
pub fn is_part(part: &Part) -> bool {
    part.group.len() == GROUP_BYTES && part.index < part.count && part.count <= CHANGE_PARTS_MAX
}

/// What a part leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// One more of several: to be recorded, then done with.
    Stored(ChunkRecord),
    /// Its change will never be whole: to be recorded, then done with.
    Abandoned(ChunkRecord),
    /// Nothing new: done with.
    Duplicate,
    /// The last one: the whole change.
    Complete(Bytes),
    /// The last one, and others are missing: first and last seq of what came.
    Incomplete(u64, u64),
}

/// The parts of one change.
#[derive(Debug, Clone)]
struct Group {
    sender: DeviceKey,
    id: Bytes,
    count: u32,
    /// Push numbers of the newest part that came, and of the last that there will be.
    through: u64,
    last: u64,
    /// Seqs of the first and the newest part.
    from_seq: u64,
    through_seq: u64,
    /// In order from the first on; empty if one is missing.
    parts: Vec<Bytes>,
    bytes: usize,
    /// What the app was given for it, and has not applied yet.
    given: Option<Position>,
}

/// All changes of which parts are here.
#[derive(Debug, Clone, Default)]
pub struct Reassembler {
    groups: Vec<Group>,
}

impl Reassembler {
    /// Something came from this sender. Gives the changes of which it says that they will never be
    /// whole, as first and last seq; `given` is the place at which the app is told.
    pub fn interrupted(
        &mut self,
        given: Position,
        push_number: u64,
        part: Option<&Part>,
    ) -> Vec<(u64, u64)> {
        let same = |group: &Group| part.is_some_and(|part| part.group == group.id);
        let over = self.groups.iter_mut().filter(|group| {
            group.sender == given.sender
                && group.given.is_none()
                && group.through < push_number
                && !same(group)
        });
        over.map(|group| {
            group.abandon();
            group.given = Some(given);
            group.seqs()
        })
        .collect()
    }

    /// Takes one part, which was checked to be one.
    pub fn take(&mut self, position: &Position, part: &Part, content: Bytes) -> ChunkOutcome {
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
                self.begin(position, part).push(content.clone());
                ChunkOutcome::Stored(ChunkRecord::Received(chunk(position, part, content)))
            }
            _ if is_last => ChunkOutcome::Incomplete(position.seq, position.seq),
            _ => ChunkOutcome::Abandoned(self.begin(position, part).unfinished(false)),
        }
    }

    /// With the first part that comes. Of a change that its sender numbered anew it comes again.
    fn begin(&mut self, position: &Position, part: &Part) -> &mut Group {
        self.groups
            .retain(|group| group.sender != position.sender || group.id != part.group);
        self.groups.push(Group::new(position, part));
        self.groups.last_mut().expect("one was pushed")
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
            group.reach(position);
            group.given = Some(*position);
            return ChunkOutcome::Complete(group.whole(&content));
        }
        group.reach(position);
        if follows && fits {
            group.push(content.clone());
            return ChunkOutcome::Stored(ChunkRecord::Received(chunk(position, part, content)));
        }
        let was_broken = group.parts.is_empty();
        group.abandon();
        if is_last {
            group.given = Some(*position);
            let (from, through) = group.seqs();
            return ChunkOutcome::Incomplete(from, through);
        }
        if was_broken {
            ChunkOutcome::Duplicate
        } else {
            ChunkOutcome::Abandoned(group.unfinished(false))
        }
    }

    /// The app has applied what this sender pushed under this number.
    pub fn applied(&mut self, sender: &DeviceKey, push_number: u64) {
        self.groups
            .retain(|group| group.sender != *sender || push_number < group.last);
    }

    /// Forgets those of which the app has heard that they will never be whole; gives what to record.
    /// `is_due` says whether the app still has to apply what it was given at a position.
    pub fn reported(&mut self, is_due: impl Fn(&Position) -> bool) -> Vec<ChunkRecord> {
        let heard = |group: &mut Group| {
            group
                .given
                .is_some_and(|given| given.push_number == 0 && !is_due(&given))
        };
        let heard = self.groups.extract_if(.., heard);
        heard.map(|group| group.unfinished(true)).collect()
    }

    /// The app says itself that it has heard up to here: what came before of this sender was given
    /// to it whole, or it was told.
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

    /// Takes in a part that was recorded. Whether it fits what was recorded before.
    pub fn restore(&mut self, position: &Position, part: &Part, content: Bytes) -> bool {
        if !is_part(part) || part.index + 1 == part.count {
            return false;
        }
        if part.index == 0 {
            self.begin(position, part).push(content);
            return true;
        }
        let Some(at) = self.find(&position.sender, &part.group) else {
            return false;
        };
        let group = &mut self.groups[at];
        let follows = group.follows(position.push_number, part);
        if follows {
            group.reach(position);
            group.push(content);
        }
        follows
    }

    /// Takes in what was recorded of a change that will never be whole.
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
                given: None,
            });
        }
    }

    /// What compaction writes: the parts, and what is known to be unfinished.
    pub fn records(&self) -> impl Iterator<Item = ChunkRecord> + '_ {
        self.groups.iter().flat_map(|group| {
            let unfinished = group.parts.is_empty().then(|| group.unfinished(false));
            unfinished.into_iter().chain(group.chunks())
        })
    }

    /// Bytes of all parts that are kept.
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
            given: None,
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

    fn reach(&mut self, position: &Position) {
        self.through = position.push_number;
        // Another history begins its seqs anew.
        self.from_seq = self.from_seq.min(position.seq);
        self.through_seq = position.seq;
    }

    fn abandon(&mut self) {
        self.parts = Vec::new();
        self.bytes = 0;
    }

    fn whole(&self, last: &Bytes) -> Bytes {
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

    /// Its parts as they were recorded.
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

    /// Parts that share one MiB of memory.
    fn mib() -> Bytes {
        vec![7; MIB].into()
    }

    #[test]
    fn a_member_that_never_ends_a_change_takes_no_more_than_a_change_may() {
        let (mut assemblies, content) = (Reassembler::default(), mib());
        let limit = (CHANGE_BYTES_MAX / MIB) as u32;
        for index in 0..limit {
            let number = u64::from(index) + 1;
            let taken = assemblies.take(
                &position(1, number),
                &part(1, index, 8_000),
                content.clone(),
            );
            assert!(
                matches!(taken, ChunkOutcome::Stored(_)),
                "part {index}: {taken:?}"
            );
        }
        assert_eq!(assemblies.bytes(), CHANGE_BYTES_MAX);
        let number = u64::from(limit) + 1;
        let taken = assemblies.take(&position(1, number), &part(1, limit, 8_000), content);
        assert!(matches!(taken, ChunkOutcome::Abandoned(_)), "{taken:?}");
        assert_eq!(assemblies.bytes(), 0);
    }

    #[test]
    fn many_members_together_take_no_more_than_all_may() {
        let (mut assemblies, content) = (Reassembler::default(), mib());
        let mut broken = 0;
        for index in 0..60 {
            for sender in 1..=8 {
                let at = position(sender, u64::from(index) + 1);
                let taken = assemblies.take(&at, &part(sender, index, 8_000), content.clone());
                broken += usize::from(matches!(taken, ChunkOutcome::Abandoned(_)));
                assert!(assemblies.bytes() <= REASSEMBLY_BYTES_MAX);
            }
        }
        assert!(
            broken > 0 && assemblies.bytes() > REASSEMBLY_BYTES_MAX / 2,
            "{broken}"
        );
    }

    #[test]
    fn parts_with_numbers_that_cannot_be_are_none() {
        assert!(
            is_part(&part(1, 0, 1)) && is_part(&part(1, CHANGE_PARTS_MAX - 1, CHANGE_PARTS_MAX))
        );
        for wrong in [
            part(1, 0, 0),
            part(1, 2, 2),
            part(1, 0, CHANGE_PARTS_MAX + 1),
        ] {
            assert!(!is_part(&wrong), "{wrong:?}");
        }
        assert!(!is_part(&Part {
            group: Bytes::new(),
            ..part(1, 0, 2)
        }));
    }

    /// Each of these after part 0 of 4 of a change means that it will never be whole.
    #[test]
    fn what_does_not_follow_breaks_a_change_for_good() {
        let strange = [
            (2, part(1, 2, 4)),
            (2, part(1, 1, 5)),
            (3, part(1, 1, 4)),
            (3, part(1, 2, 4)),
        ];
        for (number, strange) in strange {
            let mut assemblies = Reassembler::default();
            let first = assemblies.take(&position(1, 1), &part(1, 0, 4), mib());
            assert!(matches!(first, ChunkOutcome::Stored(_)));
            let taken = assemblies.take(&position(1, number), &strange, mib());
            assert!(
                matches!(taken, ChunkOutcome::Abandoned(_)),
                "{strange:?}: {taken:?}"
            );
            let taken = assemblies.take(&position(1, number + 1), &part(1, 2, 4), mib());
            assert_eq!(taken, ChunkOutcome::Duplicate);
            let last = assemblies.take(&position(1, number + 2), &part(1, 3, 4), mib());
            assert_eq!(last, ChunkOutcome::Incomplete(1, number + 2));
            assert_eq!(assemblies.bytes(), 0);
        }
    }

    #[test]
    fn what_was_recorded_leads_to_the_same_again() {
        let mut assemblies = Reassembler::default();
        for index in 0..3 {
            let number = u64::from(index) + 5;
            assemblies.take(&position(1, number), &part(1, index, 4), mib());
            assemblies.take(&position(2, number), &part(2, index + 1, 5), mib());
        }
        let mut again = Reassembler::default();
        for record in assemblies.records() {
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
        assert!(again.records().eq(assemblies.records()));
        assert_eq!(
            again.take(&position(1, 6), &part(1, 1, 4), mib()),
            ChunkOutcome::Duplicate
        );
        let whole = again.take(&position(1, 8), &part(1, 3, 4), mib());
        assert!(matches!(whole, ChunkOutcome::Complete(content) if content.len() == 4 * MIB));
        assert_eq!(
            again.take(&position(2, 8), &part(2, 4, 5), mib()),
            ChunkOutcome::Incomplete(5, 8)
        );
    }
}
