//! The relay's own TLS over real sockets: what it speaks, which certificate it shows, how that is
//! exchanged while connections go on, and devices that sync through it.

#[path = "../program/mod.rs"]
mod program;
#[path = "../support/programs.rs"]
mod programs;
#[path = "../support/server.rs"]
mod server;

mod authority;
mod canary;
mod devices;
mod exchanged;
mod harness;
mod headers;
mod proxies;
mod spoken;
