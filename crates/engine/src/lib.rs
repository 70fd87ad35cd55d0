//! The client of a Graceful Relay without sockets, clock or disk: sealing and pairing ([`seal`],
//! [`wrap`], [`pairing`]), and the state machine of one device ([`Engine`]).
//!
//! Nothing here waits or reads a clock: inputs go in by methods, outputs are drained in order, times
//! are arguments. It must never send a change, a name or a key that is not sealed. What a relay or a
//! stranger sends can end a connection, but cannot make it panic.

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
pub use rng::{CryptoRng, OsRng, random};
pub use state::{EngineState, Identity, InvalidRecord};

/// The messages of `proto/sealed.proto`, as generated: only devices can name them.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod sealed {
    include!("generated/graceful.sealed.v1.rs");

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
