//! What can go wrong for an app, in words for the person in front of it.

use std::path::{Path, PathBuf};

use graceful_engine::PushError;
use graceful_engine::account::MembershipError;
use graceful_engine::link::InvalidLink;
use graceful_engine::pairing::PairingError;
use graceful_engine::recovery::RecoveryError;
use graceful_protocol::Code;
use graceful_raw_client::AddressError;

/// Why a call to a client failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A file of the profile could not be read or written.
    #[error("cannot {doing} {}: {cause}", path.display())]
    File {
        /// "read", "write"…
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A file of the profile is not what it should be.
    #[error("{} is damaged or from a newer version ({what}); restore the folder from a backup, or move it away and pair this device anew", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Two programs would write over each other.
    #[error("another program uses the profile {}; close it, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// There is a device here already.
    #[error("{} already holds a device; open it, or choose an empty folder", .0.display())]
    ProfileExists(PathBuf),
    /// There is none.
    #[error("{} holds no device; create an account or join one first", .0.display())]
    NoProfile(PathBuf),
    /// The relay's address cannot be dialled.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No connection could be made, or it broke.
    #[error("cannot reach the relay {relay}: {what}")]
    Unreachable {
        /// Its address.
        relay: String,
        /// What happened.
        what: String,
    },
    /// The relay says no.
    #[error("the relay refused: {text}")]
    Refused {
        /// For programs.
        code: Code,
        /// For people.
        text: String,
    },
    /// A change was not taken.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The membership log would not take this.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// Pairing failed.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// An account did not come back.
    #[error(transparent)]
    Recovery(RecoveryError),
    /// Genesis goes on with an account that has another recovery key, or none.
    #[error("the account in {} was begun with another recovery key, or without one, and keeps to that; go on without giving one", .0.display())]
    OtherRecoveryKey(PathBuf),
    /// Not a pairing link.
    #[error(transparent)]
    Link(#[from] InvalidLink),
    /// Needs a connection, and there is none.
    #[error("not connected to the relay; try again when it is reachable")]
    Offline,
    /// The pairing link was not used in time.
    #[error("the pairing link was not used in time; make a new one")]
    PairingExpired,
    /// An id or a name breaks its limit.
    #[error("{0}")]
    Invalid(&'static str),
    /// The client was closed, or its thread ended; the text says why.
    #[error("the client is closed: {0}")]
    Closed(String),
}

impl From<RecoveryError> for ClientError {
    /// A relay that says no says it in one way, whatever was asked.
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Refused { code, text } => Self::Refused { code, text },
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
