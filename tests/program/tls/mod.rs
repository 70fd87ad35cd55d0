//! The relay's own TLS over real sockets: protocol versions, certificates, their replacement, and
//! syncing devices.

pub(crate) mod authority;
mod canary;
mod certificate_reload;
mod devices;
mod handshake;
mod harness;
mod headers;
mod proxies;
mod readiness;
