//! Commands to the writer and queries of the store, with their results.

use sha2::{Digest, Sha256};

use graceful_protocol::wire::{Delivered, Envelope, Placement, SignedEntry};
use graceful_protocol::{AccountId, Chain, DeviceKey, Refusal};

use super::push::IncomingEnvelope;
use super::{AccountNumber, DeviceIndex, Gap, Quota, RelayTime};

/// SHA-256 of an invitation; the store never holds the invitation itself.
pub type InviteHash = [u8; 32];

/// Returns the hash under which an invitation is stored.
pub fn invite_hash(invite: &str) -> InviteHash {
    Sha256::digest(invite.trim().as_bytes()).into()
}

/// A member device of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Account number.
    pub account: AccountNumber,
    /// Device within the account.
    pub device: DeviceIndex,
}

/// The origin of an account deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionRequest {
    /// A device deletes its own account.
    Device(Member),
    /// The operator deletes an account.
    Operator(AccountId),
}

/// A state change, applied atomically.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Creates an account.
    CreateAccount {
        /// The genesis entry.
        entry: SignedEntry,
        /// The authenticated device.
        by: DeviceKey,
        /// Hash of the invitation, if one was given.
        invite: Option<InviteHash>,
    },
    /// Appends to the membership log.
    AppendMembership {
        /// The requesting device.
        by: Member,
        /// Index of the first entry.
        first: u64,
        /// Entries in order.
        entries: Vec<SignedEntry>,
    },
    /// Appends entries that the relay lost in a restore, offered by a device it does not know.
    RestoreMembership {
        /// Account id.
        account: AccountId,
        /// The whole log as the device has it.
        entries: Vec<SignedEntry>,
    },
    /// Appends entries signed by the recovery key, which the session has verified.
    RecoverAccount {
        /// The account of the recovery key.
        account: AccountNumber,
        /// Index of the first entry.
        first: u64,
        /// Entries in order.
        entries: Vec<SignedEntry>,
    },
    /// Stores envelopes.
    Push {
        /// The pushing device.
        by: Member,
        /// Envelopes in order of push number.
        envelopes: Vec<IncomingEnvelope>,
    },
    /// Moves a cursor.
    Ack {
        /// The acknowledging device.
        by: Member,
        /// New cursor.
        through: u64,
    },
    /// Deletes envelopes, acknowledged or not.
    DeleteThrough {
        /// The requesting device.
        by: Member,
        /// Last seq to delete.
        through: u64,
    },
    /// Deletes an account and all its data.
    DeleteAccount {
        /// Who requested it, and the account.
        by: DeletionRequest,
    },
    /// Sets the quota of one account.
    SetQuota {
        /// Account id.
        account: AccountId,
        /// New quota.
        quota: Quota,
    },
    /// Stores an invitation.
    CreateInvite {
        /// Hash of the invitation.
        hash: InviteHash,
        /// Expiry.
        expires: RelayTime,
    },
    /// Deletes an envelope that failed its integrity check and records a gap for its recipients.
    DropCorrupted {
        /// Account number.
        account: AccountNumber,
        /// Seq of the envelope.
        seq: u64,
    },
    /// Deletes a bounded number of expired envelopes.
    Sweep,
    /// Stores the relay's clock.
    SaveClock,
}

impl Command {
    /// Creates a push of these envelopes.
    pub fn push(by: Member, envelopes: impl IntoIterator<Item = Envelope>) -> Self {
        Self::Push {
            by,
            envelopes: envelopes.into_iter().map(IncomingEnvelope::from).collect(),
        }
    }
}

