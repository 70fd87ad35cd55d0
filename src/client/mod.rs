//! The other end: a device's client library. It seals changes, keeps them until the relay has
//! them, receives those of the other devices, and pairs new ones.
//!
//! It uses `protocol` and no other room, and must never send a change, a name or a key that is not
//! sealed. What a relay or a stranger sends can end a connection, but cannot make it panic.
//!
//! From pure to practical: sealing and pairing ([`seal`], [`wrap`], [`pairing`]), the conversation
//! without sockets, clock or disk ([`Engine`]), the profile folder, and [`Client`] around all.

pub mod account;
pub mod assembly;
pub mod backoff;
pub mod bare;
mod begun;
mod chance;
mod connection;
mod dial;
pub mod engine;
mod error;
mod greet;
mod handle;
pub mod inbox;
mod journal;
mod keys;
pub mod link;
pub mod links;
pub mod outbox;
mod pair;
pub mod pairing;
mod profile;
mod readers;
pub mod record;
mod recover;
pub mod recovery;
pub mod seal;
mod snapshot;
mod state;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod tls;
pub mod warnings;
pub mod words;
pub mod wrap;

pub use chance::{Chance, OsChance};
pub use dial::ConnectOptions;
pub use engine::{
    Change, ChangeKind, Engine, Event, Gap, GapReason, Incoming, Output, PushError, PushReceipt,
    Received, State,
};
pub use error::ClientError;
pub use greet::{Greeted, greet};
pub use handle::{Changes, Client, CreateOptions, OpenOptions};
pub use inbox::Position;
pub use keys::{AgreementSecret, DeviceKeys, EpochSecret, PairingSecret};
pub use link::PairingLink;
pub use pair::{JoinAsk, JoinOptions, JoinProgress, Pairing};
pub use record::Warned;
pub use recover::{RecoverOptions, RecoverProgress};
pub use recovery::RecoveryError;
pub use state::{EngineState, Identity, InvalidRecord};
pub use status::{Device, Status};
pub use tls::RelayKey;
pub use words::{InvalidWords, RecoveryKey};

/// The messages of `proto/sealed.proto`, as generated: only devices can name them.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod sealed {
    include!(concat!(env!("OUT_DIR"), "/graceful.sealed.v1.rs"));

    /// Without the secrets.
    impl std::fmt::Debug for AccountBundle {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let mut shown = f.debug_struct("AccountBundle");
            shown
                .field("names", &self.names)
                .field("refused", &self.refused)
                .finish_non_exhaustive()
        }
    }
}
