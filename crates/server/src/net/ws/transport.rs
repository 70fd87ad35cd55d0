//! The WebSocket transport of a session: binary messages, and a close handshake that completes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::net::admission::ConnectionGuard;
use crate::net::io::memory_budget::MemoryBudget;
use crate::net::ws::connection::{Incoming, WsConnection, WsError};
use crate::relay::{Address, Transport, TransportError};

/// Bytes of the reason in a close frame (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;
/// Bytes discarded at a time during the close handshake.
const DRAIN_BYTES: usize = 16 * 1024;

const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

pub(crate) struct WsTransport<S> {
    stream: WsConnection<S>,
    close_timeout: Duration,
    reading: ReadState,
    /// A close frame was sent, or none can be.
    ended: bool,
    guard: Option<Arc<ConnectionGuard>>,
    /// The address exceeded its rate: nothing is read before.
    paused_until: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadState {
    Open,
    /// Frame boundaries are lost; the rest can only be discarded.
    Desynchronized,
    /// The same after a violation of RFC 6455.
    ProtocolError,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> WsTransport<S> {
    pub(crate) fn new(
        stream: S,
        frame_bytes_max: usize,
        close_timeout: Duration,
        budget: MemoryBudget,
    ) -> Self {
        Self {
            stream: WsConnection::new(stream, frame_bytes_max, budget),
            close_timeout,
            reading: ReadState::Open,
            ended: false,
            guard: None,
            paused_until: None,
        }
    }

    /// Sets the guard that counts frames.
    pub(crate) fn with_guard(mut self, guard: Arc<ConnectionGuard>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Counts every message, control frames included.
    async fn next_message(&mut self) -> Option<Result<Incoming, WsError>> {
        if let Some(until) = self.paused_until {
            sleep_until(until).await;
            self.paused_until = None;
        }
        let message = self.stream.next().await;
        let pause = self.guard.as_ref().and_then(|guard| guard.count_frame());
        self.paused_until = pause.map(|pause| Instant::now() + pause);
        message
    }

    /// Closes the connection if the session did not.
    pub(crate) async fn finish(mut self) {
        let code = if self.reading == ReadState::ProtocolError {
            PROTOCOL_ERROR
        } else {
            NORMAL
        };
        self.close(code, "").await;
    }

    fn map_error(&mut self, error: WsError) -> TransportError {
        match error {
            WsError::TooLarge => {
                self.reading = ReadState::Desynchronized;
                TransportError::TooLarge
            }
            WsError::TooSlow => {
                self.reading = ReadState::Desynchronized;
                TransportError::TooSlow
            }
            WsError::Io(error) => {
                self.ended = true;
                TransportError::Disconnected(error.to_string())
            }
            WsError::Protocol(what) => {
                self.reading = ReadState::ProtocolError;
                TransportError::Disconnected(what.to_owned())
            }
        }
    }

    /// Sends the close frame and reads until the peer has seen it: closing a TCP connection with
    /// unread bytes resets it, and the reset overtakes the close frame.
    async fn close_handshake(&mut self, frame: CloseFrame) -> std::io::Result<()> {
        self.stream.close(frame).await?;
        while self.reading == ReadState::Open {
            match self.stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => self.reading = ReadState::Desynchronized,
                None => return Ok(()),
            }
        }
        let stream = self.stream.get_mut();
        stream.shutdown().await?;
        let mut scratch = vec![0; DRAIN_BYTES];
        while stream.read(&mut scratch).await? > 0 {}
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WsTransport<S> {
    async fn receive(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            match self.next_message().await {
                Some(Ok(Incoming::Binary(bytes))) => return Some(Ok(bytes)),
                Some(Ok(Incoming::Text)) => return Some(Err(TransportError::NotBinary)),
                // A pong or the response to a close is sent while reading on.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(Err(self.map_error(error))),
                None => {
                    self.ended = true;
                    return None;
                }
            }
        }
    }

    async fn send(&mut self, frame: Bytes) -> Result<(), TransportError> {
        self.stream.send(frame).await.map_err(|error| {
            self.ended = true;
            TransportError::Disconnected(error.to_string())
        })
    }

    fn bytes_transferred(&self) -> u64 {
        self.stream.bytes_transferred()
    }

    fn address(&self) -> Option<Address> {
        self.guard.as_ref()?.address()
    }

    fn mark_authenticated(&mut self) {
        self.stream.mark_authenticated();
        if let Some(guard) = &self.guard {
            guard.mark_authenticated();
        }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        let goodbye = tokio::time::timeout(self.close_timeout, self.close_handshake(frame));
        match goodbye.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, code, "peer left before the close frame"),
            Err(_) => tracing::debug!(code, "peer did not respond to the close frame"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// Longer than any test runs.
    const LONG: Duration = Duration::from_secs(60);

    type Client = WebSocketStream<DuplexStream>;

    async fn pair() -> (WsTransport<DuplexStream>, Client) {
        let (near, far) = duplex(1024);
        let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        (
            WsTransport::new(near, 1_000, LONG, MemoryBudget::new(64 << 20)),
            client,
        )
    }

    async fn close_seen(mut client: Client) -> Option<u16> {
        while let Some(message) = client.next().await {
            if let Ok(Message::Close(frame)) = message {
                return frame.map(|frame| frame.code.into());
            }
        }
        None
    }

    #[tokio::test]
    async fn messages_pass_both_ways_and_pings_are_answered_underneath() {
        let (mut socket, mut client) = pair().await;
        client
            .send(Message::Ping(Bytes::from_static(b"?")))
            .await
            .expect("open");
        client
            .send(Message::Binary(Bytes::from_static(b"in")))
            .await
            .expect("open");
        assert_eq!(
            &socket.receive().await.expect("open").expect("binary")[..],
            b"in"
        );
        socket.send(Bytes::from_static(b"out")).await.expect("open");
        assert_eq!(
            client.next().await.expect("open").expect("pong"),
            Message::Pong(Bytes::from_static(b"?"))
        );
        let message = client.next().await.expect("open").expect("message");
        assert_eq!(message, Message::Binary(Bytes::from_static(b"out")));
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_told_and_the_close_arrives() {
        let (mut socket, mut client) = pair().await;
        let relay = async move {
            assert!(matches!(
                socket.receive().await,
                Some(Err(TransportError::TooLarge))
            ));
            socket
                .send(Bytes::from_static(b"why"))
                .await
                .expect("writing still works");
            socket.close(1009, "too large").await;
        };
        let peer = async move {
            let sent = client.send(Message::Binary(vec![0; 10_000].into())).await;
            sent.expect("the relay reads on");
            close_seen(client).await
        };
        assert_eq!(tokio::join!(relay, peer).1, Some(1009));
    }

    #[tokio::test]
    async fn a_message_in_many_parts_is_held_to_the_same_limit() {
        use tokio_tungstenite::tungstenite::protocol::frame::Frame;
        use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
        let (mut socket, mut client) = pair().await;
        for kind in [Data::Binary, Data::Continue, Data::Continue] {
            let part = Frame::message(vec![0; 400], OpCode::Data(kind), false);
            let (received, sent) = tokio::join!(
                async {
                    tokio::select! {
                        biased;
                        received = socket.receive() => Some(received),
                        () = tokio::task::yield_now() => None,
                    }
                },
                client.send(Message::Frame(part))
            );
            sent.expect("open");
            if let Some(received) = received {
                assert!(matches!(received, Some(Err(TransportError::TooLarge))));
                return;
            }
        }
        assert!(matches!(
            socket.receive().await,
            Some(Err(TransportError::TooLarge))
        ));
    }

    #[tokio::test]
    async fn text_is_told_apart_whether_or_not_it_is_text() {
        let (mut socket, mut client) = pair().await;
        client.send(Message::text("hello")).await.expect("open");
        assert!(matches!(
            socket.receive().await,
            Some(Err(TransportError::NotBinary))
        ));
    }

    #[tokio::test]
    async fn a_peer_that_breaks_the_websocket_protocol_is_told_1002() {
        let (mut socket, mut client) = pair().await;
        // An unmasked frame, which RFC 6455 forbids to clients.
        client
            .get_mut()
            .write_all(&[0x82, 1, 0])
            .await
            .expect("open");
        assert!(matches!(
            socket.receive().await,
            Some(Err(TransportError::Disconnected(_)))
        ));
        assert_eq!(
            tokio::join!(socket.finish(), close_seen(client)).1,
            Some(1002)
        );
    }

    #[tokio::test]
    async fn a_peer_that_closes_is_answered_and_then_gone() {
        let (mut socket, mut client) = pair().await;
        client.close(None).await.expect("open");
        assert!(socket.receive().await.is_none());
        socket.close(1012, "nobody is there to hear it").await;
        assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
    }

    #[tokio::test]
    async fn a_long_reason_is_cut_between_characters() {
        let (mut socket, client) = pair().await;
        let reason = "ü".repeat(100);
        let (_, seen) = tokio::join!(socket.close(4400, &reason), close_seen(client));
        assert_eq!(seen, Some(4400));
    }
}
