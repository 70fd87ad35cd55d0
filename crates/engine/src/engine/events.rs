//! Sync states, misbehavior and events.

use bytes::Bytes;

use crate::seal::OpenError;
use graceful_protocol::{Code, DeviceKey};

/// The sync state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not connected.
    Offline {
        /// Time of the next dial, on the engine's clock.
        dial_at_ms: Option<u64>,
    },
    /// Dialling or authenticating.
    Connecting,
    /// Connected, with work left.
    Syncing {
        /// Applied through this seq.
        received: u64,
        /// The account's newest seq.
        head: u64,
        /// Own changes that the relay has not stored.
        waiting: u64,
    },
    /// Everything received is applied and everything pushed is stored.
    UpToDate,
    /// The relay refuses this device for good.
    Refused {
        /// Machine-readable code.
        code: Code,
        /// Human-readable message.
        message: String,
    },
}

/// Why an envelope was skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UndecryptableReason {
    /// The envelope does not decrypt.
    #[error(transparent)]
    Seal(#[from] OpenError),
    /// This device lacks the secret of the envelope's key epoch.
    #[error("this device lacks the secret of key epoch {0}")]
    KeyEpoch(u32),
    /// The sender used a newer key epoch before. Only a holder of old secrets would seal this.
    #[error("sealed in key epoch {0}, older than its sender's newest")]
    OldKeyEpoch(u32),
    /// The key epoch does not match the membership log that the sender had seen.
    #[error("its key epoch does not match the membership log its sender had seen")]
    Heads,
    /// The claimed sender was never a member.
    #[error("its sender was never a member of this account")]
    Sender,
    /// An identifier or the running hash has the wrong length.
    #[error("malformed delivery")]
    Delivery,
    /// The push numbers inside and outside the seal differ.
    #[error("delivered under another push number than sealed")]
    PushNumber,
    /// A chunk with impossible numbers.
    #[error("impossible chunk numbers")]
    Part,
    /// A kind of a newer version.
    #[error("unknown kind; update this device")]
    Kind,
}

/// Provable misbehavior of the relay, or of an attacker on the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayMisbehavior {
    /// The running hash does not match at this seq.
    #[error("the relay's log does not match its running hash at seq {0}")]
    ChainMismatch(u64),
    /// Another device saw a different log.
    #[error("the relay showed another device a different log at seq {0}")]
    DivergentLog(u64),
    /// A change pushed for this device never arrived, and no gap was reported.
    #[error(
        "the relay withheld change {push_number} of device {sender}, which a later change names"
    )]
    Withheld {
        /// The device that pushed it.
        sender: DeviceKey,
        /// Its push number; the newest if several are missing.
        push_number: u64,
    },
    /// Another device saw a different membership log.
    #[error("the relay showed another device a different membership log at entry {0}")]
    DivergentMembership(u64),
    /// Another device saw a longer membership log.
    #[error("the relay hid membership entries: {shown} shown here, {seen} to another device")]
    MembershipHidden {
        /// Entries shown to this device.
        shown: u64,
        /// Entries shown to the other device.
        seen: u64,
    },
    /// The membership log became shorter without an announced restore.
    #[error("the relay rolled back the membership log from {from} to {to} entries")]
    MembershipRolledBack {
        /// Entries seen before.
        from: u64,
        /// Entries now.
        to: u64,
    },
    /// A membership entry is invalid.
    #[error("the relay sent an invalid membership entry: {0}")]
    InvalidEntry(String),
    /// The log became shorter without an announced restore.
    #[error("the relay rolled back the log from seq {from} to {to}")]
    RolledBack {
        /// Newest seq seen before.
        from: u64,
        /// Newest seq now.
        to: u64,
    },
    /// Acknowledged pushes are gone without an announced restore.
    #[error("the relay lost the changes {from} to {through}, which it had acknowledged")]
    StoredPushesLost {
        /// First push number.
        from: u64,
        /// Last push number.
        through: u64,
    },
    /// The relay violated the protocol.
    #[error("{0}")]
    ProtocolViolation(&'static str),
}

/// An event for the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The sync state changed.
    State(State),
    /// The relay closed the connection with a reason. [`Event::State`] tells whether this is final.
    Disconnected {
        /// Machine-readable code.
        code: Code,
        /// Human-readable message.
        message: String,
    },
    /// The relay stored everything through this push number.
    Stored(u64),
    /// The relay rejected pushes from this one on. They are retried.
    PushRefused {
        /// First rejected push number.
        push_number: u64,
        /// Machine-readable code.
        code: Code,
        /// Human-readable message.
        message: String,
    },
    /// A queued change exceeds the relay's new limit and was dropped. An empty filler takes its
    /// number, so that later changes can proceed.
    ChangeDropped {
        /// Push number of the change, or of its first chunk. All chunks are dropped.
        push_number: u64,
        /// The app's identifier of the change.
        transaction_id: String,
        /// Size of its envelope.
        bytes: u64,
        /// Largest envelope the relay accepts.
        bytes_max: u64,
    },
    /// A restored relay lost stored pushes. They are sent again under the same numbers.
    PushedAgain {
        /// First push number.
        from: u64,
        /// Last push number.
        through: u64,
    },
    /// A restored relay lost pushes that this device no longer has. Send a snapshot to devices that
    /// lack them.
    LostPushes {
        /// First push number.
        from: u64,
        /// Last push number.
        through: u64,
    },
    /// The profile is a copy of one that pushed more. Queued changes were renumbered.
    Renumbered {
        /// New push number of the first queued change.
        first: u64,
    },
    /// This device lacks the secret of the newest key epoch and cannot push.
    KeyMissing(u32),
    /// An envelope was skipped.
    UndecryptableEnvelope {
        /// Its seq.
        seq: u64,
        /// Its sender, as claimed by the relay.
        sender: DeviceKey,
        /// Why it was skipped.
        reason: UndecryptableReason,
    },
    /// The relay or an attacker misbehaved. Show this to a person.
    MisbehaviorDetected(RelayMisbehavior),
    /// The relay was restored from a backup and announced a new store epoch.
    RelayRestored,
    /// A device joined.
    Added(DeviceKey),
    /// A device was removed.
    Removed(DeviceKey),
    /// A device's name was set or changed.
    Named(DeviceKey),
    /// The relay rejected a membership change.
    MembershipRefused {
        /// The device to be added or removed.
        device: DeviceKey,
        /// Human-readable message.
        message: String,
    },
    /// A rendezvous slot is open.
    RendezvousOpened {
        /// The slot id.
        id: Bytes,
    },
    /// A device sent a request through a slot.
    RendezvousMessage {
        /// The slot id.
        id: Bytes,
        /// The sealed request.
        sealed: Bytes,
    },
    /// A slot could not be opened.
    RendezvousRefused {
        /// Machine-readable code.
        code: Code,
        /// Human-readable message.
        message: String,
    },
    /// A deletion completed.
    Deleted {
        /// Deleted through this seq.
        through: u64,
        /// Number of deleted envelopes.
        envelopes: u64,
        /// Whether the account itself was deleted.
        account: bool,
    },
}
