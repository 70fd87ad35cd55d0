//! A connection to a relay: one bounded channel per direction, so that a relay that stops reading
//! cannot block receiving.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes, from_relay};
use graceful_raw_client::dial::{Address, Socket};

/// Capacity of the send and receive queues, in frames.
const OUT_FRAMES: usize = 64;
const IN_FRAMES: usize = 4;
/// Close the connection if the socket accepts nothing for this long.
const SEND_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for an orderly close.
const CLOSE_WAIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Connection {
    out: mpsc::Sender<Bytes>,
    incoming: mpsc::Receiver<Result<RelayFrame, String>>,
    writer: tokio::task::JoinHandle<()>,
    reader: tokio::task::JoinHandle<()>,
    transferred: Arc<AtomicU64>,
}

impl Connection {
    pub(super) async fn dial(address: Address) -> Result<Self, String> {
        let (socket, transferred) = address.dial().await?;
        Ok(Self::from_socket(socket, transferred))
    }

    fn from_socket(socket: Socket, transferred: Arc<AtomicU64>) -> Self {
        let (mut sink, mut stream) = socket.split();
        let (out, mut to_send) = mpsc::channel::<Bytes>(OUT_FRAMES);
        let (received, incoming) = mpsc::channel(IN_FRAMES);
        let writer = tokio::spawn(async move {
            while let Some(bytes) = to_send.recv().await {
                if sink.send(Message::Binary(bytes)).await.is_err() {
                    return;
                }
            }
            let _ = sink.close().await;
        });
        let reader = tokio::spawn(async move {
            while let Some(message) = stream.next().await {
                let frame = match message {
                    Ok(Message::Binary(bytes)) => {
                        from_relay(bytes).map_err(|error| error.to_string())
                    }
                    Ok(Message::Close(_)) => Err("relay closed the connection".to_owned()),
                    Ok(Message::Text(_)) => Err("not a relay: it sent a text message".to_owned()),
                    Ok(_) => continue,
                    Err(error) => Err(error.to_string()),
                };
                let ended = frame.is_err();
                if received.send(frame).await.is_err() || ended {
                    return;
                }
            }
        });
        Self {
            out,
            incoming,
            writer,
            reader,
            transferred,
        }
    }

    /// Sends a frame, and waits while the queue is full. An error means that the connection is
    /// dead.
    pub(super) async fn send(&self, frame: DeviceFrame) -> Result<(), String> {
        match tokio::time::timeout(SEND_WAIT, self.out.send(device_bytes(frame))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err("connection failed while sending".to_owned()),
        }
    }

    /// Returns the bytes transferred so far.
    pub(super) fn transferred(&self) -> u64 {
        self.transferred.load(Ordering::Relaxed)
    }

    /// Returns the next frame. An error ends the connection. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<RelayFrame, String> {
        match self.incoming.recv().await {
            Some(frame) => frame,
            None => Err("connection ended".to_owned()),
        }
    }

    /// Sends what is queued and closes the connection.
    pub(super) async fn close(self) {
        drop(self.out);
        let abort = self.writer.abort_handle();
        if tokio::time::timeout(CLOSE_WAIT, self.writer).await.is_err() {
            abort.abort();
        }
        self.reader.abort();
    }
}
