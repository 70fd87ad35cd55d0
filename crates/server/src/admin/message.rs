//! The messages on the admin socket: one line of JSON in each direction.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Backup;
use graceful_rules::Quota;
use graceful_rules::account_list::{AccountDetail, AccountListPage, ListRequest};
use graceful_rules::audit::{ScanPage, ScanRange};

/// Bytes of one line.
pub(super) const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The timeout of a request.
pub(super) const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminRequest {
    /// Create an invitation for one account.
    Invite {
        /// Its validity in seconds.
        lifetime_s: u64,
    },
    /// Report the status.
    Status {},
    /// Scan a part of the store.
    Inspect {
        /// The part.
        range: ScanRange,
    },
    /// List accounts.
    Accounts {
        /// The page.
        page: ListRequest,
    },
    /// Show one account.
    Account {
        /// A prefix of its id.
        letters: String,
    },
    /// Set the quota of an account.
    SetQuota {
        /// The id.
        account: String,
        /// The quota.
        quota: Quota,
    },
    /// Delete an account.
    Delete {
        /// The id.
        account: String,
    },
    /// Write everything up to now to the uptime log.
    Note {},
    /// Export the store, as a stream after the response.
    Backup {},
    /// Record a verified backup.
    NoteBackup {
        /// The backup.
        backup: Backup,
    },
    /// Reload the certificate and the reloadable settings.
    Reload {},
    /// Shut down gracefully.
    Drain {},
}

/// A response.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminResponse {
    /// The invitation.
    Invite(String),
    /// The status report. Its fields depend on the version.
    Status(serde_json::Value),
    /// The result of a scan.
    Inspect {
        /// The version of the relay.
        version: String,
        /// The page.
        part: ScanPage,
    },
    /// A page of the account list.
    Accounts(AccountListPage),
    /// One account.
    Account(Box<AccountDetail>),
    /// The quota is set.
    QuotaSet,
    /// The account is deleted.
    Deleted {
        /// The number of deleted envelopes.
        envelopes: u64,
    },
    /// Recorded.
    Noted,
    /// The export follows.
    Backup,
    /// The result of a reload, for people.
    Reloaded(String),
    /// The relay is draining.
    Draining,
    /// An error, for people.
    Error(String),
}

/// Omits the invitation.
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
