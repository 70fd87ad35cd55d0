//! What the app pushes and what it is given.

use bytes::Bytes;

use super::super::inbox::Position;
use super::super::record::Queued;
use super::super::sealed::Kind;
use graceful_protocol::DeviceKey;
use graceful_protocol::wire::gap::Reason;

/// A change of the app, to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The app's own name for it, at most 64 bytes; travels sealed.
    pub transaction_id: String,
    /// The change itself; travels sealed. At most 100 MiB: what does not fit one envelope is cut into
    /// several, and put together again at the other end.
    pub content: Bytes,
    /// A change, or a snapshot.
    pub kind: ChangeKind,
    /// The one device it is for; `None`: every other device of the account.
    pub recipient: Option<DeviceKey>,
}

impl Change {
    /// A change for every other device.
    pub fn new(transaction_id: impl Into<String>, content: impl Into<Bytes>) -> Self {
        let (transaction_id, content) = (transaction_id.into(), content.into());
        Self {
            transaction_id,
            content,
            kind: ChangeKind::Change,
            recipient: None,
        }
    }

    /// The app's whole state, for one device that lacks the past.
    pub fn snapshot(recipient: DeviceKey, content: impl Into<Bytes>) -> Self {
        let (kind, recipient) = (ChangeKind::Snapshot, Some(recipient));
        Self {
            kind,
            recipient,
            ..Self::new("snapshot", content)
        }
    }

    /// What an app pushed, as it waits; `None` for what this library pushed of itself.
    pub(super) fn of(queued: &Queued) -> Option<Self> {
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

/// What a change is to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// One change.
    Change,
    /// The app's whole state, for a device that lacks the past.
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

/// What the app is given, in order. It applies each, then says so with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A change of another device.
    Change(Received),
    /// Changes that will never come: the app's state lacks them until a snapshot or a newer state.
    /// [`super::Engine::request_snapshot`] asks another device for one: that of [`Gap::whom_to_ask`].
    Gap(Gap),
    /// A device of the account lacks something, and asks this one for a snapshot, to be targeted to
    /// it alone. Best taken before this is said to be applied.
    SnapshotRequest {
        /// Seq, sender and push number of the question.
        position: Position,
        /// Who asks.
        device: DeviceKey,
    },
}

impl Incoming {
    /// What to say when it is applied.
    pub fn position(&self) -> &Position {
        match self {
            Self::Change(received) => &received.position,
            Self::Gap(gap) => &gap.position,
            Self::SnapshotRequest { position, .. } => position,
        }
    }
}

/// A change of another device, opened and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Seq, sender and push number: the same if it comes again after a crash.
    pub position: Position,
    /// What the sender is called, if known.
    pub sender_name: Option<String>,
    /// The app's own name for the sending device.
    pub device_id: String,
    /// The app's own name for the change.
    pub transaction_id: String,
    /// A change, or a snapshot.
    pub kind: ChangeKind,
    /// The change itself.
    pub content: Bytes,
    /// Whether it was for this device alone.
    pub targeted: bool,
}

/// Changes meant for this device that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What to say when it is applied. Its sender is zeros, but for [`GapReason::Unfinished`].
    pub position: Position,
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub through: u64,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    /// Whom to ask for what is missing, if one device has it for certain: of a change in parts that is
    /// who pushed it. Another device may have joined in its middle, too, and lack it as this one does.
    pub fn whom_to_ask(&self) -> Option<DeviceKey> {
        (self.reason == GapReason::Unfinished).then_some(self.position.sender)
    }
}

/// Why changes will never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// They waited at the relay for as long as it keeps anything.
    Expired,
    /// A device of the account had them deleted.
    Deleted,
    /// The relay's disk has lost them.
    Damaged,
    /// Another copy of this profile has them, or the relay does not say.
    Unknown,
    /// Parts of one large change came, between these seqs, and the others never will.
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

/// Which numbers a batch of changes was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushReceipt {
    /// Of the first change.
    pub first: u64,
    /// Of the last one; below `first` if there was none.
    pub last: u64,
    /// Of each change, in order: that under which the others are given it. A large change takes a
    /// number for each of its parts, and is given under that of the last.
    pub numbers: Vec<u64>,
}

/// Why a change was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It is larger than a change can be, even cut into parts.
    #[error(
        "a change of {bytes} bytes is too large: at most {bytes_max} are taken; store large data elsewhere and push a reference"
    )]
    TooLarge {
        /// Of the change.
        bytes: usize,
        /// That are taken.
        bytes_max: usize,
    },
    /// What is pushed at once is kept whole or not at all, and that has a limit.
    #[error("{bytes} bytes are too many to push at once: at most {bytes_max}; push them in parts")]
    Batch {
        /// Of all changes together.
        bytes: usize,
        /// That are taken.
        bytes_max: usize,
    },
    /// The header has a fixed size.
    #[error("a transaction id has at most 64 bytes, this one has {0}")]
    TransactionId(usize),
    /// There is no such device to address.
    #[error("the targeted device is not another member of this account")]
    Recipient,
    /// There is nobody to ask.
    #[error("this device is the only one of its account: there is no other to ask for a snapshot")]
    Alone,
    /// The account is over for this device.
    #[error("the relay refused this device, and it no longer syncs: {0}")]
    Ended(String),
}
