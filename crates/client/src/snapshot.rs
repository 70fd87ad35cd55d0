//! What a device that lacks the past is given: a snapshot, targeted to it alone.

use bytes::Bytes;

use super::error::ClientError;
use super::handle::Client;
use super::task::Command;
use graceful_engine::engine::{Change, PushReceipt};
use graceful_protocol::DeviceKey;

impl Client {
    /// Gives one device of the account the app's whole state, up to 100 MiB, as a change like any
    /// other: durable here, cut into parts, delivered whole to that device alone.
    ///
    /// For a device that joined, it is taken after [`super::JoinAsk::accept`], or the event
    /// [`super::Event::Added`]. This device need not have received everything first: what it has not
    /// acknowledged by then is still at the relay, and reaches the new one by itself. So the two
    /// overlap, and leave nothing out: the app must be able to take a change that the snapshot has.
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

    /// Asks a device for a snapshot: the named one, or that which was heard last. It is asked as
    /// soon as it comes, and finds [`super::Incoming::SnapshotRequest`] among its changes; the answer
    /// comes among the changes here. Asked after a gap was told, it has all that the gap took, if
    /// that device has it; [`super::Gap::whom_to_ask`] says whether one has it for certain.
    ///
    /// # Errors
    /// [`ClientError::Push`] if there is no such other device.
    pub async fn request_snapshot(
        &self,
        from: Option<DeviceKey>,
    ) -> Result<PushReceipt, ClientError> {
        self.ask(|reply| Command::RequestSnapshot(from, reply))
            .await
    }

    /// Own changes with a number above `after` that this device still holds: those that wait, and the
    /// newest of those that are stored. For an app that keeps a record of what it pushed, and may have
    /// been interrupted between the two. Each is whole, and has the number that its receipt named.
    ///
    /// # Errors
    /// [`ClientError::Closed`]
    pub async fn kept_changes(&self, after: u64) -> Result<Vec<(u64, Change)>, ClientError> {
        self.ask(|reply| Command::KeptChanges(after, reply)).await
    }
}
