//! What operators do: a question to the running relay over a local socket, and its answer.
//!
//! Only who may open the data folder gets here. This room never listens on a network.

mod client;
mod export;
mod last_backup;
mod local;
mod message;
mod server;
mod service;
mod status_report;
mod warnings;

use std::path::{Path, PathBuf};

pub use client::request;
pub use export::request_export;
pub use last_backup::{Backup, LAST_BACKUP, last_backup, record_backup};
pub use local::Socket;
pub use message::{AdminRequest, AdminResponse};
pub use server::serve;
pub use service::{AdminService, Reloader};
pub use status_report::{ServerInfo, StatusReport};
pub use warnings::Warning;

/// Why the running relay could not be asked, or cannot be reached by its operator.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens: no relay runs on this folder.
    #[error("no relay runs on the data folder {0}")]
    NotRunning(PathBuf),
    /// Another relay listens there.
    #[error("a relay runs on the data folder {0} already; stop it first, or choose another folder")]
    AlreadyRunning(PathBuf),
    /// The socket belongs to someone else.
    #[error(
        "this user may not talk to the relay at {0}; run this as the relay's user, or with sudo"
    )]
    Forbidden(PathBuf),
    /// The system has room for about a hundred bytes.
    #[error("the path {0} is too long for a socket; choose a data folder with a shorter one")]
    TooLong(PathBuf),
    /// It says why not.
    #[error("{0}")]
    Refused(String),
    /// Anything else that went wrong between the two.
    #[error("cannot talk to the relay at {path}: {error}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// Something listens, but does not speak as a relay does.
    #[error(
        "what listens at {0} gave no answer that this version understands; is it of another version?"
    )]
    NoAnswer(PathBuf),
}

impl AdminError {
    fn new(folder: &Path, error: std::io::Error) -> Self {
        use std::io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound, PermissionDenied};
        let path = local::place(folder);
        match error.kind() {
            NotFound | ConnectionRefused => Self::NotRunning(folder.to_path_buf()),
            InvalidInput => Self::TooLong(path),
            PermissionDenied => Self::Forbidden(path),
            _ => Self::Socket { path, error },
        }
    }
}
