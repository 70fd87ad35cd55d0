//! The client of the admin socket: one request, one response.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};

use super::local::{connect, place};
use super::message::{LINE_BYTES_MAX, TIMEOUT};
use super::{AdminError, AdminRequest, AdminResponse};

/// Sends a request to the relay that runs on this data directory.
///
/// # Errors
/// [`AdminError::NotRunning`] if no relay runs there, other kinds for other failures.
pub async fn request(folder: &Path, question: &AdminRequest) -> Result<AdminResponse, AdminError> {
    Ok(open(folder, question).await?.0)
}

/// Sends a request and returns the response with the stream that follows it.
pub(super) async fn open(
    folder: &Path,
    question: &AdminRequest,
) -> Result<(AdminResponse, impl AsyncRead + Unpin + Send + use<>), AdminError> {
    let path = place(folder);
    let exchanged = tokio::time::timeout(TIMEOUT, exchange(folder, question)).await;
    let exchanged = exchanged.map_err(|_| AdminError::NoAnswer(path.clone()))?;
    let (line, rest) = exchanged.map_err(|error| AdminError::new(folder, error))?;
    let answer = serde_json::from_str(&line).map_err(|_| AdminError::NoAnswer(path))?;
    Ok((answer, rest))
}

async fn exchange(
    folder: &Path,
    question: &AdminRequest,
) -> io::Result<(String, impl AsyncRead + Unpin + Send + use<>)> {
    let mut stream = connect(folder).await?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    let mut stream = BufReader::new(stream);
    (&mut stream)
        .take(LINE_BYTES_MAX)
        .read_line(&mut answer)
        .await?;
    Ok((answer, stream))
}
