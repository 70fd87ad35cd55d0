//! What is said over the socket: one line of JSON each way.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Backup;
use graceful_rules::Quota;
use graceful_rules::account_list::{AccountDetail, AccountListPage, ListRequest};
use graceful_rules::audit::{ScanPage, ScanRange};

/// Bytes of one line, either way.
pub(super) const LINE_BYTES_MAX: u64 = 64 * 1024;

/// For one question and its answer.
pub(super) const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminRequest {
    /// An invitation to found one account.
    Invite {
        /// How long it is good, in seconds.
        lifetime_s: u64,
    },
    /// How the relay is doing.
    Status {},
    /// What a part of the store looks like.
    Inspect {
        /// Which.
        range: ScanRange,
    },
    /// A page of the roll of accounts.
    Accounts {
        /// Which.
        page: ListRequest,
    },
    /// One account.
    Account {
        /// How its id begins.
        letters: String,
    },
    /// Let one account keep more or less than others.
    SetQuota {
        /// Its whole id.
        account: String,
        /// What it may keep.
        quota: Quota,
    },
    /// Delete one account.
    Delete {
        /// Its whole id.
        account: String,
    },
    /// Note everything up to now in the record of uptime.
    Note {},
    /// The whole store, as a stream after the answer.
    Backup {},
    /// A backup is good: note it.
    NoteBackup {
        /// Which.
        backup: Backup,
    },
    /// Read again what is read anew while the relay runs: the certificate.
    Reload {},
    /// Stop in an orderly way.
    Drain {},
}

/// What the relay says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminResponse {
    /// The invitation, as it is typed.
    Invite(String),
    /// Names and numbers; which ones depends on the version.
    Status(serde_json::Value),
    /// What a part of the store looks like.
    Inspect {
        /// Of the relay that looked.
        version: String,
        /// What it found.
        part: ScanPage,
    },
    /// Some of the accounts.
    Accounts(AccountListPage),
    /// One of them.
    Account(Box<AccountDetail>),
    /// The quota holds.
    QuotaSet,
    /// Nothing of the account is left.
    Deleted {
        /// How many envelopes went with it.
        envelopes: u64,
    },
    /// It is noted.
    Noted,
    /// The store follows.
    Backup,
    /// What came of it, in words.
    Reloaded(String),
    /// Nobody new is let in, and conversations are being ended.
    Draining,
    /// Why not.
    Error(String),
}

/// Without the invitation.
impl fmt::Debug for AdminResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invite(_) => f.write_str("Invite(…)"),
            Self::Status(status) => f.debug_tuple("Status").field(status).finish(),
            Self::Inspect { version, part } => f
                .debug_struct("Inspect")
                .field("version", version)
                .field("part", part)
                .finish(),
            Self::Accounts(listed) => write!(f, "Accounts({} of them)", listed.entries.len()),
            Self::Account(_) => f.write_str("Account(…)"),
            Self::QuotaSet => f.write_str("QuotaSet"),
            Self::Deleted { envelopes } => f
                .debug_struct("Deleted")
                .field("envelopes", envelopes)
                .finish(),
            Self::Backup => f.write_str("Backup"),
            Self::Noted => f.write_str("Noted"),
            Self::Reloaded(text) => f.debug_tuple("Reloaded").field(text).finish(),
            Self::Draining => f.write_str("Draining"),
            Self::Error(text) => f.debug_tuple("Error").field(text).finish(),
        }
    }
}
