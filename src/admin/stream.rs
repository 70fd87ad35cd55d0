//! The whole store over the socket, for whoever makes a backup: the relay's end and the operator's. After
//! the answer in one line comes the stream of `store/dump.rs`, and then nothing.

use std::io::{self, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::local::place;
use super::message::{LINE_BYTES_MAX, PATIENCE};
use super::{AdminError, Answer, Question};
use crate::relay::Relay;

/// Who takes nothing for so long is given up: until the end of the stream, redb uses no page again.
const STALL_MAX: Duration = Duration::from_secs(120);

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Sends the store, on a thread of its own, until it is sent or the relay is told to stop.
pub(super) async fn send(stream: tokio::net::UnixStream, relay: Relay, cancel: CancellationToken) {
    match send_all(stream, &relay, cancel).await {
        Ok(rows) => tracing::info!(rows, "the store was sent for a backup"),
        Err(error) => tracing::warn!(%error, "the store could not be sent for a backup"),
    }
}

async fn send_all(
    stream: tokio::net::UnixStream,
    relay: &Relay,
    cancel: CancellationToken,
) -> Result<u64, crate::store::DumpError> {
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(STALL_MAX))?;
    let mut line = serde_json::to_vec(&Answer::Backup).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    relay.dump(BufWriter::with_capacity(BUFFER_BYTES, Sending { stream, cancel })).await
}

/// Ends early when the relay has to.
struct Sending {
    stream: UnixStream,
    cancel: CancellationToken,
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("the relay is about to stop"));
        }
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Asks the relay that runs on this data folder for its store. What comes is for `store::take_in`. Waits
/// for the disk, so it is for a thread of its own.
///
/// # Errors
/// [`AdminError::NotRunning`] where there is none, [`AdminError::Refused`] where it says why not.
pub fn ask_for_store(folder: &Path) -> Result<impl Read + use<>, AdminError> {
    let trouble = |error| AdminError::new(folder, error);
    let mut stream = UnixStream::connect(place(folder)).map_err(trouble)?;
    // Only the answer has to come soon: folding may take a while.
    stream.set_read_timeout(Some(PATIENCE)).map_err(trouble)?;
    let mut line = serde_json::to_vec(&Question::Backup {}).map_err(|error| trouble(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(trouble)?;
    let mut answer = Vec::new();
    let mut byte = [0];
    // Byte by byte: what comes after the line is not ours to read.
    while (answer.len() as u64) < LINE_BYTES_MAX {
        stream.read_exact(&mut byte).map_err(|_| AdminError::NoAnswer(place(folder)))?;
        if byte == *b"\n" {
            break;
        }
        answer.push(byte[0]);
    }
    match serde_json::from_slice(&answer) {
        Ok(Answer::Backup) => {
            stream.set_read_timeout(None).map_err(trouble)?;
            Ok(io::BufReader::with_capacity(BUFFER_BYTES, stream))
        }
        Ok(Answer::Error(text)) => Err(AdminError::Refused(text)),
        _ => Err(AdminError::NoAnswer(place(folder))),
    }
}
