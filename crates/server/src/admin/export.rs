//! The export of the store over the admin socket, for backups. The response in one line is followed
//! by the stream of `graceful_store::export`.

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio_util::io::SyncIoBridge;
use tokio_util::sync::CancellationToken;

use super::client::open;
use super::local::{Incoming, place};
use super::{AdminError, AdminRequest, AdminResponse};
use crate::relay::Relay;

/// A client that accepts nothing for this long is disconnected: until the end of the stream, redb
/// frees no page.
const STALL_MAX: Duration = Duration::from_secs(120);

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Sends the store on a blocking thread, until it is sent or the relay stops.
pub(super) async fn send(stream: Incoming, relay: Relay, cancel: CancellationToken) {
    match send_all(stream, &relay, cancel).await {
        Ok(rows) => tracing::info!(rows, "exported the store for a backup"),
        Err(error) => tracing::warn!(%error, "exporting the store for a backup failed"),
    }
}

async fn send_all(
    mut stream: Incoming,
    relay: &Relay,
    cancel: CancellationToken,
) -> Result<u64, graceful_store::ExportError> {
    let mut line = serde_json::to_vec(&AdminResponse::Backup).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let sending = ExportWriter {
        stream,
        patience: STALL_MAX,
        cancel,
        runtime: Handle::current(),
    };
    relay
        .export(BufWriter::with_capacity(BUFFER_BYTES, sending))
        .await
}

/// A blocking writer that fails when the relay stops.
struct ExportWriter {
    stream: Incoming,
    patience: Duration,
    cancel: CancellationToken,
    runtime: Handle,
}

impl Write for ExportWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self {
            stream,
            patience,
            cancel,
            runtime,
        } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(io::Error::other("the relay is stopping")),
                written = tokio::time::timeout(*patience, stream.write(bytes)) => written?,
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.stream.flush())
    }
}

/// Requests the store of the relay that runs on this data directory. The reader is for
/// `graceful_store::import`, on a thread that may block.
///
/// # Errors
/// [`AdminError::NotRunning`] if no relay runs there, [`AdminError::Refused`] with the reason of
/// the relay.
pub async fn request_export(folder: &Path) -> Result<impl Read + Send + use<>, AdminError> {
    // Only the response has a timeout: a flush may take a while.
    let (answer, rest) = open(folder, &AdminRequest::Backup {}).await?;
    match answer {
        AdminResponse::Backup => Ok(io::BufReader::with_capacity(
            BUFFER_BYTES,
            SyncIoBridge::new(rest),
        )),
        AdminResponse::Error(text) => Err(AdminError::Refused(text)),
        _ => Err(AdminError::NoAnswer(place(folder))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::Socket;
    use super::super::local::connect;
    use super::*;

    /// Sends to a client that reads almost nothing, until that fails. The relay may be stopped
    /// meanwhile.
    async fn send_in_vain(patience: Duration, stops: bool) -> io::Error {
        let folder = tempfile::tempdir().expect("a folder");
        let mut socket = Socket::bind(folder.path()).await.expect("bound");
        let mut asked = connect(folder.path()).await.expect("connects");
        let stream = socket.accept().await.expect("accepted");
        let cancel = CancellationToken::new();
        let mut sending = ExportWriter {
            stream,
            patience,
            cancel: cancel.clone(),
            runtime: Handle::current(),
        };
        let sent = tokio::task::spawn_blocking(move || {
            loop {
                if let Err(error) = sending.write(&[0; 4_096]) {
                    return error;
                }
            }
        });
        asked.read_u8().await.expect("it has started");
        if stops {
            cancel.cancel();
        }
        sent.await.expect("no panic")
    }

    #[tokio::test]
    async fn a_relay_that_stops_waits_for_no_backup() {
        assert!(
            send_in_vain(STALL_MAX, true)
                .await
                .to_string()
                .contains("is stopping")
        );
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        assert_eq!(
            send_in_vain(Duration::from_millis(1), false).await.kind(),
            io::ErrorKind::TimedOut
        );
    }
}
