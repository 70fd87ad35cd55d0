//! What is deleted is gone: no row of it remains, after a compaction no byte, and once its day is out
//! not even an old copy of the store gives it back. And what is kept can be verified.

#[allow(dead_code)]
#[path = "../conversation/device.rs"]
mod device;
#[path = "../program/mod.rs"]
mod program;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

mod compaction;
mod keys;
mod raw;
mod rows;
mod verify;
