//! Connections below HTTP: who may connect, how fast they are read, TLS and WebSocket.

pub(crate) mod admission;
pub(crate) mod client_ip;
pub(crate) mod io;
pub(crate) mod origins;
pub(crate) mod proxy_header;
pub mod tls;
pub(crate) mod ws;
