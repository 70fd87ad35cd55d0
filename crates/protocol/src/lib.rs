//! What travels: the wire schema, identifiers, frames, the membership log, limits.
//!
//! Pure: no clock, no chance, no disk, no socket. Relay and client both build on this room, so
//! that what one side checks, the other checks with the same code. It knows the outer form of a
//! sealed envelope and nothing of what is inside one.

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

/// The messages of `proto/relay.proto`, as generated.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod wire {
    include!("generated/graceful.relay.v1.rs");

    /// Without the invitation.
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

/// The one protocol version there is so far.
pub const VERSION: u32 = 1;

/// Path of the WebSocket endpoint.
pub const SOCKET_PATH: &str = "/v1/sync";

/// Path of the fallback for clients that cannot hold a socket.
pub const EXCHANGE_PATH: &str = "/v1/exchange";
