//! Large changes are cut: each part goes into an envelope of its own, under its own push number.

use super::super::reassembly::{CHANGE_BYTES_MAX, CHANGE_PARTS_MAX, GROUP_BYTES};
use super::super::record::Queued;
use super::super::rng::random;
use super::super::seal::content_bytes_max;
use super::super::sealed::{Kind, Part};
use super::{Change, Engine};

/// The largest change that can be pushed through envelopes of at most so many bytes.
pub(super) fn change_bytes_max(envelope_bytes_max: u64) -> usize {
    let part = content_bytes_max(envelope_bytes_max).unwrap_or(0);
    part.saturating_mul(CHANGE_PARTS_MAX as usize)
        .min(CHANGE_BYTES_MAX)
}

impl Engine {
    /// One change as it waits for the relay, from this number on; it was measured before. The parts
    /// are slices of the one content.
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
        let count = u32::try_from(count).expect("a change has at most CHANGE_PARTS_MAX parts");
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
}