/// The durable result of a [`Command`].
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The account exists, now or since an earlier attempt.
    AccountCreated,
    /// The entries are in the log.
    MembershipAppended,
    /// Result of a push.
    Pushed(Pushed),
    /// The cursor is at or beyond the requested seq.
    Acked,
    /// Envelopes were deleted.
    Deleted {
        /// Last seq, as requested.
        through: u64,
        /// Number of deleted envelopes.
        envelopes: u64,
    },
    /// The account was deleted.
    AccountDeleted {
        /// Number of deleted envelopes.
        envelopes: u64,
    },
    /// The quota applies from the next push.
    QuotaSet,
    /// The invitation is valid.
    InviteCreated,
    /// Expired envelopes were deleted.
    Swept {
        /// Number of deleted envelopes.
        envelopes: u64,
        /// Whether more expired envelopes remain.
        more: bool,
    },
    /// The clock is stored.
    ClockSaved,
    /// Refused; nothing changed.
    Refused(Refusal),
}

/// Result of one push.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pushed {
    /// Last stored push number; `None` if not even the first was stored.
    pub through: Option<u64>,
    /// Log positions of the new envelopes.
    pub placements: Vec<Placement>,
    /// Refusal of the first envelope that was not stored.
    pub refusal: Option<Refusal>,
}

impl Pushed {
    /// Records a newly stored envelope.
    pub fn record_stored(&mut self, push_number: u64, seq: u64) {
        self.through = Some(push_number);
        if let Some(last) = self.placements.last_mut()
            && last.seq + u64::from(last.count) == seq
        {
            last.count += 1;
            return;
        }
        self.placements.push(Placement {
            push_number,
            seq,
            count: 1,
        });
    }

    /// Records an envelope that was stored before.
    pub fn record_duplicate(&mut self, push_number: u64) {
        self.through = Some(push_number);
    }
}

/// A device's position in its account, as sent in Welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// Account id.
    pub account: AccountId,
    /// Account number and device.
    pub member: Member,
    /// Seq of the account's newest envelope.
    pub head: u64,
    /// Running hash through `head`.
    pub chain: Chain,
    /// Highest acknowledged seq.
    pub cursor: u64,
    /// Number of its last stored push.
    pub push_number: u64,
    /// Stored bytes as counted against the quota.
    pub stored_bytes: u64,
    /// Stored envelopes.
    pub stored_envelopes: u64,
    /// Entries in the membership log.
    pub membership_count: u64,
}

/// The account of a recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverableAccount {
    /// Account number.
    pub account: AccountNumber,
    /// Entries in its membership log.
    pub membership_count: u64,
}

/// Query of an account on behalf of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// The querying device.
    pub member: Member,
    /// Envelopes after this seq.
    pub after: u64,
    /// Membership entries from this index on.
    pub entries_from: u64,
    /// Limit of envelope bytes; 0 fetches none.
    pub bytes_max: u64,
    /// Whether to return the first envelope even if it exceeds `bytes_max`.
    pub at_least_one: bool,
}

/// Result of a [`Fetch`].
#[derive(Debug, Clone, PartialEq)]
pub enum FetchResult {
    /// The account was deleted.
    AccountDeleted,
    /// The device was removed.
    NotAMember,
    /// An unacknowledged envelope has expired: sweep, then fetch again.
    SweepFirst,
    /// The next envelope failed its integrity check: drop it, then fetch again.
    Corrupted {
        /// Seq of the envelope.
        seq: u64,
    },
    /// Content.
    Page(AccountPage),
}

/// New content of an account for one device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountPage {
    /// Index of the first entry, as requested.
    pub entries_from: u64,
    /// New membership entries.
    pub entries: Vec<SignedEntry>,
    /// Entries in the log.
    pub membership_count: u64,
    /// Lost envelopes.
    pub gap: Option<Gap>,
    /// Envelopes for the device in order of seq.
    pub envelopes: Vec<Delivered>,
    /// Every seq up to here was read.
    pub through: u64,
    /// Seq of the account's newest envelope.
    pub head: u64,
}

/// Version of an account, sent to its sessions after each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountVersion {
    /// Seq of the newest envelope.
    pub head: u64,
    /// Entries in its membership log.
    pub membership_count: u64,
    /// Incremented by every other change: a gap, a removal, the deletion of the account.
    pub revision: u64,
}
