//! The wire protocol: schema, identifiers, frames, membership log and limits.
//!
//! Pure: no clock, randomness, disk or socket. Relay and client share this crate, so both apply the
//! same checks. It knows the outer format of a sealed envelope and nothing of its content.

pub mod chain;
pub mod challenge;
pub mod envelope;
pub mod frame;
mod id;
pub mod limits;
pub mod membership;
pub mod recovery;
mod refusal;

pub use id::{
    AccountId, AgreementKey, Chain, DeviceKey, EntryHash, InvalidId, RelayId, RendezvousId,
    StoreEpoch,
};
pub use limits::Limits;
pub use refusal::{Code, Refusal, close_code};

/// Generated messages of `proto/relay.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod wire {
    include!("generated/graceful.relay.v1.rs");

    /// Omits the invitation.
    impl std::fmt::Debug for CreateAccount {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let Self {
                authenticate,
                entry,
                invite: _,
            } = self;
            let mut shown = f.debug_struct("CreateAccount");
            shown
                .field("authenticate", authenticate)
                .field("entry", entry)
                .finish_non_exhaustive()
        }
    }
}

/// The only protocol version so far.
pub const VERSION: u32 = 1;

/// Path of the WebSocket endpoint.
pub const SOCKET_PATH: &str = "/v1/sync";

/// Path of the fallback for clients without a WebSocket.
pub const EXCHANGE_PATH: &str = "/v1/exchange";
