//! The conversation over real sockets: what a device is told, frame by frame, when it follows the
//! protocol and when it does not. While strangers misbehave, two honest devices go on.

#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

mod bad;
mod device;
mod exchange;
mod good;
mod recovery;
mod store;
