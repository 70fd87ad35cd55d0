//! The app's side of the engine: changes to push and changes received.

use bytes::Bytes;

use crate::inbox::Position;
use crate::record::Queued;
use crate::sealed::Kind;
use graceful_protocol::DeviceKey;
use graceful_protocol::wire::gap::Reason;

/// A change to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The app's identifier of the change, at most 64 bytes; encrypted.
    pub transaction_id: String,
    /// The payload, encrypted, at most 100 MiB. A payload larger than one envelope is split into
    /// chunks and reassembled by the receiver.
    pub content: Bytes,
    /// Whether this is a change or a snapshot.
    pub kind: ChangeKind,
    /// The only receiving device; `None` means every other device of the account.
    pub recipient: Option<DeviceKey>,
}

impl Change {
    /// Creates a change for every other device.
    pub fn new(transaction_id: impl Into<String>, content: impl Into<Bytes>) -> Self {
        let (transaction_id, content) = (transaction_id.into(), content.into());
        Self {
            transaction_id,
            content,
            kind: ChangeKind::Change,
            recipient: None,
        }
    }

    /// Creates a snapshot of the app's state for one device.
    pub fn snapshot(recipient: DeviceKey, content: impl Into<Bytes>) -> Self {
        let (kind, recipient) = (ChangeKind::Snapshot, Some(recipient));
        Self {
            kind,
            recipient,
            ..Self::new("snapshot", content)
        }
    }

    /// Converts a queued change back. Returns `None` for messages of this library.
    pub(super) fn from_queued(queued: &Queued) -> Option<Self> {
        let kind = match Kind::try_from(queued.kind) {
            Ok(Kind::Change) => ChangeKind::Change,
            Ok(Kind::Snapshot) => ChangeKind::Snapshot,
            _ => return None,
        };
        Some(Self {
            transaction_id: queued.transaction_id.clone(),
            content: queued.content.clone(),
            kind,
            recipient: DeviceKey::try_from(&*queued.recipient).ok(),
        })
    }
}

/// The meaning of a payload to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// One change.
    Change,
    /// The app's entire state, for a device that lacks earlier changes.
    Snapshot,
}

impl From<ChangeKind> for Kind {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Change => Self::Change,
            ChangeKind::Snapshot => Self::Snapshot,
        }
    }
}

/// An item delivered to the app, in order. The app applies each and acknowledges its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A change of another device.
    Change(Received),
    /// Changes that will never arrive. The app's state lacks them until it gets a snapshot.
    /// [`super::Engine::request_snapshot`] requests one, preferably from
    /// [`Gap::recommended_source`].
    Gap(Gap),
    /// A device requests a snapshot for itself. Take the snapshot before acknowledging this
    /// position.
    SnapshotRequest {
        /// Seq, sender and push number of the request.
        position: Position,
        /// The requesting device.
        device: DeviceKey,
    },
}

impl Incoming {
    /// Returns the position to acknowledge.
    pub fn position(&self) -> &Position {
        match self {
            Self::Change(received) => &received.position,
            Self::Gap(gap) => &gap.position,
            Self::SnapshotRequest { position, .. } => position,
        }
    }
}

/// A change of another device, decrypted and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Seq, sender and push number. A redelivery after a crash has the same position.
    pub position: Position,
    /// The sender's name, if known.
    pub sender_name: Option<String>,
    /// The app's identifier of the sending device.
    pub device_id: String,
    /// The app's identifier of the change.
    pub transaction_id: String,
    /// Whether this is a change or a snapshot.
    pub kind: ChangeKind,
    /// The decrypted payload.
    pub content: Bytes,
    /// Whether this device was the only recipient.
    pub targeted: bool,
}

/// A range of changes for this device that no longer exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The position to acknowledge. The sender is all zeros, except for [`GapReason::Unfinished`].
    pub position: Position,
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub through: u64,
    /// Why the changes are missing.
    pub reason: GapReason,
}

impl Gap {
    /// Returns the device that certainly has the missing changes: the sender of an unfinished
    /// change. Any other device may have joined in the middle of it, too.
    pub fn recommended_source(&self) -> Option<DeviceKey> {
        (self.reason == GapReason::Unfinished).then_some(self.position.sender)
    }
}

/// Why changes will never arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// They exceeded the relay's retention.
    Expired,
    /// A device of the account deleted them.
    Deleted,
    /// The relay lost them to disk damage.
    Damaged,
    /// Another copy of this profile received them, or the relay gives no reason.
    Unknown,
    /// Only some chunks of a large change arrived, between these seqs.
    Unfinished,
}

impl From<Reason> for GapReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Expired => Self::Expired,
            Reason::Deleted => Self::Deleted,
            Reason::Damaged => Self::Damaged,
            Reason::Unspecified => Self::Unknown,
        }
    }
}

/// The push numbers assigned to a batch of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushReceipt {
    /// Push number of the first change.
    pub first: u64,
    /// Push number of the last change; less than `first` if the batch is empty.
    pub last: u64,
    /// Push number of each change, in order. A large change uses one number per chunk and is
    /// delivered under the last one.
    pub numbers: Vec<u64>,
}

/// Why a change was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The change exceeds the size limit, even in chunks.
    #[error(
        "change of {bytes} bytes exceeds the limit of {bytes_max}; store large data \
         elsewhere and push a reference"
    )]
    TooLarge {
        /// Size of the change.
        bytes: usize,
        /// Largest size accepted.
        bytes_max: usize,
    },
    /// The batch exceeds the limit. A batch is stored whole or not at all.
    #[error("batch of {bytes} bytes exceeds the limit of {bytes_max}; push smaller batches")]
    Batch {
        /// Size of all changes together.
        bytes: usize,
        /// Largest size accepted.
        bytes_max: usize,
    },
    /// The transaction id exceeds the fixed size of a header.
    #[error("transaction id of {0} bytes exceeds the limit of 64")]
    TransactionId(usize),
    /// The recipient is not another member of the account.
    #[error("recipient is not another device of this account")]
    Recipient,
    /// The account has no other device.
    #[error("account has no other device; pair one first")]
    Alone,
    /// The account no longer works on this device.
    #[error("relay refused this device for good: {0}")]
    Ended(String),
}
