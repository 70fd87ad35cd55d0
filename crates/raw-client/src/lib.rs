//! A device without an engine: dialling and TLS, and frames as they are. Nothing is stored, nothing
//! is sealed.

mod bare;
pub mod dial;
pub mod tls;

pub use bare::{BareAccount, BareDevice, Conversation, Dialler, Receiver, Sender, Trouble};
pub use dial::{Address, AddressError, ConnectOptions};
pub use tls::RelayKey;
