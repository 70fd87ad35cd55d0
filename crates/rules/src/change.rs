//! What can be asked of the store, and what comes back: the one road by which anything changes.

use sha2::{Digest, Sha256};

use graceful_protocol::wire::{Delivered, Envelope, Placement, SignedEntry};
use graceful_protocol::{AccountId, Chain, DeviceKey, Refusal};

use super::push::Offered;
use super::{AccountNumber, Gap, Ordinal, Quota, RelayTime};

/// SHA-256 of an invitation: the store does not know the invitation itself.
pub type InviteHash = [u8; 32];

/// The hash under which an invitation is kept.
pub fn invite_hash(invite: &str) -> InviteHash {
    Sha256::digest(invite.trim().as_bytes()).into()
}

/// A device of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    /// The account.
    pub account: AccountNumber,
    /// The device within it.
    pub device: Ordinal,
}

/// One thing to be done, all of it or nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Found an account.
    Found {
        /// The founding entry.
        entry: SignedEntry,
        /// The device that proved itself.
        by: DeviceKey,
        /// Hash of the invitation that came with it.
        invite: Option<InviteHash>,
    },
    /// Append to the membership log.
    Append {
        /// Who asks.
        by: Whose,
        /// Index of the first entry.
        first: u64,
        /// The entries.
        entries: Vec<SignedEntry>,
    },
    /// Append what the relay lost in a restore, offered by a device that it does not know.
    Regain {
        /// The account.
        account: AccountId,
        /// Its whole log, as the device has it.
        entries: Vec<SignedEntry>,
    },
    /// Append what a recovery key signed. The conversation has seen to it that one did.
    Recover {
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
        by: Whose,
        /// In order of their push numbers.
        envelopes: Vec<Offered>,
    },
    /// Move a cursor.
    Ack {
        /// Whose.
        by: Whose,
        /// To here.
        through: u64,
    },
    /// Delete envelopes, acknowledged or not.
    DeleteThrough {
        /// Who asks.
        by: Whose,
        /// Up to here.
        through: u64,
    },
    /// Delete everything of an account.
    CloseAccount {
        /// Who asks.
        by: Whose,
    },
    /// Delete everything of an account, as its operator says.
    Evict {
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
    Invite {
        /// Its hash.
        hash: InviteHash,
        /// When it is void.
        expires: RelayTime,
    },
    /// Let an envelope go whose bytes the disk has lost, and tell those it was for.
    GiveUp {
        /// Whose.
        account: AccountNumber,
        /// Its seq.
        seq: u64,
    },
    /// Delete what has expired, a bounded part of it.
    Sweep,
    /// Keep the relay's clock.
    MarkClock,
}

impl Change {
    /// A push of these envelopes.
    pub fn push(by: Whose, envelopes: impl IntoIterator<Item = Envelope>) -> Self {
        Self::Push {
            by,
            envelopes: envelopes.into_iter().map(Offered::from).collect(),
        }
    }
}

/// What came of a [`Change`], which is on disk when this is seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The account exists, now or since an earlier try.
    Founded,
    /// The entries are in the log.
    Appended,
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
    Closed {
        /// How many envelopes went with it.
        envelopes: u64,
    },
    /// The quota holds from the next push on.
    QuotaSet,
    /// The invitation is good.
    Invited,
    /// What expired is gone.
    Swept {
        /// How many envelopes went.
        envelopes: u64,
        /// There is more to sweep.
        more: bool,
    },
    /// The clock is kept.
    Marked,
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
    pub fn kept(&mut self, push_number: u64, seq: u64) {
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
    pub fn repeated(&mut self, push_number: u64) {
        self.through = Some(push_number);
    }
}

/// Where a device stands, for its welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The account.
    pub account: AccountId,
    /// Account and device.
    pub whose: Whose,
    /// The account's newest seq.
    pub head: u64,
    /// Running hash through `head`.
    pub chain: Chain,
    /// What the device has acknowledged.
    pub cursor: u64,
    /// Its last kept push.
    pub push_number: u64,
    /// Counted against the quota.
    pub bytes_kept: u64,
    /// Counted against the quota.
    pub envelopes_kept: u64,
    /// Entries in the membership log.
    pub membership_count: u64,
}

/// The account of a recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recoverable {
    /// Which.
    pub account: AccountNumber,
    /// Entries in its membership log.
    pub membership_count: u64,
}

/// What a session wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Who looks.
    pub whose: Whose,
    /// Envelopes after this seq.
    pub after: u64,
    /// Membership entries from this index on.
    pub entries_from: u64,
    /// Bytes of envelopes; 0: none are looked for.
    pub bytes_max: u64,
    /// Whether the first is given even if it is larger.
    pub one_at_least: bool,
}

/// What it sees.
#[derive(Debug, Clone, PartialEq)]
pub enum View {
    /// The account was closed.
    Gone,
    /// The device was removed.
    NotAMember,
    /// Something has expired that the device still awaits: to be swept before anything is shown.
    SweepFirst,
    /// The disk has lost the bytes of the next envelope: to be given up before more is shown.
    Altered {
        /// Its seq.
        seq: u64,
    },
    /// The account as this device may see it.
    Ready(Ready),
}

/// The account as one device may see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ready {
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
pub struct News {
    /// Its newest seq.
    pub head: u64,
    /// Entries in its membership log.
    pub membership_count: u64,
    /// Counts what else a session must look at: gaps, removal, the end of the account.
    pub turns: u64,
}
