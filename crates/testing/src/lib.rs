//! What the tests of every crate share: fixtures, a server in this process, the program as a process of its own,
//! devices, and a disk that crashes.
#![allow(missing_docs)]

pub mod device;
pub mod devices;
pub mod disk;
pub mod external;
pub mod fixtures;
pub mod program;
pub mod random;
pub mod relay_process;
pub mod server;
