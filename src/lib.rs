//! Graceful Relay: keeps the sealed changes of local-first apps until every device of an account
//! has them, and can read none of them.
//!
//! A list of rooms; each uses only those above it, and a test holds them to that. What each is
//! for, and the way of one message through them, is on one page: `docs/architecture.md`.

pub mod protocol;

#[cfg(feature = "relay")]
pub mod rules;

#[cfg(feature = "relay")]
pub mod store;

#[cfg(feature = "relay")]
pub mod relay;

#[cfg(feature = "relay")]
pub mod http;

#[cfg(feature = "relay")]
pub mod admin;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "relay")]
pub mod config;

#[cfg(feature = "cli")]
pub mod cli;
