//! The client library of Graceful Relay: one device of an account, with a profile on disk and a
//! connection to a relay.
//!
//! [`Client`] queues changes until the relay has stored them, receives changes of other devices,
//! and pairs new ones. Decisions and sealing are in [`graceful_engine`]; this crate adds sockets
//! and files.

mod connection;
mod error;
mod handle;
mod journal;
mod pair;
mod pending_recovery;
mod probe;
mod profile;
mod recover;
mod snapshot;
mod status;
mod task;
#[cfg(test)]
mod tests;

pub use error::ClientError;
pub use graceful_engine::{
    AgreementSecret, Alert, Change, ChangeKind, CryptoRng, DeviceKeys, Engine, EngineState,
    EpochSecret, Event, Gap, GapReason, Identity, Incoming, InvalidRecord, MnemonicError, OsRng,
    Output, PairingLink, PairingSecret, Position, PushError, PushReceipt, Received, RecoveryError,
    RecoveryKey, State, link, mnemonic, outbox, pairing, record,
};
pub use graceful_raw_client::{ConnectOptions, RelayKey};
pub use handle::{Changes, Client, CreateOptions, OpenOptions};
pub use pair::{JoinOptions, JoinProgress, JoinRequest, Pairing};
pub use probe::{RelayInfo, fetch_greeting};
pub use recover::{RecoverOptions, RecoverProgress};
pub use status::{Device, Status};

/// The examples of the README and of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../docs/guide/app.md")]
struct Examples;
