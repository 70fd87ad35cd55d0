//! What the app pushes and what it is given.

use bytes::Bytes;

use super::super::inbox::Position;
use super::super::sealed::Kind;
use crate::protocol::DeviceKey;
use crate::protocol::wire::gap;

/// A change of the app, to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The app's own name for it, at most 64 bytes; travels sealed.
    pub transaction_id: String,
    /// The change itself; travels sealed. Must fit one envelope (about 1 MiB).
    pub content: Bytes,
    /// A change, or a snapshot.
    pub kind: ChangeKind,
    /// The one device it is for; `None`: every other device of the account.
    pub addressee: Option<DeviceKey>,
}

impl Change {
    /// A change for every other device.
    pub fn new(transaction_id: impl Into<String>, content: impl Into<Bytes>) -> Self {
        let (transaction_id, content) = (transaction_id.into(), content.into());
        Self { transaction_id, content, kind: ChangeKind::Change, addressee: None }
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
    Gap(Gap),
}

impl Incoming {
    /// What to say when it is applied.
    pub fn position(&self) -> &Position {
        match self {
            Self::Change(received) => &received.position,
            Self::Gap(gap) => &gap.position,
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
    pub addressed: bool,
}

/// Changes meant for this device that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its `seq` is the last that is gone.
    pub position: Position,
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub through: u64,
    /// Expired, or deleted on request; unspecified if another copy of this profile has them.
    pub reason: gap::Reason,
}

/// Which numbers a batch of changes was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushReceipt {
    /// Of the first change.
    pub first: u64,
    /// Of the last one; below `first` if there was none.
    pub last: u64,
}

/// Why a change was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It would not fit one envelope.
    #[error(
        "a change of {bytes} bytes is too large: the relay takes at most {bytes_max}; store large data elsewhere and push a reference"
    )]
    TooLarge {
        /// Of the change.
        bytes: usize,
        /// That fit.
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
    #[error("the addressed device is not another member of this account")]
    Addressee,
    /// The account is over for this device.
    #[error("this device no longer syncs: {0}")]
    Ended(String),
}
