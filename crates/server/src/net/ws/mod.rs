//! WebSocket (RFC 6455) without a buffer while a connection is idle.

pub(crate) mod connection;
pub(crate) mod transport;
