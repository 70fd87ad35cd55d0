//! What the engine tells the app besides changes.

use bytes::Bytes;

use super::super::seal::OpenError;
use graceful_protocol::{Code, DeviceKey};

/// How syncing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not connected.
    Offline {
        /// When it dials again, on the engine's clock.
        dial_at_ms: Option<u64>,
    },
    /// Dialling, or proving itself.
    Connecting,
    /// Connected, and not done yet.
    Syncing {
        /// Applied up to this seq.
        received: u64,
        /// The account's newest seq.
        head: u64,
        /// Own changes that the relay does not have yet.
        waiting: u64,
    },
    /// Everything received is applied, everything pushed is stored.
    UpToDate,
    /// The relay will not have this device: trying again will not help.
    Refused {
        /// For programs.
        code: Code,
        /// For people.
        text: String,
    },
}

/// Why an envelope was passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UndecryptableReason {
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] OpenError),
    /// Sealed in a key epoch whose secret this device does not have.
    #[error("this device has no secret for key epoch {0}")]
    KeyEpoch(u32),
    /// Its sender has sealed in a newer key epoch before: someone who knows only old secrets made this.
    #[error("it is sealed in key epoch {0}, older than its sender's newest")]
    OldKeyEpoch(u32),
    /// The key epoch is not the one that goes with the membership log that its sender had seen.
    #[error(
        "it does not say what its sender had seen, or is sealed in another key epoch than that asks for"
    )]
    Heads,
    /// Said to come from a device that never belonged.
    #[error("its sender never belonged to this account")]
    Sender,
    /// Its identifiers or its running hash do not have their length.
    #[error("the relay sent it in a form that cannot be")]
    Delivery,
    /// The number inside is not the one outside.
    #[error("it was delivered under another number than it was sealed with")]
    PushNumber,
    /// A part of something larger, with numbers that cannot be.
    #[error("it says to be a part of a change, and its numbers cannot be")]
    Part,
    /// A newer version's kind.
    #[error("it is of a kind that this version does not know; update this device")]
    Kind,
}

/// The relay, or someone on the way, shows this device something that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayMisbehavior {
    /// Running hashes do not follow each other at this seq.
    #[error("the relay's history does not fit together at seq {0}")]
    ChainMismatch(u64),
    /// Another device saw another history.
    #[error("another device was shown a different history at seq {0}")]
    DivergentLog(u64),
    /// Something that another device pushed for this one never came, and no gap was told.
    #[error(
        "the relay withheld change {push_number} of device {sender}: a later one says that it was sent"
    )]
    Withheld {
        /// Who pushed it.
        sender: DeviceKey,
        /// Its number, or that of the newest if several are missing.
        push_number: u64,
    },
    /// Another device saw another membership log.
    #[error("another device was shown a different membership log at entry {0}")]
    DivergentMembership(u64),
    /// Another device saw more of the membership log than this one was shown.
    #[error(
        "the relay hides membership entries: it showed {shown} here, and {seen} to another device"
    )]
    MembershipHidden {
        /// Entries shown to this device.
        shown: u64,
        /// Entries that the other device has.
        seen: u64,
    },
    /// A shorter membership log than before, without a restore being announced.
    #[error("the relay went back to {to} membership entries, of {from} that it had shown")]
    MembershipRolledBack {
        /// Entries that were seen.
        from: u64,
        /// Entries now.
        to: u64,
    },
    /// An entry that breaks the rules of the log.
    #[error("the relay sent a membership entry that does not belong: {0}")]
    InvalidEntry(String),
    /// Less than the relay had before, without a restore being announced.
    #[error("the relay went back from seq {from} to {to}")]
    RolledBack {
        /// Seq that was seen.
        from: u64,
        /// Newest seq now.
        to: u64,
    },
    /// It had said that these own pushes are on its disk, and no restore is announced.
    #[error(
        "the relay no longer has the changes {from} to {through}, which it had said were stored"
    )]
    StoredPushesLost {
        /// First number.
        from: u64,
        /// Last number.
        through: u64,
    },
    /// Not this protocol.
    #[error("{0}")]
    ProtocolViolation(&'static str),
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Syncing stands differently.
    State(State),
    /// The relay ended the connection, and said why. Whether it is for good, the state says.
    Disconnected {
        /// For programs.
        code: Code,
        /// For people.
        text: String,
    },
    /// The relay has everything up to this push number on disk.
    Stored(u64),
    /// The relay takes no push for now, beginning with this one; it is tried again.
    PushRefused {
        /// Of the change.
        push_number: u64,
        /// For programs.
        code: Code,
        /// For people.
        text: String,
    },
    /// The relay's limits have become smaller than a change that waited: it is let go, and an empty
    /// filler takes its number, so that those behind it can go on.
    ChangeDropped {
        /// Of the change; of the first part, if it was cut. All parts are let go.
        push_number: u64,
        /// The app's own name for it.
        transaction_id: String,
        /// Of its envelope.
        bytes: u64,
        /// That the relay takes.
        bytes_max: u64,
    },
    /// The relay lost what it had stored (a restore); these go again under the same numbers.
    PushedAgain {
        /// First number.
        from: u64,
        /// Last number.
        through: u64,
    },
    /// The relay lost these, and so has this device: push a snapshot for devices that lack them.
    LostPushes {
        /// First number.
        from: u64,
        /// Last number.
        through: u64,
    },
    /// The profile is a copy of one that pushed more: what waited was numbered anew.
    Renumbered {
        /// The first waiting change's number now.
        first: u64,
    },
    /// This device has no secret for the newest key epoch and cannot push.
    KeyMissing(u32),
    /// An envelope was passed over.
    UndecryptableEnvelope {
        /// Its place in the log.
        seq: u64,
        /// Its sender, as the relay says.
        sender: DeviceKey,
        /// Why.
        reason: UndecryptableReason,
    },
    /// Something that cannot be. Worth showing to a person.
    MisbehaviorDetected(RelayMisbehavior),
    /// The relay tells a new history: it was restored from a backup.
    RelayRestored,
    /// A device joined.
    Added(DeviceKey),
    /// A device was removed.
    Removed(DeviceKey),
    /// A device's name became known, or changed.
    Named(DeviceKey),
    /// The relay did not take a change of membership.
    MembershipRefused {
        /// The device that was to be added or removed.
        device: DeviceKey,
        /// For people.
        text: String,
    },
    /// A rendezvous slot is open.
    RendezvousOpened {
        /// Its id.
        id: Bytes,
    },
    /// A device asks through a slot.
    RendezvousMessage {
        /// The slot's id.
        id: Bytes,
        /// Its sealed request.
        sealed: Bytes,
    },
    /// A slot was not opened.
    RendezvousRefused {
        /// For programs.
        code: Code,
        /// For people.
        text: String,
    },
    /// What was to be deleted is deleted.
    Deleted {
        /// Up to this seq.
        through: u64,
        /// How many envelopes.
        envelopes: u64,
        /// Whether the account itself is gone.
        account: bool,
    },
}
