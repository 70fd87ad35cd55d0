//! The other end: a device's client library. It seals changes, keeps them until the relay has
//! them, receives those of the other devices, and pairs new ones.
//!
//! It uses `protocol` and no other room, and must never send a change, a name or a key that is not
//! sealed. What a relay or a stranger sends can end a connection, but cannot make it panic.
//!
//! From pure to practical: sealing and pairing ([`seal`], [`wrap`], [`pairing`]), the conversation
//! without sockets, clock or disk ([`Engine`]), the profile folder, and [`Client`] around all.

mod chance;
mod keys;
pub mod link;
pub mod pairing;
pub mod seal;
pub mod wrap;

pub use chance::{Chance, OsChance};
pub use keys::{AgreementSecret, DeviceKeys, EpochSecret, PairingSecret};
pub use link::PairingLink;

/// The messages of `proto/sealed.proto`, as generated: only devices can name them.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod sealed {
    include!(concat!(env!("OUT_DIR"), "/graceful.sealed.v1.rs"));
}
