//! Where a store cannot be sent over the local socket: a backup is made of the folder, while no relay runs.

use std::io::Empty;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::local::Incoming;
use super::{AdminError, Answer};
use crate::relay::Relay;

/// Says so.
pub(super) async fn send(mut stream: Incoming, _relay: Relay, _cancel: CancellationToken) {
    let answer = Answer::Error("on this system a backup is made while the relay is stopped".to_owned());
    // Text always has a JSON form, and who has left needs no answer.
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    let _ = stream.write_all(&line).await;
}

/// Finds no relay that could send its store.
///
/// # Errors
/// Always [`AdminError::NotRunning`]: that the store is in use, its lock says.
pub fn ask_for_store(folder: &Path) -> Result<Empty, AdminError> {
    Err(AdminError::NotRunning(folder.to_path_buf()))
}
