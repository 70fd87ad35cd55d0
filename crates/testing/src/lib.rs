//! Shared test support: fixtures, an in-process server, a process harness, devices and a crashing
//! disk.
#![allow(
    missing_docs,
    clippy::new_without_default,
    reason = "test support, used by this repository alone"
)]

pub mod device;
pub mod devices;
pub mod disk;
pub mod external;
pub mod fixtures;
pub mod program;
pub mod random;
pub mod relay_process;
pub mod server;
