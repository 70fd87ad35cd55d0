//! The operator's end: connect, one question, one answer.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::local::{connect, place};
use super::message::{LINE_BYTES_MAX, PATIENCE};
use super::{AdminError, Answer, Question};

/// Asks the relay that runs on this data folder.
///
/// # Errors
/// [`AdminError::NotRunning`] where there is none, other kinds for other trouble.
pub async fn ask(folder: &Path, question: &Question) -> Result<Answer, AdminError> {
    let path = place(folder);
    let line = tokio::time::timeout(PATIENCE, exchange(folder, question)).await;
    let line = line.map_err(|_| AdminError::NoAnswer(path.clone()))?;
    let line = line.map_err(|error| AdminError::new(folder, error))?;
    serde_json::from_str(&line).map_err(|_| AdminError::NoAnswer(path))
}

async fn exchange(folder: &Path, question: &Question) -> io::Result<String> {
    let mut stream = connect(folder).await?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer).await?;
    Ok(answer)
}
