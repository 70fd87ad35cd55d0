//! The client engine of Graceful Relay: sealing ([`seal`], [`wrap`]), pairing ([`pairing`]),
//! recovery ([`recovery`]) and the state machine of one device ([`Engine`]).
//!
//! The crate is sans-I/O: no sockets, clock or disk. Time is an argument, and randomness is the
//! only thing taken from the environment. Everything sent is sealed. Input from a relay or a
//! stranger can end a connection but never panics.

pub mod account;
pub mod alerts;
pub mod backoff;
pub mod engine;
pub mod inbox;
mod keys;
pub mod link;
pub mod mnemonic;
pub mod outbox;
pub mod pairing;
pub mod reassembly;
mod recipients;
pub mod record;
pub mod recovery;
mod rng;
pub mod seal;
pub mod sealed;
pub mod senders;
mod state;
pub mod wrap;

pub use engine::{
    Change, ChangeKind, Engine, Event, Gap, GapReason, Incoming, Output, PushError, PushReceipt,
    Received, State,
};
pub use inbox::Position;
pub use keys::{AgreementSecret, DeviceKeys, EpochSecret, PairingSecret};
pub use link::PairingLink;
pub use mnemonic::{MnemonicError, RecoveryKey};
pub use record::Alert;
pub use recovery::RecoveryError;
#[cfg(any(test, feature = "testing"))]
pub use rng::SeededRng;
pub use rng::{CryptoRng, FnRng, OsRng, random};
pub use state::{EngineState, Identity, InvalidRecord};
