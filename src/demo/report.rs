//! The findings of the demo.

use serde::Serialize;

use super::receive::ReceivedCopy;
use super::relay_view::RelayView;

/// The result of one device.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Receiver {
    /// The device's name.
    pub(super) name: &'static str,
    /// What it received.
    #[serde(flatten)]
    pub(super) copy: ReceivedCopy,
}

/// The verified findings.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// The source file, if any.
    pub(super) source: Option<String>,
    /// Changes sent.
    pub(super) changes: u64,
    /// Bytes of the changes with their line ends.
    pub(super) bytes: u64,
    /// SHA-256 of the changes with their line ends.
    pub(super) sha256: String,
    /// The account id.
    pub(super) account: String,
    /// The devices' public keys.
    pub(super) device_keys: Vec<String>,
    /// Seconds from the first push until the relay had stored all.
    pub(super) push_seconds: f64,
    /// The relay's view.
    pub(super) relay: RelayView,
    /// The receiving devices.
    pub(super) receivers: Vec<Receiver>,
    /// Bytes of plaintext that the same search finds in a receiver's copy.
    pub(super) plaintext_bytes_in_copy: u64,
    /// Milliseconds from one more push until both other devices had it.
    pub(super) live_milliseconds: f64,
    /// Three changes as the devices saw them.
    pub(super) samples: Vec<String>,
    /// Envelopes left at the end.
    pub(super) envelopes_left: u64,
}
