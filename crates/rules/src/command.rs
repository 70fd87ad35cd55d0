//! What can be asked of the store, and what comes back: the one road by which anything changes.

use sha2::{Digest, Sha256};

use graceful_protocol::wire::{Delivered, Envelope, Placement, SignedEntry};
use graceful_protocol::{AccountId, Chain, DeviceKey, Refusal};

use super::push::IncomingEnvelope;
use super::{AccountNumber, DeviceIndex, Gap, Quota, RelayTime};

/// SHA-256 of an invitation: the store does not know the invitation itself.
pub type InviteHash = [u8; 32];

/// The hash under which an invitation is kept.
pub fn invite_hash(invite: &str) -> InviteHash {
    Sha256::digest(invite.trim().as_bytes()).into()
}

/// A device of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The account.
    pub account: AccountNumber,
    /// The device within it.
    pub device: DeviceIndex,
}

/// One thing to be done, all of it or nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Found an account.
    CreateAccount {
        /// The genesis entry.
        entry: SignedEntry,
        /// The device that proved itself.
        by: DeviceKey,
        /// Hash of the invitation that came with it.
        invite: Option<InviteHash>,
    },
    /// Append to the membership log.
    AppendMembership {
        /// Who asks.
        by: Member,
        /// Index of the first entry.
        first: u64,
        /// The entries.
        entries: Vec<SignedEntry>,
    },
    /// Append what the relay lost in a restore, offered by a device that it does not know.
    RestoreMembership {
        /// The account.
        account: AccountId,
        /// Its whole log, as the device has it.
        entries: Vec<SignedEntry>,
    },
    /// Append what a recovery key signed. The session has seen to it that one did.
    RecoverAccount {
        /// The account of that key.
        account: AccountNumber,
        /// Index of the first entry.
        first: u64,
        /// The entries.
        entries: Vec<SignedEntry>,
    },
    /// Keep envelopes.
    Push {
        /// Who pushes.
        by: Member,
        /// In order of their push numbers.
        envelopes: Vec<IncomingEnvelope>,
    },
    /// Move a cursor.
    Ack {
        /// Member.
        by: Member,
        /// To here.
        through: u64,
    },
    /// Delete envelopes, acknowledged or not.
    DeleteThrough {
        /// Who asks.
        by: Member,
        /// Up to here.
        through: u64,
    },
    /// Delete everything of an account.
    DeleteAccount {
        /// Who asks.
        by: Member,
    },
    /// Delete everything of an account, as its operator says.
    DeleteAccountByOperator {
        /// The account.
        account: AccountId,
    },
    /// Let one account keep more or less than others.
    SetQuota {
        /// The account.
        account: AccountId,
        /// What it may keep from now on.
        quota: Quota,
    },
    /// Remember an invitation.
    CreateInvite {
        /// Its hash.
        hash: InviteHash,
        /// When it is void.
        expires: RelayTime,
    },
    /// Let an envelope go whose bytes the disk has lost, and tell those it was for.
    DropCorrupted {
        /// Member.
        account: AccountNumber,
        /// Its seq.
        seq: u64,
    },
    /// Delete what has expired, a bounded part of it.
    Sweep,
    /// Keep the relay's clock.
    SaveClock,
}

impl Command {
    /// A push of these envelopes.
    pub fn push(by: Member, envelopes: impl IntoIterator<Item = Envelope>) -> Self {
        Self::Push {
            by,
            envelopes: envelopes.into_iter().map(IncomingEnvelope::from).collect(),
        }
    }
}

/// What came of a [`Command`], which is on disk when this is seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The account exists, now or since an earlier try.
    AccountCreated,
    /// The entries are in the log.
    MembershipAppended,
    /// What became of a push.
    Pushed(Pushed),
    /// The cursor is there or was beyond.
    Acked,
    /// This many envelopes went.
    Deleted {
        /// As asked.
        through: u64,
        /// How many.
        envelopes: u64,
    },
    /// Nothing of the account remains.
    AccountDeleted {
        /// How many envelopes went with it.
        envelopes: u64,
    },
    /// The quota holds from the next push on.
    QuotaSet,
    /// The invitation is good.
    InviteCreated,
    /// What expired is gone.
    Swept {
        /// How many envelopes went.
        envelopes: u64,
        /// There is more to sweep.
        more: bool,
    },
    /// The clock is kept.
    ClockSaved,
    /// Nothing was changed.
    Refused(Refusal),
}

/// What became of the envelopes of one push.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pushed {
    /// Everything up to this push number is kept; `None` if not even the first.
    pub through: Option<u64>,
    /// Where the new ones went.
    pub placements: Vec<Placement>,
    /// Why the next one was not kept.
    pub refusal: Option<Refusal>,
}

impl Pushed {
    /// Notes that one was kept now.
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

    /// Notes that one had been kept before.
    pub fn record_duplicate(&mut self, push_number: u64) {
        self.through = Some(push_number);
    }
}

/// Where a device stands, for its welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// The account.
    pub account: AccountId,
    /// Account and device.
    pub member: Member,
    /// The account's newest seq.
    pub head: u64,
    /// Running hash through `head`.
    pub chain: Chain,
    /// What the device has acknowledged.
    pub cursor: u64,
    /// Its last kept push.
    pub push_number: u64,
    /// Counted against the quota.
    pub stored_bytes: u64,
    /// Counted against the quota.
    pub stored_envelopes: u64,
    /// Entries in the membership log.
    pub membership_count: u64,
}

/// The account of a recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverableAccount {
    /// Which.
    pub account: AccountNumber,
    /// Entries in its membership log.
    pub membership_count: u64,
}

/// What a session wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// Who looks.
    pub member: Member,
    /// Envelopes after this seq.
    pub after: u64,
    /// Membership entries from this index on.
    pub entries_from: u64,
    /// Bytes of envelopes; 0: none are looked for.
    pub bytes_max: u64,
    /// Whether the first is given even if it is larger.
    pub at_least_one: bool,
}

/// What it sees.
#[derive(Debug, Clone, PartialEq)]
pub enum FetchResult {
    /// The account was closed.
    AccountDeleted,
    /// The device was removed.
    NotAMember,
    /// Something has expired that the device still awaits: to be swept before anything is shown.
    SweepFirst,
    /// The disk has lost the bytes of the next envelope: to be given up before more is shown.
    Corrupted {
        /// Its seq.
        seq: u64,
    },
    /// The account as this device may see it.
    Page(AccountPage),
}

/// The account as one device may see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountPage {
    /// Index of the first of these entries, as asked for.
    pub entries_from: u64,
    /// New membership entries.
    pub entries: Vec<SignedEntry>,
    /// Entries in the log.
    pub membership_count: u64,
    /// What it has lost.
    pub gap: Option<Gap>,
    /// What is for it, by seq.
    pub envelopes: Vec<Delivered>,
    /// Every seq up to here was looked at.
    pub through: u64,
    /// The account's newest seq.
    pub head: u64,
}

/// That an account changed, as told to its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountVersion {
    /// Its newest seq.
    pub head: u64,
    /// Entries in its membership log.
    pub membership_count: u64,
    /// Counts what else a session must look at: gaps, removal, the end of the account.
    pub revision: u64,
}
