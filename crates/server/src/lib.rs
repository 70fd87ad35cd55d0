//! A Graceful Relay as a library: what happens ([`relay`]), what listens ([`http`]), what operators do
//! ([`admin`]), and the settings ([`config`]).
//!
//! The relay cannot decrypt: this crate depends on nothing that seals or opens an envelope.

pub mod admin;
pub mod config;
pub mod doctor;
pub mod http;
pub mod net;
pub mod observe;
pub mod relay;
