//! Names of rows.

use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::AccountNumber;
use graceful_rules::command::InviteHash;

/// A row or a range of rows, named the same way for every engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowId {
    /// The account number of an account id.
    AccountNumber(AccountId),
    /// The account number of an account id and one of its device keys.
    Member(AccountId, DeviceKey),
    /// An account's row.
    Account(AccountNumber),
    /// All entries of an account's membership log.
    Membership(AccountNumber),
    /// The index entries of an account between two seqs, both included.
    Entries(AccountNumber, u64, u64),
    /// An envelope with its payload.
    Envelope(AccountNumber, u64),
    /// The oldest envelopes of all accounts.
    OldestEnvelopes,
    /// An invitation.
    Invite(InviteHash),
    /// The account of a recovery key.
    RecoveryKey(DeviceKey),
    /// All accounts, for an operator.
    AllAccounts,
}
