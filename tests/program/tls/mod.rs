//! The relay's own TLS over real sockets: what it speaks, which certificate it shows, how that is
//! exchanged while connections go on, and devices that sync through it.

pub(crate) mod authority;
mod canary;
mod devices;
mod exchanged;
mod harness;
mod headers;
mod proxies;
mod readiness;
mod spoken;
