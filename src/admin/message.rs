//! What is said over the socket: one line of JSON each way.

use serde::{Deserialize, Serialize};

/// Bytes of one line, either way.
pub(super) const LINE_BYTES_MAX: u64 = 64 * 1024;

/// For one question and its answer.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// An invitation to found one account.
    Invite {
        /// How long it is good, in seconds.
        lifetime_s: u64,
    },
    /// How the relay is doing.
    Status {},
    /// Stop in an orderly way.
    Drain {},
}

/// What the relay says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The invitation, as it is typed.
    Invite(String),
    /// Names and numbers; which ones depends on the version.
    Status(serde_json::Value),
    /// Nobody new is let in, and conversations are being ended.
    Draining,
    /// Why not.
    Error(String),
}
