//! What a conversation needs of a connection. The door provides it; so does a test.

use bytes::Bytes;

use graceful_rules::admission::Address;

/// Why a message did not come or go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// A message over the limit.
    #[error("a message over the limit")]
    TooLarge,
    /// A large message that came slowly, while others waited for the memory that it took.
    #[error("a message that came too slowly")]
    TooSlow,
    /// A message that is not binary.
    #[error("a message that is not binary")]
    NotBinary,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Disconnected(String),
}

/// One connection that carries binary messages.
pub trait Transport: Send {
    /// The next binary message; `None` when the peer is gone. May be dropped and called again
    /// without losing one.
    fn receive(&mut self) -> impl Future<Output = Option<Result<Bytes, TransportError>>> + Send;

    /// Sends one, waiting until the peer takes it, for a bounded time.
    fn send(&mut self, frame: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Counts the bytes that came and went so far: a slow line moves, a dead one does not.
    fn bytes_transferred(&self) -> u64;

    /// Where it comes from, as far as that is known and tells anybody apart.
    fn address(&self) -> Option<Address> {
        None
    }

    /// The device at the other end has proved who it is.
    fn mark_authenticated(&mut self) {}

    /// Ends the connection with a WebSocket close code.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
