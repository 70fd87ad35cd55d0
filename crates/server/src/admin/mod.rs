//! The admin socket: a request of an operator to the running relay, and its response.
//!
//! Only users who may open the data directory have access. This module never listens on a network.

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

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No relay runs on this data directory.
    #[error("no relay runs on the data directory {0}")]
    NotRunning(PathBuf),
    /// Another relay runs there.
    #[error("a relay already runs on the data directory {0}; stop it or use another --data-dir")]
    AlreadyRunning(PathBuf),
    /// The socket belongs to another user.
    #[error("permission denied: {0}; run this as the relay's user or with sudo")]
    Forbidden(PathBuf),
    /// The path exceeds the limit of the system, about a hundred bytes.
    #[error("the path {0} is too long for a socket; use a data directory with a shorter path")]
    TooLong(PathBuf),
    /// The relay refused the request.
    #[error("{0}")]
    Refused(String),
    /// Another I/O error.
    #[error("connecting to the relay at {path} failed: {error}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The error.
        error: std::io::Error,
    },
    /// The response is not that of a relay.
    #[error("unexpected response at {0}; the relay may run another version: restart it")]
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
