//! Where there are no Unix sockets: no relay can be asked, and none listens for it.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{AdminError, Answer, Question, Served};

/// Nothing.
#[derive(Debug)]
pub struct Socket;

impl Socket {
    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub async fn bind(_folder: &Path) -> Result<Self, AdminError> {
        Ok(Self)
    }
}

/// Waits.
pub async fn serve(_socket: Socket, _served: impl Into<Served>, cancel: CancellationToken) {
    cancel.cancelled().await;
}

/// Finds no relay.
///
/// # Errors
/// Always [`AdminError::NotRunning`].
pub fn ask_for_store(folder: &Path) -> Result<std::io::Empty, AdminError> {
    Err(AdminError::NotRunning(folder.to_path_buf()))
}

/// Finds no relay.
///
/// # Errors
/// Always [`AdminError::NotRunning`].
pub async fn ask(folder: &Path, _question: &Question) -> Result<Answer, AdminError> {
    Err(AdminError::NotRunning(folder.to_path_buf()))
}
