//! Splits large changes into chunks. Each chunk gets its own envelope and push number.

use super::super::reassembly::{CHANGE_BYTES_MAX, CHANGE_PARTS_MAX, GROUP_BYTES};
use super::super::record::Queued;
use super::super::rng::random;
use super::super::seal::content_bytes_max;
use super::super::sealed::{Kind, Part};
use super::{Change, Engine};

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
}
