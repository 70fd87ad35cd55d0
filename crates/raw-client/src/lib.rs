//! A device without an engine: dialling and TLS, and frames as they are. Nothing is stored, nothing
//! is sealed.

pub mod dial;
mod raw;
pub mod tls;

pub use dial::{Address, AddressError, ConnectOptions};
pub use raw::{Connector, RawAccount, RawClient, RawConnection, RawError, Receiver, Sender};
pub use tls::RelayKey;
