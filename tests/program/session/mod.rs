//! The conversation over real sockets: what a device is told, frame by frame, when it follows the
//! protocol and when it does not. While strangers misbehave, two honest devices go on.

mod bad;
mod exchange;
mod good;
mod recovery;
mod store;
