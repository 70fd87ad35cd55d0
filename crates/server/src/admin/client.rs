//! The operator's end: connect, one question, one answer.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};

use super::local::{connect, place};
use super::message::{LINE_BYTES_MAX, TIMEOUT};
use super::{AdminError, AdminRequest, AdminResponse};

/// Asks the relay that runs on this data folder.
///
/// # Errors
/// [`AdminError::NotRunning`] where there is none, other kinds for other trouble.
pub async fn request(folder: &Path, question: &AdminRequest) -> Result<AdminResponse, AdminError> {
    Ok(open(folder, question).await?.0)
}

/// Asks, and gives the answer with whatever comes after it.
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
