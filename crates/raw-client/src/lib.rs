//! A client without an engine: dialling, TLS and raw frames. It stores and seals nothing.

pub mod dial;
mod raw;
pub mod tls;

pub use dial::{Address, AddressError, ConnectOptions};
pub use raw::{Connector, RawAccount, RawClient, RawConnection, RawError, Receiver, Sender};
pub use tls::RelayKey;
