//! Snapshots for devices that lack earlier changes.

use bytes::Bytes;

use crate::error::ClientError;
use crate::handle::Client;
use crate::task::Command;
use graceful_engine::engine::{Change, PushReceipt};
use graceful_protocol::DeviceKey;

impl Client {
    /// Sends the app's entire state, at most 100 MiB, to one device. Like any change it is durable
    /// here, chunked, and delivered whole.
    ///
    /// For a new device, take it after [`super::JoinRequest::accept`] or [`super::Event::Added`]. This
    /// device need not be up to date: the relay still delivers everything that this device has not
    /// acknowledged. The two overlap and leave nothing out, so the app must accept a change that
    /// the snapshot contains.
    ///
    /// # Errors
    /// [`ClientError::Push`]
    pub async fn send_snapshot(
        &self,
        device: DeviceKey,
        content: impl Into<Bytes>,
    ) -> Result<PushReceipt, ClientError> {
        self.push([Change::snapshot(device, content)]).await
    }

    /// Requests a snapshot from a device, or from the latest sender. That device finds
    /// [`super::Incoming::SnapshotRequest`] among its changes, and its answer arrives among the
    /// changes here. [`super::Gap::recommended_source`] names a device that certainly has what a
    /// gap lost.
    ///
    /// # Errors
    /// [`ClientError::Push`] if there is no such device.
    pub async fn request_snapshot(
        &self,
        from: Option<DeviceKey>,
    ) -> Result<PushReceipt, ClientError> {
        self.call(|reply| Command::RequestSnapshot(from, reply))
            .await
    }

    /// Returns own changes with a push number above `after` that this device still holds: all
    /// queued ones and the newest stored ones, each complete and with the number of its receipt.
    /// For an app that logs its pushes and may have crashed in between.
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn retained_changes(&self, after: u64) -> Result<Vec<(u64, Change)>, ClientError> {
        self.call(|reply| Command::RetainedChanges(after, reply))
            .await
    }
}
