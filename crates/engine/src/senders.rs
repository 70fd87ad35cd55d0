//! Per-sender state besides changes: reported gaps and the newest key epoch used.

use std::collections::BTreeMap;

use crate::record::{Sender, SenderKeyEpoch};
use graceful_protocol::DeviceKey;

/// The state of one sender.
#[derive(Debug, Clone, Copy, Default)]
struct SenderState {
    /// A gap after this push number was reported: the next push need not follow it.
    gap_after: Option<u64>,
    key_epoch: u32,
    /// The first push number seen in that key epoch.
    since: u64,
}

/// The state of every sender.
#[derive(Debug, Clone, Default)]
pub struct SenderStates(BTreeMap<DeviceKey, SenderState>);

impl SenderStates {
    /// Returns whether a push that names `after` skips one, given the `highest` push received.
    pub fn skips_push(&self, sender: &DeviceKey, highest: u64, after: u64) -> bool {
        let gap_after = self.0.get(sender).and_then(|known| known.gap_after);
        after > highest && gap_after.is_none_or(|gap_after| highest > gap_after)
    }

    /// Marks a reported gap after a push. Returns whether it is new.
    pub fn mark_gap(&mut self, sender: DeviceKey, push_number: u64) -> bool {
        let known = self.0.entry(sender).or_default();
        let is_new = known.gap_after < Some(push_number);
        known.gap_after = known.gap_after.max(Some(push_number));
        is_new
    }

    /// Returns whether a push uses an older key epoch than an earlier one.
    pub fn is_stale_key_epoch(&self, sender: &DeviceKey, push_number: u64, key_epoch: u32) -> bool {
        let known = self.0.get(sender);
        known.is_some_and(|known| key_epoch < known.key_epoch && push_number > known.since)
    }

    /// Records the key epoch of a push. Returns whether it is new.
    pub fn record_key_epoch(
        &mut self,
        sender: DeviceKey,
        push_number: u64,
        key_epoch: u32,
    ) -> bool {
        let known = self.0.entry(sender).or_default();
        let is_new = key_epoch > known.key_epoch;
        if is_new {
            (known.key_epoch, known.since) = (key_epoch, push_number);
        }
        is_new
    }

    /// Returns the key epochs for the journal.
    pub fn key_epochs(&self) -> impl Iterator<Item = SenderKeyEpoch> {
        let newer = self.0.iter().filter(|(_, known)| known.key_epoch > 0);
        newer.map(|(device, known)| SenderKeyEpoch {
            device: device.to_wire(),
            push_number: known.since,
            key_epoch: known.key_epoch,
        })
    }

    /// Returns the reported gaps for the journal.
    pub fn gaps(&self) -> Vec<Sender> {
        let gaps = self
            .0
            .iter()
            .filter_map(|(device, known)| Some((device, known.gap_after?)));
        let sender = |(device, push_number): (&DeviceKey, _)| Sender {
            device: device.to_wire(),
            push_number,
        };
        gaps.map(sender).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_push_is_detected_unless_gap_was_reported() {
        let (mut states, sender) = (SenderStates::default(), DeviceKey::new([1; 32]));
        assert!(!states.skips_push(&sender, 5, 5) && !states.skips_push(&sender, 5, 3));
        assert!(states.skips_push(&sender, 5, 6));
        assert!(
            states.mark_gap(sender, 5)
                && !states.mark_gap(sender, 5)
                && !states.mark_gap(sender, 4)
        );
        assert!(!states.skips_push(&sender, 5, 6));
        assert!(
            !states.skips_push(&sender, 3, 6),
            "after a crash, before all of it was applied"
        );
        assert!(states.skips_push(&sender, 7, 8), "the gap was before that");
    }

    #[test]
    fn sender_older_key_epoch_is_stale() {
        let (mut states, sender) = (SenderStates::default(), DeviceKey::new([1; 32]));
        assert!(!states.record_key_epoch(sender, 3, 0) && states.record_key_epoch(sender, 5, 2));
        assert!(!states.record_key_epoch(sender, 6, 2) && !states.record_key_epoch(sender, 6, 1));
        assert!(
            states.is_stale_key_epoch(&sender, 6, 1) && !states.is_stale_key_epoch(&sender, 6, 2)
        );
        assert!(
            !states.is_stale_key_epoch(&sender, 4, 1),
            "what came before may come again after a crash"
        );
    }
}
