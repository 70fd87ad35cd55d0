//! The error type of the client library.

use std::path::{Path, PathBuf};

use graceful_engine::PushError;
use graceful_engine::account::MembershipError;
use graceful_engine::link::InvalidLink;
use graceful_engine::pairing::PairingError;
use graceful_engine::recovery::RecoveryError;
use graceful_protocol::Code;
use graceful_raw_client::AddressError;

/// Why a client call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A profile file could not be read or written.
    #[error("cannot {doing} {}: {cause}", path.display())]
    File {
        /// The operation: "read", "write"…
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        cause: std::io::Error,
    },
    /// A profile file is malformed.
    #[error("{} is malformed or from a newer version: {what}; restore the profile from a \
         backup, or move it away and pair this device again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is malformed.
        what: String,
    },
    /// Another program has locked the profile.
    #[error("profile {} is locked by another process; stop it or use another --profile", .0.display())]
    InUse(PathBuf),
    /// The directory already holds a device.
    #[error("profile {} already holds a device; open it or use an empty directory", .0.display())]
    ProfileExists(PathBuf),
    /// The directory holds no device.
    #[error("profile {} holds no device; create or join an account first", .0.display())]
    NoProfile(PathBuf),
    /// The relay address is invalid.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The connection failed.
    #[error("cannot reach relay {relay}: {what}")]
    Unreachable {
        /// The relay's address.
        relay: String,
        /// The cause.
        what: String,
    },
    /// The relay refused.
    #[error("relay refused: {message}")]
    Refused {
        /// Machine-readable code.
        code: Code,
        /// Human-readable message.
        message: String,
    },
    /// A change was rejected.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The membership log rejects the change.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// Pairing failed.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// Recovery failed.
    #[error(transparent)]
    Recovery(RecoveryError),
    /// The pending account has another recovery key, or none.
    #[error("pending account in {} has another recovery key or none; retry without a \
         recovery key", .0.display())]
    OtherRecoveryKey(PathBuf),
    /// The text is not a pairing link.
    #[error(transparent)]
    Link(#[from] InvalidLink),
    /// The operation needs a connection.
    #[error("not connected to the relay; retry when it is reachable")]
    Offline,
    /// The pairing link expired.
    #[error("pairing link expired; create a new one")]
    PairingExpired,
    /// An id or a name exceeds its limit.
    #[error("{0}")]
    Invalid(&'static str),
    /// The client was closed, or its thread ended with this error.
    #[error("client is closed: {0}")]
    Closed(String),
}

impl From<RecoveryError> for ClientError {
    /// A refusal has one form, whatever was requested.
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Refused { code, message } => Self::Refused { code, message },
            error => Self::Recovery(error),
        }
    }
}

impl ClientError {
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { doing, path, cause }
    }

    pub(super) fn damaged(path: &Path, what: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.to_string(),
        }
    }
}
