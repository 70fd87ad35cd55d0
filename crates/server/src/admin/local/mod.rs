//! The admin socket of each operating system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use super::AdminError;

#[cfg(unix)]
pub use unix::Socket;
#[cfg(unix)]
pub(super) use unix::{Incoming, connect, place};
#[cfg(windows)]
pub use windows::Socket;
#[cfg(windows)]
pub(super) use windows::{Incoming, connect, place};
