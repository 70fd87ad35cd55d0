//! Snapshot requests.

use super::{Engine, PushError, PushReceipt};
use crate::record::Queued;
use crate::sealed::Kind;
use graceful_protocol::DeviceKey;

impl Engine {
    /// Requests a snapshot from the given device, or from the latest sender. The request is queued
    /// like a change.
    ///
    /// # Errors
    /// [`PushError`]
    pub fn request_snapshot(
        &mut self,
        from: Option<DeviceKey>,
        now_ms: u64,
    ) -> Result<PushReceipt, PushError> {
        self.now_ms = self.now_ms.max(now_ms);
        if let Some((_, message)) = &self.ended {
            return Err(PushError::Ended(message.clone()));
        }
        let device = match from {
            Some(device) if self.is_other_member(&device) => device,
            Some(_) => return Err(PushError::Recipient),
            None => self.default_snapshot_source().ok_or(PushError::Alone)?,
        };
        let push_number = self.state.outbox.next_number();
        let (kind, recipient) = (Kind::SnapshotRequest.into(), device.to_wire());
        self.queue(vec![Queued {
            push_number,
            kind,
            recipient,
            ..Queued::default()
        }]);
        self.drive();
        Ok(PushReceipt {
            first: push_number,
            last: push_number,
            numbers: vec![push_number],
        })
    }

    /// Prefers the latest sender, then the one that added this device, then any other.
    fn default_snapshot_source(&self) -> Option<DeviceKey> {
        let account = &self.state.account;
        let members = account
            .membership()
            .members()
            .iter()
            .map(|member| member.device);
        let candidates = [self.state.inbox.last_sender(), account.added_by()]
            .into_iter()
            .flatten();
        candidates
            .chain(members)
            .find(|device| self.is_other_member(device))
    }

    pub(super) fn is_other_member(&self, device: &DeviceKey) -> bool {
        let account = &self.state.account;
        *device != account.keys().device() && account.membership().member(device).is_some()
    }
}
