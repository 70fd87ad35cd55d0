//! The connection that a session needs.

use bytes::Bytes;

use graceful_rules::admission::Address;

/// The reason why a message was not received or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The message exceeds the limit.
    #[error("the message exceeds the limit")]
    TooLarge,
    /// A large message arrived slowly while others waited for its memory.
    #[error("the message arrived too slowly")]
    TooSlow,
    /// The message is not binary.
    #[error("the message is not binary")]
    NotBinary,
    /// The connection broke.
    #[error("the connection failed: {0}")]
    Disconnected(String),
}

/// A connection that carries binary messages.
pub trait Transport: Send {
    /// Returns the next binary message; `None` after the peer closed. Cancel safe.
    fn receive(&mut self) -> impl Future<Output = Option<Result<Bytes, TransportError>>> + Send;

    /// Sends a message and waits until the peer accepts it, for a limited time.
    fn send(&mut self, frame: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Returns the bytes received and sent so far, which a slow link increases and a dead one does
    /// not.
    fn bytes_transferred(&self) -> u64;

    /// Returns the address of the peer, if it is known and identifies a client.
    fn address(&self) -> Option<Address> {
        None
    }

    /// Reports that the device has authenticated.
    fn mark_authenticated(&mut self) {}

    /// Closes the connection with a WebSocket close code.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
